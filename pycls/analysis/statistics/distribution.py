"""Distributions of a population's errors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import check_sampling


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


def tied_share(values: ArrayLike) -> float:
    """Return the share of pairs of `values` that are equal, NaN left out; 0 for fewer than two."""
    kept = np.asarray(values, dtype=float)
    _, times = np.unique(kept[~np.isnan(kept)], return_counts=True)
    n = int(times.sum())
    return float(np.sum(times * (times - 1))) / (n * (n - 1)) if n > 1 else 0.0


@dataclass(frozen=True)
class EdfBand:
    """A distribution function with a band that holds the true one as a whole.

    Attributes:
        values: n errors, sorted, in percent.
        fraction: of architectures with that error or a smaller one.
        low: lower bounds.
        high: upper bounds.
    """

    values: NDArray[np.float64]
    fraction: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def edf_band(errors: ArrayLike, confidence: float = 0.95) -> EdfBand:
    """Return :func:`edf` with the band of Dvoretzky, Kiefer and Wolfowitz.

    Its half width is sqrt(ln(2 / (1 - confidence)) / (2 n)) (Massart 1990, Annals of
    Probability 18, 1269-1283), whatever the distribution. It holds the whole function;
    :func:`pycls.analysis.statistics.design_spaces.edf_table` has a narrower band for each error by
    itself.

    Args:
        errors: one error per architecture; NaN is left out.
        confidence: level of the band, between 0 and 1.

    Raises:
        ConfigError: a level outside (0, 1).
    """
    check_sampling(confidence)
    values, fraction = edf(errors)
    half = math.sqrt(math.log(2 / (1 - confidence)) / (2 * max(1, len(values))))
    low, high = np.clip(fraction - half, 0, 1), np.clip(fraction + half, 0, 1)
    return EdfBand(values, fraction, low, high)
