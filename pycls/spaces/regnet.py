"""The RegNetX design space (Radosavovic et al., 2020, section 3.3) and its populations."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import AnyNetFrame, check_int
from pycls.spaces.bounds import METRICS, Regime
from pycls.spaces.distributions import Distribution
from pycls.spaces.drawing import STAGE_ARRAYS, Progress, Provenance, draw_in_regime
from pycls.spaces.marginal import random_words
from pycls.spaces.population import Population
from pycls.spaces.regnet_count import count_ragged, fit_stages, regnet_stages
from pycls.spaces.regnet_ranges import REGNET_PARAMETERS, RegNetRanges, read_pair

_RANGES = {"DEPTH": "depth", "W0": "w_0", "WA": "w_a", "WM": "w_m"}


@dataclass(frozen=True)
class RegNetX:
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
        stem_type, stem_w, block_type, resolution, num_classes, head_w: as in
            :class:`pycls.spaces.anynet.AnyNetX`.
    """

    depth: tuple[int, int] = (12, 28)
    w_0: tuple[int, int] = (8, 256)
    w_a: tuple[float, float] = (8.0, 256.0)
    w_m: tuple[float, float] = (2.0, 3.0)
    group_w: tuple[int, int] = (8, 128)
    bot_mul: tuple[float, float] = (1.0, 1.0)
    stride: int = 2
    stem_type: str = "simple_stem_in"
    stem_w: int = 32
    block_type: str = "res_bottleneck_block"
    resolution: int = 224
    num_classes: int = 1000
    head_w: int = 0

    name = "RegNetX"

    def __post_init__(self) -> None:
        """Refuse a space that holds no networks.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        for name in self._range_names().values():
            pair = read_pair({name: getattr(self, name)}, name, None, self.name)
            object.__setattr__(self, name, pair)
        _ = self.sampler, self.frame(1)

    @staticmethod
    def _range_names() -> dict[str, str]:
        """Return {parameter of the sampler: attribute that holds its range}."""
        return {key: _RANGES.get(key, key.lower()) for key in REGNET_PARAMETERS}

    @cached_property
    def sampler(self) -> RegNetRanges:
        """What draws the parameters."""
        ranges = {key: getattr(self, name) for key, name in self._range_names().items()}
        return RegNetRanges(ranges, self.name)

    @property
    def marginals(self) -> dict[str, Distribution]:
        """Distributions of the six parameters, as drawn."""
        names = self._range_names().values()
        return dict(zip(names, self.sampler.marginals().values(), strict=True))

    def frame(self, num_stages: int) -> AnyNetFrame:
        """Return what all members with so many stages share."""
        stride = check_int("stride", self.stride, 1)
        shared = {f.name: getattr(self, f.name) for f in fields(AnyNetFrame) if f.name != "strides"}
        return AnyNetFrame((stride,) * num_stages, **shared)

    def size(self) -> int:
        """Return the number of parameter combinations."""
        return prod(len(marginal) for marginal in self.marginals.values())

    def draw_parameters(self, seed: int, start: int, count: int) -> dict[str, NDArray]:
        """Draw depth, w_0, w_a, w_m, group_w and bot_mul, `count` values each."""
        drawn = self.sampler.draw(random_words(seed, start, count, self.sampler.words))
        return dict(zip(self._range_names().values(), drawn.values(), strict=True))

    def draw(self, seed: int, start: int, count: int) -> dict[str, NDArray]:
        """Draw architectures number `start` to `start + count` of a seed's stream.

        Args:
            seed: a non-negative integer.
            start: number of the first draw.
            count: how many to draw, at least 1.

        Returns:
            depths, widths, bot_muls, group_ws (S x count arrays, groups made to fit; 0 in the
            stages that an architecture does not have) and flops, params, acts, num_stages
            (count int64 each).
        """
        row = self.draw_parameters(seed, start, count)
        widths, depths = regnet_stages(row["w_a"], row["w_0"], row["w_m"], row["depth"])
        widths, group_ws, inner = fit_stages(widths, row["bot_mul"], row["group_w"])
        frame = self.frame(len(widths))
        counts = count_ragged(depths, widths, inner, group_ws, frame)
        bot_muls = np.where(depths > 0, row["bot_mul"], 0.0)
        if not frame.has_groups:
            bot_muls, group_ws = (np.where(depths > 0, one, 0) for one in (1.0, 1))
        drawn = dict(zip(STAGE_ARRAYS, (depths, widths, bot_muls, group_ws), strict=True))
        drawn |= dict(zip(METRICS, counts, strict=True))
        return drawn | {"num_stages": np.count_nonzero(depths, axis=0)}

    def sample(
        self,
        n: int,
        seed: int,
        flops: Sequence[float] | None = None,
        params: Sequence[float] | None = None,
        acts: Sequence[float] | None = None,
        num_stages: Sequence[int] = (4, 4),
        max_draws: int | None = None,
        progress: Progress | None = None,
        where: Sequence[str] = (),
    ) -> Population:
        """Draw until n different architectures of one number of stages lie in a regime.

        Parameters that give the same stages are kept once, the first.

        Args:
            n: size of the population.
            seed: a non-negative integer.
            flops: (low, high), both included, at the space's resolution; None: any.
            params: the same for the number of parameters.
            acts: the same for the activations.
            num_stages: (low, high), which must be equal: the rows of a population have one
                number of stages.
            max_draws: as in :meth:`pycls.spaces.anynet.AnyNetX.sample`.
            progress: likewise.
            where: likewise.

        Raises:
            ConfigError: an argument cannot be used, or too few architectures were found.
        """
        bounds = {"flops": flops, "params": params, "acts": acts, "num_stages": num_stages}
        regime = Regime(bounds, where)
        least, most = regime.bounds.get("num_stages", (None, None))
        if least is None or least != most:
            raise ConfigError(
                f"num_stages is {num_stages}; expected one number twice, such as (4, 4), "
                "since the rows of a population have one number of stages"
            )
        stages = check_int("num_stages", least, 1)

        def draw(seed: int, start: int, count: int) -> dict[str, NDArray]:
            drawn = self.draw(seed, start, count)
            for name in STAGE_ARRAYS:
                few = drawn[name][:stages]
                drawn[name] = np.pad(few, ((0, stages - len(few)), (0, 0)))
            return drawn

        found = draw_in_regime(draw, n, seed, regime, max_draws, progress)
        provenance = Provenance.of(self, seed, regime, found)
        rows = {name: array for name, array in found.rows.items() if name != "num_stages"}
        return Population(**rows, frame=self.frame(stages), provenance=provenance)
