"""Correlations of two error vectors, with their p-values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import MIN_PAIRS, check_confidence, complete_pairs

_MAX_EXACT = 9  # pairs up to which all n! permutations are counted


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
class Estimate:
    """A coefficient of n pairs with its two-sided p-value; NaN where it is undefined."""

    value: float
    n: int
    p_value: float


def spearman(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> Correlation:
    """Return Spearman's rank correlation of two error vectors.

    Ties get average ranks. The p-value is SciPy's, from the t distribution with n - 2
    degrees of freedom.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The correlation over the pairs without NaN; its bounds are those of
        :func:`pycls.analysis.statistics.intervals.spearman_interval`, which hold with ties and
        whatever the distribution of the errors.

    Raises:
        ConfigError: the vectors differ in length, or the level is not between 0 and 1.
    """
    (x_kept, y_kept) = complete_pairs(x, y)
    n = len(x_kept)
    if n < MIN_PAIRS or np.ptp(x_kept) == 0 or np.ptp(y_kept) == 0:
        check_confidence(confidence)
        return Correlation(math.nan, n, math.nan, math.nan, math.nan)
    from scipy.stats import spearmanr  # costly to import; plots without rho do not need it

    result = spearmanr(x_kept, y_kept)
    rho = float(result.statistic)
    from pycls.analysis.statistics.intervals import spearman_interval

    low, high = spearman_interval(x_kept, y_kept, confidence=confidence)
    return Correlation(rho, n, low, high, float(result.pvalue))


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


def spearman_p_value(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p-value of Spearman's rho, exact where there are few pairs.

    Up to 9 pairs all permutations are counted, ties included. Above, it is that of the t
    distribution, though at least 2 / n!, below which no permutation test can go.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.

    Returns:
        The p-value; NaN where rho is undefined.

    Raises:
        ConfigError: the vectors differ in length.
    """
    x_kept, y_kept = complete_pairs(x, y)
    correlation = spearman(x_kept, y_kept)
    n = correlation.n
    if math.isnan(correlation.rho):
        return math.nan
    if n > _MAX_EXACT:
        return max(correlation.p_value, 2 * math.exp(-math.lgamma(n + 1)))
    from scipy.stats import rankdata

    # Doubled and centred ranks are whole numbers, so that equal sums are equal exactly.
    first = np.round(2 * rankdata(x_kept)).astype(np.int64) - (n + 1)
    second = np.round(2 * rankdata(y_kept)).astype(np.int64) - (n + 1)
    sums = np.abs(second[_permutations(n)] @ first)
    return float(np.mean(sums >= abs(int(first @ second))))


def _estimate(function: Callable[..., Any], x: ArrayLike, y: ArrayLike) -> Estimate:
    x_kept, y_kept = complete_pairs(x, y)
    n = len(x_kept)
    if n < MIN_PAIRS or np.ptp(x_kept) == 0 or np.ptp(y_kept) == 0:
        return Estimate(math.nan, n, math.nan)
    result = function(x_kept, y_kept)
    return Estimate(float(result.statistic), n, float(result.pvalue))


@lru_cache(maxsize=2)
def _permutations(n: int) -> NDArray[np.int8]:
    """Return all orders of n things, (n!, n)."""
    orders = np.zeros((1, 1), dtype=np.int8)
    for size in range(2, n + 1):
        # The new thing stands at each place in turn; the others keep their order.
        orders = np.concatenate(
            [np.insert(orders, place, size - 1, axis=1) for place in range(size)]
        )
    return orders
