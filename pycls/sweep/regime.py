"""A complexity regime: closed ranges of flops, params and acts, and what they rejected."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError

METRICS = ("flops", "params", "acts")
_LARGEST = 2**63 - 1


def check_bounds(name: str, bounds: Sequence[float] | None) -> tuple[float, float] | None:
    """Return a metric's bounds as a pair.

    Args:
        name: the metric, for messages.
        bounds: (low, high), both included, or None for no bounds.

    Raises:
        ConfigError: they are not two numbers, are negative, or are the wrong way round.
    """
    if bounds is None:
        return None
    if not isinstance(bounds, (tuple, list, np.ndarray)) or len(bounds) != 2:
        raise ConfigError(f"{name} is {bounds!r}, expected two numbers (low, high)")
    for bound in bounds:
        is_number = isinstance(bound, (int, float, np.number)) and not isinstance(bound, bool)
        if not is_number or math.isnan(bound) or bound < 0:
            raise ConfigError(f"{name}: bound {bound!r} is not a non-negative number")
    low, high = bounds
    if low > high:
        raise ConfigError(
            f"{name}: the bounds {low:g}, {high:g} are the wrong way round; "
            f"expected the smaller one first"
        )
    return low, high


class Regime:
    """Accepts architectures by complexity and remembers what it saw.

    Attributes:
        bounds: {metric: (low, high)}, closed, of the metrics that are bounded.
    """

    def __init__(self, bounds: Mapping[str, Sequence[float] | None]) -> None:
        checked = {name: check_bounds(name, bounds.get(name)) for name in METRICS}
        self.bounds = {name: pair for name, pair in checked.items() if pair is not None}
        # Counts are integers: comparing with integers is exact and faster.
        self._limits = {
            name: tuple(min(limit, _LARGEST) for limit in (_ceil(low), _floor(high)))
            for name, (low, high) in self.bounds.items()
        }
        self._rejected = {name: [0, 0] for name in self.bounds}
        self._seen: dict[str, tuple[int, int]] = {}

    def accept(self, counts: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Return which of n architectures lie in the regime.

        Args:
            counts: n int64 for each of flops, params, acts; n at least 1.
        """
        inside = np.ones(len(counts["flops"]), dtype=np.bool_)
        for name, values in counts.items():
            low, high = int(values.min()), int(values.max())
            before = self._seen.get(name, (low, high))
            self._seen[name] = (min(low, before[0]), max(high, before[1]))
        for name, (low, high) in self._limits.items():
            below, above = counts[name] < low, counts[name] > high
            self._rejected[name][0] += int(np.count_nonzero(below))
            self._rejected[name][1] += int(np.count_nonzero(above))
            inside &= ~(below | above)
        return inside

    def describe(self) -> str:
        """Say, in lines, the ranges seen and how many each bound rejected."""
        lines = []
        for name, (low, high) in self._seen.items():
            text = f"  {name} seen: {low:,} to {high:,}"
            if name in self.bounds:
                below, above = self._rejected[name]
                least, most = self.bounds[name]
                text += f"; {below:,} were below {least:,g} and {above:,} above {most:,g}"
            lines.append(text)
        return "\n".join(lines)


def _ceil(value: float) -> int:
    return math.ceil(value) if math.isfinite(value) else _LARGEST


def _floor(value: float) -> int:
    return math.floor(value) if math.isfinite(value) else _LARGEST
