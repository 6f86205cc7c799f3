"""Correlations of two error vectors, their p-values, and their columns in tables."""

import math
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.families import MIN_FAMILIES, family_codes, family_influence
from pycls.analysis.statistics.intervals import (
    degrees_of_freedom,
    influence,
    spearman_interval,
    standard_error,
)
from pycls.analysis.statistics.one_out import leave_one_out
from pycls.analysis.statistics.pairs import can_correlate, complete_pairs
from pycls.analysis.statistics.ranks import ranks_of

CORRELATION_COLUMNS = ("rho", "n", "ci_low", "ci_high", "p", "one_out_low", "one_out_high")
_MAX_EXACT = 9  # pairs up to which all n! permutations are counted


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho of n pairs, its confidence interval and two-sided p-value.

    one_out_low and one_out_high are the lowest and highest rho when one architecture is left
    out. All but n are NaN where rho is undefined (fewer than 4 pairs, or all values of one
    side equal), the interval and the p-value also with too few families.
    """

    rho: float = math.nan
    n: int = 0
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    one_out_low: float = math.nan
    one_out_high: float = math.nan


@dataclass(frozen=True)
class Estimate:
    """A coefficient of n pairs with its two-sided p-value; NaN where it is undefined."""

    value: float = math.nan
    n: int = 0
    p_value: float = math.nan


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    confidence: float = 0.95,
    families: Iterable[object] | None = None,
) -> Correlation:
    """Return Spearman's rank correlation of two error vectors.

    Ties get average ranks. Up to 9 pairs the p-value is exact: all permutations are counted,
    ties included. Above, it is that of the t distribution with n - 2 degrees of freedom,
    though at least 2 / n!, below which no permutation test can go.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        confidence: level of the interval, between 0 and 1.
        families: a label per architecture where they are no random sample but come in
            families: interval and p-value then let the architectures of a family depend on each
            other, and there are none with fewer than
            :data:`pycls.analysis.statistics.families.MIN_FAMILIES` families.

    Returns:
        The correlation over the pairs without NaN; its bounds are those of
        :func:`pycls.analysis.statistics.intervals.spearman_interval`, which hold with ties and
        whatever the distribution of the errors.

    Raises:
        ConfigError: the vectors differ in length, or the level is not between 0 and 1.
    """
    labels = [] if families is None else [family_codes(families)]
    x_kept, y_kept, *codes = complete_pairs(x, y, *labels)
    n = len(x_kept)
    grouped = codes[0] if codes else None
    low, high = spearman_interval(x_kept, y_kept, confidence=confidence, families=grouped)
    if not can_correlate(x_kept, y_kept):
        return Correlation(n=n)
    rho = influence(x_kept, y_kept)[0]
    if grouped is not None:
        p_value = _p_value_of_families(x_kept, y_kept, grouped)
    elif n <= _MAX_EXACT:
        p_value = _exact_p_value(x_kept, y_kept)
    else:
        p_value = max(_p_value(rho, n), 2 * math.exp(-math.lgamma(n + 1)))
    ends = leave_one_out(x_kept, y_kept)
    return Correlation(rho, n, low, high, p_value, *ends)


def spearman_p_value(x: ArrayLike, y: ArrayLike) -> float:
    """Return the p-value of :func:`spearman`; NaN where rho is undefined."""
    return spearman(x, y).p_value


def kendall(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Return Kendall's tau-b, which counts pairs of architectures and allows for ties.

    The p-value is SciPy's: exact for few pairs without ties, else from the normal
    distribution.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.

    Raises:
        ConfigError: the vectors differ in length.
    """
    from scipy.stats import kendalltau

    return _estimate(kendalltau, x, y)


def pearson(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Return Pearson's r, which asks for a straight line; see :func:`kendall`."""
    from scipy.stats import pearsonr

    return _estimate(pearsonr, x, y)


def correlation_columns(correlation: Correlation, suffix: str = "") -> dict[str, Any]:
    """Return a correlation as the columns of a table: the inverse of :func:`correlation_of`."""
    names = (f"{name}{suffix}" for name in CORRELATION_COLUMNS)
    return dict(zip(names, astuple(correlation), strict=True))


def correlation_of(row: Any, suffix: str = "") -> Correlation:
    """Return the correlation that a table's row holds in the columns with `suffix`."""
    rho, n, *others = (row[f"{name}{suffix}"] for name in CORRELATION_COLUMNS)
    return Correlation(float(rho), int(n), *map(float, others))


def _estimate(function: Callable[..., Any], x: ArrayLike, y: ArrayLike) -> Estimate:
    x_kept, y_kept = complete_pairs(x, y)
    n = len(x_kept)
    if not can_correlate(x_kept, y_kept):
        return Estimate(n=n)
    result = function(x_kept, y_kept)
    return Estimate(float(result.statistic), n, float(result.pvalue))


def _p_value(rho: float, n: int) -> float:
    from scipy.special import stdtr

    if abs(rho) >= 1:
        return 0.0
    return 2 * float(stdtr(n - 2, -abs(rho) * math.sqrt((n - 2) / ((1 - rho) * (1 + rho)))))


def _p_value_of_families(
    x: NDArray[np.float64], y: NDArray[np.float64], codes: NDArray[np.float64]
) -> float:
    """Return the p-value of rho = 0 where architectures of a family depend on each other."""
    from scipy.special import stdtr

    rho, values = influence(x, y)
    values = family_influence(values, codes)
    if len(values) < MIN_FAMILIES or not values.any():
        return math.nan
    t = abs(rho) / standard_error(values)
    return 2 * float(stdtr(degrees_of_freedom(values), -t))


def _exact_p_value(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the share of all orders of y with a rho at least as far from 0 as the given one."""
    n = len(x)
    # Doubled and centred ranks are whole numbers, so that equal sums are equal exactly.
    first, second = (np.round(2 * ranks_of(side).average).astype(int) - (n + 1) for side in (x, y))
    most = n * (n**2 - 1) // 3  # the largest sum of products of two such vectors
    sums = np.arange(-most, most + 1)
    # counts[subset, sum]: the orders in which these places of y meet the first places of x.
    subsets = np.arange(2**n)
    sizes = sum(subsets >> j & 1 for j in range(n))
    counts = np.zeros((2**n, len(sums)))
    counts[0, most] = 1
    for size, factor in enumerate(first):
        for j, other in enumerate(second):
            before = subsets[(sizes == size) & (subsets >> j & 1 == 0)]
            counts[before | 1 << j] += np.roll(counts[before], factor * other, axis=1)
    as_far = np.abs(sums) >= abs(int(first @ second))
    return float(counts[-1, as_far].sum() / counts[-1].sum())
