"""Regret: the cost, on the target, of choosing architectures on a proxy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.design_spaces import best_of_sample
from pycls.analysis.statistics.pairs import check_sampling, complete_pairs
from pycls.analysis.statistics.resampling import percentile_interval
from pycls.errors import ConfigError


@dataclass(frozen=True)
class Regret:
    """Target errors, in percent, of the k architectures that are best on a proxy.

    Where the proxy ties architectures at the k-th place, the values are means over the ways
    to choose among them. All are NaN where no architecture has both errors.

    Attributes:
        k: architectures chosen; fewer where fewer have both errors.
        n: architectures with both errors.
        best: the lowest target error of all.
        chosen_best: the lowest target error among the chosen.
        chosen_mean: their mean target error.
        regret_best: chosen_best less best, in points.
        regret_mean: chosen_mean less the mean of the k lowest target errors, in points.
        relative_best: regret_best over best; NaN where that is 0.
        random_best: mean lowest target error of k architectures drawn at random.
        random_mean: mean target error of all.
        share_of_random: regret_best over that of the random choice: 0 where the proxy finds
            the best, 1 where it does no better than chance; NaN where chance has none.
        ci_low: lower bound of regret_best, by bootstrap over architectures.
        ci_high: upper bound.
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
    ci_low: float
    ci_high: float


def regret(
    proxy: ArrayLike,
    target: ArrayLike,
    k: int = 1,
    n_boot: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Regret:
    """Return what is lost on the target when the best k architectures of a proxy are taken.

    The interval is the percentile bootstrap over architectures. Of an extreme like the
    lowest error it is rough: it cannot know of better architectures than there were.

    Args:
        proxy: n errors on the proxy; NaN where there is none.
        target: n errors on the target, in percent.
        k: how many are taken, and trained on the target.
        n_boot: resamples behind the interval; 0: none, the bounds are NaN.
        seed: of the resampling.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ConfigError: vectors of different lengths, k below 1, a level outside (0, 1), or a
            negative number of resamples.
    """
    check_sampling(confidence, n_boot or 1)
    if k < 1:
        raise ConfigError(f"k, the architectures taken, must be at least 1, got {k}")
    x, y = complete_pairs(proxy, target)
    n = len(y)
    if not n:
        return Regret(k, 0, *[math.nan] * 11)
    k = min(k, n)
    lowest = np.sort(y)[:k]
    chosen_best, chosen_mean = _chosen(x, y, k)
    best = float(lowest[0])
    lost = chosen_best - best
    by_chance = float(best_of_sample(y, k) @ y)
    low = high = math.nan
    if n_boot:
        draws = np.random.default_rng(seed).integers(n, size=(n_boot, n))
        regrets = [_chosen(x[drawn], y[drawn], k)[0] - float(y[drawn].min()) for drawn in draws]
        low, high = percentile_interval(regrets, confidence)
    return Regret(
        k=k,
        n=n,
        best=best,
        chosen_best=chosen_best,
        chosen_mean=chosen_mean,
        regret_best=lost,
        regret_mean=chosen_mean - float(lowest.mean()),
        relative_best=lost / best if best else math.nan,
        random_best=by_chance,
        random_mean=float(y.mean()),
        share_of_random=lost / (by_chance - best) if by_chance > best else math.nan,
        ci_low=low,
        ci_high=high,
    )


def random_search(
    errors: ArrayLike, sizes: Sequence[int], confidence: float = 0.95
) -> pd.DataFrame:
    """Return how good the best of k architectures drawn at random is, for several k.

    What a bootstrap of random searches tends to with ever more repeats; see
    :func:`pycls.analysis.statistics.design_spaces.best_of_sample`.

    Args:
        errors: one error per architecture, in percent; NaN is left out.
        sizes: the numbers k.
        confidence: level of the percentile interval, between 0 and 1.

    Returns:
        A row per k: k, n, mean, low, high of the lowest error among k.

    Raises:
        ConfigError: no errors, k below 1, or a level outside (0, 1).
    """
    check_sampling(confidence)
    (values,) = complete_pairs(errors)
    values = np.sort(values)
    rows = []
    for k in sizes:
        cumulated = np.cumsum(best_of_sample(values, k))
        chances = np.diff(cumulated, prepend=0.0)
        ends = np.searchsorted(cumulated, [0.5 - confidence / 2, 0.5 + confidence / 2])
        low, high = values[np.minimum(ends, len(values) - 1)]
        rows.append((k, len(values), float(chances @ values), float(low), float(high)))
    return pd.DataFrame(rows, columns=["k", "n", "mean", "low", "high"])


def _chosen(x: NDArray[np.float64], y: NDArray[np.float64], k: int) -> tuple[float, float]:
    """Return the expected lowest and mean y of the k pairs lowest on x."""
    last = np.partition(x, k - 1)[k - 1]
    sure, tied = y[x < last], np.sort(y[x == last])
    places, m = k - len(sure), len(tied)
    mean = (float(sure.sum()) + places * float(tied.mean())) / k
    # Of the tied, all subsets of `places` are alike: the i-th lowest of them is the lowest
    # of the subset when it is in it, and the i before it are not.
    absent = (m - places - np.arange(m)) / (m - np.arange(m))
    none_before = np.concatenate([[1.0], np.cumprod(np.maximum(absent, 0.0))])
    chances = -np.diff(none_before)
    lowest = np.minimum(tied, sure.min()) if len(sure) else tied
    return float(chances @ lowest), mean
