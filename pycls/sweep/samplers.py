"""Quantised discrete distributions with exact probabilities, drawn from raw random words.

A marginal is a table: values and the cumulative probabilities at which one value gives
way to the next, on a grid of 2**-32. A 32-bit word picks a value by comparing integers,
so a draw is the same on every platform whatever its `exp` and `log` do in the last place.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError

_WORD_BITS = 32
# Size of the first look-up: small enough to stay in the processor's first-level cache.
_CELL_BITS = 12


class Marginal:
    """A distribution over finitely many values.

    Attributes:
        values: the values in increasing order, float64 if any is not an integer, else int64.
        probabilities: their probabilities, float64 of the same length, summing to 1.
    """

    def __init__(self, values: Sequence[float], probabilities: Sequence[float]) -> None:
        """Build the tables.

        Args:
            values: at least one value.
            probabilities: as many non-negative numbers that sum to 1.

        Raises:
            ValueError: the lengths differ, or the probabilities are no distribution.
        """
        if len(values) != len(probabilities) or not len(values):
            raise ValueError("as many probabilities as values are needed, and at least one")
        self.probabilities = np.asarray(probabilities, dtype=np.float64)
        if (self.probabilities < 0).any() or not math.isclose(math.fsum(probabilities), 1.0):
            raise ValueError("probabilities must be non-negative and sum to 1")
        self.values = np.asarray(values)
        # Word u means value k when thresholds[k - 1] <= u < thresholds[k].
        cumulative = np.cumsum(self.probabilities)[:-1]
        self._thresholds = np.rint(cumulative * 2.0**_WORD_BITS).astype(np.uint64)
        self._build_cells()

    def _build_cells(self) -> None:
        """Precompute the value of every block of words that holds no threshold."""
        width = 1 << (_WORD_BITS - _CELL_BITS)
        first = np.arange(1 << _CELL_BITS, dtype=np.uint64) * np.uint64(width)
        index_first = np.searchsorted(self._thresholds, first, side="right")
        index_last = np.searchsorted(self._thresholds, first + np.uint64(width - 1), side="right")
        self._cell_values = self.values[index_first]
        self._cell_is_split = index_first != index_last
        self._any_split = bool(self._cell_is_split.any())

    def draw(self, words: NDArray[np.uint32]) -> NDArray:
        """Turn uniform 32-bit words into values.

        Args:
            words: any shape.

        Returns:
            Values in the shape of `words`.
        """
        cells = words >> np.uint32(_WORD_BITS - _CELL_BITS)
        drawn = self._cell_values[cells]
        if self._any_split:
            split = np.nonzero(self._cell_is_split[cells])
            index = np.searchsorted(self._thresholds, words[split], side="right")
            drawn[split] = self.values[index]
        return drawn

    def __len__(self) -> int:
        return len(self.values)


def log_uniform_int(low: int, high: int, quantum: int = 1, name: str = "range") -> Marginal:
    """Return the log-uniform distribution over the multiples of `quantum` in [low, high].

    The exponential of a uniform variable on [log(low - min(quantum, low / 2)), log(high)],
    rounded up to the quantum (pycls's `log_uniform`).

    Args:
        low: smallest value, positive and a multiple of `quantum`.
        high: largest value, a multiple of `quantum`, at least `low`.
        quantum: the step between values.
        name: what to call the range in messages.

    Raises:
        ConfigError: the range is empty, not positive or off the quantum.
    """
    _check_range(low, high, name)
    if not _is_int(quantum) or quantum < 1:
        raise ConfigError(f"{name}: quantum is {quantum!r}, expected a positive integer")
    for bound in (low, high):
        if not _is_int(bound):
            raise ConfigError(f"{name}: bound {bound!r} is not an integer")
        if bound % quantum:
            raise ConfigError(
                f"{name}: bound {bound} is not a multiple of {quantum}; the next one is "
                f"{-(-bound // quantum) * quantum}"
            )
    values = list(range(low, high + 1, quantum))
    edges = [low - min(quantum, low / 2), *values]
    total = math.log(edges[-1] / edges[0])
    probabilities = [math.log(b / a) / total for a, b in pairwise(edges)]
    return Marginal(values, probabilities)


def power2_uniform(low: float, high: float, name: str = "range") -> Marginal:
    """Return the uniform distribution over the powers of two in [low, high].

    2 to the floor of a uniform variable on [log2(low), log2(high) + 1) (pycls's
    `power2_uniform`): every power is as likely as another.

    Args:
        low: smallest value, a power of two (1/4, 1/2, 1, 2 ...).
        high: largest value, a power of two, at least `low`.
        name: what to call the range in messages.

    Raises:
        ConfigError: the range is empty, or a bound is no power of two.
    """
    _check_range(low, high, name)
    for bound in (low, high):
        if math.frexp(bound)[0] != 0.5:
            raise ConfigError(
                f"{name}: bound {bound!r} is not a power of two (such as 0.25, 0.5, 1, 2, 4)"
            )
    exponents = range(math.frexp(low)[1] - 1, math.frexp(high)[1])
    whole = exponents[0] >= 0 and _is_int(low) and _is_int(high)
    values = [2**e if whole else 2.0**e for e in exponents]
    return Marginal(values, [1 / len(values)] * len(values))


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_range(low: float, high: float, name: str) -> None:
    """Refuse bounds that are no numbers, not positive or the wrong way round."""
    for bound in (low, high):
        is_number = isinstance(bound, (int, float, np.number)) and not isinstance(bound, bool)
        if not is_number or not math.isfinite(bound) or bound <= 0:
            raise ConfigError(f"{name}: bound {bound!r} is not a positive number")
    if low > high:
        raise ConfigError(f"{name}: the bounds {low}, {high} are the wrong way round")
