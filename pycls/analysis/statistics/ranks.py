"""Ranks of a vector and what follows from its order, computed once for all its pairs."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

_KEPT = 256  # vectors: those of a large study, with the subsets that are complete in pairs


@dataclass(frozen=True)
class Ranks:
    """A vector of n values without NaN, in order.

    Attributes:
        order: places of the values, the lowest first.
        below: for each value, how many are lower.
        up_to: for each value, how many are lower or equal.
    """

    order: NDArray[np.intp]
    below: NDArray[np.intp]
    up_to: NDArray[np.intp]

    @cached_property
    def average(self) -> NDArray[np.float64]:
        """The rank of each value, from 1 on; values that tie share the mean of theirs."""
        return (self.below + self.up_to + 1) / 2

    @cached_property
    def centred(self) -> NDArray[np.float64]:
        """The average ranks less their mean, over n."""
        n = len(self.order)
        return (self.average - (n + 1) / 2) / n

    @cached_property
    def variance(self) -> float:
        """The mean square of the centred ranks."""
        return float(np.mean(self.centred**2))

    @cached_property
    def own_influence(self) -> NDArray[np.float64]:
        """How much each value moves the variance: by its own rank, and by those of others."""
        return self.centred**2 + 2 * self.mean_above(self.centred)

    @cached_property
    def normal(self) -> NDArray[np.float64]:
        """Normal scores of the ranks."""
        from scipy.special import ndtri

        return np.asarray(ndtri((self.average - 0.5) / len(self.order)), dtype=float)

    def mean_above(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return, for each place, the sum of `values` at higher places, over n; ties count half."""
        sums = np.concatenate([[0.0], np.cumsum(values[self.order])])
        between = (sums[self.below] + sums[self.up_to]) / 2
        return np.asarray((sums[-1] - between) / len(values))


def ranks_of(values: NDArray[np.float64]) -> Ranks:
    """Return the ranks of a vector of floats without NaN."""
    return _ranks_of(values.tobytes())


@lru_cache(maxsize=_KEPT)
def _ranks_of(data: bytes) -> Ranks:
    values = np.frombuffer(data)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(values))
    below, up_to = np.empty_like(order), np.empty_like(order)
    below[order] = np.repeat(starts, ends - starts)
    up_to[order] = np.repeat(ends, ends - starts)
    return Ranks(order, below, up_to)
