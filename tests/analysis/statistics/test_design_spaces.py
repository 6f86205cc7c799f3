import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.analysis.statistics.design_spaces import (
    best_of_sample,
    edf_table,
    equalising_weights,
    parameter_ranges,
    parameter_table,
    space_table,
)
from pycls.errors import ConfigError

ERRORS = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=12)


def two_spaces(n=60, seed=0):
    rng = np.random.default_rng(seed)
    first = pd.DataFrame({"space": "A", "error": rng.normal(10, 1, n)})
    second = pd.DataFrame({"space": "B", "error": rng.normal(8, 1, n)})
    return pd.concat([first, second], ignore_index=True)


def share_below(errors, at, weights=None):
    """Return the share of models with an error below each of `at`, by the table of the EDF."""
    models = pd.DataFrame({"space": "A", "error": errors})
    table = edf_table(models, None if weights is None else {"A": weights}, n_boot=1)
    steps = np.concatenate([[0.0], table["share"]])
    return steps[np.searchsorted(table["error"], at, side="left")]


def test_edf_is_the_share_of_errors_below():
    errors = [3.0, 1.0, math.nan, 2.0, 2.0]
    assert share_below(errors, [0, 1, 1.5, 2, 2.1, 9]).tolist() == [0, 0, 0.25, 0.25, 0.75, 1]
    weighted = share_below(errors, [1.5, 2.5], weights=[1, 2, 5, 0, 1])
    assert weighted.tolist() == [0.5, 0.75]
    assert edf_table(pd.DataFrame({"space": ["A"], "error": [math.nan]})).empty


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [1, math.inf, 1]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(ConfigError, match="3 models need as many finite weights"):
        share_below([1.0, 2.0, 3.0], [1.0], weights)


def test_weights_make_complexity_alike():
    rng = np.random.default_rng(1)
    complexities = {"A": rng.uniform(1, 4, 500), "B": 1 + 3 * rng.beta(4, 1, 700)}
    weights = equalising_weights(complexities, bins=6)
    low = max(values.min() for values in complexities.values())
    high = min(values.max() for values in complexities.values())
    edges = np.linspace(low, high, 7)
    for name, values in complexities.items():
        assert weights[name].sum() == pytest.approx(1)
        inside = np.histogram(values, edges, weights=weights[name])[0]
        assert inside == pytest.approx(1 / 6)
        assert weights[name][(values < low) | (values > high)].sum() == 0


def test_weights_undo_a_difference_that_is_complexity_alone():
    """Errors that only depend on flops: the spaces differ only by the flops they draw."""
    rng = np.random.default_rng(2)
    flops = {"A": rng.uniform(1, 2, 4000), "B": 1 + rng.beta(3, 1, 4000)}
    errors = {name: 20 - 5 * values for name, values in flops.items()}
    weights = equalising_weights(flops, bins=40)
    at = np.linspace(11, 14, 7)
    plain = [share_below(errors[name], at) for name in "AB"]
    fair = [share_below(errors[name], at, weights[name]) for name in "AB"]
    assert np.abs(plain[0] - plain[1]).max() > 0.25
    assert np.abs(fair[0] - fair[1]).max() < 0.03


def test_spaces_without_common_complexity_are_named():
    with pytest.raises(ConfigError, match="share no range of complexity"):
        equalising_weights({"A": [1.0, 2.0], "B": [3.0, 4.0]})
    with pytest.raises(ConfigError, match="use fewer bins"):
        equalising_weights({"A": [1.0, 2.0], "B": [1.2, 1.8]}, bins=3)


def test_edf_table_has_a_band_around_the_shares():
    models = two_spaces()
    models.loc[3, "error"] = math.nan
    table = edf_table(models)
    assert table["space"].unique().tolist() == ["A", "B"]
    first = table[table["space"] == "A"]
    assert len(first) == 59
    assert first["share"].tolist() == pytest.approx((np.arange(59) + 1) / 59)
    assert (first["ci_low"] <= first["share"] + 1e-12).all()
    assert (first["share"] <= first["ci_high"] + 1e-12).all()
    middle = first.iloc[29]  # the binomial's standard deviation there is 0.065
    assert middle["ci_high"] - middle["ci_low"] == pytest.approx(4 * 0.065, abs=0.05)
    pd.testing.assert_frame_equal(table, edf_table(models))


def test_the_band_covers_the_true_distribution():
    covered = []
    for seed in range(200):
        errors = np.random.default_rng(seed).uniform(0, 1, 80)
        table = edf_table(pd.DataFrame({"space": "A", "error": errors}), n_boot=300, seed=seed)
        row = table[table["error"] <= 0.5].iloc[-1]
        covered.append(row["ci_low"] <= 0.5 <= row["ci_high"])
    assert 0.89 <= np.mean(covered) <= 0.99


def test_weights_and_ties_in_the_table():
    models = pd.DataFrame({"space": ["A"] * 4, "error": [2.0, 1.0, 2.0, 3.0]})
    table = edf_table(models, weights={"A": [1, 1, 1, 2]})
    assert table["error"].tolist() == [1, 2, 3]
    assert table["share"].tolist() == pytest.approx([0.2, 0.6, 1])


def test_spaces_are_summed_up_in_order():
    table = space_table(two_spaces()).set_index("space")
    assert table.index.tolist() == ["A", "B"]
    for space in "AB":
        row = table.loc[space]
        assert row["best"] < row["ci_low_median"] < row["median"] < row["ci_high_median"]
        assert row["ci_low_mean"] < row["mean"] < row["ci_high_mean"]
    assert table.loc["B", "ci_high_mean"] < table.loc["A", "ci_low_mean"]
    empty = space_table(pd.DataFrame({"space": ["A"], "error": [math.nan]}))
    assert empty["n"].item() == 0
    assert math.isnan(empty["median"].item())


@settings(max_examples=30)
@given(ERRORS, st.integers(1, 6))
def test_chances_of_being_best_add_up_and_ties_share(errors, k):
    chances = best_of_sample(errors, k)
    assert chances.sum() == pytest.approx(1)
    by_error = pd.Series(chances).groupby(np.array(errors))
    assert by_error.nunique().max() <= 1 or by_error.std().max() < 1e-12
    worst = np.array(errors) == max(errors)
    assert chances[worst].sum() == pytest.approx(np.mean(worst) ** k)


def test_chances_are_those_of_drawing_again_and_again():
    errors = np.array([5.0, 1.0, 2.0, 2.0, 9.0, 4.0, 3.0, 7.0])
    drawn = np.random.default_rng(0).integers(0, 8, (100_000, 3))
    best = drawn[np.arange(len(drawn)), errors[drawn].argmin(axis=1)]
    seen = np.bincount(best, minlength=8) / len(drawn)
    assert best_of_sample(errors, 3) == pytest.approx(seen, abs=0.01)


def test_ranges_find_what_the_errors_depend_on():
    rng = np.random.default_rng(3)
    models = pd.DataFrame({"depth": rng.integers(1, 31, 400), "other": rng.uniform(0, 1, 400)})
    models["group"] = 2.0 ** rng.integers(0, 6, 400)
    models["error"] = (models["depth"] - 20) ** 2 + 30 * (models["group"] != 8)
    table = parameter_ranges(models, ["depth", "group", "other"]).set_index("parameter")
    assert table["k"].eq(100).all()
    assert 17 <= table.loc["depth", "low"] <= table.loc["depth", "high"] <= 23
    assert table.loc["depth", "low_all"] <= 2
    assert table.loc["group", "mode"] == 8
    assert table.loc["group", "mode_share"] > 0.9
    assert math.isnan(table.loc["other", "mode"])
    wide = table.loc["other", "high"] - table.loc["other", "low"]
    assert wide > 0.6
    assert table.loc["depth", "low_error"] == models["error"].min()


def test_ranges_of_spaces_and_of_models_without_a_parameter():
    models = pd.DataFrame(
        {
            "space": ["A", "A", "B", "B", "B"],
            "error": [1.0, math.nan, 3.0, 2.0, 1.0],
            "depth": pd.array([3, 4, 5, 6, None], dtype="Int64"),
        }
    )
    table = parameter_ranges(models, ["depth"], k=50)
    assert table["space"].tolist() == ["A", "B"]
    assert table["n"].tolist() == [1, 2]
    assert table["median"].tolist() == [3, 6]
    assert table[["low", "high"]].iloc[0].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: parameter_ranges(t, ["nowhere"]), "no column nowhere"),
        (lambda t: parameter_ranges(t, ["depth"], k=0), "k of at least 1"),
        (lambda t: parameter_ranges(t, ["depth"], confidence=95), "confidence"),
        (lambda t: edf_table(t), "no column space"),
        (lambda t: edf_table(t.assign(space="A"), n_boot=0), "n_boot"),
    ],
)
def test_mistakes_are_named(call, message):
    table = pd.DataFrame({"error": [1.0, 2.0], "depth": [1, 2]})
    with pytest.raises(ConfigError, match=message):
        call(table)


def test_parameters_of_architectures():
    rows = pd.DataFrame(
        {
            "cum_depth": [5],
            "cum_width": [48],
            **{"depth_1": [2], "depth_2": [3], "width_1": [16], "width_2": [32]},
            **{"bot_mul_1": [0.25], "bot_mul_2": [1.0], "group_w_1": [4], "group_w_2": [8]},
            "flops": [7],
        }
    ).astype("Float64")
    table = parameter_table(rows)
    assert table.iloc[0].to_dict() == {
        **{"cum_depth": 5, "cum_width": 48, "depth_1": 2, "depth_2": 3},
        **{"width_1": 16, "width_2": 32, "width_ratio_1": 2, "bottleneck_1": 4},
        **{"bottleneck_2": 1, "group_w_1": 4, "group_w_2": 8, "flops": 7},
    }
    assert list(parameter_table(pd.DataFrame({"error": [1.0]}))) == []
