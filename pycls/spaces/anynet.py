"""The AnyNetX design space and its restrictions AnyNetXB to AnyNetXE (paper, section 4.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import bottleneck_widths, check_countable, make_compatible
from pycls.spaces.anynet_ranges import SPACES, AnyNetRanges
from pycls.spaces.bounds import STAGE_COLUMNS
from pycls.spaces.design_space import DesignSpace, make_from
from pycls.spaces.distributions import power2_uniform
from pycls.spaces.extremes import Extremes, complexity_extremes
from pycls.spaces.marginal import Marginal
from pycls.spaces.population import Population


@dataclass(frozen=True, kw_only=True)
class AnyNetX(DesignSpace):
    """Stages whose depth, width, bottleneck multiplier and group width are drawn one by one.

    Ranges are closed. Depths and widths are log-uniform; bottleneck multipliers and group
    widths are uniform over powers of two. Blocks without bottleneck and groups
    (`vanilla_block`, `res_basic_block`) draw neither.

    Attributes:
        num_stages: number of stages.
        strides: stride of each stage's first block.
        depth: fewest and most blocks of a stage.
        width: least and largest width of a stage, in channels.
        width_quantum: widths are multiples of it (before groups are made to fit).
        bot_mul: smallest and largest bottleneck multiplier, powers of two.
        group_w: smallest and largest group width, powers of two.
        space: `A` (AnyNetX itself) to `E`: AnyNetXB has one bottleneck multiplier for all
            stages, C one group width too, in D widths and in E depths too do not decrease from
            stage to stage. All of this holds for what is drawn, before groups are made to fit.
    """

    num_stages: int = 4
    strides: tuple[int, ...] = (1, 2, 2, 2)
    depth: tuple[int, int] = (1, 16)
    width: tuple[int, int] = (8, 1024)
    width_quantum: int = 8
    bot_mul: tuple[float, float] = (0.25, 1.0)
    group_w: tuple[int, int] = (1, 32)
    space: str = "A"

    def __post_init__(self) -> None:
        """Refuse a space that holds no networks.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        frame = self.frame(self.num_stages)
        for name in ("num_stages", *STAGE_COLUMNS):
            object.__setattr__(self, name, getattr(self.ranges, name))
        object.__setattr__(self, "strides", frame.strides)
        if len(self.strides) != self.num_stages:
            raise ConfigError(
                f"strides {self.strides} are for {len(self.strides)} stages, "
                f"but num_stages is {self.num_stages}; give one stride per stage"
            )
        # Before the tables of probabilities are built: they grow with the ranges.
        largest_mul = max(1, math.ceil(power2_uniform(*self.bot_mul, "bot_mul").values[-1]))
        largest = (self.width[1] + self.group_w[1]) * largest_mul
        check_countable(self.depth[1] * self.num_stages, largest, frame)
        _ = self.marginals  # refuses the ranges that it cannot use

    @property
    def name(self) -> str:
        """AnyNetX, or AnyNetXB to AnyNetXE."""
        return "AnyNetX" + self.space.removeprefix("A")

    @property
    def restriction(self) -> str:
        """How it differs from AnyNetX; empty for AnyNetX itself."""
        return " ".join(SPACES[letter] for letter in SPACES if "A" < letter <= self.space)

    @cached_property
    def ranges(self) -> AnyNetRanges:
        """What each stage's parameters are drawn from."""
        return make_from(AnyNetRanges, self)

    @property
    def words(self) -> int:
        """64-bit random words a draw."""
        return self.ranges.words

    @property
    def marginals(self) -> dict[str, Marginal]:
        """Distributions of a stage's depth, width, bottleneck multiplier and group width.

        As drawn: widths and group widths before they are made to fit each other, and
        without the condition of an order.
        """
        return self.ranges.marginals

    def strides_of(self, num_stages: int) -> Sequence[int]:
        """Return the stride of each stage."""
        return self.strides

    def size(self) -> int:
        """Return the number of parameter combinations, before groups are made to fit."""
        return self.ranges.size()

    def extremes(self, num_stages: int) -> Extremes:
        """Return bounds of the members' complexity; those of the space without an order."""
        values = (self.marginals[name].values for name in ("width", "bot_mul", "group_w"))
        w, b, g = (array.ravel() for array in np.meshgrid(*values))
        if self.ranges.has_groups:
            w, g = make_compatible(w, b, g)
        inner = bottleneck_widths(w, b)
        return complexity_extremes(self.frame(num_stages), self.depth, w, inner, g)

    def described_marginals(self) -> dict[str, Marginal]:
        """Return the distributions; one for each stage (`width 2`) where they do not decrease."""
        described: dict[str, Marginal] = {}
        for name in STAGE_COLUMNS:
            stages = self.ranges.stage_marginals(name)
            if name in self.ranges.ordered:
                described |= {f"{name} {i}": marginal for i, marginal in enumerate(stages, 1)}
            else:
                described[name] = stages[0]
        return described

    def drawn_parameters(self, population: Population) -> dict[str, NDArray]:
        """Return a population's values under the names of :meth:`described_marginals`."""
        columns: dict[str, NDArray] = {}
        for name in STAGE_COLUMNS:
            stages = getattr(population, f"{name}s")
            if name in self.ranges.ordered:
                columns |= {f"{name} {i}": column for i, column in enumerate(stages.T, 1)}
            else:
                columns[name] = stages.ravel()
        return columns

    def draw_stages(self, words: NDArray[np.uint64]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Turn n x `words` random words into stages; see :class:`DesignSpace`."""
        depths, widths, bot_muls, group_ws = self.ranges.draw(words)
        if self.ranges.has_groups:
            widths, group_ws = make_compatible(widths, bot_muls, group_ws)
        return depths, widths, bot_muls, group_ws
