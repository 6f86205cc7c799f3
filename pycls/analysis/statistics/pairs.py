"""Vectors paired by architecture: what every statistic does with them first."""

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


def check_confidence(confidence: float) -> None:
    """Refuse a level of an interval that is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence must be between 0 and 1, such as 0.95, got {confidence}")


def check_n_boot(n_boot: int) -> None:
    """Refuse a number of resamples below 1."""
    if n_boot < 1:
        raise ConfigError(f"n_boot must be at least 1, got {n_boot}")
