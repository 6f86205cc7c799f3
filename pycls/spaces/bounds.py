"""Bounds on complexity and conditions on drawn rows, with a count of what each rejected."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.schema import STAGES
from pycls.spaces.arguments import is_number
from pycls.spaces.expressions import Expression

# What a row says of each stage, and the arrays that hold it for many rows.
STAGE_COLUMNS = tuple(column.name for column in STAGES)
STAGE_ARRAYS = tuple(f"{name}s" for name in STAGE_COLUMNS)
METRICS = ("flops", "params", "acts")
COUNT_COLUMNS = (*METRICS, "cum_depth", "cum_width")
BOUNDED = (*METRICS, "num_stages")
# What conditions may name in a population of AnyNets.
ROW_NAMES = (*STAGE_COLUMNS, *COUNT_COLUMNS)
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
        if not is_number(bound) or math.isnan(bound) or bound < 0:
            raise ConfigError(f"{name}: bound {bound!r} is not a non-negative number")
    low, high = bounds
    if low > high:
        raise ConfigError(
            f"{name}: the bounds {low:g}, {high:g} are the wrong way round; "
            f"expected the smaller one first"
        )
    return low, high


class Bounds:
    """Accepts rows by complexity and by conditions, and remembers what it saw.

    Attributes:
        limits: {metric: (low, high)}, closed, of the metrics that are bounded.
        where: the conditions as written.
        names: the columns that bounds and conditions need.
    """

    def __init__(
        self,
        bounds: Mapping[str, Sequence[float] | None],
        where: Sequence[str] = (),
        known: Iterable[str] = ROW_NAMES,
        place: str = "where",
    ) -> None:
        """Check bounds and conditions.

        Args:
            bounds: for each of :data:`BOUNDED` (low, high), both included, or None.
            where: expressions that all must hold; see :mod:`pycls.spaces.expressions`.
            known: the names that expressions may use.
            place: where the expressions stand, for messages.

        Raises:
            ConfigError: a bound or an expression cannot be used.
        """
        checked = {name: check_bounds(name, bounds.get(name)) for name in BOUNDED}
        self.limits = {name: pair for name, pair in checked.items() if pair is not None}
        # Counts are integers: comparing with integers is exact and faster.
        self._integers = {
            name: (math.ceil(min(_LARGEST, low)), math.floor(min(_LARGEST, high)))
            for name, (low, high) in self.limits.items()
        }
        if isinstance(where, str) or not isinstance(where, Sequence):
            raise ConfigError(f"{place} is {where!r}, expected a list of expressions")
        self._conditions = [Expression(text, known, place) for text in where]
        self.where = tuple(where)
        self.names = frozenset(self.limits).union(*(each.names for each in self._conditions))
        self._rejected = {name: [0, 0] for name in self.limits}
        self._failed = [0] * len(self._conditions)
        self._seen: dict[str, tuple[float, float]] = {}
        self._rows = 0

    def accept(self, columns: Mapping[str, NDArray]) -> NDArray[np.bool_]:
        """Return which of n rows lie in all bounds and meet all conditions.

        Args:
            columns: n values for each of `names`, n x S for lists; n at least 1. The ranges
                of whatever else it holds of :data:`BOUNDED` are remembered too.
        """
        rows = len(next(iter(columns.values())))
        self._rows += rows
        inside = np.ones(rows, dtype=np.bool_)
        for name in columns.keys() & ({*BOUNDED} | self.names):
            if columns[name].dtype.kind in "if":
                self._see(name, columns[name])
        for name, (low, high) in self._integers.items():
            below, above = columns[name] < low, columns[name] > high
            self._rejected[name][0] += int(np.count_nonzero(below))
            self._rejected[name][1] += int(np.count_nonzero(above))
            inside &= ~(below | above)
        for i, condition in enumerate(self._conditions):
            needed = {name: columns[name] for name in condition.names}
            holds = condition.evaluate(needed)
            self._failed[i] += rows - int(np.count_nonzero(holds))
            inside &= holds
        return inside

    def _see(self, name: str, values: NDArray) -> None:
        low, high = values.min().item(), values.max().item()
        before = self._seen.get(name, (low, high))
        self._seen[name] = (min(low, before[0]), max(high, before[1]))

    def describe(self) -> str:
        """Say, in lines, the ranges seen and how many each bound and condition rejected."""
        lines = []
        order = [*BOUNDED, *sorted(self._seen.keys() - {*BOUNDED})]
        for name in [name for name in order if name in self._seen]:
            low, high = self._seen[name]
            text = f"  {name} seen: {low:,} to {high:,}"
            if name in self.limits:
                below, above = self._rejected[name]
                least, most = self.limits[name]
                text += f"; {below:,} were below {least:,g} and {above:,} above {most:,g}"
            lines.append(text)
        lines += [
            f"  '{text}' rejected {failed:,} of {self._rows:,}"
            for text, failed in zip(self.where, self._failed, strict=True)
        ]
        return "\n".join(lines)
