import itertools

import numpy as np
import pandas as pd
import pytest

from pycls.analysis.choosing.replay import HALVING, RANDOM, plan_halving, replay
from pycls.analysis.statistics.selection import random_search, regret


def at(table, strategy, share):
    return table[(table["strategy"] == strategy) & (table["share"] == share)].iloc[0]


@pytest.fixture(scope="module")
def population():
    """Errors of 32 architectures over 8 epochs, and predictors of their end."""
    rng = np.random.default_rng(4)
    final = rng.normal(30, 4, 32).round(1)
    curves = np.stack([final + rng.normal(0, 8 - e, 32) for e in range(8)], axis=1)
    curves[:, -1] = final
    predictors = {"good": final + rng.normal(0, 1, 32), "tied": np.zeros(32), "perfect": final}
    return final, curves, predictors


def test_searches_lose_what_is_known_without_replays(population):
    final, curves, predictors = population
    table = replay(final, predictors, ["good"], range(1, 9), curves)
    for share, count in ((1 / 8, 4), (1 / 4, 8)):
        exact = random_search(final, [count])["mean"][0] - final.min()
        for name in (RANDOM, "tied"):
            row = at(table, name, share)
            assert row["lost"] == pytest.approx(exact, abs=0.15)
            assert row["beats_random"] == pytest.approx(0.5, abs=0.04)
            assert row["cost"] == row["trainings"] == count
        good = at(table, "good", share)
        assert good["lost"] == pytest.approx(regret(predictors["good"], final, count).regret_best)
        by_chance = [min(pick) for pick in itertools.islice(_draws(final, count), 3000)]
        best = np.sort(final[np.argsort(predictors["good"])[:count]])[0]
        wins = np.mean(best < by_chance) + np.mean(best == by_chance) / 2
        assert good["beats_random"] == pytest.approx(wins, abs=0.04)
        assert at(table, "perfect", share)["lost"] == 0
    assert (table["half_low"] <= table["half_high"]).all()


def _draws(values, count):
    rng = np.random.default_rng(9)
    while True:
        yield rng.choice(values, count, replace=False)


def test_halving_is_that_of_a_loop(population):
    final, curves, _ = population
    rungs, sizes, cost = plan_halving(range(1, 9), 32, 8.0)
    assert rungs == [0, 1, 3, 7]  # after 1, 2, 4 and 8 epochs
    spent = sum(size * step for size, step in zip(sizes, (1, 1, 2, 4), strict=True)) / 8
    assert cost == spent <= 8
    rng = np.random.default_rng(7)

    def halve(sizes):
        left = rng.permutation(32)[: sizes[0]]
        for place, size in zip(rungs, [*sizes[1:], 1], strict=True):
            left = left[np.argsort(curves[left, place])[:size]]
        return final[left[0]]

    lost = [halve(sizes) - final.min() for _ in range(4000)]
    row = at(replay(final, {}, (), range(1, 9), curves), HALVING, 1 / 4)
    assert row["lost"] == pytest.approx(np.mean(lost), abs=0.15)
    assert row["cost"] == pytest.approx(cost)
    # The half that a filter leaves cannot spend half of the cost: it is compared at what it does.
    _, sizes, spent = plan_halving(range(1, 9), 16, 16.0)
    assert spent < 15
    same = replay(final, {"same": np.zeros(32)}, ["same"], range(1, 9), curves)
    row = at(same, f"{HALVING} after same", 1 / 2)
    assert row["cost"] == pytest.approx(spent)
    ended = np.array([halve(sizes) for _ in range(4000)])
    beaten = []
    for count in (int(spent), int(spent) + 1):
        chance = np.array([rng.permutation(final)[:count].min() for _ in ended])
        beaten.append(np.mean(ended < chance) + np.mean(ended == chance) / 2)
    part = spent - int(spent)
    assert row["beats_random"] == pytest.approx((1 - part) * beaten[0] + part * beaten[1], abs=0.05)


def test_what_cannot_be_replayed_is_left_out(population):
    final, curves, predictors = population
    assert replay(final[:7], {}).empty
    predictors = predictors | {"holes": np.where(np.arange(32) == 3, np.nan, final)}
    table = replay(np.where(np.arange(32) == 5, np.inf, final), predictors, ["holes"])
    assert set(table["strategy"]) == {RANDOM, "good", "tied", "perfect"}
    assert set(table["n"]) == {31}
    same = replay(final, predictors, (), range(1, 9), curves)
    pd.testing.assert_frame_equal(same, replay(final, predictors, (), range(1, 9), curves))
