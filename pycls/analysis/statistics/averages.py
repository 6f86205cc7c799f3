"""The mean of rhos, or of differences, over data sets, with two kinds of interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.intervals import degrees_of_freedom, influence, standard_error
from pycls.analysis.statistics.pairs import check_sampling


@dataclass(frozen=True)
class Average:
    """A mean over data sets and how well it is known.

    Attributes:
        value: the mean; NaN without any.
        n: data sets behind it.
        ci_low: lower bound over architectures: for these data sets, had other architectures of
            the design space been drawn.
        ci_high: upper bound.
        sets_low: lower bound over data sets: for the mean over all data sets of which these are
            a random sample. NaN for one.
        sets_high: upper bound.
    """

    value: float = math.nan
    n: int = 0
    ci_low: float = math.nan
    ci_high: float = math.nan
    sets_low: float = math.nan
    sets_high: float = math.nan


def paired_influence(x: ArrayLike, y: ArrayLike) -> tuple[float, NDArray[np.float64]]:
    """Return rho, and the influence of each architecture on it, 0 where it has not both values.

    Scaled so that influences of pairs with other architectures missing can be added.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    known = ~(np.isnan(first) | np.isnan(second))
    rho, values = influence(first[known], second[known])
    spread = np.zeros(len(first))
    spread[known] = values * (len(first) / max(1, int(known.sum())))
    return rho, spread


def average(
    values: Sequence[float],
    influences: Sequence[NDArray[np.float64]] | None = None,
    confidence: float = 0.95,
    limit: float = math.inf,
) -> Average:
    """Return the mean of values of several data sets.

    The interval over architectures is of the t distribution, with the standard error of the mean
    influence: the data sets share the architectures, so their errors do not average out.
    The interval over data sets is that of the t distribution for the mean of a normal sample.

    Args:
        values: one per data set; NaN is left out.
        influences: of each architecture on each value, as from :func:`paired_influence`; without
            them there is no interval over architectures.
        confidence: level of both intervals, between 0 and 1.
        limit: the largest size that a value can have, 1 for rhos: intervals end there.

    Raises:
        ConfigError: a level outside (0, 1).
    """
    from scipy.special import stdtrit

    check_sampling(confidence)
    kept = [place for place, value in enumerate(values) if math.isfinite(value)]
    if not kept:
        return Average()
    found = np.array([values[place] for place in kept], dtype=float)
    mean, n, level = float(found.mean()), len(found), 0.5 + confidence / 2
    low = high = sets_low = sets_high = math.nan
    if influences is not None:
        shared = np.mean([influences[place] for place in kept], axis=0)
        if shared.any():
            half = float(stdtrit(degrees_of_freedom(shared), level))
            half *= standard_error(shared)
            low, high = mean - half, mean + half
    if n > 1:
        half = float(stdtrit(n - 1, level)) * float(found.std(ddof=1)) / math.sqrt(n)
        sets_low, sets_high = mean - half, mean + half
    bounds = np.clip((low, high, sets_low, sets_high), -limit, limit)
    return Average(mean, n, *map(float, bounds))
