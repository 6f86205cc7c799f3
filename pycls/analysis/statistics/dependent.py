"""The difference of two rhos that share the target and the architectures."""

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.families import MIN_FAMILIES, family_codes, family_influence
from pycls.analysis.statistics.intervals import (
    degrees_of_freedom,
    influence,
    one_swap,
    spearman_interval,
    standard_error,
)
from pycls.analysis.statistics.pairs import check_sampling, complete_pairs

_COLUMNS = (
    *("difference", "n_difference", "ci_low_difference", "ci_high_difference", "p_difference"),
)


@dataclass(frozen=True)
class Difference:
    """Difference of two rhos on the same n architectures, its interval, and a test that it is 0.

    NaN throughout where one of the rhos is undefined; no interval and no p-value with too few
    families.
    """

    difference: float = math.nan
    n: int = 0
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan


def compare_rhos(
    x_a: ArrayLike,
    x_b: ArrayLike,
    y: ArrayLike,
    confidence: float = 0.95,
    families: Iterable[object] | None = None,
) -> Difference:
    """Return rho(x_b, y) - rho(x_a, y) with an interval and a test, without resampling.

    Both rhos are means over the same architectures, up to terms that vanish with n: what
    each architecture contributes to them (:func:`pycls.analysis.statistics.intervals.influence`)
    gives the standard error of the difference of their Fisher transforms, for the test, and the
    correlation of the two estimates. The interval is that of Zou (2007), Psychological
    Methods 12, 399-413, from the interval of each rho and that correlation. No distribution
    of the errors is assumed. Test and interval may disagree where it is close.

    A rho of exactly 1 or -1 shows no influence. It is taken for the rho of one swapped pair of
    neighbours, with the standard error of a normal sample, independent of the other rho.

    Args:
        x_a: n errors on the first proxy.
        x_b: n errors on the second proxy.
        y: n errors on the target.
        confidence: level of the interval, between 0 and 1.
        families: a label per architecture; see :func:`pycls.analysis.statistics.spearman`.

    Raises:
        ConfigError: vectors of different lengths, or a level outside (0, 1).
    """
    from scipy.special import stdtr

    check_sampling(confidence)
    labels = [] if families is None else [family_codes(families)]
    a, b, target, *codes = complete_pairs(x_a, x_b, y, *labels)
    n, grouped = len(target), codes[0] if codes else None
    rho_a, influence_a = influence(a, target)
    rho_b, influence_b = influence(b, target)
    difference = rho_b - rho_a
    if math.isnan(difference):
        return Difference(n=n)
    z_a, values_a, extra_a = _transformed(rho_a, influence_a)
    z_b, values_b, extra_b = _transformed(rho_b, influence_b)
    values = family_influence(values_b - values_a, grouped)
    if grouped is not None and len(values) < MIN_FAMILIES:
        return Difference(difference, n)
    error = math.hypot(standard_error(values, lost=1), extra_a, extra_b)
    if difference == 0 and not values.any():  # the two proxies rank alike
        return Difference(0.0, n, 0.0, 0.0, 1.0)
    if error == 0:  # too few to differ in their influence
        return Difference(difference, n)
    freedom = degrees_of_freedom(values) if values.any() else len(values) - 2.0
    p_value = 2 * float(stdtr(freedom, -abs(z_b - z_a) / error))
    low_a, high_a = spearman_interval(a, target, confidence=confidence, families=grouped)
    low_b, high_b = spearman_interval(b, target, confidence=confidence, families=grouped)
    of_a, of_b = family_influence(influence_a, grouped), family_influence(influence_b, grouped)
    scale = math.sqrt(float(of_a @ of_a) * float(of_b @ of_b))
    shared = float(of_a @ of_b) / scale if scale else 0.0
    low = difference - _combined(rho_b - low_b, high_a - rho_a, shared)
    high = difference + _combined(high_b - rho_b, rho_a - low_a, shared)
    return Difference(difference, n, max(-2.0, low), min(2.0, high), p_value)


def _transformed(
    rho: float, values: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], float]:
    """Return Fisher's transform of rho, the influence on it, and an error that is not in it."""
    n = len(values)
    if abs(rho) < 1:
        return math.atanh(rho), values / (1 - rho**2), 0.0
    close = math.copysign(one_swap(n), rho)
    return math.atanh(close), np.zeros(n), math.sqrt((1 + close**2 / 2) / (n - 3))


def difference_columns(difference: Difference) -> dict[str, Any]:
    """Return a difference as columns of a table: the inverse of :func:`difference_of`."""
    return dict(zip(_COLUMNS, astuple(difference), strict=True))


def difference_of(row: Any) -> Difference:
    """Return the difference that a table's row holds."""
    difference, n, *others = (row[name] for name in _COLUMNS)
    return Difference(float(difference), int(n), *map(float, others))


def _combined(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 + second**2 - 2 * correlation * first * second))
