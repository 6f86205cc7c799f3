"""Regret: the cost, on the target, of choosing architectures on a proxy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import check_sampling, complete_pairs
from pycls.errors import ConfigError


@dataclass(frozen=True)
class Regret:
    """Target errors, in percent, of the k architectures that are best on a proxy.

    The chosen is the one of the k with the lowest target error. Where the proxy ties
    architectures at the k-th place, the values are means over the ways to choose among them,
    and the limits hold for each way. All are NaN where no architecture has both errors.

    Attributes:
        k: architectures taken; fewer where fewer have both errors.
        n: architectures with both errors.
        best: the lowest target error of all.
        chosen_best: the target error of the chosen.
        chosen_mean: mean target error of the k.
        regret_best: chosen_best less best, in points: what is lost against the architectures
            that were trained, of which the best has been lucky too. It has no interval.
        regret_mean: chosen_mean less the mean of the k lowest target errors, in points.
        relative_best: regret_best over best; NaN where that is 0.
        random_best: mean lowest target error of k different architectures drawn at random.
        random_mean: mean target error of all.
        share_of_random: regret_best over that of the random choice: 0 where the proxy finds
            the best, 1 where it does no better than chance; NaN where chance has none.
        better: share of the design space with a lower target error than the chosen, as the
            n - k architectures that were not taken show it; NaN where all were taken.
        better_low: exact binomial lower limit of it.
        better_high: upper limit; 1 where all were taken.
    """

    k: int
    n: int
    best: float
    chosen_best: float
    chosen_mean: float
    regret_best: float
    regret_mean: float
    relative_best: float
    random_best: float
    random_mean: float
    share_of_random: float
    better: float
    better_low: float
    better_high: float


def regret(proxy: ArrayLike, target: ArrayLike, k: int = 1, confidence: float = 0.95) -> Regret:
    """Return what is lost on the target when the best k architectures of a proxy are taken.

    How much better the best architecture of the design space is cannot be known from a sample;
    how many are better than the chosen can: each architecture that was not taken is a draw from
    the design space, and beats the chosen or does not. The limits are those of Clopper and
    Pearson (1934), Biometrika 26, 404-413. They hold the true share at least as often as
    `confidence` says, whether proxy and target agree or not (docs/statistics.md).

    Args:
        proxy: n errors on the proxy; NaN where there is none.
        target: n errors on the target, in percent.
        k: how many are taken, and trained on the target.
        confidence: level of the limits, between 0 and 1.

    Raises:
        ConfigError: vectors of different lengths, k below 1, or a level outside (0, 1).
    """
    check_sampling(confidence)
    if k < 1:
        raise ConfigError(f"k, the architectures taken, must be at least 1, got {k}")
    x, y = complete_pairs(proxy, target)
    n = len(y)
    if not n:
        return Regret(k, 0, *[math.nan] * 12)
    k = min(k, n)
    ordered = np.sort(y)
    lowest, chances, chosen_mean = _chosen(x, y, k)
    best, chosen_best = float(ordered[0]), float(chances @ lowest)
    lost = chosen_best - best
    by_chance = float(_best_of_some(n, k) @ ordered)
    beaten_by = np.searchsorted(ordered, lowest)
    possible = beaten_by[chances > 0]
    return Regret(
        k=k,
        n=n,
        best=best,
        chosen_best=chosen_best,
        chosen_mean=chosen_mean,
        regret_best=lost,
        regret_mean=chosen_mean - float(ordered[:k].mean()),
        relative_best=lost / best if best else math.nan,
        random_best=by_chance,
        random_mean=float(y.mean()),
        share_of_random=lost / (by_chance - best) if by_chance > best else math.nan,
        better=float(chances @ beaten_by) / (n - k) if n > k else math.nan,
        better_low=binomial_limits(int(possible.min()), n - k, confidence)[0],
        better_high=binomial_limits(int(possible.max()), n - k, confidence)[1],
    )


def binomial_limits(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact limits of a share by Clopper and Pearson; 0 and 1 without trials."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    failures = trials - successes
    low = float(betaincinv(successes, failures + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - tail)) if failures else 1.0
    return low, high


def random_search(
    errors: ArrayLike, sizes: Sequence[int], confidence: float = 0.95
) -> pd.DataFrame:
    """Return how good the best of k architectures drawn at random is, for several k.

    Of all ways to draw k different architectures, none of which is simulated.

    Args:
        errors: one error per architecture, in percent; NaN is left out.
        sizes: the numbers k; more than there are errors draw all of them.
        confidence: share of the ways whose lowest errors lie between low and high.

    Returns:
        A row per k: k, n, mean, low, high of the lowest error among k.

    Raises:
        ConfigError: no errors, k below 1, or a level outside (0, 1).
    """
    check_sampling(confidence)
    (values,) = complete_pairs(errors)
    values = np.sort(values)
    n = len(values)
    if not n or any(k < 1 for k in sizes):
        raise ConfigError("a random search needs errors, and numbers k of at least 1")
    rows = []
    for k in sizes:
        chances = _best_of_some(n, min(k, n))
        ends = np.searchsorted(np.cumsum(chances), [0.5 - confidence / 2, 0.5 + confidence / 2])
        low, high = values[np.minimum(ends, n - 1)]
        rows.append((k, n, float(chances @ values), float(low), float(high)))
    return pd.DataFrame(rows, columns=["k", "n", "mean", "low", "high"])


def _best_of_some(n: int, k: int) -> NDArray[np.float64]:
    """Return how often the i-th lowest of n is the lowest of k different ones drawn."""
    places = np.arange(n)
    # The lowest is the i-th where it is drawn, and none of the i before it is.
    absent = np.maximum((n - k - places) / (n - places), 0.0)
    return -np.diff(np.concatenate([[1.0], np.cumprod(absent)]))


def _chosen(
    x: NDArray[np.float64], y: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return possible lowest y of the k pairs lowest on x, their chances, and the k's mean."""
    last = np.partition(x, k - 1)[k - 1]
    sure, tied = y[x < last], np.sort(y[x == last])
    places = k - len(sure)
    mean = (float(sure.sum()) + places * float(tied.mean())) / k
    lowest = np.minimum(tied, sure.min()) if len(sure) else tied
    return lowest, _best_of_some(len(tied), places), mean
