"""The reader of a population's table, written by the sampler or by hand; it checks every row."""

import csv
import io
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls import files
from pycls.errors import ConfigError
from pycls.spaces.anynet_count import (
    AnyNetFrame,
    bottleneck_widths,
    count_stages,
    groups_misfit,
    make_compatible,
)
from pycls.spaces.bounds import COUNT_COLUMNS, METRICS, STAGE_ARRAYS, STAGE_COLUMNS
from pycls.spaces.population import FRAME_COLUMNS, Population, csv_columns

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_INT = 2**40


def read_population(path: str | os.PathLike[str]) -> Population:
    """Read a table written by :meth:`Population.to_csv` or by hand.

    The columns flops, params, acts, cum_depth and cum_width may be left out; where they are
    given, they must agree with what the rows build.

    Raises:
        ConfigError: names file, line, column, what is wrong and what was expected.
    """
    return population_of(PopulationTable(Path(path), read_rows(Path(path))))


def population_of(table: "PopulationTable") -> Population:
    """Return the population of a table's cells; see :func:`read_population`."""
    ids = table.parse("arch", parse_id)
    refuse_duplicates(table, ids)
    frame = _read_frame(table)
    depths, widths, bot_muls, group_ws = stages = tuple(
        np.array([table.parse(f"{name}_{i + 1}", parse) for i in range(frame.num_stages)])
        for name, parse in zip(
            STAGE_COLUMNS, (_parse_size, _parse_size, _parse_positive, _parse_size), strict=True
        )
    )
    _check_groups(table, frame, widths, bot_muls, group_ws)
    try:
        flops, params, acts = count_stages(depths, widths, bot_muls, group_ws, frame)
    except ConfigError as error:
        raise ConfigError(f"{table.path}: {error}") from None
    computed = (flops, params, acts, depths.sum(axis=0), widths.sum(axis=0))
    _check_counts(table, dict(zip(COUNT_COLUMNS, computed, strict=True)))
    arrays: dict[str, Any] = dict(zip(METRICS, (flops, params, acts), strict=True))
    for name, array in zip(STAGE_ARRAYS, stages, strict=True):
        arrays[name] = np.ascontiguousarray(array.T)
    return Population(**arrays, frame=frame, ids=tuple(ids))


class PopulationTable:
    """The cells of a CSV file by column, with the lines they stand on."""

    def __init__(
        self, path: Path, rows: Sequence[tuple[int, list[str]]], *, is_checked: bool = True
    ) -> None:
        """Check that rows are as long as the header, and unless told not to, its names."""
        self.path = path
        if not rows:
            raise ConfigError(f"{path}: the file is empty, expected a header and rows")
        (_, header), body = rows[0], rows[1:]
        self.header = [name.strip() for name in header]
        if is_checked:
            self._check_header()
        if not body:
            raise ConfigError(f"{path}: no row follows the header, expected one an architecture")
        for line, row in body:
            if len(row) != len(header):
                raise ConfigError(
                    f"{path}, line {line}: {len(row)} cells, expected {len(header)} as in the "
                    "header; is the line cut short?"
                )
        self.lines = [line for line, _ in body]
        self._columns = dict(
            zip(self.header, zip(*(row for _, row in body), strict=True), strict=True)
        )

    def _check_header(self) -> None:
        """Refuse a header with repeated, missing or unknown columns."""
        repeated = sorted({name for name in self.header if self.header.count(name) > 1})
        if repeated:
            raise ConfigError(f"{self.path}, line 1: column '{repeated[0]}' occurs twice")
        stages = [re.fullmatch(r"depth_([1-9]\d{0,3})", name) for name in self.header]
        num_stages = max((int(match[1]) for match in stages if match), default=1)
        known = csv_columns(num_stages)
        missing = [name for name in known if name not in {*self.header, *COUNT_COLUMNS}]
        unknown = [name for name in self.header if name not in known]
        if missing or unknown:
            hint = "; columns are separated by commas" if len(self.header) == 1 else ""
            if "network" in unknown:
                hint = "; networks of timm and torchvision are for studies and tools/time_net.py"
            raise ConfigError(
                f"{self.path}, line 1: "
                + "; ".join(
                    f"{word} column{'s' if len(names) > 1 else ''} {', '.join(names)}"
                    for word, names in (("missing", missing), ("unknown", unknown))
                    if names
                )
                + f" (expected {', '.join(known)}; {', '.join(COUNT_COLUMNS)} may be left "
                f"out){hint}"
            )

    def __contains__(self, column: str) -> bool:
        return column in self._columns

    def parse(self, column: str, parse: Callable[[str], Any]) -> list[Any]:
        """Return a column's values; a ValueError of `parse` says what was expected."""
        values = []
        for line, cell in zip(self.lines, self._columns[column], strict=True):
            try:
                values.append(parse(cell.strip()))
            except ValueError as error:
                raise ConfigError(f"{self.where(line, column)}: '{cell}' is not {error}") from None
        return values

    def where(self, line: int, column: str) -> str:
        """Name a cell for a message."""
        return f"{self.path}, line {line}, column '{column}'"


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the rows that are not blank with the numbers of their lines."""
    # A spreadsheet may have put a byte-order mark in front.
    text = files.read_text(path, "CSV", "utf-8-sig")
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from None


def parse_id(text: str) -> str:
    """Return an architecture's name; a ValueError says what was expected."""
    if not _ID.fullmatch(text):
        raise ValueError("an id (letters, digits, '.', '_' and '-', a letter or digit first)")
    return text


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ValueError("an integer")
    return int(text)


def _parse_size(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,13}", text) or not 1 <= int(text) <= _MAX_INT:
        raise ValueError("a positive integer")
    return int(text)


def _parse_positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 2.0**-20 <= value <= 2.0**20 or "_" in text:
        raise ValueError("a positive number (a multiplier such as 0.25, 0.5 or 1)")
    return value


def _parse_strides(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})*", text):
        raise ValueError("the stages' strides joined by '-', such as 1-2-2-2")
    return tuple(map(int, text.split("-")))


def _read_frame(table: PopulationTable) -> AnyNetFrame:
    """Return what the rows share; they must agree."""
    parsers: dict[str, Callable[[str], Any]] = dict.fromkeys(FRAME_COLUMNS, _parse_int)
    parsers |= {"stem_type": str, "block_type": str, "strides": _parse_strides}
    shared = {}
    for column, parse in parsers.items():
        values = table.parse(column, parse)
        for line, value in zip(table.lines, values, strict=True):
            if value != values[0]:
                raise ConfigError(
                    f"{table.where(line, column)}: {_show(value)} differs from "
                    f"{_show(values[0])} on line {table.lines[0]}; architectures of one "
                    "population share it, so put the others into a file of their own"
                )
        shared[column] = values[0]
    try:
        frame = AnyNetFrame(**shared)
    except ConfigError as error:
        raise ConfigError(f"{table.path}, line {table.lines[0]}: {error}") from None
    num_stages = sum(name.startswith("depth_") for name in table.header)
    if frame.num_stages != num_stages:
        raise ConfigError(
            f"{table.where(table.lines[0], 'strides')}: {_show(frame.strides)} is for "
            f"{frame.num_stages} stages, but the columns depth_1 to depth_{num_stages} are for "
            f"{num_stages}"
        )
    return frame


def _show(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def refuse_duplicates(table: PopulationTable, ids: Sequence[str]) -> None:
    """Refuse a name that two architectures have."""
    first: dict[str, int] = {}
    for line, name in zip(table.lines, ids, strict=True):
        if name in first:
            raise ConfigError(
                f"{table.where(line, 'arch')}: id '{name}' was used on line {first[name]} "
                "already; give every architecture an id of its own"
            )
        first[name] = line


def _check_groups(
    table: PopulationTable,
    frame: AnyNetFrame,
    widths: NDArray[np.int64],
    bot_muls: NDArray[np.float64],
    group_ws: NDArray[np.int64],
) -> None:
    """Refuse groups that do not divide the bottleneck; arrays are S x n."""
    if not frame.has_groups:
        for name, array in (("bot_mul", bot_muls), ("group_w", group_ws)):
            for stage, row in np.argwhere(array != 1)[:1]:
                raise ConfigError(
                    f"{table.where(table.lines[row], f'{name}_{stage + 1}')}: "
                    f"{array[stage, row]}, but {frame.block_type} has no bottleneck and no "
                    "groups; write 1"
                )
        return
    for stage, row in np.argwhere(groups_misfit(widths, bot_muls, group_ws))[:1]:
        w, b, g = widths[stage, row], bot_muls[stage, row], group_ws[stage, row]
        message = (
            f"{table.where(table.lines[row], f'group_w_{stage + 1}')}: group width {g} does not "
            f"divide the bottleneck width {bottleneck_widths(w, b)} (width {w} times {b})"
        )
        if b < 1 or float(b).is_integer():
            new_w, new_g = make_compatible(w, b, g)
            message += f"; width {new_w} with group width {new_g} would fit"
        raise ConfigError(message)


def _check_counts(table: PopulationTable, computed: dict[str, NDArray[np.int64]]) -> None:
    """Refuse given counts that are not those of the networks."""
    for column, values in computed.items():
        if column not in table:
            continue
        given = table.parse(column, _parse_int)
        for line, number, value in zip(table.lines, given, values.tolist(), strict=True):
            if number != value:
                raise ConfigError(
                    f"{table.where(line, column)}: {number}, but this network has {value}; "
                    "correct the row, or leave the column out to have it computed"
                )
