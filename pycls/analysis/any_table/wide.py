"""The reader of tables with a row per architecture and a column per data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pycls.analysis.any_table import rows
from pycls.analysis.any_table.cells import Cells, has_percent_signs, is_missing, parse_numbers
from pycls.analysis.any_table.columns import find_targets
from pycls.analysis.any_table.rows import Found, Request, columns_text
from pycls.analysis.wording import count, listing
from pycls.errors import ConfigError


@dataclass(frozen=True)
class _Rows:
    """A table with a row per architecture."""

    frame: pd.DataFrame  # texts; the index is the line in the file
    names: pd.Index  # of the rows' architectures
    id_columns: tuple[str, ...]
    notes: list[str]
    warnings: list[str]
    average: bool


def read_wide(cells: Cells, request: Request) -> Found:
    """Return the numbers of a wide table.

    Raises:
        ConfigError: a column is missing, or a text stands among numbers.
        DataError: one architecture has two different rows.
    """
    named = [request.reference, *request.targets]
    for key in named:
        if key not in cells.frame:
            raise ConfigError(
                f"{cells.path}: no column '{key}'{_spelled(key, cells)}; {columns_text(cells)}"
            )
    found = read_columns(cells, request, named, choose=not request.targets)
    require_targets(found, request, cells)
    return found


def _spelled(key: str, cells: Cells) -> str:
    """Return a question whether a column of another spelling is meant."""
    alike = [str(name) for name in cells.frame if str(name).casefold() == key.casefold()]
    return f"; did you mean '{alike[0]}'?" if alike else ""


def read_columns(cells: Cells, request: Request, named: Sequence[str], *, choose: bool) -> Found:
    """Return the numbers of columns of a wide table.

    Args:
        cells: the table.
        request: which columns name the architectures, and whether to average rows.
        named: columns to read.
        choose: whether to read all others too that hold errors by name and range.

    Raises:
        ConfigError: a text stands among numbers, or an architecture has no name.
        DataError: one architecture has two different rows.
    """
    read = _one_row_each(cells, request, named)
    used, notes = list(named), read.notes
    aside = (*used, *read.id_columns, request.family_column)
    others = [str(name) for name in cells.frame if name not in aside]
    if choose:
        chosen, left_out = find_targets(cells, others, used)
        used += chosen
        notes.append(f"Targets: {listing(chosen)}." if chosen else "")
        if left_out:
            reasons = "; ".join(f"{name} ({why})" for name, why in left_out.items())
            notes.append(f"Not compared: {reasons}. Name a column with --targets to compare it.")
    warnings, values = read.warnings, {}
    for key in used:
        values[key], said = rows.number_column(read.frame[key], cells, key)
        warnings += said
    table = pd.DataFrame(values, index=read.names)
    groups = read.frame[[name for name in others if name not in used]].set_axis(read.names, axis=0)
    if read.average:
        table, averaged = rows.average_rows(table)
        notes.append(averaged)
        groups = groups[~groups.index.duplicated()]
    signed = frozenset(key for key in used if has_percent_signs(read.frame[key]))
    names = {key: key for key in used}
    groups = rows.group_columns(groups)
    families = rows.families_of(read.frame, read.names, request, read.id_columns)
    notes = [note for note in notes if note]
    return Found(table, names, groups, notes, warnings, signed, families)


def require_targets(found: Found, request: Request, cells: Cells) -> None:
    """Refuse a table without anything to compare the reference with."""
    if len(found.names) < 2:
        raise ConfigError(
            f"{cells.path}: no column to compare '{request.reference}' with; name some with "
            f"--targets; {columns_text(cells)}"
        )


def _find_id(cells: Cells, request: Request, used: Sequence[str]) -> tuple[list[str], str]:
    """Return the columns that name the architectures, and what is to be said of them."""
    frame = cells.frame
    if request.id_columns:
        return list(request.id_columns), ""
    named = rows.find_column(cells, None, rows.ARCH_NAMES)
    texts = [str(name) for name in frame if name not in used and is_text(cells, str(name))]
    distinct = [name for name in texts if frame[name].is_unique]
    column = named if named and named not in used else next(iter(distinct), "")
    if not column:
        return [], "No column names the architectures; they are told apart by their rows."
    columns = [column] if request.average_repeats else rows.more_id_columns(frame, column)
    return columns, rows.named_by(columns)


def is_text(cells: Cells, name: str) -> bool:
    """Say whether most cells of a column that are not empty are no numbers."""
    texts = cells.frame[name]
    filled = sum(not is_missing(text) for text in texts)
    return filled > 0 and 2 * len(parse_numbers(texts, cells.delimiter).wrong) > filled


def _one_row_each(cells: Cells, request: Request, used: Sequence[str]) -> _Rows:
    """Return the rows without repetitions; refuse two different ones of one architecture."""
    frame, warnings = cells.frame, []
    columns, note = _find_id(cells, request, used)
    if not columns:
        same = int(frame.duplicated().sum())
        if same:
            warnings.append(
                f"{count(same, 'row')} {'is' if same == 1 else 'are'} equal to an earlier one, the "
                f"first on line {frame.index[frame.duplicated()][0]}. Without a column that names "
                "the architectures it cannot be told whether they are repeated; they are counted."
            )
        names = pd.Index([f"row {line}" for line in frame.index], name="arch")
        return _Rows(frame, names, (), [note], warnings, average=False)
    texts = rows.key_of(frame, columns, cells.path)
    kept = frame if request.average_repeats else frame.drop_duplicates()
    if not request.average_repeats:
        rows.refuse_two_rows(kept, columns, cells.path, "a row per architecture")
    dropped = frame.drop(kept.index)
    if len(dropped):
        warnings.append(rows.repeated_rows(dropped, columns[0]))
    index = pd.Index(texts[kept.index], name="arch")
    return _Rows(kept, index, tuple(columns), [note], warnings, average=request.average_repeats)
