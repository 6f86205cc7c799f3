"""The RegNetX design space (Radosavovic et al., 2020, section 3.3)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.spaces.arguments import check_int, check_pair
from pycls.spaces.design_space import DesignSpace
from pycls.spaces.distributions import Distribution
from pycls.spaces.extremes import Extremes, complexity_extremes
from pycls.spaces.population import Population
from pycls.spaces.regnet_ranges import REGNET_PARAMETERS, RegNetRanges
from pycls.spaces.regnet_stages import fit_stages, regnet_stages

_WIDEST = 1 << 18  # counts of wider networks might not fit 64-bit integers


@dataclass(frozen=True, kw_only=True)
class RegNetX(DesignSpace):
    """Networks whose block widths grow linearly and are quantised; see `RegNetSpec`.

    Ranges are closed; their distributions and quanta are those of pycls's regnet_sampler.

    Attributes:
        depth: fewest and most blocks in all, uniform.
        w_0: width of the first block, log-uniform, multiples of 8.
        w_a: growth of the width a block, log-uniform, multiples of 0.1.
        w_m: ratio of the widths of neighbouring stages, log-uniform, multiples of 0.001.
        group_w: group width: powers of two below 8, multiples of 8 (log-uniform) above.
        bot_mul: bottleneck multiplier, uniform over powers of two.
        stride: stride of each stage's first block.
    """

    stem_type: str = "simple_stem_in"
    stem_w: int = 32
    depth: tuple[int, int] = (12, 28)
    w_0: tuple[int, int] = (8, 256)
    w_a: tuple[float, float] = (8.0, 256.0)
    w_m: tuple[float, float] = (2.0, 3.0)
    group_w: tuple[int, int] = (8, 128)
    bot_mul: tuple[float, float] = (1.0, 1.0)
    stride: int = 2

    def __post_init__(self) -> None:
        """Refuse a space that holds no networks.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        for name in REGNET_PARAMETERS:
            object.__setattr__(self, name, check_pair(name, getattr(self, name), self.name))
        _ = self.ranges, self.frame(1)

    @cached_property
    def ranges(self) -> RegNetRanges:
        """What the parameters are drawn from."""
        return RegNetRanges({name: getattr(self, name) for name in REGNET_PARAMETERS}, self.name)

    @property
    def words(self) -> int:
        """64-bit random words a draw."""
        return self.ranges.words

    @property
    def marginals(self) -> dict[str, Distribution]:
        """Distributions of the six parameters, as drawn."""
        return self.ranges.marginals

    def strides_of(self, num_stages: int) -> tuple[int, ...]:
        """Return the stride of each stage of the members with so many stages."""
        return (check_int("stride", self.stride, 1),) * num_stages

    def extremes(self, num_stages: int) -> Extremes:
        """Return bounds of the members' complexity, wide ones: any stage may be any block's."""
        depth, w_m = int(self.depth[1]) - num_stages + 1, float(self.w_m[1])
        widest = (self.w_0[1] + self.w_a[1] * (self.depth[1] - 1)) * w_m**0.5 + 8
        if depth < 1 or self.bot_mul[1] > 1 or widest > _WIDEST:
            return {}
        # Fitting groups makes a bottleneck narrower by a fifth or wider by a third, at most.
        low, high = max(8, self.w_0[0] - 8) * 2 / 3 - 1, widest * 4 / 3 + 1
        w = (max(1, int(low)), int(high) + 1)
        inner = (max(1, int(low * self.bot_mul[0])), int(high * self.bot_mul[1]) + 1)
        g = (min(self.group_w[0], inner[0]), self.group_w[1])
        return complexity_extremes(self.frame(num_stages), (1, depth), w, inner, g)

    def drawn_parameters(self, population: Population) -> dict[str, NDArray]:
        """Return depth and bot_mul, which can be told from the stages."""
        return {"depth": population.cum_depth, "bot_mul": population.bot_muls[:, 0]}

    def draw_stages(self, words: NDArray[np.uint64]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Turn n x `words` random words into stages; see :class:`DesignSpace`."""
        row = self.ranges.draw(words)
        widths, depths = regnet_stages(row["w_a"], row["w_0"], row["w_m"], row["depth"])
        widths, group_ws = fit_stages(widths, row["bot_mul"], row["group_w"])
        exists = depths > 0
        if not self.has_groups:
            return depths, widths, np.where(exists, 1.0, 0.0), exists.astype(np.int64)
        return depths, widths, np.where(exists, row["bot_mul"], 0.0), group_ws

    def sample(self, n: int, seed: int, *, num_stages: Any = (4, 4), **others: Any) -> Population:
        """Draw as :meth:`DesignSpace.sample`, four stages where nothing else is said."""
        return super().sample(n, seed, num_stages=num_stages, **others)
