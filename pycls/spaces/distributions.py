"""The distributions of pycls's samplers, which are quantised, over closed ranges, and exact.

Every value is a multiple of the quantum in the range. Up to 2**16 values a distribution is
a table of analytic probabilities (:class:`~pycls.spaces.marginal.Marginal`); beyond, a draw
is the inverse of the distribution function at a 53-bit uniform number, rounded as the
definition says. Either way a draw takes one random word.

With range [l, h] and quantum q, all rounding in the definitions goes to multiples of q:

- uniform: uniform on [l, h + q), rounded down.
- log_uniform: exp of uniform on [log(l - min(q, l / 2)), log(h)], rounded up.
- power2_uniform: 2 to the floor of uniform on [log2(l), log2(h) + 1).
- power2_or_log_uniform: power2_uniform; where it gives q or more, log_uniform on
  [max(l, q), h] with quantum min(h, q) instead.
- normal: Gaussian of mean (l + h) / 2 and deviation (h - l) / 6, drawn again until it lies
  in [l, h], then rounded to the nearest.
- log_normal: the same in the logarithm.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError
from pycls.spaces.arguments import check_range, is_finite, is_int
from pycls.spaces.marginal import Marginal

RAND_TYPES = (
    "uniform",
    "log_uniform",
    "power2_uniform",
    "power2_or_log_uniform",
    "normal",
    "log_normal",
)
_LARGEST_TABLE = 2**16
_LARGEST_EXACT = 2**53
_DEVIATIONS = 3.0  # the range of a normal is its mean and so many deviations on each side


class Distribution(Protocol):
    """What all distributions offer."""

    def draw(self, words: NDArray[np.unsignedinteger]) -> NDArray:
        """Turn uniform random words (uint32 or uint64, any shape) into values."""

    def cdf(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of drawing at most `value`, in its shape."""

    def __len__(self) -> int:
        """Return the number of values."""


def make_distribution(
    rand_type: str, low: float, high: float, quantum: float, where: str = "range"
) -> Distribution:
    """Return one of pycls's distributions over the multiples of `quantum` in [low, high].

    All three numbers integers: the values are integers too. Otherwise they are floats, each
    the one nearest to the decimal multiple.

    Args:
        rand_type: one of :data:`RAND_TYPES`.
        low: the smallest value.
        high: the largest value.
        quantum: the step between values, positive.
        where: what to call the range in messages.

    Raises:
        ConfigError: the range is the wrong way round, off the quantum, not positive where
            it must be, or not of powers of two where it must be.
    """
    if rand_type not in RAND_TYPES:
        raise ConfigError(
            f"{where}: RAND_TYPE is {rand_type!r}, expected one of {', '.join(RAND_TYPES)}"
        )
    check_range(low, high, where, positive=rand_type not in ("uniform", "normal"))
    if not is_finite(quantum) or quantum <= 0:
        raise ConfigError(f"{where}: quantum is {quantum!r}, expected a positive number")
    if not is_int(quantum):
        low, high = float(low), float(high)
    if rand_type == "power2_or_log_uniform":
        return _power2_or_log_uniform(low, high, quantum, where)
    lattice = _Lattice(low, high, quantum, where)
    if rand_type == "power2_uniform":
        return power2_uniform(low, high, where)
    kind = _KINDS[rand_type](lattice.first, lattice.last)
    if len(lattice) > _LARGEST_TABLE:
        return InverseTransform(kind, lattice)
    numbers = np.arange(lattice.first, lattice.last + 1)
    probabilities = [1.0] if len(lattice) == 1 else kind.probabilities()
    return Marginal(lattice.values(numbers).tolist(), probabilities)


def power2_uniform(low: float, high: float, where: str = "range") -> Marginal:
    """Return the uniform distribution over the powers of two in [low, high].

    Args:
        low: smallest value, a power of two (1/4, 1/2, 1, 2 ...).
        high: largest value, a power of two, at least `low`.
        where: what to call the range in messages.

    Raises:
        ConfigError: the range is empty, or a bound is no power of two.
    """
    check_range(low, high, where)
    for bound in (low, high):
        _check_power2(bound, where)
    exponents = range(math.frexp(low)[1] - 1, math.frexp(high)[1])
    whole = exponents[0] >= 0 and is_int(low) and is_int(high)
    values = [2**e if whole else 2.0**e for e in exponents]
    return Marginal(values, [1 / len(values)] * len(values))


class InverseTransform:
    """A distribution over too many values for a table.

    Attributes:
        low: the smallest value.
        high: the largest value.
    """

    def __init__(self, kind: "_Kind", lattice: "_Lattice") -> None:
        self._kind, self._lattice = kind, lattice
        self.low, self.high = lattice.values(np.array([lattice.first, lattice.last])).tolist()

    def draw(self, words: NDArray[np.uint64]) -> NDArray:
        """Turn uniform random words into values.

        Args:
            words: uint64 (the upper 53 bits are used) or uint32; any shape.
        """
        bits = 53 if words.dtype.itemsize == 8 else 32
        numbers = words >> np.uint64(64 - bits) if bits == 53 else words
        uniform = (numbers.astype(np.float64) + 0.5) * 2.0**-bits
        # 1 - 2**-54 rounds to 1 on the 53-bit grid: the largest value, as it should be.
        multiples = np.clip(self._kind.quantile(uniform), self._kind.first, self._kind.last)
        return self._lattice.values(multiples.astype(np.int64))

    def cdf(self, value: ArrayLike) -> NDArray[np.float64]:
        """Return the probability of drawing at most `value`, in its shape."""
        multiples = self._lattice.floor(np.asarray(value, dtype=np.float64))
        inside = np.clip(multiples, self._kind.first, self._kind.last)
        return np.where(multiples < self._kind.first, 0.0, self._kind.cdf(inside))

    def __len__(self) -> int:
        return len(self._lattice)


class _Lattice:
    """The multiples of a quantum in a range, by their number: value = number * quantum."""

    def __init__(self, low: float, high: float, quantum: float, where: str) -> None:
        self._is_whole = is_int(quantum)
        exact = Fraction(Decimal(str(quantum)))
        numbers = []
        for bound in (low, high):
            if self._is_whole and not is_int(bound):
                raise ConfigError(f"{where}: bound {bound!r} is not an integer")
            number = Fraction(Decimal(str(bound))) / exact
            if number.denominator != 1:
                following = math.ceil(number) * exact
                shown = int(following) if self._is_whole else float(following)
                raise ConfigError(
                    f"{where}: bound {bound} is not a multiple of {quantum}; the next one is "
                    f"{shown}"
                )
            numbers.append(int(number))
        self.first, self.last = numbers
        if max(abs(self.first), abs(self.last)) >= _LARGEST_EXACT:
            raise ConfigError(
                f"{where}: {quantum} is too fine a quantum for {low} to {high}; "
                f"expected at least {max(abs(low), abs(high)) / _LARGEST_EXACT:.1g}"
            )
        self._quantum = quantum
        self._numerator, self._denominator = exact.numerator, exact.denominator
        largest = max(abs(self.first), abs(self.last)) * self._numerator
        self._is_exact = max(largest, self._denominator) < _LARGEST_EXACT

    def __len__(self) -> int:
        return self.last - self.first + 1

    def values(self, numbers: NDArray[np.int64]) -> NDArray:
        """Return the values of these numbers: int64, or the nearest float64."""
        if self._is_whole:
            return numbers * int(self._quantum)
        if self._is_exact:  # one rounding only: 3 * 0.1 is 0.3
            return numbers * self._numerator / self._denominator
        return numbers * float(self._quantum)

    def floor(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the number of the largest multiple that is not above each value."""
        near = np.rint(values / self._quantum)
        above = self.values(near.astype(np.int64)) > values
        return near - above


class _Kind(Protocol):
    """A distribution over the integers first to last."""

    first: int
    last: int

    def __init__(self, first: int, last: int) -> None: ...

    def probabilities(self) -> list[float]:
        """Return the probability of each integer; there are two or more."""

    def cdf(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of at most k, for integers in the range."""

    def quantile(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the integer at which the distribution function passes each number."""


class _Uniform:
    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._count = last - first + 1

    def probabilities(self) -> list[float]:
        return [1 / self._count] * self._count

    def cdf(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        return (k - self.first + 1) / self._count

    def quantile(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.first + np.floor(uniform * self._count)


class _LogUniform:
    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._start = first - min(1, first / 2)
        self._total = math.log(last / self._start)

    def probabilities(self) -> list[float]:
        edges = [self._start, *range(self.first, self.last + 1)]
        return [math.log(b / a) / self._total for a, b in pairwise(edges)]

    def cdf(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(k / self._start) / self._total

    def quantile(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ceil(self._start * np.exp(uniform * self._total))


class _Normal:
    """A truncated normal; `_transform` and `_invert` lead to the scale where it is one."""

    _transform: Callable[[float], float] = staticmethod(float)

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last
        low, high = self._transform(first), self._transform(last)
        self._mean = (low + high) / 2
        self._deviation = (high - low) / (2 * _DEVIATIONS)
        self._below = _phi(-_DEVIATIONS)
        self._mass = _phi(_DEVIATIONS) - self._below

    @staticmethod
    def _invert(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x

    def _cdf_at(self, edge: float) -> float:
        if edge >= self.last:
            return 1.0
        z = (self._transform(edge) - self._mean) / self._deviation
        return (_phi(z) - self._below) / self._mass

    def probabilities(self) -> list[float]:
        # k gathers [k - 1/2, k + 1/2]; half of that at both ends of the range.
        edges = [self._cdf_at(k + 0.5) for k in range(self.first, self.last + 1)]
        return [b - a for a, b in pairwise([0.0, *edges])]

    def cdf(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.vectorize(self._cdf_at, otypes=[float])(k + 0.5)

    def quantile(self, uniform: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import ndtri  # here: its import would cost every other sampler

        z = ndtri(self._below + uniform * self._mass)
        return np.rint(self._invert(self._mean + self._deviation * z))


class _LogNormal(_Normal):
    _transform: Callable[[float], float] = staticmethod(math.log)

    @staticmethod
    def _invert(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(x)


_KINDS: dict[str, type[_Kind]] = {
    "uniform": _Uniform,
    "log_uniform": _LogUniform,
    "normal": _Normal,
    "log_normal": _LogNormal,
}


def _power2_or_log_uniform(low: float, high: float, quantum: float, where: str) -> Marginal:
    for bound in (low, high):
        _check_power2(bound, where)
        if bound >= quantum:
            _Lattice(bound, bound, quantum, where)
    powers = power2_uniform(low, high, where)
    small = powers.values < quantum
    values = powers.values[small].tolist()
    probabilities = powers.probabilities[small].tolist()
    if high >= quantum:
        coarse = make_distribution("log_uniform", max(low, quantum), high, quantum, where)
        if not isinstance(coarse, Marginal):
            raise ConfigError(
                f"{where}: {len(coarse):,} values are too many for power2_or_log_uniform; "
                "expected a coarser quantum"
            )
        share = 1.0 - sum(probabilities)
        values += coarse.values.tolist()
        probabilities += (share * coarse.probabilities).tolist()
    return Marginal(values, probabilities)


def _phi(z: float) -> float:
    """Return the distribution function of the standard normal."""
    return math.erfc(-z / math.sqrt(2)) / 2


def _check_power2(bound: float, where: str) -> None:
    if math.frexp(bound)[0] != 0.5:
        raise ConfigError(
            f"{where}: bound {bound!r} is not a power of two (such as 0.25, 0.5, 1, 2, 4)"
        )
