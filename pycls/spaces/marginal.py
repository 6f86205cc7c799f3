"""Distributions over finitely many values as tables, drawn from raw random words.

A table holds values and the cumulative probabilities at which one value gives way to the
next, on a grid of 2**-32. A 32-bit word picks a value by comparing integers, so a draw is
the same on every platform whatever its `exp` and `log` do in the last place.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

WORD_BITS = 32
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
        self._thresholds = np.rint(cumulative * 2.0**WORD_BITS).astype(np.uint64)
        self._build_cells()

    def _build_cells(self) -> None:
        """Precompute the value of every block of words that holds no threshold."""
        width = 1 << (WORD_BITS - _CELL_BITS)
        first = np.arange(1 << _CELL_BITS, dtype=np.uint64) * np.uint64(width)
        index_first = np.searchsorted(self._thresholds, first, side="right")
        index_last = np.searchsorted(self._thresholds, first + np.uint64(width - 1), side="right")
        self._cell_values = self.values[index_first]
        self._cell_is_split = index_first != index_last
        self._any_split = bool(self._cell_is_split.any())

    def draw(self, words: NDArray[np.unsignedinteger]) -> NDArray:
        """Turn uniform random words into values.

        Args:
            words: uint32, or uint64, of which the upper half is used; any shape.

        Returns:
            Values in the shape of `words`.
        """
        words = upper_words(words)
        cells = words >> np.uint32(WORD_BITS - _CELL_BITS)
        drawn = self._cell_values[cells]
        if self._any_split:
            split = np.nonzero(self._cell_is_split[cells])
            index = np.searchsorted(self._thresholds, words[split], side="right")
            drawn[split] = self.values[index]
        return drawn

    def cdf(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of drawing at most `value`, in its shape."""
        cumulative = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        cumulative[-1] = 1.0
        return cumulative[np.searchsorted(self.values, value, side="right")]

    def __len__(self) -> int:
        return len(self.values)


class OrderedMarginal:
    """Lists of independent values of a marginal under the condition that they do not decrease.

    What drawing lists again until one is in order would give, without drawing again: each
    value is drawn from its exact distribution given the one before and given that the rest
    can follow in order. With p the marginal and T_k(v) the probability that k further
    values are in order and not below v, the next of k + 1 values has a probability in
    proportion to p(u) * T_k(u) on u >= v.
    """

    def __init__(self, marginal: Marginal, length: int) -> None:
        """Build one table of cumulative weights for each place in the list.

        Args:
            marginal: the distribution of a value before the condition.
            length: values a list, at least 1.
        """
        self.values = marginal.values
        self._probabilities = marginal.probabilities
        # Summed from the largest value down, so that rare tails keep their relative precision.
        self._weights = []
        after = np.ones(len(marginal))
        for _ in range(length):
            self._weights.append(marginal.probabilities * after)
            after = np.cumsum(self._weights[-1][::-1])[::-1]
        self._weights.reverse()
        self._tails = [np.cumsum(weights[::-1]) for weights in self._weights]

    def draw(self, words: NDArray[np.unsignedinteger]) -> NDArray:
        """Turn uniform random words into lists in order.

        Args:
            words: S x n, uint32 or uint64.

        Returns:
            S x n values.
        """
        # In (0, 1]: the whole of what is left is the value before, once more.
        uniform = (upper_words(words).astype(np.float64) + 1.0) * 2.0**-WORD_BITS
        last = len(self.values) - 1
        index = np.full(words.shape[1:], last)  # counted from the largest value
        drawn = np.empty(words.shape, dtype=self.values.dtype)
        for place, tail in enumerate(self._tails):
            index = np.searchsorted(tail, uniform[place] * tail[index], side="left")
            drawn[place] = self.values[last - index]
        return drawn

    def marginals(self) -> list[Marginal]:
        """Return the distribution of the value at each place."""
        before = np.ones(len(self.values))
        places = []
        for weights in self._weights:
            joint = before * weights
            places.append(Marginal(self.values.tolist(), (joint / joint.sum()).tolist()))
            before = np.cumsum(before * self._probabilities)
        return places


def random_words(seed: int, start: int, count: int, per_draw: int) -> NDArray[np.uint64]:
    """Return the 64-bit words of draws number `start` to `start + count` of a seed's stream.

    Draw i reads words i * per_draw to (i + 1) * per_draw of one stream, so it depends on
    the seed and its own number only.

    Returns:
        count x per_draw, little-endian.
    """
    stream = np.random.PCG64(seed)
    stream.advance(start * per_draw)
    raw = stream.random_raw(count * per_draw).astype("<u8", copy=False)
    return raw.reshape(count, per_draw)


def upper_words(words: NDArray[np.unsignedinteger]) -> NDArray[np.uint32]:
    """Return 32-bit words as they are, and the upper half of 64-bit ones."""
    if words.dtype.itemsize == 4:
        return words.astype(np.uint32, copy=False)
    return (words >> np.uint64(WORD_BITS)).astype(np.uint32)
