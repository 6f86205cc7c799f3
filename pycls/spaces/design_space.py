"""The base of all design spaces: architectures by the number of their draw, and populations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import AnyNetFrame, count_stages
from pycls.spaces.arguments import check_int
from pycls.spaces.bounds import METRICS, STAGE_ARRAYS, Bounds
from pycls.spaces.distributions import Distribution
from pycls.spaces.drawing import Accepted, Progress, Provenance, find_different
from pycls.spaces.extremes import Extremes
from pycls.spaces.marginal import random_words
from pycls.spaces.population import Population


@dataclass(frozen=True, kw_only=True)
class DesignSpace(ABC):
    """A stem, stages of equal residual blocks, and a head, of which a space draws the stages.

    A space is a dataclass that adds its own arguments, and refuses those that hold no networks
    when it is made.

    Attributes:
        stem_type: `res_stem_cifar`, `res_stem_in` or `simple_stem_in`.
        stem_w: width of the stem, in channels.
        block_type: a block type of the config's ANYNET.BLOCK_TYPE.
        resolution: height and width of the input, in pixels.
        num_classes: number of classes.
        head_w: width of the head's convolution; 0 for none.
    """

    stem_type: str = "res_stem_in"
    stem_w: int = 64
    block_type: str = "res_bottleneck_block"
    resolution: int = 224
    num_classes: int = 1000
    head_w: int = 0

    @property
    @abstractmethod
    def words(self) -> int:
        """64-bit random words a draw."""

    @property
    @abstractmethod
    def marginals(self) -> Mapping[str, Distribution]:
        """The distribution of each parameter as drawn, before groups are made to fit."""

    @abstractmethod
    def strides_of(self, num_stages: int) -> Sequence[int]:
        """Return the stride of each stage of the members with so many stages."""

    @abstractmethod
    def draw_stages(self, words: NDArray[np.uint64]) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """Turn random words into stages.

        Args:
            words: n x `words`.

        Returns:
            depths, widths, bot_muls and group_ws: S x n arrays, groups made to fit; 0 in the
            stages that an architecture does not have.
        """

    @property
    def name(self) -> str:
        """The space's name."""
        return type(self).__name__

    @property
    def restriction(self) -> str:
        """How it differs from the space that it restricts; empty if it restricts none."""
        return ""

    @property
    def num_stages(self) -> int | None:
        """Number of stages of all members; None where they differ in it."""
        return None

    @property
    def has_groups(self) -> bool:
        """Whether the blocks have a bottleneck and groups."""
        return self.frame(self.num_stages or 1).has_groups

    def frame(self, num_stages: int) -> AnyNetFrame:
        """Return what all members with so many stages share."""
        return make_from(AnyNetFrame, self, strides=self.strides_of(num_stages))

    def size(self) -> int:
        """Return the number of parameter combinations, before groups are made to fit."""
        return prod(len(marginal) for marginal in self.marginals.values())

    def described_marginals(self) -> Mapping[str, Distribution]:
        """Return the distributions by the names under which a description lists them."""
        return self.marginals

    def drawn_parameters(self, population: Population) -> dict[str, NDArray]:
        """Return a population's values of those described parameters that its stages tell."""
        return {}

    def extremes(self, num_stages: int) -> Extremes:
        """Return {metric: (low, high)} outside of which no member with so many stages lies.

        Empty where that is not known before networks are drawn.
        """
        return {}

    def draw(self, seed: int, start: int, count: int) -> dict[str, NDArray]:
        """Draw architectures number `start` to `start + count` of a seed's stream.

        Every draw is a function of the space, the seed and its own number only.

        Args:
            seed: a non-negative integer.
            start: number of the first draw.
            count: how many to draw, at least 1.

        Returns:
            depths, widths, bot_muls, group_ws (S x count arrays, groups made to fit; 0 in the
            stages that an architecture does not have) and flops, params, acts, and num_stages
            where the members differ in it (count int64 each).
        """
        stages = self.draw_stages(random_words(seed, start, count, self.words))
        counts = count_stages(*stages, self.frame(len(stages[0])))
        drawn = dict(zip((*STAGE_ARRAYS, *METRICS), (*stages, *counts), strict=True))
        if self.num_stages is None:
            drawn["num_stages"] = np.count_nonzero(stages[0], axis=0)
        return drawn

    def sample(
        self,
        n: int,
        seed: int,
        *,
        flops: Sequence[float] | None = None,
        params: Sequence[float] | None = None,
        acts: Sequence[float] | None = None,
        num_stages: Sequence[int] | None = None,
        max_draws: int | None = None,
        progress: Progress | None = None,
        where: Sequence[str] = (),
    ) -> Population:
        """Draw until n different architectures lie within bounds on their complexity.

        The result depends on the space, the seed, the bounds and the conditions only; a
        smaller n gives the beginning of a larger one. Architectures that are equal once
        their groups are made to fit are kept once, the first.

        Args:
            n: size of the population.
            seed: a non-negative integer.
            flops: (low, high), both included, at the space's resolution; None: any.
            params: the same for the number of parameters.
            acts: the same for the activations.
            num_stages: (low, high), which must be equal: the rows of a population have one
                number of stages. None where all members of the space have the same.
            max_draws: give up after so many draws; by default 20 million, or 20,000 a
                member if that is more.
            progress: called now and then with the members found and the draws made.
            where: conditions that all must hold, such as "depth.sum() <= 20"; their names
                are :data:`pycls.spaces.bounds.ROW_NAMES`.

        Raises:
            ConfigError: an argument cannot be used, no member of the space lies within the
                bounds, or too few architectures were found.
        """
        limits = {"flops": flops, "params": params, "acts": acts, "num_stages": num_stages}
        bounds = Bounds(limits, where)
        stages = self._check_stages(num_stages)
        self._check_reachable(bounds, stages)
        n = check_int("n", n, 1)
        seed = check_int("seed", seed, 0)
        limit = max(20_000_000, 20_000 * n) if max_draws is None else max_draws
        limit = check_int("max_draws", limit, 1)

        def draw(start: int, count: int) -> Accepted[dict[str, NDArray]]:
            drawn = self.draw(seed, start, count)
            if self.num_stages is None:
                drawn |= {name: _cut_stages(drawn[name], stages) for name in STAGE_ARRAYS}
            return _accept(drawn, bounds)

        found = find_different(draw, n, limit, progress)
        if not found.is_full:
            problem = found.describe_failure(
                "architectures",
                bounds,
                repeated="the space holds too few; widen its ranges or ask for fewer",
                rejected="widen the bounds, change the space (stem, strides, resolution, ranges) "
                "or raise max_draws",
            )
            raise ConfigError(problem)
        arrays: dict[str, Any] = {
            name: np.concatenate([part[name] for part in found.parts]) for name in found.parts[0]
        }
        counts = (found.drawn, found.accepted, found.duplicates)
        provenance = Provenance(self, seed, bounds.limits, *counts, bounds.where)
        return Population(**arrays, frame=self.frame(stages), provenance=provenance)

    def _check_reachable(self, bounds: Bounds, stages: int) -> None:
        """Refuse bounds that no member of the space can meet, before any is drawn."""
        for name, (least, most) in self.extremes(stages).items():
            low, high = bounds.limits.get(name, (least, most))
            if low > most or high < least:
                side = f"more than {least:,}" if high < least else f"less than {most:,}"
                raise ConfigError(
                    f"{name} [{low:,g}, {high:,g}]: no network of this space has so "
                    f"{'few' if high < least else 'many'}; all have {side} (at {self.resolution} x "
                    f"{self.resolution} pixels and {self.num_classes} classes); change the bounds, "
                    "or the space (stem, strides, resolution, ranges)"
                )

    def _check_stages(self, num_stages: Sequence[int] | None) -> int:
        """Return the number of stages that all members of a population have."""
        if self.num_stages is not None:
            if num_stages is not None:
                raise ConfigError(
                    f"num_stages is {num_stages}, but all of {self.name} have {self.num_stages} "
                    "stages; leave it out"
                )
            return self.num_stages
        if num_stages is None or num_stages[0] != num_stages[1]:
            raise ConfigError(
                f"num_stages is {num_stages}; expected one number twice, such as (4, 4), "
                "since the rows of a population have one number of stages"
            )
        return check_int("num_stages", num_stages[0], 1)


def make_from(kind: type, source: Any, **others: Any) -> Any:
    """Return an instance of a dataclass whose fields are those of `source` but for `others`."""
    names = (field.name for field in fields(kind) if field.name not in others)
    return kind(**{name: getattr(source, name) for name in names}, **others)


def _cut_stages(array: NDArray, stages: int) -> NDArray:
    """Return an S x n array with so many stages, zeros in those that are missing."""
    few = array[:stages]
    return np.pad(few, ((0, stages - len(few)), (0, 0)))


def _accept(drawn: Mapping[str, NDArray], bounds: Bounds) -> Accepted[dict[str, NDArray]]:
    """Return those of a chunk of draws that lie within bounds, n x S and n arrays."""
    inside = np.flatnonzero(bounds.accept(_named_columns(drawn, bounds)))
    rows = {
        name: np.ascontiguousarray(drawn[name][..., inside].T) for name in (*STAGE_ARRAYS, *METRICS)
    }
    keys = np.concatenate([rows[name].astype(np.float64) for name in STAGE_ARRAYS], axis=1)
    return Accepted(
        inside,
        map(np.ndarray.tobytes, keys),
        lambda new: {name: array[new] for name, array in rows.items()},
    )


def _named_columns(drawn: Mapping[str, NDArray], bounds: Bounds) -> dict[str, NDArray]:
    """Return what the bounds ask for under the names of a population's table."""
    columns = {name: array for name, array in drawn.items() if array.ndim == 1}
    for name in ("depth", "width"):
        if f"cum_{name}" in bounds.names:
            columns[f"cum_{name}"] = drawn[f"{name}s"].sum(axis=0)
    for array in STAGE_ARRAYS:
        if (name := array.removesuffix("s")) in bounds.names:
            columns[name] = drawn[array].T
    return columns
