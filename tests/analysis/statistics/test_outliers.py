import numpy as np
import pytest
from coverage_simulation import DISTRIBUTIONS, TRIALS, draw_pairs, with_outliers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pycls.analysis.statistics import leave_one_out, outliers, spearman_interval

pytestmark = pytest.mark.slow


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=5, max_size=25))
def test_range_is_that_of_leaving_each_out(pairs):
    x, y = np.array(pairs, dtype=float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(leave_one_out(x, y)).all()
        return
    rhos = []
    for place in range(len(x)):
        a, b = np.delete(x, place), np.delete(y, place)
        if np.ptp(a) and np.ptp(b):
            rhos.append(stats.spearmanr(a, b).statistic)
    if rhos:
        assert leave_one_out(x, y) == pytest.approx((min(rhos), max(rhos)), abs=1e-9)


def test_range_of_many_is_about_that_of_leaving_each_out():
    rng = np.random.default_rng(0)
    x, y = draw_pairs(rng, 0.8, 150, "fan", False)
    rhos = [
        stats.spearmanr(np.delete(x, place), np.delete(y, place)).statistic for place in range(150)
    ]
    assert leave_one_out(x, y) == pytest.approx((min(rhos), max(rhos)), abs=1e-3)


@pytest.mark.parametrize("rho", [0.5, 0.9])
@pytest.mark.parametrize("n", [24, 50, 99])
@pytest.mark.parametrize("share", [0.03, 0.05])
def test_a_sample_with_outliers_is_covered_or_they_are_named(rho, n, share):
    many = with_outliers(np.random.default_rng(5), rho, 200_000, share)
    true = stats.spearmanr(*many[:2]).statistic
    rng, right, samples = np.random.default_rng(6), 0, 0
    while samples < (TRIALS or 100):
        x, y, wrong = with_outliers(rng, rho, n, share)
        if wrong.any():
            low, high = spearman_interval(x, y)
            right += low <= true <= high or bool(wrong[outliers(x, y)].any())
            samples += 1
    assert right / samples >= (0.93 if TRIALS else 0.88)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("n", [24, 100])
def test_false_names_are_rare_without_outliers(distribution, n):
    rng = np.random.default_rng(7)
    trials = TRIALS or 150
    named = [
        len(outliers(*draw_pairs(rng, rho, n, distribution, ties))) > 0
        for _ in range(trials)
        for rho in (0.0, 0.5, 0.9)
        for ties in (False, True)
    ]
    assert np.mean(named) <= (0.05 if TRIALS else 0.06)


def test_the_interval_holds_the_one_without_the_outlier():
    rng = np.random.default_rng(1)
    x = np.arange(60.0)
    y = x + rng.normal(0, 4, 60)
    y[0] = 99.0
    assert outliers(x, y).tolist() == [0]
    assert outliers(x[::-1], -y[::-1]).tolist() == [59]
    low, high = spearman_interval(x, y)
    without = spearman_interval(x[1:], y[1:])
    assert low <= without[0]
    assert high >= without[1]
