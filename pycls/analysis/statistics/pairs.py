"""Checks and preparation that all statistics of vectors paired by architecture share."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError

MIN_PAIRS = 4  # the interval's variance divides by n - 3


def complete_pairs(*vectors: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Return the vectors as floats, without the places where any of them is NaN.

    Raises:
        ConfigError: the vectors differ in length, or have more than one dimension.
    """
    arrays = [np.asarray(vector, dtype=float) for vector in vectors]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1:
        found = ", ".join(str(array.shape) for array in arrays)
        raise ConfigError(f"vectors paired by architecture must have one length, got {found}")
    keep = ~np.any([np.isnan(array) for array in arrays], axis=0)
    return tuple(array[keep] for array in arrays)


def can_correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Say whether a correlation is defined: enough pairs, and different values on each side."""
    return bool(len(x) >= MIN_PAIRS and np.ptp(x) != 0 and np.ptp(y) != 0)


def check_sampling(confidence: float, n_boot: int = 1) -> None:
    """Refuse a level that is not between 0 and 1, and a number of resamples below 1."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")
    if n_boot < 1:
        raise ConfigError(f"n_boot must be at least 1, got {n_boot}")
