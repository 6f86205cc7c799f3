import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pycls.analysis.statistics.proxies import rank_proxies, recommend_proxies
from pycls.errors import ConfigError

MEMBERS = {"imagenet_100": 100, "imagenet_10": 10, "imagenet_2": 2}


@pytest.fixture
def errors():
    rng = np.random.default_rng(0)
    good, other = rng.standard_normal((2, 120))
    noise = rng.standard_normal((5, 120))
    return pd.DataFrame(
        {
            "imagenet_100": 20 + 4 * good + noise[0],
            "imagenet_10": 20 + 4 * other + noise[1],
            "imagenet_2": 20 + 2 * other + 4 * noise[2],
            "cifar100": 30 + 5 * good + noise[3],
            "cifar10": 30 + 5 * other + noise[4],
            "constant": np.full(120, 9.0),
        }
    )


def test_members_are_ranked_by_rho(errors):
    table = rank_proxies(errors, "cifar10", [*MEMBERS, "constant", "cifar10"])
    assert table["proxy"].tolist() == ["imagenet_10", "imagenet_2", "imagenet_100", "constant"]
    assert table["place"].tolist() == [1, 2, 3, 4]
    for row in table.head(3).to_dict("records"):
        expected = stats.spearmanr(errors[row["proxy"]], errors["cifar10"]).statistic
        assert row["rho"] == pytest.approx(expected, abs=1e-12)
        assert row["ci_low"] < row["rho"] < row["ci_high"]
    best, second = table.iloc[0], table.iloc[1]
    assert math.isnan(best["difference"])
    assert second["difference"] == pytest.approx(second["rho"] - best["rho"])
    assert second["ci_high_difference"] < 0
    assert second["p_difference"] < 0.001
    assert best["regret_10"] <= best["regret_1"]
    assert math.isnan(table.iloc[3]["rho"])


def test_names_that_are_not_there_are_named(errors):
    with pytest.raises(ConfigError, match="no data set 'imagenet_5'"):
        rank_proxies(errors, "cifar10", ["imagenet_5"])
    with pytest.raises(ConfigError, match="no data set 'mnist'"):
        recommend_proxies(10, MEMBERS, errors, {"mnist": 10})
    with pytest.raises(ConfigError, match="no family members"):
        recommend_proxies(10, {}, errors, {})


def test_recommendation_follows_targets_of_similar_class_count(errors):
    targets = {"cifar100": 100, "cifar10": 10}
    of_many = recommend_proxies(291, MEMBERS, errors, targets)
    assert of_many["proxy"][0] == "imagenet_100"
    assert of_many["closest"].tolist()[0]
    assert of_many["targets"][0] == "cifar100"
    expected = stats.spearmanr(errors["imagenet_100"], errors["cifar100"]).statistic
    assert of_many["mean_rho"][0] == pytest.approx(expected)
    assert recommend_proxies(9, MEMBERS, errors, targets)["proxy"][0] == "imagenet_10"
    # No target has about 2 classes: all are evidence, and that is said.
    of_two = recommend_proxies(2, MEMBERS, errors, targets)
    assert not of_two["similar"].any()
    assert of_two["n_targets"].tolist() == [2, 2, 2]


def test_without_evidence_the_closest_comes_first(errors):
    table = recommend_proxies(3, MEMBERS, errors, {})
    assert table["proxy"].tolist() == ["imagenet_2", "imagenet_10", "imagenet_100"]
    assert table["mean_rho"].isna().all()
