"""Drawing from a design space until enough different architectures lie in a regime.

Every draw is a function of the space, the seed and its own number only, so that results
depend neither on chunk sizes nor on how many processes share the work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.anynet_count import check_int
from pycls.spaces.bounds import Regime

# Draws handled at once: the arrays stay in the processor's caches. Results do not depend on it.
_CHUNK = 4096
Progress = Callable[[int, int], None]
# (seed, number of the first draw, how many) -> arrays by name, the last axis over the draws.
Draw = Callable[[int, int, int], dict[str, NDArray]]
STAGE_ARRAYS = ("depths", "widths", "bot_muls", "group_ws")


@dataclass(frozen=True)
class Provenance:
    """How a population was drawn; what it takes to draw it again.

    Attributes:
        space: the design space, a dataclass of its arguments.
        seed: the seed of the draws.
        bounds: {metric: (low, high)} of the complexity regime.
        drawn: architectures drawn until the last one was kept.
        accepted: those of them in the regime.
        duplicates: those accepted that repeated an earlier one and were left out.
        where: conditions beside the bounds.
    """

    space: Any
    seed: int
    bounds: Mapping[str, tuple[float, float]]
    drawn: int
    accepted: int
    duplicates: int
    where: tuple[str, ...] = ()

    @classmethod
    def of(cls, space: Any, seed: int, regime: "Regime", found: "Drawn") -> "Provenance":
        """Return the origin of what :func:`pycls.spaces.drawing.draw_in_regime` found."""
        duplicates = found.accepted - len(found.rows["flops"])
        return cls(
            space, seed, regime.bounds, found.drawn, found.accepted, duplicates, regime.where
        )


@dataclass(frozen=True)
class Drawn:
    """What a search for architectures found.

    Attributes:
        rows: n x S and n arrays by name.
        drawn: draws until the last one was kept.
        accepted: those of them in the regime.
    """

    rows: dict[str, Any]
    drawn: int
    accepted: int


def draw_in_regime(
    draw: Draw,
    n: int,
    seed: int,
    regime: Regime,
    max_draws: int | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """Draw until n different architectures lie in a regime.

    A smaller n gives the beginning of a larger one. Equal architectures are kept once, the
    first.

    Args:
        draw: draws architectures by number; see :data:`Draw`.
        n: how many to find.
        seed: a non-negative integer.
        regime: accepts or rejects.
        max_draws: give up after so many; by default 20 million, or 20,000 an architecture
            if that is more.
        progress: called now and then with the architectures found and the draws made.

    Raises:
        ConfigError: an argument cannot be used, or too few architectures were found.
    """
    n = check_int("n", n, 1)
    seed = check_int("seed", seed, 0)
    limit = max(20_000_000, 20_000 * n) if max_draws is None else max_draws
    limit = check_int("max_draws", limit, 1)
    keeper = _Keeper(n)
    drawn = 0
    while not keeper.is_full and drawn < limit:
        count = min(_CHUNK, limit - drawn)
        chunk = draw(seed, drawn, count)
        inside = np.flatnonzero(regime.accept(_columns(chunk, regime)))
        last = keeper.add({name: array[..., inside] for name, array in chunk.items()}, inside)
        drawn += count if last is None else last + 1
        if progress is not None:
            progress(len(keeper), drawn)
    if not keeper.is_full:
        raise ConfigError(describe_failure(n, len(keeper), keeper.accepted, drawn, regime))
    return Drawn(keeper.rows(), drawn, keeper.accepted)


def _columns(chunk: Mapping[str, NDArray], regime: Regime) -> dict[str, NDArray]:
    """Return what the regime asks for under the names of a population's table."""
    columns = {name: array for name, array in chunk.items() if array.ndim == 1}
    if "cum_depth" in regime.names:
        columns["cum_depth"] = chunk["depths"].sum(axis=0)
    if "cum_width" in regime.names:
        columns["cum_width"] = chunk["widths"].sum(axis=0)
    for array in STAGE_ARRAYS:
        if (name := array.removesuffix("s")) in regime.names:
            columns[name] = chunk[array].T
    return columns


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
        keys = np.concatenate([rows[name].astype(np.float64) for name in STAGE_ARRAYS], axis=1)
        new = []
        for i, key in enumerate(map(np.ndarray.tobytes, keys)):
            self.accepted += 1
            if key not in self._seen:
                self._seen.add(key)
                new.append(i)
                if self.is_full:
                    break
        if new:
            self._parts.append({name: array[new] for name, array in rows.items()})
        return int(numbers[new[-1]]) if self.is_full else None

    def rows(self) -> dict[str, Any]:
        """Return the architectures kept, n x S and n arrays by name."""
        return {
            name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]
        }


def describe_failure(n: int, kept: int, accepted: int, drawn: int, regime: Regime) -> str:
    """Say why fewer than n architectures were found.

    Args:
        n: how many were wanted.
        kept: how many different ones were found.
        accepted: draws in the regime.
        drawn: draws made.
        regime: what rejected the others.
    """
    text = f"only {kept:,} of {n:,} architectures found in {drawn:,} draws\n{regime.describe()}\n"
    if accepted > 10 * max(1, kept):
        return text + (
            f"the {accepted:,} accepted draws are the same {kept:,} architectures again and "
            "again: the space holds too few; widen its ranges or ask for fewer"
        )
    return text + (
        "widen the bounds, change the space (stem, strides, resolution, ranges) or raise max_draws"
    )
