"""Adjustment of p-values for the number of tests."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError

ADJUSTMENTS = ("holm", "bh")


def adjust_p_values(p_values: ArrayLike, method: str = "holm") -> NDArray[np.float64]:
    """Return p-values adjusted for how many there are.

    "holm" (Holm 1979, Scandinavian Journal of Statistics 6, 65-70): rejecting those below a
    level makes even one false rejection no more likely than that level. "bh" (Benjamini and
    Hochberg 1995, Journal of the Royal Statistical Society B 57, 289-300): of those
    rejected, no larger share than the level is false on average, for tests that are
    independent or positively dependent.

    Args:
        p_values: n p-values; NaN is no test, and stays NaN.
        method: one of `ADJUSTMENTS`.

    Returns:
        n adjusted p-values in the same order, at most 1.

    Raises:
        ConfigError: an unknown method, or a value outside 0 to 1.
    """
    if method not in ADJUSTMENTS:
        raise ConfigError(f"adjustment '{method}': expected {' or '.join(ADJUSTMENTS)}")
    values = np.asarray(p_values, dtype=float)
    tests = np.flatnonzero(~np.isnan(values))
    if ((values[tests] < 0) | (values[tests] > 1)).any():
        raise ConfigError("a p-value lies between 0 and 1")
    order = tests[np.argsort(values[tests], kind="stable")]
    m = len(order)
    adjusted = np.full(values.shape, np.nan)
    if method == "holm":
        adjusted[order] = np.maximum.accumulate(values[order] * np.arange(m, 0, -1))
    else:
        scaled = values[order] * m / np.arange(1, m + 1)
        adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)
