"""A population: architectures drawn from a design space, one row each."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls import files
from pycls.errors import ConfigError
from pycls.spaces.anynet_count import AnyNetFrame
from pycls.spaces.bounds import COUNT_COLUMNS, METRICS, STAGE_ARRAYS, STAGE_COLUMNS
from pycls.spaces.drawing import Provenance

FRAME_COLUMNS = (
    "stem_type",
    "stem_w",
    "block_type",
    "head_w",
    "strides",
    "resolution",
    "num_classes",
)
_ARRAYS = (*STAGE_ARRAYS, *METRICS)


@dataclass(frozen=True)
class Architecture:
    """One member of a population.

    Attributes:
        arch: its id.
        depths: blocks of each stage.
        widths: channels of each stage.
        bot_muls: bottleneck multiplier of each stage.
        group_ws: group width of each stage.
        flops: multiply-adds at the frame's resolution.
        params: learnable parameters.
        acts: output elements of convolutions, max pooling and linear layers.
        frame: stem, block, strides, head, resolution and classes.
    """

    arch: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    bot_muls: tuple[float, ...]
    group_ws: tuple[int, ...]
    flops: int
    params: int
    acts: int
    frame: AnyNetFrame

    @property
    def cum_depth(self) -> int:
        """Sum of the stages' depths (paper, Figure 7A)."""
        return sum(self.depths)

    @property
    def cum_width(self) -> int:
        """Sum of the stages' widths (paper, Figure 7B)."""
        return sum(self.widths)

    def overrides(self) -> list[Any]:
        """Return the config's keys and values, alternating, that build this network.

        Resolution and classes are left out: they are the data set's.
        """
        has_groups = self.frame.has_groups
        settings = {
            "MODEL.TYPE": "anynet",
            "ANYNET.STEM_TYPE": self.frame.stem_type,
            "ANYNET.STEM_W": self.frame.stem_w,
            "ANYNET.BLOCK_TYPE": self.frame.block_type,
            "ANYNET.DEPTHS": list(self.depths),
            "ANYNET.WIDTHS": list(self.widths),
            "ANYNET.STRIDES": list(self.frame.strides),
            "ANYNET.BOT_MULS": list(self.bot_muls) if has_groups else [],
            "ANYNET.GROUP_WS": list(self.group_ws) if has_groups else [],
            "ANYNET.HEAD_W": self.frame.head_w,
        }
        return [item for pair in settings.items() for item in pair]


@dataclass(frozen=True, eq=False, repr=False)
class Population:
    """Architectures of one frame, in the order drawn.

    Attributes:
        depths, widths, bot_muls, group_ws: n x S arrays, int64 but for bot_muls (float64).
        flops, params, acts: n int64 each, at the frame's resolution.
        frame: stem, block, strides, head, resolution and classes.
        ids: n names, unique.
        provenance: how it was drawn; None if it was read from a file.
    """

    depths: NDArray[np.int64]
    widths: NDArray[np.int64]
    bot_muls: NDArray[np.float64]
    group_ws: NDArray[np.int64]
    flops: NDArray[np.int64]
    params: NDArray[np.int64]
    acts: NDArray[np.int64]
    frame: AnyNetFrame
    ids: tuple[str, ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        n = len(self.flops)
        for name in _ARRAYS:
            array = getattr(self, name)
            expected = (n, self.frame.num_stages) if array.ndim == 2 else (n,)
            if array.shape != expected:
                raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
            array = array.view()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "ids", tuple(self.ids) or make_ids(n))
        if len(set(self.ids)) != n:
            raise ValueError(f"{len(set(self.ids))} different ids for {n} architectures")

    def __repr__(self) -> str:
        cost = ""
        if len(self):
            low, high = (f"{x / 1e6:,.4g}" for x in (self.flops.min(), self.flops.max()))
            cost = f", {low} to {high} MF"
        resolution = self.frame.resolution
        return (
            f"Population({len(self)} architectures of {self.frame.num_stages} stages{cost} at "
            f"{resolution} x {resolution})"
        )

    def __len__(self) -> int:
        return len(self.flops)

    def __iter__(self) -> Iterator[Architecture]:
        return (self.row(i) for i in range(len(self)))

    @property
    def num_stages(self) -> int:
        """Number of stages of every member."""
        return self.frame.num_stages

    @property
    def cum_depth(self) -> NDArray[np.int64]:
        """Sum of the stages' depths, n int64 (paper, Figure 7A)."""
        return self.depths.sum(axis=1)

    @property
    def cum_width(self) -> NDArray[np.int64]:
        """Sum of the stages' widths, n int64 (paper, Figure 7B)."""
        return self.widths.sum(axis=1)

    def row(self, index: int) -> Architecture:
        """Return one member.

        Raises:
            IndexError: there is none of that index.
        """
        values: dict[str, Any] = {name: getattr(self, name)[index].tolist() for name in _ARRAYS}
        values |= {name: tuple(values[name]) for name in STAGE_ARRAYS}
        return Architecture(self.ids[index], **values, frame=self.frame)

    @staticmethod
    def concatenate(parts: Mapping[str, "Population"]) -> "Population":
        """Return the members of several populations one after the other.

        Args:
            parts: {name: population}, at least one; a member's new id is its part's name, a
                hyphen and its number there, such as `AnyNetXE-0007`.

        Raises:
            ConfigError: the populations do not share stem, strides, block and the like, or
                a name cannot be a part of an id.
        """
        if not parts:
            raise ConfigError("no population to join; expected at least one")
        populations = list(parts.values())
        frame = populations[0].frame
        for name, part in parts.items():
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
                raise ConfigError(
                    f"population '{name}': its name begins the ids of its members; expected "
                    "letters, digits, '.', '_' and '-', a letter or digit first"
                )
            for field in FRAME_COLUMNS:
                mine, first = getattr(part.frame, field), getattr(frame, field)
                if mine != first:
                    raise ConfigError(
                        f"population '{name}': {field} is {mine}, but {first} in "
                        f"'{next(iter(parts))}'; only architectures that share it can be in "
                        "one population"
                    )
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in populations]) for name in _ARRAYS
        }
        ids = [id_ for name, part in parts.items() for id_ in make_ids(len(part), f"{name}-")]
        return Population(**arrays, frame=frame, ids=tuple(ids))

    def to_csv_text(self) -> str:
        r"""Return the table: a header and one self-contained row a member, `\n` line ends."""
        counts = [getattr(self, name).tolist() for name in COUNT_COLUMNS]
        stages = [column.tolist() for name in STAGE_ARRAYS for column in getattr(self, name).T]
        columns = zip(self.ids, *counts, *stages, strict=True)
        rows = ((*row, *frame_cells(self.frame)) for row in columns)
        return files.csv_text([csv_columns(self.num_stages), *rows])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table atomically; the same population gives the same bytes."""
        files.write_text(path, self.to_csv_text())


def make_ids(n: int, prefix: str = "a") -> tuple[str, ...]:
    """Return n ids, a0000 onwards (with another prefix, that one), of equal width."""
    digits = max(4, len(str(n - 1)))
    return tuple(f"{prefix}{i:0{digits}d}" for i in range(n))


def csv_columns(num_stages: int) -> list[str]:
    """Return the names of the table's columns, in order."""
    stages = [f"{name}_{i + 1}" for name in STAGE_COLUMNS for i in range(num_stages)]
    return ["arch", *COUNT_COLUMNS, *stages, *FRAME_COLUMNS]


def frame_cells(frame: AnyNetFrame) -> list[str | int]:
    """Return the cells of FRAME_COLUMNS."""
    return [
        "-".join(map(str, frame.strides)) if name == "strides" else getattr(frame, name)
        for name in FRAME_COLUMNS
    ]
