"""The AnyNetX design space, its restrictions, and drawing populations (paper, section 4.1).

Every draw is a function of the space, the seed and its own number only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import AnyNetFrame, adjust_floats, check_countable, count_stages
from pycls.spaces.anynet_ranges import AnyNetRanges
from pycls.spaces.bounds import METRICS, Regime
from pycls.spaces.distributions import power2_uniform
from pycls.spaces.drawing import STAGE_ARRAYS, Progress, Provenance, draw_in_regime
from pycls.spaces.marginal import Marginal, random_words
from pycls.spaces.population import Population


@dataclass(frozen=True)
class AnyNetX:
    """A stem, stages of equal residual blocks, and a head; see paper, section 4.1.

    Ranges are closed. Depths and widths are log-uniform; bottleneck multipliers and group
    widths are uniform over powers of two. Blocks without bottleneck and groups
    (`vanilla_block`, `res_basic_block`) draw neither.

    Attributes:
        num_stages: number of stages.
        strides: stride of each stage's first block.
        stem_type: `res_stem_cifar`, `res_stem_in` or `simple_stem_in`.
        stem_w: width of the stem, in channels.
        block_type: a block type of the config's ANYNET.BLOCK_TYPE.
        depth: fewest and most blocks a stage.
        width: least and largest width of a stage, in channels.
        width_quantum: widths are multiples of it (before groups are made to fit).
        bot_mul: smallest and largest bottleneck multiplier.
        group_w: smallest and largest group width.
        resolution: height and width of the input, in pixels.
        num_classes: number of classes.
        head_w: width of the head's convolution; 0 for none.
        space: `A` (AnyNetX itself) to `E`: AnyNetXB has one bottleneck multiplier for all
            stages, C one group width too, in D widths and in E depths too do not decrease from
            stage to stage. All of this holds for what is drawn, before groups are made to fit.
    """

    num_stages: int = 4
    strides: tuple[int, ...] = (1, 2, 2, 2)
    stem_type: str = "res_stem_in"
    stem_w: int = 64
    block_type: str = "res_bottleneck_block"
    depth: tuple[int, int] = (1, 16)
    width: tuple[int, int] = (8, 1024)
    width_quantum: int = 8
    bot_mul: tuple[float, float] = (0.25, 1.0)
    group_w: tuple[int, int] = (1, 32)
    resolution: int = 224
    num_classes: int = 1000
    head_w: int = 0
    space: str = "A"

    def __post_init__(self) -> None:
        """Refuse a space that holds no networks.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        for name in ("num_stages", "depth", "width", "bot_mul", "group_w"):
            object.__setattr__(self, name, getattr(self.ranges, name))
        object.__setattr__(self, "strides", self.frame.strides)
        if len(self.strides) != self.num_stages:
            raise ConfigError(
                f"strides {self.strides} are for {len(self.strides)} stages, "
                f"but num_stages is {self.num_stages}; give one stride per stage"
            )
        # Before the tables of probabilities are built: they grow with the ranges.
        largest_mul = max(1, math.ceil(power2_uniform(*self.bot_mul, "bot_mul").values[-1]))
        largest = (self.width[1] + self.group_w[1]) * largest_mul
        check_countable(self.depth[1] * self.num_stages, largest, self.frame)
        _ = self.marginals  # refuses the ranges that it cannot use

    @property
    def name(self) -> str:
        """AnyNetX, or AnyNetXB to AnyNetXE."""
        return "AnyNetX" + self.space.removeprefix("A")

    @cached_property
    def ranges(self) -> AnyNetRanges:
        """What each stage's parameters are drawn from."""
        return AnyNetRanges(
            self.num_stages,
            self.depth,
            self.width,
            self.width_quantum,
            self.bot_mul,
            self.group_w,
            self.space,
            self.frame.has_groups,
        )

    @cached_property
    def frame(self) -> AnyNetFrame:
        """What all members of the space share."""
        return AnyNetFrame(
            self.strides,
            self.stem_type,
            self.stem_w,
            self.block_type,
            self.resolution,
            self.num_classes,
            self.head_w,
        )

    @property
    def marginals(self) -> dict[str, Marginal]:
        """Distributions of a stage's depth, width, bottleneck multiplier and group width.

        As drawn: widths and group widths before they are made to fit each other, and
        without the condition of an order.
        """
        return self.ranges.marginals

    def size(self) -> int:
        """Return the number of parameter combinations, before groups are made to fit."""
        return self.ranges.size()

    def draw(self, seed: int, start: int, count: int) -> dict[str, NDArray]:
        """Draw architectures number `start` to `start + count` of a seed's stream.

        Args:
            seed: a non-negative integer.
            start: number of the first draw.
            count: how many to draw, at least 1.

        Returns:
            depths, widths, bot_muls, group_ws (S x count arrays, groups made to fit) and
            flops, params, acts (count int64 each).
        """
        words = random_words(seed, start, count, self.ranges.words)
        depths, widths, bot_muls, group_ws = self.ranges.draw(words)
        inner = widths
        if self.frame.has_groups:
            adjusted = adjust_floats(
                widths.astype(np.float64), bot_muls, group_ws.astype(np.float64)
            )
            widths, group_ws, inner = (array.astype(np.int64) for array in adjusted)
        counts = count_stages(depths, widths, inner, group_ws, self.frame)
        drawn = dict(zip(STAGE_ARRAYS, (depths, widths, bot_muls, group_ws), strict=True))
        return drawn | dict(zip(METRICS, counts, strict=True))

    def sample(
        self,
        n: int,
        seed: int,
        flops: Sequence[float] | None = None,
        params: Sequence[float] | None = None,
        acts: Sequence[float] | None = None,
        max_draws: int | None = None,
        progress: Progress | None = None,
        where: Sequence[str] = (),
    ) -> Population:
        """Draw until n different architectures lie in a complexity regime.

        The result depends on the space, the seed, the bounds and the conditions only; a
        smaller n gives the beginning of a larger one. Architectures that are equal once
        their groups are made to fit are kept once, the first.

        Args:
            n: size of the population.
            seed: a non-negative integer.
            flops: (low, high), both included, at the space's resolution; None: any.
            params: the same for the number of parameters.
            acts: the same for the activations.
            max_draws: give up after so many draws; by default 20 million, or 20,000 a
                member if that is more.
            progress: called now and then with the members found and the draws made.
            where: conditions that all must hold, such as "depth.sum() <= 20"; their names
                are :data:`pycls.spaces.bounds.ROW_NAMES`.

        Raises:
            ConfigError: an argument cannot be used, or too few architectures were found.
        """
        regime = Regime({"flops": flops, "params": params, "acts": acts}, where)
        found = draw_in_regime(self.draw, n, seed, regime, max_draws, progress)
        provenance = Provenance.of(self, seed, regime, found)
        return Population(**found.rows, frame=self.frame, provenance=provenance)
