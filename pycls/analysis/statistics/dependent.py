"""The difference of two rhos that share the target and the architectures."""

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.intervals import (
    degrees_of_freedom,
    influence,
    spearman_interval,
    standard_error,
)
from pycls.analysis.statistics.pairs import check_sampling, complete_pairs
from pycls.analysis.statistics.resampling import (
    percentile_interval,
    resample_counts,
    resampled_ranks,
    weighted_correlation,
)

_COLUMNS = ("difference", "n_difference", "ci_low_difference", "ci_high_difference")


@dataclass(frozen=True)
class Difference:
    """Difference of two rhos on the same n architectures, and its confidence interval."""

    difference: float = math.nan
    n: int = 0
    ci_low: float = math.nan
    ci_high: float = math.nan


@dataclass(frozen=True)
class Comparison(Difference):
    """Difference of two rhos on the same n architectures, with a test that it is zero.

    NaN throughout where one of the rhos is undefined, or exactly 1 or -1.
    """

    p_value: float = math.nan


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
    check_sampling(confidence, n_boot)
    a, b, target = complete_pairs(x_a, x_b, y)
    n = len(target)
    observed = spearman(b, target).rho - spearman(a, target).rho
    if math.isnan(observed):
        return Difference(n=n)
    differences = []
    for counts in resample_counts(n, n_boot, seed):
        ranks_y = resampled_ranks(target, counts)
        rho_a = weighted_correlation(resampled_ranks(a, counts), ranks_y, counts)
        rho_b = weighted_correlation(resampled_ranks(b, counts), ranks_y, counts)
        differences.append(rho_b - rho_a)
    resampled = np.concatenate(differences)
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return Difference(observed, n)
    return Difference(observed, n, *percentile_interval(resampled, confidence))


def compare_rhos(
    x_a: ArrayLike, x_b: ArrayLike, y: ArrayLike, confidence: float = 0.95
) -> Comparison:
    """Return rho(x_b, y) - rho(x_a, y) with an interval and a test, without resampling.

    Both rhos are means over the same architectures, up to terms that vanish with n: what
    each architecture contributes to them (:func:`pycls.analysis.statistics.intervals.influence`)
    gives the standard error of the difference of their Fisher transforms, for the test, and the
    correlation of the two estimates. The interval is that of Zou (2007), Psychological
    Methods 12, 399-413, from the interval of each rho and that correlation. No distribution
    of the errors is assumed. Test and interval may disagree where it is close.

    Args:
        x_a: n errors on the first proxy.
        x_b: n errors on the second proxy.
        y: n errors on the target.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ConfigError: vectors of different lengths, or a level outside (0, 1).
    """
    from scipy.stats import t as student

    check_sampling(confidence)
    a, b, target = complete_pairs(x_a, x_b, y)
    n = len(target)
    rho_a, influence_a = influence(a, target)
    rho_b, influence_b = influence(b, target)
    if not max(abs(rho_a), abs(rho_b)) < 1:  # undefined is NaN
        return Comparison(n=n)
    values = influence_b / (1 - rho_b**2) - influence_a / (1 - rho_a**2)
    error = standard_error(values, lost=1)
    z = math.atanh(rho_b) - math.atanh(rho_a)
    if error == 0:  # the two proxies rank alike
        return Comparison(rho_b - rho_a, n, rho_b - rho_a, rho_b - rho_a, 1.0 if z == 0 else 0.0)
    p_value = 2 * float(student.sf(abs(z) / error, degrees_of_freedom(values)))
    low_a, high_a = spearman_interval(a, target, confidence=confidence)
    low_b, high_b = spearman_interval(b, target, confidence=confidence)
    scale = math.sqrt(float(influence_a @ influence_a) * float(influence_b @ influence_b))
    shared = float(influence_a @ influence_b) / scale if scale else 0.0
    difference = rho_b - rho_a
    low = difference - _combined(rho_b - low_b, high_a - rho_a, shared)
    high = difference + _combined(high_b - rho_b, rho_a - low_a, shared)
    return Comparison(difference, n, low, high, p_value)


def difference_columns(difference: Difference) -> dict[str, Any]:
    """Return a difference (without a test) as columns: the inverse of :func:`difference_of`."""
    return dict(zip(_COLUMNS, astuple(difference), strict=False))


def difference_of(row: Any) -> Difference:
    """Return the difference that a table's row holds."""
    difference, n, low, high = (row[name] for name in _COLUMNS)
    return Difference(float(difference), int(n), float(low), float(high))


def _combined(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 + second**2 - 2 * correlation * first * second))
