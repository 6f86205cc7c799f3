"""Ways of choosing an architecture, replayed on a population that was trained to the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.halving import plan_halving

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of the cost of training the whole population
REPLAYS = 2000
_HALVES = 100
MIN_ARCHITECTURES = 8
RANDOM, HALVING = "random search", "halving"
COLUMNS = (
    *("strategy", "share", "trainings", "cost", "n", "lost", "half_low", "half_high"),
    "beats_random",
)

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class _Results:
    """What was trained: errors (n,) at the end, and after each epoch (n, e); no epochs: ()."""

    final: NDArray[np.float64]
    epochs: tuple[int, ...]
    curves: NDArray[np.float64]


def replay(
    final: Sequence[float] | NDArray[np.float64],
    predictors: Mapping[str, Sequence[float] | NDArray[np.float64]],
    filters: Sequence[str] = (),
    epochs: Sequence[int] = (),
    curves: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what each strategy loses at each budget, and how often it beats random search.

    Strategies: random search (k architectures are trained to the end, the best is kept); the k best
    by each predictor, in the same way; successive halving (Jamieson and Talwalkar 2016, AISTATS):
    as many architectures, drawn at random, as the budget allows are trained to an eighth of the
    epochs, the better half goes on to a quarter, and so on, each from where it stopped; and halving
    among the better half by a predictor. What is chosen on are the same errors that it is judged
    by.

    Regret against the best of a sample has no interval over architectures that holds
    (docs/statistics.md). In its place stands what the mean regret would have been with a random
    half of the architectures, at the same share of the cost: its middle 95 % over halves.

    Args:
        final: n errors at the end, in percent.
        predictors: name -> n values that are low for those taken for good.
        filters: those of them that halving is tried after.
        epochs: (e,) rising; the last one is the end; none: without halving.
        curves: (n, e) errors after each of `epochs`.
        seed: of the replays.

    Returns:
        A row per strategy and share of the whole cost: strategy, share, trainings (what the share
        is in full trainings), cost (what was spent of it), n, lost (mean regret in points),
        half_low, half_high, and beats_random (share of replays in which it ends with a lower error
        than a random search that costs as much as it did spend, which may be less than the share:
        between two numbers of trainings, in proportion; an equal error counts half). Only
        architectures of which all is known; empty with fewer than eight, and without strategies
        that need more trainings than a budget has.
    """
    last = np.asarray(final, dtype=float)
    shown = np.empty((len(last), 0)) if curves is None else np.asarray(curves, dtype=float)
    known = np.isfinite(last) & np.isfinite(shown).all(axis=1)
    results = _Results(last[known], tuple(epochs) if shown.size else (), shown[known])
    n = len(results.final)
    if n < MIN_ARCHITECTURES:
        return pd.DataFrame(columns=list(COLUMNS))
    whole, halves, others = _orders(n, seed)
    complete = {name: np.asarray(row, dtype=float)[known] for name, row in predictors.items()}
    complete = {name: row for name, row in complete.items() if np.isfinite(row).all()}
    rows = []
    sorted_by: dict[str, tuple[Indices, Indices]] = {
        name: (_sorted(whole, row), _sorted(halves, row)) for name, row in complete.items()
    }
    for share in SHARES:
        if share * n < 1:
            continue
        for name, by, is_halving in _strategies(complete, filters, results):
            in_order, halves_in_order = sorted_by.get(by, (whole, halves))
            chosen = _choose(results, in_order, share, bool(by), is_halving)
            if chosen is None:
                continue
            ended, cost = chosen
            of_halves = _choose(results, halves_in_order, share, bool(by), is_halving)
            ends = (np.nan, np.nan)
            if of_halves is not None:
                lost = of_halves[0] - results.final[halves].min(axis=1)
                middle = np.percentile(lost.reshape(_HALVES, -1).mean(axis=1), [2.5, 97.5])
                ends = (float(middle[0]), float(middle[1]))
            wins = _wins_over_chance(results, others, ended, cost)
            # Of the best itself rounding may leave less than nothing.
            lost_mean = max(0.0, float(ended.mean() - results.final.min()))
            rows.append((name, share, share * n, cost, n, lost_mean, *ends, wins))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@lru_cache(maxsize=2)  # the targets of a study mostly have the same architectures
def _orders(n: int, seed: int) -> tuple[Indices, Indices, Indices]:
    """Return all architectures, a half of them, and all once more, in a random order a replay."""
    rng = np.random.default_rng(seed)
    whole = rng.permuted(np.tile(np.arange(n), (REPLAYS, 1)), axis=1)
    half = rng.permuted(np.tile(np.arange(n), (_HALVES, 1)), axis=1)[:, : n // 2]
    halves = rng.permuted(np.repeat(half, REPLAYS // _HALVES, axis=0), axis=1)
    return whole, halves, rng.permuted(whole, axis=1)


def _sorted(available: Indices, values: NDArray[np.float64]) -> Indices:
    """Return architectures in the order of their values, each row of them by itself.

    Their order is random before, so that what ties is taken by chance. Ranks of few bits are
    sorted much faster than the values.
    """
    ranks = np.unique(values, return_inverse=True)[1]
    small = ranks.astype(np.min_scalar_type(len(ranks)))
    places = np.argsort(small[available], axis=1, kind="stable")
    return np.take_along_axis(available, places, axis=1)


def _strategies(
    predictors: Mapping[str, NDArray[np.float64]], filters: Sequence[str], results: _Results
) -> list[tuple[str, str, bool]]:
    """Return name, name of the predictor (empty: none) and whether it halves, of each strategy."""
    found = [(RANDOM, "", False), *((name, name, False) for name in predictors)]
    if results.epochs:
        found.append((HALVING, "", True))
        kept = [name for name in filters if name in predictors]
        found += [(f"{HALVING} after {name}", name, True) for name in kept]
    return found


def _choose(
    results: _Results, available: Indices, share: float, is_sorted: bool, is_halving: bool
) -> tuple[NDArray[np.float64], float] | None:
    """Return the error that each replay ends with, and the cost; None where it cannot be paid.

    Args:
        results: what was trained.
        available: (replays, a) architectures, in random order or in that of a predictor.
        share: of the cost of training all a.
        is_sorted: by a predictor; halving then takes the better half.
        is_halving: halving, not a search to the end.
    """
    budget = share * available.shape[1]
    if not is_halving:
        if budget < 1:
            return None
        return _search(results, available, share), float(int(budget))
    if is_sorted:
        available = available[:, : available.shape[1] // 2]
    rungs, sizes, cost = plan_halving(results.epochs, available.shape[1], budget)
    if not sizes:
        return None
    for place, size in zip(rungs, sizes, strict=True):
        available = available[:, :size] if place == rungs[0] else available
        after = sizes[rungs.index(place) + 1] if place != rungs[-1] else 1
        available = _sorted(available, results.curves[:, place])[:, :after]
    return results.final[available[:, 0]], cost


def _wins_over_chance(
    results: _Results, others: Indices, ended: NDArray[np.float64], cost: float
) -> float:
    """Return how often a random search of a cost ends with a higher error than each replay did."""
    count = max(1, int(cost))
    wins = []
    for trainings in (count, count + 1):
        by_chance = results.final[others[:, :trainings]].min(axis=1)
        wins.append(float(np.mean(ended < by_chance) + np.mean(ended == by_chance) / 2))
    part = max(0.0, cost - count)
    return (1 - part) * wins[0] + part * wins[1]


def _search(results: _Results, available: Indices, share: float) -> NDArray[np.float64]:
    """Return the lowest error of the first so many, a row each."""
    count = int(share * available.shape[1])
    return np.asarray(results.final[available[:, : max(1, count)]].min(axis=1))
