import itertools
import math

import numpy as np
import pytest
from coverage_simulation import TRIALS, draw_proxy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pycls.analysis.statistics import random_search, regret
from pycls.errors import ConfigError


def test_regret_by_hand():
    proxy = [3, 1, 2, 5, 4]
    target = [10, 14, 11, 8, 20]
    one = regret(proxy, target)
    assert (one.best, one.chosen_best, one.regret_best) == (8, 14, 6)
    assert one.relative_best == pytest.approx(0.75)
    assert one.random_best == one.random_mean == pytest.approx(63 / 5)
    assert one.share_of_random == pytest.approx(6 / (63 / 5 - 8))
    three = regret(proxy, target, k=3)
    assert (three.chosen_best, three.regret_best) == (10, 2)
    assert three.chosen_mean == pytest.approx(35 / 3)
    assert three.regret_mean == pytest.approx(35 / 3 - 29 / 3)
    trios = list(itertools.combinations(target, 3))
    assert three.random_best == pytest.approx(np.mean([min(trio) for trio in trios]))
    # 3 of the other 4 beat the chosen 14; of the 2 not taken, 8 beats 10.
    assert (one.better, three.better) == (3 / 4, 1 / 2)
    exact = stats.binomtest(3, 4).proportion_ci()
    assert (one.better_low, one.better_high) == pytest.approx((exact.low, exact.high))


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=7),
    st.integers(1, 7),
)
def test_ties_of_the_proxy_are_averaged_over(pairs, k):
    x, y = np.array(pairs, dtype=float).T
    k = min(k, len(x))
    ways = [
        subset
        for subset in itertools.combinations(range(len(x)), k)
        if x[list(subset)].sum() == np.sort(x)[:k].sum()
    ]
    found = regret(x, y, k)
    assert found.chosen_best == pytest.approx(np.mean([y[list(way)].min() for way in ways]))
    assert found.chosen_mean == pytest.approx(np.mean([y[list(way)].mean() for way in ways]))
    assert found.regret_best >= -1e-12
    assert found.regret_mean >= -1e-12
    if k == len(x):
        assert math.isnan(found.better)
        assert (found.better_low, found.better_high) == (0, 1)
        return
    beaten = [int((y < y[list(way)].min()).sum()) for way in ways]
    assert found.better == pytest.approx(np.mean(beaten) / (len(x) - k))
    limits = [stats.binomtest(b, len(x) - k).proportion_ci() for b in (min(beaten), max(beaten))]
    assert found.better_low == pytest.approx(limits[0].low)
    assert found.better_high == pytest.approx(limits[1].high)


def test_a_proxy_that_ranks_alike_loses_nothing_and_a_constant_one_is_chance():
    rng = np.random.default_rng(0)
    y = rng.uniform(5, 40, 60)
    alike = regret(np.exp(y / 10), y, 5)
    assert (alike.regret_best, alike.regret_mean, alike.share_of_random) == (0, 0, 0)
    assert (alike.better, alike.better_low) == (0, 0)
    blind = regret(np.ones(60), y, 1)
    assert blind.chosen_best == pytest.approx(y.mean())
    assert blind.share_of_random == pytest.approx(1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [1, 10])
@pytest.mark.parametrize(("n", "shape"), [(24, "even"), (100, "fan")])
def test_share_that_beats_the_chosen_is_within_its_limits(rho, k, n, shape):
    rng = np.random.default_rng(5)
    trials = TRIALS or 500

    space = np.sort(draw_proxy(rng, rho, 100_000, shape)[1])
    held = 0
    for _ in range(trials):
        found = regret(*draw_proxy(rng, rho, n, shape), k)
        share = np.searchsorted(space, found.chosen_best) / len(space)
        held += found.better_low <= share <= found.better_high
    assert held / trials >= 0.93


def test_regret_of_few_missing_or_zero_errors():
    assert regret([1, math.nan, 2], [4, 1, math.nan]).n == 1
    nothing = regret([math.nan], [1.0])
    assert nothing.n == 0
    assert math.isnan(nothing.regret_best)
    assert math.isnan(regret([1, 2], [1, 0]).relative_best)
    assert regret([1, 2, 3], [4, 5, 6], k=9).k == 3
    assert math.isnan(regret([1, 2, 3], [4, 4, 4]).share_of_random)
    for call in (lambda: regret([1], [1], 0), lambda: regret([1, 2], [1])):
        with pytest.raises(ConfigError):
            call()


def test_random_search_is_what_drawing_finds():
    rng = np.random.default_rng(1)
    errors = np.round(rng.uniform(5, 40, 80), 0)
    table = random_search([*errors, math.nan], [1, 4, 20]).set_index("k")
    drawn = rng.permuted(np.tile(errors, (20_000, 1)), axis=1)[:, :20]
    for k in (1, 4, 20):
        lowest = drawn[:, :k].min(axis=1)
        row = table.loc[k]
        assert row["n"] == 80
        assert row["mean"] == pytest.approx(lowest.mean(), abs=0.15)
        assert row["low"] == pytest.approx(np.percentile(lowest, 2.5), abs=1.01)
        assert row["high"] == pytest.approx(np.percentile(lowest, 97.5), abs=1.01)
    with pytest.raises(ConfigError):
        random_search([], [1])
