"""Rank correlation with its uncertainty, and error distributions.

Pairs are architectures: entry i of every vector belongs to architecture i, and NaN marks
an architecture without an error on that data set.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError

MIN_PAIRS = 4  # the interval's variance divides by n - 3
_CHUNK_CELLS = 1_000_000  # bootstrap resamples x architectures held at once


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of n pairs, its confidence interval and two-sided p-value.

    rho, the bounds and the p-value are NaN where rho is undefined (fewer than 4 pairs, or
    all values of one side equal).
    """

    rho: float
    n: int
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True)
class Difference:
    """Difference of two rhos on the same n architectures, and its confidence interval."""

    difference: float
    n: int
    ci_low: float
    ci_high: float


def spearman(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Correlation:
    """Return Spearman's rank correlation of two error vectors.

    Ties get average ranks. The p-value is SciPy's, from the t distribution with n - 2
    degrees of freedom.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The correlation over the pairs without NaN; see :func:`fisher_interval` for its
        bounds.

    Raises:
        ConfigError: the vectors differ in length, or the level is not between 0 and 1.
    """
    (x_kept, y_kept) = _complete(x, y)
    n = len(x_kept)
    if n < MIN_PAIRS or np.ptp(x_kept) == 0 or np.ptp(y_kept) == 0:
        _check_confidence(confidence)
        return Correlation(math.nan, n, math.nan, math.nan, math.nan)
    from scipy.stats import spearmanr  # costly to import; plots without rho do not need it

    result = spearmanr(x_kept, y_kept)
    rho = float(result.statistic)
    low, high = fisher_interval(rho, n, confidence)
    return Correlation(rho, n, low, high, float(result.pvalue))


def fisher_interval(rho: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of Spearman's rho.

    Fisher's z transform with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and Wright
    (2000), Psychometrika 65, 23-28. At rho = 1 or -1 it degenerates to that point.

    Args:
        rho: the correlation.
        n: number of pairs, at least 4.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ConfigError: too few pairs, or a level that is not between 0 and 1.
    """
    _check_confidence(confidence)
    if n < MIN_PAIRS:
        raise ConfigError(f"an interval of rho needs at least {MIN_PAIRS} pairs, got {n}")
    if abs(rho) >= 1:
        return (math.copysign(1.0, rho),) * 2
    from scipy.special import ndtri

    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def rho_difference(
    x_a: ArrayLike,
    x_b: ArrayLike,
    y: ArrayLike,
    n_boot: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Difference:
    """Return rho(x_b, y) - rho(x_a, y) over the architectures that have all three errors.

    The two rhos share `y` and the architectures, so they are dependent: the interval is
    the percentile bootstrap over architectures, which keeps the triples together.
    Resamples in which a rho is undefined are left out.

    Args:
        x_a: n errors on the first proxy.
        x_b: n errors on the second proxy.
        y: n errors on the target.
        n_boot: number of resamples.
        seed: of the resampling; the same seed gives the same interval.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The difference; NaN throughout where one of the rhos is undefined.

    Raises:
        ConfigError: vectors of different lengths, a level outside (0, 1), or no resamples.
    """
    _check_confidence(confidence)
    if n_boot < 1:
        raise ConfigError(f"n_boot must be at least 1, got {n_boot}")
    a, b, target = _complete(x_a, x_b, y)
    n = len(target)
    observed = spearman(b, target).rho - spearman(a, target).rho
    if math.isnan(observed):
        return Difference(math.nan, n, math.nan, math.nan)
    resampled = _bootstrap_differences(a, b, target, n_boot, seed)
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return Difference(observed, n, math.nan, math.nan)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Difference(observed, n, float(low), float(high))


def edf(errors: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the empirical distribution function of a population's errors.

    Args:
        errors: one error per architecture; NaN is left out.

    Returns:
        The n errors sorted, and for each the fraction of architectures with that error or
        a smaller one.
    """
    values = np.asarray(errors, dtype=float)
    values = np.sort(values[~np.isnan(values)])
    return values, np.searchsorted(values, values, side="right") / max(1, len(values))


def spread(values: ArrayLike) -> float:
    """Return the 90th less the 10th percentile of `values` without NaN; NaN when empty."""
    kept = np.asarray(values, dtype=float)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return math.nan
    low, high = np.percentile(kept, [10, 90])
    return float(high - low)


def _complete(*vectors: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Return the vectors as floats, without the places where any of them is NaN."""
    arrays = [np.asarray(vector, dtype=float) for vector in vectors]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1:
        found = ", ".join(str(array.shape) for array in arrays)
        raise ConfigError(f"vectors paired by architecture must have one length, got {found}")
    keep = ~np.any([np.isnan(array) for array in arrays], axis=0)
    return tuple(array[keep] for array in arrays)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")


def _bootstrap_differences(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    target: NDArray[np.float64],
    n_boot: int,
    seed: int,
) -> NDArray[np.float64]:
    n = len(target)
    rng = np.random.default_rng(seed)
    differences = np.empty(n_boot)
    step = max(1, _CHUNK_CELLS // n)
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * n)
        counts = times.astype(np.float64).reshape(rows, n)
        ranks_y = _resampled_ranks(target, counts)
        rho_a = _weighted_correlation(_resampled_ranks(a, counts), ranks_y, counts)
        rho_b = _weighted_correlation(_resampled_ranks(b, counts), ranks_y, counts)
        differences[start : start + rows] = rho_b - rho_a
    return differences


def _resampled_ranks(
    values: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average rank each value has in resamples that hold it `counts` times.

    A value's rank follows from how many smaller ones were drawn, so that one sort of the
    original serves all resamples. Values drawn zero times get a rank nobody uses.

    Args:
        values: (n,).
        counts: (resamples, n).

    Returns:
        (resamples, n), centred on the mean rank (n + 1) / 2 of a resample.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    per_group = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.cumsum(per_group, axis=1) - per_group / 2
    return ranks[:, group] - len(values) / 2


def _weighted_correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Pearson's r per row of centred x and y; NaN where one side is constant."""
    weighted = weights * x
    covariance = np.einsum("ij,ij->i", weighted, y)
    variance_x = np.einsum("ij,ij->i", weighted, x)
    variance_y = np.einsum("ij,ij,ij->i", weights, y, y)
    scale = np.sqrt(variance_x * variance_y)
    undefined = scale == 0
    return np.where(undefined, np.nan, covariance / np.where(undefined, 1, scale))
