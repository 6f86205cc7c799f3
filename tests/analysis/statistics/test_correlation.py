import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pycls.analysis.statistics import (
    adjust_p_values,
    kendall,
    partial_spearman,
    pearson,
    spearman,
    spearman_p_value,
)
from pycls.errors import ConfigError

PAIRS = st.lists(
    st.tuples(st.integers(0, 15), st.floats(-1e3, 1e3, width=16)), min_size=4, max_size=40
)


@settings(max_examples=60)
@given(PAIRS)
def test_tau_b_and_r_agree_with_scipy(pairs):
    x, y = np.array(pairs, dtype=float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(kendall(x, y).value)
        assert math.isnan(pearson(x, y).p_value)
        return
    assert kendall(x, y).value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert kendall(x, y).p_value == pytest.approx(stats.kendalltau(x, y).pvalue, abs=1e-12)
    assert pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)


def test_tau_b_by_hand():
    # Of 6 pairs of pairs one is tied on x; of the others 4 agree and 1 does not.
    assert kendall([1, 1, 2, 3], [1, 2, 4, 3]).value == pytest.approx(3 / math.sqrt(5 * 6))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=4, max_size=30))
def test_rank_correlations_ignore_monotone_transforms_and_the_order(pairs):
    x, y = np.array(pairs, dtype=float).T
    for function in (
        lambda a, b: spearman(a, b).rho,
        lambda a, b: kendall(a, b).value,
        spearman_p_value,
    ):
        value = function(x, y)
        if math.isnan(value):
            continue
        assert function(np.exp(x / 10), y**3) == pytest.approx(value, abs=1e-12)
        assert function(y, x) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]),
        ([1, 1, 2, 3, 3, 4], [2, 1, 1, 3, 5, 5]),
    ],
)
def test_exact_p_value_counts_all_orders(x, y):
    observed = abs(stats.spearmanr(x, y).statistic)
    as_extreme = [
        abs(stats.spearmanr(x, order).statistic) >= observed - 1e-9
        for order in itertools.permutations(y)
    ]
    assert spearman(x, y).p_value == pytest.approx(np.mean(as_extreme), abs=1e-12)
    assert spearman_p_value(x, y) == spearman(x, y).p_value


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=4, max_size=6))
def test_exact_p_value_agrees_with_scipys_permutation_test(pairs):
    x, y = np.array(pairs, dtype=float).T
    found = spearman(x, y)
    if math.isnan(found.rho):
        return
    exact = stats.permutation_test(
        (x,),
        lambda order: np.round(stats.spearmanr(order, y).statistic, 12),
        permutation_type="pairings",
        n_resamples=math.inf,
    )
    # SciPy's own two-sided value is twice the smaller tail, which differs with ties.
    far = np.abs(exact.null_distribution) >= abs(found.rho) - 1e-9
    assert len(far) == math.factorial(len(x))
    assert found.p_value == pytest.approx(far.mean(), abs=1e-12)


def test_p_value_of_eight_architectures_is_exact():
    y = [1, 2, 0, 3, 5, 7, 6, 4]
    found = spearman(range(8), y)
    assert found.rho == pytest.approx(1 - 6 * 20 / (8 * 63))
    sums = np.array(list(itertools.permutations(range(8)))) @ np.arange(8)
    far = np.abs(sums - sums.mean()) >= abs(np.dot(range(8), y) - sums.mean())
    assert found.p_value == pytest.approx(far.mean(), abs=1e-12)
    assert found.p_value == pytest.approx(0.0368, abs=5e-5)
    assert stats.spearmanr(range(8), y).pvalue == pytest.approx(0.0280, abs=5e-5)


def test_exact_p_value_of_published_tables():
    # Critical values of |rho| at n = 5: 1 has p = 2 / 120, 0.9 has p = 10 / 120.
    assert spearman_p_value(range(5), range(5)) == pytest.approx(2 / 120)
    assert spearman_p_value(range(5), [1, 0, 2, 3, 4]) == pytest.approx(10 / 120)


def test_p_value_of_many_pairs_is_scipys_and_never_zero():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(30)
    y = x + rng.standard_normal(30)
    assert spearman_p_value(x, y) == pytest.approx(stats.spearmanr(x, y).pvalue)
    assert spearman_p_value(range(12), range(12)) == pytest.approx(2 / math.factorial(12))
    assert math.isnan(spearman_p_value([1, 2, 3], [1, 2, 3]))


def test_exact_p_values_keep_their_level_with_ties():
    rng = np.random.default_rng(2)
    p_values = [spearman_p_value(*rng.integers(0, 4, (2, 8))) for _ in range(600)]
    p_values = np.array(p_values)[np.isfinite(p_values)]
    assert np.mean(p_values <= 0.05) < 0.075


def test_holm_and_benjamini_hochberg_by_hand():
    p_values = [0.01, math.nan, 0.04, 0.03, 0.005]
    holm = adjust_p_values(p_values)
    assert holm[[0, 2, 3, 4]] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(holm[1])
    assert adjust_p_values(p_values, "bh")[[0, 2, 3, 4]] == pytest.approx([0.02, 0.04, 0.04, 0.02])


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_larger_keep_the_order_and_agree_with_scipy(p_values):
    holm, bh = (adjust_p_values(p_values, method) for method in ("holm", "bh"))
    assert bh == pytest.approx(stats.false_discovery_control(p_values), abs=1e-12)
    for adjusted in (holm, bh):
        assert (adjusted >= np.array(p_values) - 1e-15).all()
        assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    assert (holm >= bh - 1e-15).all()


def test_partial_correlation_by_the_textbook_formula():
    rng = np.random.default_rng(6)
    z = rng.standard_normal(80)
    x, y = z + rng.standard_normal(80), z + rng.standard_normal(80)
    xy, xz, yz = (stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    found = partial_spearman(x, y, z)
    assert found.rho == pytest.approx(expected, abs=1e-12)
    t = found.rho * math.sqrt(77 / (1 - found.rho**2))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 77), abs=1e-12)


def test_partial_correlation_takes_out_what_both_sides_share():
    rng = np.random.default_rng(7)
    depth, width = rng.integers(1, 17, 400), rng.standard_normal(400)
    x = depth + width + rng.standard_normal(400)
    y = depth + width + rng.standard_normal(400)
    given_both = partial_spearman(x, y, np.column_stack([depth, width, depth]))  # one twice
    assert spearman(x, y).rho > 0.6
    assert given_both.ci_low < 0 < given_both.ci_high or abs(given_both.rho) < 0.15
    assert given_both.n == 400
    twice = np.column_stack([depth, width])
    assert given_both.p_value == pytest.approx(partial_spearman(x, y, twice).p_value)


def test_partial_correlation_that_is_undefined():
    x = np.arange(8.0)
    assert math.isnan(partial_spearman(x, x[::-1] % 3, x).rho)  # x is explained wholly
    assert math.isnan(partial_spearman(x[:5], x[[1, 0, 2, 4, 3]], np.eye(5)[:, :3]).rho)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kendall([1, 2, 3, 4], [1, 2, 3]),
        lambda: adjust_p_values([0.1], "none"),
        lambda: adjust_p_values([1.2]),
        lambda: partial_spearman([1, 2, 3, 4], [1, 2, 3, 4], np.zeros((4, 1, 1))),
        lambda: partial_spearman([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3]),
    ],
)
def test_mistakes_in_correlations_are_named(call):
    with pytest.raises(ConfigError):
        call()
