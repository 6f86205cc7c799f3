"""The AnyNetX design space and drawing populations from it (paper, section 4.1).

Every draw is a function of the space, the seed and its own number only: draw i reads
words i * k to (i + 1) * k of one random stream, so that results depend neither on chunk
sizes nor on how many processes share the work.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.sweep.anynet_count import (
    AnyNetFrame,
    adjust_floats,
    check_countable,
    check_int,
    count_stages,
)
from pycls.sweep.population import Population, Provenance
from pycls.sweep.regime import METRICS, Regime
from pycls.sweep.samplers import Marginal, log_uniform_int, power2_uniform

# Draws handled at once: the arrays stay in the processor's caches. Results do not depend on it.
_CHUNK = 4096
_DRAWN = ("depths", "widths", "bot_muls", "group_ws")


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

    def __post_init__(self) -> None:
        """Refuse a space that holds no networks.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        object.__setattr__(self, "num_stages", check_int("num_stages", self.num_stages, 1))
        for name in ("depth", "width", "bot_mul", "group_w"):
            value = getattr(self, name)
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise ConfigError(f"{name} is {value!r}, expected a pair (smallest, largest)")
            if name != "bot_mul":
                value = tuple(check_int(name, bound, 1) for bound in value)
            object.__setattr__(self, name, tuple(value))
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

    @cached_property
    def marginals(self) -> dict[str, Marginal]:
        """Distributions of a stage's depth, width, bottleneck multiplier and group width.

        As drawn: widths and group widths before they are made to fit each other.
        """
        marginals = {
            "depth": log_uniform_int(*self.depth, 1, "depth"),
            "width": log_uniform_int(*self.width, self.width_quantum, "width"),
            "bot_mul": power2_uniform(float(self.bot_mul[0]), float(self.bot_mul[1]), "bot_mul"),
            "group_w": power2_uniform(*self.group_w, "group_w"),
        }
        if not self.frame.has_groups:
            marginals |= {"bot_mul": Marginal([1.0], [1.0]), "group_w": Marginal([1], [1.0])}
        return marginals

    def size(self) -> int:
        """Return the number of parameter combinations, before groups are made to fit."""
        size = 1
        for marginal in self.marginals.values():
            size *= len(marginal)
        return size**self.num_stages

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
        words = self._words(seed, start, count)
        depths, widths, bot_muls, group_ws = (
            marginal.draw(part)
            for marginal, part in zip(self.marginals.values(), words, strict=True)
        )
        inner = widths
        if self.frame.has_groups:
            adjusted = adjust_floats(
                widths.astype(np.float64), bot_muls, group_ws.astype(np.float64)
            )
            widths, group_ws, inner = (array.astype(np.int64) for array in adjusted)
        counts = count_stages(depths, widths, inner, group_ws, self.frame)
        drawn = dict(zip(_DRAWN, (depths, widths, bot_muls, group_ws), strict=True))
        return drawn | dict(zip(METRICS, counts, strict=True))

    def _words(self, seed: int, start: int, count: int) -> NDArray[np.uint32]:
        """Return the random words of some draws, 4 x S x count."""
        per_draw = 2 * self.num_stages  # 64-bit words; each serves two parameters
        stream = np.random.PCG64(seed)
        stream.advance(start * per_draw)
        raw = stream.random_raw(count * per_draw).astype("<u8", copy=False)
        words = raw.view("<u4").reshape(count, 4, self.num_stages)
        return np.ascontiguousarray(words.transpose(1, 2, 0))

    def sample(
        self,
        n: int,
        seed: int,
        flops: Sequence[float] | None = None,
        params: Sequence[float] | None = None,
        acts: Sequence[float] | None = None,
        max_draws: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Population:
        """Draw until n different architectures lie in a complexity regime.

        The result depends on the space, the seed and the bounds only; a smaller n gives
        the beginning of a larger one. Architectures that are equal once their groups are
        made to fit are kept once, the first.

        Args:
            n: size of the population.
            seed: a non-negative integer.
            flops: (low, high), both included, at the space's resolution; None: any.
            params: the same for the number of parameters.
            acts: the same for the activations.
            max_draws: give up after so many draws; by default 20 million, or 20,000 a
                member if that is more.
            progress: called now and then with the members found and the draws made.

        Raises:
            ConfigError: an argument cannot be used, or too few architectures were found.
        """
        n = check_int("n", n, 1)
        seed = check_int("seed", seed, 0)
        limit = max(20_000_000, 20_000 * n) if max_draws is None else max_draws
        limit = check_int("max_draws", limit, 1)
        regime = Regime({"flops": flops, "params": params, "acts": acts})
        keeper = _Keeper(n)
        drawn = 0
        while not keeper.is_full and drawn < limit:
            count = min(_CHUNK, limit - drawn)
            chunk = self.draw(seed, drawn, count)
            inside = np.flatnonzero(regime.accept({name: chunk[name] for name in METRICS}))
            last = keeper.add({name: array[..., inside] for name, array in chunk.items()}, inside)
            drawn += count if last is None else last + 1
            if progress is not None:
                progress(len(keeper), drawn)
        if not keeper.is_full:
            raise ConfigError(_describe_failure(n, len(keeper), keeper.accepted, drawn, regime))
        provenance = Provenance(
            self, seed, regime.bounds, drawn, keeper.accepted, keeper.accepted - n
        )
        return Population(**keeper.rows(), frame=self.frame, provenance=provenance)


class _Keeper:
    """Keeps the first n different architectures of those accepted."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: set[bytes] = set()
        self._parts: list[dict[str, NDArray]] = []
        self.accepted = 0

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def is_full(self) -> bool:
        return len(self._seen) >= self._n

    def add(self, rows: dict[str, NDArray], numbers: NDArray[np.intp]) -> int | None:
        """Keep what is new, until full.

        Args:
            rows: arrays of accepted architectures, the last axis over them.
            numbers: their numbers among the draws of this chunk.

        Returns:
            The number of the draw that made it full; None if it is not.
        """
        rows = {name: np.ascontiguousarray(array.T) for name, array in rows.items()}
        keys = np.concatenate([rows[name].astype(np.float64) for name in _DRAWN], axis=1)
        new = []
        for i, key in enumerate(map(np.ndarray.tobytes, keys)):
            self.accepted += 1
            if key not in self._seen:
                self._seen.add(key)
                new.append(i)
                if self.is_full:
                    break
        self._parts.append({name: array[new] for name, array in rows.items()})
        return int(numbers[new[-1]]) if self.is_full else None

    def rows(self) -> dict[str, Any]:
        """Return the architectures kept, n x S and n arrays by name."""
        return {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }


def _describe_failure(n: int, kept: int, accepted: int, drawn: int, regime: Regime) -> str:
    """Say why fewer than n architectures were found."""
    text = f"only {kept:,} of {n:,} architectures found in {drawn:,} draws\n{regime.describe()}\n"
    if accepted > 10 * max(1, kept):
        return text + (
            f"the {accepted:,} accepted draws are the same {kept:,} architectures again and "
            "again: the space holds too few; widen its ranges or ask for fewer"
        )
    return text + (
        "widen the bounds, change the space (stem, strides, resolution, ranges) or raise max_draws"
    )
