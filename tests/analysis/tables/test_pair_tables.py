import numpy as np
import pandas as pd
import pytest

from pycls.analysis.statistics import partial_spearman, repeat_variance, spearman
from pycls.analysis.tables.pairs import ceiling_table, dataset_noise, partial_table
from pycls.errors import ConfigError


@pytest.fixture
def errors():
    rng = np.random.default_rng(0)
    depth = rng.integers(2, 40, 80)
    table = {"a": depth + rng.normal(0, 6, 80), "b": depth + rng.normal(0, 6, 80)}
    index = [f"n{i}" for i in range(80)]
    return pd.DataFrame({**table, "c": rng.uniform(0, 9, 80)}, index).assign(depth=depth)


@pytest.fixture
def repeats():
    rng = np.random.default_rng(1)
    rows = [("a_seeds", "n1", "a", 20 + rng.normal(0, 2)) for _ in range(10)]
    rows += [("a_seeds", "n2", "a", 30 + rng.normal(0, 2)) for _ in range(10)]
    rows += [("b_seeds", "n1", "b", 25 + rng.normal(0, 3)) for _ in range(10)]
    rows += [("c_seeds", "n1", "c", 25.0)]
    return pd.DataFrame(rows, columns=["sweep", "arch", "dataset", "error"])


def test_noise_is_pooled_within_architectures(repeats):
    noise = dataset_noise(repeats)
    assert list(noise) == ["a", "b"]  # one run of c says nothing of its noise
    groups = [g["error"] for _, g in repeats[repeats["dataset"] == "a"].groupby("arch")]
    assert noise["a"] == repeat_variance(groups)
    assert noise["a"].degrees == 18


def test_ceilings_of_pairs(errors, repeats):
    table = ceiling_table(errors, repeats, [("a", "b"), ("a", "c"), ("c", "depth")])
    assert table["dataset_y"].tolist() == ["b", "c"]
    assert table["unknown"].tolist() == ["", "y"]
    first = table.iloc[0]
    assert first["rho"] == spearman(errors["a"], errors["b"]).rho
    assert first["rho"] < first["corrected"] < 1
    assert np.isnan(first["corrected_low"])
    assert "few architectures" in first["reason"]
    assert table["reliability_y"][1] == 1


def test_partial_rho_takes_depth_out(errors):
    table = partial_table(errors, errors[["depth"]], [("a", "b")], ["depth", "flops"])
    row = table.iloc[0]
    assert row["given"] == "depth"
    assert row["rho"] > 0.6
    assert abs(row["rho_partial"]) < 0.3
    assert row["rho_partial"] == partial_spearman(errors["a"], errors["b"], errors["depth"]).rho
    with pytest.raises(ConfigError, match="no property flops"):
        partial_table(errors, errors[["depth"]], [("a", "b")], ["flops"])


def test_many_repeats_give_corrected_rhos_an_interval(errors):
    rng = np.random.default_rng(3)
    noisy = errors[["a", "b"]] + rng.normal(0, 4, (80, 2))
    runs = pd.DataFrame(
        [
            (f"{key}_seeds", arch, key, errors.loc[arch, key] + rng.normal(0, 4))
            for key in "ab"
            for arch in errors.index[::-1][:70]
            for _ in range(3)
        ],
        columns=["sweep", "arch", "dataset", "error"],
    )
    row = ceiling_table(noisy, runs, [("a", "b")]).iloc[0]
    assert row["corrected_low"] < row["corrected"] < row["corrected_high"]
    assert row["rho"] < row["corrected"]
    assert row["corrected_low"] < spearman(errors["a"], errors["b"]).rho < row["corrected_high"]
    assert row["reason"] == ""
