import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pycls.analysis.statistics import edf, fisher_interval, spearman, spread
from pycls.errors import ConfigError


def test_spearman_without_ties_is_the_textbook_formula():
    # Rank differences 1, 1, 1, 1, 0: rho = 1 - 6 * 4 / (5 * 24).
    assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]).rho == pytest.approx(0.8, abs=1e-12)


def test_spearman_gives_ties_their_average_rank():
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
    result = spearman([7, 8, 8, 9], [1, 2, 3, 4])
    assert result.rho == pytest.approx(4.5 / math.sqrt(22.5), abs=1e-12)


def test_spearman_drops_pairs_with_nan_and_counts_the_rest():
    x = [1, 2, math.nan, 4, 5, 6]
    y = [2, 1, 9, 4, math.nan, 5]
    assert spearman(x, y) == spearman([1, 2, 4, 6], [2, 1, 4, 5])
    assert spearman(x, y).n == 4


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(-1e6, 1e6)), min_size=4, max_size=60),
)
def test_spearman_agrees_with_scipy(pairs):
    x, y = np.array(pairs, dtype=float).T
    result = spearman(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(result.rho)
        return
    expected = stats.spearmanr(x, y)
    assert result.rho == pytest.approx(expected.statistic, abs=1e-12)
    if len(x) > 9:
        least = 2 / math.factorial(len(x))
        assert result.p_value == pytest.approx(max(expected.pvalue, least), abs=1e-12)
    assert -1 <= result.ci_low <= result.rho + 1e-12
    assert result.rho - 1e-12 <= result.ci_high <= 1


@pytest.mark.parametrize(
    ("x", "y", "n"),
    [
        ([], [], 0),
        ([1, 2, 3], [1, 2, 3], 3),
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], 5),
        ([1, 2, 3, 4, 5], [0, 0, 0, 0, 0], 5),
        ([1, 2, math.nan, 4], [1, 2, 3, 4], 3),
    ],
)
def test_undefined_rho_is_nan_without_a_warning(x, y, n):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = spearman(x, y)
    assert result.n == n
    values = (result.rho, result.ci_low, result.ci_high, result.p_value)
    assert all(math.isnan(value) for value in values)


def test_fisher_interval_by_hand():
    # atanh(0.5) = 0.549306; half width 1.959964 * sqrt(1.125 / 25) = 0.415772.
    low, high = fisher_interval(0.5, 28)
    assert math.atanh(low) == pytest.approx(0.549306 - 0.415772, abs=2e-6)
    assert math.atanh(high) == pytest.approx(0.549306 + 0.415772, abs=2e-6)
    assert fisher_interval(-0.5, 28) == pytest.approx((-high, -low), abs=1e-15)
    assert fisher_interval(1.0, 10) == (1.0, 1.0)


def test_interval_covers_the_true_rho_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    r, n, trials = 0.6, 24, 1200
    # Of a bivariate normal, rho = 6 / pi * asin(r / 2).
    true = 6 / math.pi * math.asin(r / 2)
    first = rng.standard_normal((trials, n))
    second = r * first + math.sqrt(1 - r * r) * rng.standard_normal((trials, n))
    results = [spearman(x, y) for x, y in zip(first, second, strict=True)]
    covered = np.mean([result.ci_low <= true <= result.ci_high for result in results])
    assert 0.925 < covered < 0.975


def test_edf_is_the_fraction_at_or_below():
    values, fraction = edf([3, 1, math.nan, 2, 2])
    assert values.tolist() == [1, 2, 2, 3]
    assert fraction.tolist() == [0.25, 0.75, 0.75, 1.0]
    assert [len(part) for part in edf([math.nan])] == [0, 0]


def test_spread_is_90th_less_10th_percentile():
    assert spread(range(11)) == pytest.approx(8.0)
    assert spread([4.0, math.nan]) == 0.0
    assert math.isnan(spread([]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: spearman([1, 2], [1, 2, 3]),
        lambda: spearman([1, 2, 3, 4], [1, 2, 3, 4], confidence=95),
        lambda: spearman([[1, 2]], [[1, 2]]),
        lambda: fisher_interval(0.5, 3),
    ],
)
def test_mistakes_are_named(call):
    with pytest.raises(ConfigError):
        call()
