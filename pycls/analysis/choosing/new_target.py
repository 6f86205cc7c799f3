"""The rho that a data set nobody has trained on yet would show, from those that were."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import check_sampling

MIN_SETS = 3  # behind a prediction
_MOST = 0.9999  # |rho|, so that its transform is finite


@dataclass(frozen=True)
class Prediction:
    """Rho of a proxy with a new target, by a hierarchical model over data sets.

    Attributes:
        n: targets it is learnt from.
        rho: predicted, the mean on Fisher's scale.
        ci_low: lower bound of the interval for the one new rho (not for the mean).
        ci_high: upper bound.
        error: mean absolute error where each target is predicted from the others' mean.
        errors: the same where a property of the target is used too, by its name.
    """

    n: int = 0
    rho: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    error: float = math.nan
    errors: Mapping[str, float] = field(default_factory=dict)


def predict_rho(
    rhos: Sequence[float],
    properties: Mapping[str, ArrayLike] | None = None,
    confidence: float = 0.95,
) -> Prediction:
    """Return what rho a new target would show with a proxy, given the rhos of known targets.

    The targets are taken for a random sample of those that the question is about, with rhos
    that are normal on Fisher's scale; the interval is then exact: the mean plus and minus the
    t quantile times s sqrt(1 + 1 / n). It is for the rho as the same architectures would show it.
    Eight targets leave it wide, and no number of architectures makes it narrower.

    Args:
        rhos: of the proxy with each known target; NaN is left out.
        properties: name -> a number per target, such as the logarithm of its class count. Each
            by itself is tried as a straight line; whether it helps is to be judged by its
            error beside that of the mean, which needs no property.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The prediction; NaN from fewer than `MIN_SETS` targets.

    Raises:
        ConfigError: a level outside (0, 1).
    """
    from scipy.special import stdtrit

    check_sampling(confidence)
    every = np.asarray(rhos, dtype=float)
    known = np.isfinite(every)
    values = np.arctanh(np.clip(every[known], -_MOST, _MOST))
    n = len(values)
    if n < MIN_SETS:
        return Prediction(n)
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * spread * math.sqrt(1 + 1 / n)
    errors = {}
    for name, numbers in (properties or {}).items():
        column = np.asarray(numbers, dtype=float)[known]
        if n > MIN_SETS and np.isfinite(column).all() and np.ptp(column) > 0:
            errors[name] = _left_out_error(values, column)
    low, high = math.tanh(mean - half), math.tanh(mean + half)
    return Prediction(n, math.tanh(mean), low, high, _left_out_error(values, None), errors)


def _left_out_error(values: NDArray[np.float64], column: NDArray[np.float64] | None) -> float:
    """Return the mean absolute error in rho when each target is predicted from the others."""
    n = len(values)
    design = np.ones((n, 1)) if column is None else np.column_stack([np.ones(n), column])
    missed = []
    for place in range(n):
        rest = np.arange(n) != place
        weights = np.linalg.lstsq(design[rest], values[rest], rcond=None)[0]
        missed.append(abs(math.tanh(float(design[place] @ weights)) - math.tanh(values[place])))
    return float(np.mean(missed))
