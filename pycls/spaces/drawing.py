"""The search of design spaces and sweeps, which draw until enough different rows are found.

Every draw is a function of what is drawn from, the seed and its own number only, so that results
depend neither on chunk sizes nor on how many processes share the work.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pycls.spaces.bounds import Bounds

# Draws handled at once: the arrays stay in the processor's caches. Results do not depend on it.
_CHUNK = 4096
Progress = Callable[[int, int], None]
Part = TypeVar("Part")


@dataclass(frozen=True)
class Provenance:
    """How a population was drawn; what it takes to draw it again.

    Attributes:
        space: the design space, a dataclass of its arguments.
        seed: the seed of the draws.
        bounds: {metric: (low, high)} of the complexity.
        drawn: architectures drawn until the last one was kept.
        accepted: those of them within the bounds and conditions.
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


@dataclass(frozen=True)
class Accepted(Generic[Part]):
    """The accepted draws of a chunk.

    Attributes:
        numbers: their numbers, counted from the first draw of the chunk.
        keys: of each what it is compared by; equal ones are kept once.
        keep: given places in `numbers`, returns what is kept of those draws.
    """

    numbers: NDArray[np.intp]
    keys: Iterable[Hashable]
    keep: Callable[[list[int]], Part]


@dataclass
class Found(Generic[Part]):
    """What a search found.

    Attributes:
        wanted: how many different draws were asked for.
        parts: what was kept, chunk by chunk.
        numbers: the numbers of the draws kept.
        drawn: draws until the last one was kept; all that were made if they were too few.
        accepted: how many of them were accepted.
    """

    wanted: int
    parts: list[Part] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    drawn: int = 0
    accepted: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_full(self) -> bool:
        """Whether as many were found as were asked for."""
        return len(self) >= self.wanted

    @property
    def duplicates(self) -> int:
        """Accepted draws that repeated an earlier one."""
        return self.accepted - len(self)

    def describe_failure(self, kind: str, bounds: Bounds, repeated: str, rejected: str) -> str:
        """Say why too few were found.

        Args:
            kind: what was searched for, in the plural.
            bounds: what accepted and rejected.
            repeated: what to do where nearly all that was accepted had been found before.
            rejected: what to do otherwise.
        """
        seen = bounds.describe()
        text = f"only {len(self):,} of {self.wanted:,} {kind} found in {self.drawn:,} draws"
        text += f"\n{seen}\n" if seen else "; "
        if self.accepted <= 10 * max(1, len(self)):
            return text + rejected
        return text + (
            f"the {self.accepted:,} accepted draws are the same {len(self):,} {kind} again and "
            f"again: {repeated}"
        )


def find_different(
    draw: Callable[[int, int], Accepted[Part]],
    wanted: int,
    limit: int,
    progress: Progress | None = None,
) -> Found[Part]:
    """Draw until enough different draws are accepted, or too many are made.

    The first of those that are equal is kept; a smaller `wanted` gives the beginning of a
    larger one.

    Args:
        draw: given the number of the first draw and how many, returns those accepted.
        wanted: how many to find, at least 1.
        limit: give up after so many draws.
        progress: called now and then with the draws kept and the draws made.
    """
    found: Found[Part] = Found(wanted)
    seen: set[Hashable] = set()
    while not found.is_full and found.drawn < limit:
        count = min(_CHUNK, limit - found.drawn)
        chunk = draw(found.drawn, count)
        new = []
        for place, key in enumerate(chunk.keys):
            found.accepted += 1
            if key not in seen:
                seen.add(key)
                new.append(place)
                if len(seen) == wanted:
                    break
        if new:
            found.parts.append(chunk.keep(new))
            found.numbers += (chunk.numbers[new] + found.drawn).tolist()
        found.drawn = found.numbers[-1] + 1 if found.is_full else found.drawn + count
        if progress is not None:
            progress(len(found), found.drawn)
    return found
