"""Confidence intervals of Spearman's rho, without assumptions about the distribution of errors."""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.apart import outliers
from pycls.analysis.statistics.families import MIN_FAMILIES, family_codes, family_influence
from pycls.analysis.statistics.pairs import (
    MIN_PAIRS,
    can_correlate,
    check_sampling,
    complete_pairs,
)
from pycls.analysis.statistics.ranks import ranks_of
from pycls.analysis.statistics.resampling import bootstrap_rhos
from pycls.errors import ConfigError

METHODS = ("influence", "fisher", "percentile", "bca")
_KEPT = 1024  # pairs whose influence is kept
_FEW = 8  # below, the standard error from the data is too uncertain to be used alone


def spearman_interval(
    x: ArrayLike,
    y: ArrayLike,
    method: str = "influence",
    confidence: float = 0.95,
    n_boot: int = 2000,
    seed: int = 0,
    families: Iterable[object] | None = None,
) -> tuple[float, float]:
    """Return a confidence interval of Spearman's rho.

    "influence": Fisher's z transform with the standard error that the architectures'
    influence on rho shows (:func:`influence`) and the t distribution with
    :func:`degrees_of_freedom`. "fisher": Fisher's transform with a standard error from rho
    alone (:func:`pycls.analysis.statistics.intervals.fisher_interval`), right where the errors are
    monotone transforms of a bivariate normal, too narrow where agreement differs over the
    range of errors. "percentile" and "bca" (bias-corrected and accelerated, Efron
    1987): bootstrap over architectures.

    Below 8 pairs "influence" gives the wider of its interval and Fisher's; at a rho of
    exactly 1 or -1 it gives Fisher's for one swapped pair of neighbours, which has a width.
    Where a sample has outliers (:func:`pycls.analysis.statistics.apart.outliers`), it holds
    the interval without them too.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        method: one of `METHODS`.
        confidence: level, between 0 and 1.
        n_boot: resamples, for the bootstrap methods.
        seed: of the resampling.
        families: a label per architecture, for "influence": architectures of one family count
            together, and rho has an interval with at least `MIN_FAMILIES` families only.

    Returns:
        The bounds; NaN where rho is undefined, or has too few families.

    Raises:
        ConfigError: vectors of different lengths, an unknown method, a level outside (0, 1),
            or no resamples.
    """
    check_sampling(confidence, n_boot)
    if method not in METHODS:
        raise ConfigError(f"method '{method}' of an interval: expected {', '.join(METHODS)}")
    x_kept, y_kept, *codes = complete_pairs(x, y, *_codes(families))
    rho, values = influence(x_kept, y_kept)
    n = len(x_kept)
    if math.isnan(rho):
        return math.nan, math.nan
    if method == "fisher":
        return fisher_interval(rho, n, confidence)
    if codes:
        if len(np.unique(codes[0])) < MIN_FAMILIES:
            return math.nan, math.nan
        return _influence_interval(rho, family_influence(values, codes[0]), confidence)
    if method == "influence":
        low, high = _influence_interval(rho, values, confidence)
        apart = outliers(x_kept, y_kept)
        if len(apart):
            rest = (np.delete(side, apart) for side in (x_kept, y_kept))
            without = _influence_interval(*influence(*rest), confidence)
            low, high = np.nanmin([low, without[0]]), np.nanmax([high, without[1]])
        return float(low), float(high)
    tail = (1 - confidence) / 2
    levels = np.array([tail, 1 - tail])
    rhos = bootstrap_rhos(x_kept, y_kept, n_boot, seed)
    rhos = rhos[np.isfinite(rhos)]
    if not len(rhos):
        return math.nan, math.nan
    if method == "bca":
        levels = _bca_levels(levels, rhos, rho, values)
    low, high = np.quantile(rhos, levels)
    return float(low), float(high)


def _codes(families: Iterable[object] | None) -> list[NDArray[np.float64]]:
    return [] if families is None else [family_codes(families)]


def influence(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return Spearman's rho and how much each architecture moves it.

    The empirical influence function of rho with average ranks (the infinitesimal jackknife;
    Efron 1982, *The Jackknife, the Bootstrap and Other Resampling Plans*): architecture i
    counts with its own product of ranks and, through the ranks, with all others'. The
    values have mean 0; see :func:`standard_error`.

    Args:
        x: n values, without NaN.
        y: n values, paired with `x`.

    Returns:
        rho, and n values; NaN and zeros where rho is undefined.
    """
    if not can_correlate(x, y):
        return math.nan, np.zeros(len(x))
    rho, values = _influence(x.tobytes(), y.tobytes())
    return rho, values.copy()


@lru_cache(maxsize=_KEPT)  # a page shows many a rho several times
def _influence(x: bytes, y: bytes) -> tuple[float, NDArray[np.float64]]:
    first, second = ranks_of(np.frombuffer(x)), ranks_of(np.frombuffer(y))
    a, b = first.centred, second.centred
    scale = math.sqrt(first.variance * second.variance)
    rho = float(np.mean(a * b)) / scale
    covariance = a * b + first.mean_above(b) + second.mean_above(a)
    own = first.own_influence / first.variance + second.own_influence / second.variance
    values = covariance / scale - rho / 2 * own
    at_end = abs(rho) > 1 - 1e-12  # rounding
    return (math.copysign(1.0, rho) if at_end else rho), values - values.mean()


def standard_error(values: NDArray[np.float64], lost: int = 2) -> float:
    """Return the standard error of an estimate from the influence of n architectures on it.

    Divides by n - 2, not n - 1: with few architectures that brings the coverage of the
    intervals up to their level (tests/analysis/statistics/test_intervals.py). A difference of two
    rhos, whose errors partly cancel, is at its level with n - 1.
    """
    n = len(values)
    return math.sqrt(float(values @ values) / (n * (n - lost)))


def degrees_of_freedom(values: NDArray[np.float64]) -> float:
    """Return the degrees of freedom of :func:`standard_error`.

    At most n - 2; fewer where a few architectures carry most of the influence, so that its
    variance is known badly: 2 n / (kurtosis - 1), which match the variance of the variance as
    Satterthwaite (1946, Biometrics Bulletin 2, 110-114) does.
    """
    n = len(values)
    squares = values**2
    excess = n * float(squares @ squares) / float(values @ values) ** 2 - 1
    return max(2.0, min(n - 2.0, 2 * n / excess)) if excess > 0 else n - 2.0


def _influence_interval(
    rho: float, values: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(values)
    if math.isnan(rho):
        return math.nan, math.nan
    if abs(rho) >= 1:
        low, high = fisher_interval(one_swap(n), n, confidence)
        return (low, 1.0) if rho > 0 else (-1.0, -low)
    error = standard_error(values) / (1 - rho**2)
    if error == 0:  # too few to differ in their influence
        return fisher_interval(rho, n, confidence)
    half = float(stdtrit(degrees_of_freedom(values), 0.5 + confidence / 2)) * error
    low, high = math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
    if n < _FEW:
        fisher = fisher_interval(rho, n, confidence)
        low, high = min(low, fisher[0]), max(high, fisher[1])
    return low, high


def one_swap(n: int) -> float:
    """Return rho where two neighbours among n architectures are swapped: the highest below 1."""
    return 1 - 12 / (n * (n**2 - 1))


def _bca_levels(
    levels: NDArray[np.float64],
    rhos: NDArray[np.float64],
    rho: float,
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return which quantiles of the resamples bound a BCa interval."""
    from scipy.special import ndtr, ndtri

    below = float(np.mean(rhos < rho) + np.mean(rhos == rho) / 2)
    bias = float(ndtri(min(max(below, 0.5 / len(rhos)), 1 - 0.5 / len(rhos))))
    spread = float(values @ values) ** 1.5
    skew = float(np.sum(values**3)) / (6 * spread) if spread else 0.0
    normal = bias + ndtri(levels)
    return np.asarray(ndtr(bias + normal / (1 - skew * normal)), dtype=float)


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
    check_sampling(confidence)
    if n < MIN_PAIRS:
        raise ConfigError(f"an interval of rho needs at least {MIN_PAIRS} pairs, got {n}")
    if abs(rho) >= 1:
        return (math.copysign(1.0, rho),) * 2
    from scipy.special import ndtri

    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)
