"""The parameters of AnyNetX and its restricted spaces: their ranges, distributions and draws.

A row of draws has 2 * S 64-bit words for S stages. Each word serves two parameters; which
ones is the same in all spaces, so that restricted spaces use a part of the words.
"""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.arguments import check_int
from pycls.spaces.bounds import STAGE_COLUMNS
from pycls.spaces.distributions import make_distribution, power2_uniform
from pycls.spaces.marginal import Marginal, OrderedMarginal

# Each space adds one restriction to the one before (Radosavovic et al., 2020, section 3.2).
SPACES = {
    "A": "no restriction",
    "B": "one bottleneck multiplier for all stages",
    "C": "and one group width for all stages",
    "D": "and widths that do not decrease from stage to stage",
    "E": "and depths that do not decrease from stage to stage",
}
_PAIRS_OF_INTS = ("depth", "width", "group_w")


@dataclass(frozen=True)
class AnyNetRanges:
    """What each stage's depth, width, bottleneck multiplier and group width are drawn from.

    Restrictions hold for the values drawn, before widths and groups are made to fit each
    other. In D and E widths (and depths) have the distribution of the full space under the
    condition of the order.

    Attributes:
        num_stages: number of stages.
        depth: fewest and most blocks a stage, log-uniform.
        width: least and largest width of a stage in channels, log-uniform.
        width_quantum: widths are multiples of it.
        bot_mul: smallest and largest bottleneck multiplier, uniform over powers of two.
        group_w: smallest and largest group width, uniform over powers of two.
        space: "A" to "E"; see :data:`SPACES`.
        has_groups: whether the blocks have multipliers and groups; otherwise both are 1.
    """

    num_stages: int = 4
    depth: tuple[int, int] = (1, 16)
    width: tuple[int, int] = (8, 1024)
    width_quantum: int = 8
    bot_mul: tuple[float, float] = (0.25, 1.0)
    group_w: tuple[int, int] = (1, 32)
    space: str = "A"
    has_groups: bool = True

    def __post_init__(self) -> None:
        """Refuse ranges that hold nothing.

        Raises:
            ConfigError: names the range, its value and what is allowed.
        """
        object.__setattr__(self, "num_stages", check_int("num_stages", self.num_stages, 1))
        for name in STAGE_COLUMNS:
            value = getattr(self, name)
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise ConfigError(f"{name} is {value!r}, expected a pair (smallest, largest)")
            if name in _PAIRS_OF_INTS:
                value = tuple(check_int(name, bound, 1) for bound in value)
            object.__setattr__(self, name, tuple(value))
        check_int("width_quantum", self.width_quantum, 1)
        if not isinstance(self.space, str) or self.space not in SPACES:
            raise ConfigError(f"space is {self.space!r}, expected one of {', '.join(SPACES)}")

    @property
    def words(self) -> int:
        """64-bit words a draw."""
        return 2 * self.num_stages

    @cached_property
    def marginals(self) -> dict[str, Marginal]:
        """Distribution of each parameter of a stage, without the condition of an order.

        Raises:
            ConfigError: a range cannot be used.
        """
        marginals = {
            "depth": make_distribution("log_uniform", *self.depth, 1, "depth"),
            "width": make_distribution("log_uniform", *self.width, self.width_quantum, "width"),
            "bot_mul": power2_uniform(float(self.bot_mul[0]), float(self.bot_mul[1]), "bot_mul"),
            "group_w": power2_uniform(*self.group_w, "group_w"),
        }
        if not self.has_groups:
            marginals |= {"bot_mul": Marginal([1.0], [1.0]), "group_w": Marginal([1], [1.0])}
        tables = {name: m for name, m in marginals.items() if isinstance(m, Marginal)}
        for name in marginals.keys() - tables.keys():
            raise ConfigError(f"{name}: a range of {len(marginals[name]):,} values is too wide")
        return tables

    @property
    def ordered(self) -> tuple[str, ...]:
        """The parameters that do not decrease from stage to stage."""
        return {"D": ("width",), "E": ("depth", "width")}.get(self.space, ())

    @property
    def shared(self) -> tuple[str, ...]:
        """The parameters that all stages have in common."""
        return {"A": (), "B": ("bot_mul",)}.get(self.space, ("bot_mul", "group_w"))

    def size(self) -> int:
        """Return the number of parameter combinations, before groups are made to fit."""
        size = 1
        for name, marginal in self.marginals.items():
            values, stages = len(marginal), self.num_stages
            if name in self.ordered:
                size *= comb(values + stages - 1, stages)
            else:
                size *= values if name in self.shared else values**stages
        return size

    def stage_marginals(self, name: str) -> list[Marginal]:
        """Return a parameter's distribution in each stage, the condition of an order included."""
        if name in self.ordered:
            return self._in_order[name].marginals()
        return [self.marginals[name]] * self.num_stages

    @cached_property
    def _in_order(self) -> dict[str, OrderedMarginal]:
        return {
            name: OrderedMarginal(self.marginals[name], self.num_stages) for name in self.ordered
        }

    def draw(self, words: NDArray[np.uint64]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Turn random words into depths, widths, multipliers and group widths.

        Args:
            words: n x `words`.

        Returns:
            S x n arrays as drawn: widths and groups need not fit each other yet.
        """
        halves = np.ascontiguousarray(words, dtype="<u8").view("<u4")
        parts = halves.reshape(len(words), len(STAGE_COLUMNS), self.num_stages).transpose(1, 2, 0)
        depth, width, bot_mul, group_w = (
            self._draw_one(name, part)
            for name, part in zip(STAGE_COLUMNS, np.ascontiguousarray(parts), strict=True)
        )
        return depth, width, bot_mul, group_w

    def _draw_one(self, name: str, words: NDArray[np.uint32]) -> NDArray:
        if name in self.ordered:
            return self._in_order[name].draw(words)
        if name in self.shared:
            return np.tile(self.marginals[name].draw(words[0]), (self.num_stages, 1))
        return self.marginals[name].draw(words)
