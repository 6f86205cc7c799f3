"""The reader of tables with a row per architecture and a column per data set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pycls.analysis.any_table import rows
from pycls.analysis.any_table.cells import Cells, has_percent_signs, is_missing, parse_numbers
from pycls.analysis.any_table.kinds import words_of
from pycls.analysis.any_table.rows import Found, Request, columns_text
from pycls.analysis.wording import count, listing
from pycls.errors import ConfigError

# Words in the names of columns that are numbers between 0 and 100 but no errors.
_OTHER_WORDS = frozenset(
    """param params parameters flops flop macs mac gmacs gflops mflops acts activations depth
    width bot group size img image crop interpolation epoch epochs seed lr time seconds minutes
    hours latency throughput year rank index batch memory layers layer stage stages resolution
    pixels count std sd stderr ci n id unnamed mul""".split()  # noqa: SIM905
)


def read_wide(cells: Cells, request: Request) -> Found:
    """Return the numbers of a wide table.

    Raises:
        ConfigError: a column is missing, or a text stands among numbers.
        DataError: one architecture has two different rows.
    """
    for key in (request.reference, *request.targets):
        if key not in cells.frame:
            raise ConfigError(f"{cells.path}: no column '{key}'; {columns_text(cells)}")
    id_column, notes = _find_id(cells, request)
    used = [request.reference, *request.targets]
    others = [str(name) for name in cells.frame if name not in (*used, id_column)]
    if not request.targets:
        chosen, left_out = _find_targets(cells, others)
        used += chosen
        notes.append(f"Targets: {listing(chosen)}." if chosen else "")
        if left_out:
            reasons = "; ".join(f"{name} ({why})" for name, why in left_out.items())
            notes.append(f"Not compared: {reasons}. Name a column with --targets to compare it.")
        if not chosen:
            raise ConfigError(
                f"{cells.path}: no column to compare '{request.reference}' with; name some with "
                f"--targets; {columns_text(cells)}"
            )
    frame, warnings = _one_row_each(cells, id_column)
    values = {}
    for key in used:
        values[key], said = rows.number_column(frame[key], cells, key)
        warnings += said
    index = frame[id_column] if id_column else [f"row {line}" for line in frame.index]
    table = pd.DataFrame(values).set_axis(pd.Index(index, name="arch"), axis=0)
    groups = frame[[name for name in others if name not in used]]
    groups = rows.group_columns(groups.set_axis(table.index, axis=0))
    signed = frozenset(key for key in used if has_percent_signs(frame[key]))
    names = {key: key for key in used}
    return Found(table, names, groups, [note for note in notes if note], warnings, signed)


def _find_id(cells: Cells, request: Request) -> tuple[str, list[str]]:
    frame = cells.frame
    if request.id_column is not None:
        return request.id_column, []
    named = rows.find_column(cells, None, rows.ARCH_NAMES)
    used = (request.reference, *request.targets)
    texts = [str(name) for name in frame if name not in used and _is_text(cells, str(name))]
    distinct = [name for name in texts if frame[name].is_unique]
    column = named if named and named not in used else next(iter(distinct), "")
    if column:
        return column, [f"Architectures are named by the column '{column}'."]
    return "", ["No column names the architectures; they are told apart by their rows."]


def _is_text(cells: Cells, name: str) -> bool:
    """Say whether most cells of a column that are not empty are no numbers."""
    texts = cells.frame[name]
    filled = sum(not is_missing(text) for text in texts)
    return filled > 0 and 2 * len(parse_numbers(texts, cells.delimiter).wrong) > filled


def _find_targets(cells: Cells, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return which columns hold errors, and why the others do not."""
    chosen, left_out = [], {}
    for name in names:
        numbers = parse_numbers(cells.frame[name], cells.delimiter)
        finite = numbers.values[np.isfinite(numbers.values)]
        words = words_of(name) & _OTHER_WORDS
        if _is_text(cells, name):
            left_out[name] = "text"
        elif not len(finite) and not numbers.wrong:
            left_out[name] = "no number"
        elif name.startswith("column ") or words:
            left_out[name] = "no error, by its name"
        elif len(finite) and not (finite.min() >= 0 and finite.max() <= 100):
            left_out[name] = f"values from {finite.min():g} to {finite.max():g}, no percentages"
        else:
            chosen.append(name)
    return chosen, left_out


def _one_row_each(cells: Cells, id_column: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows without repetitions; refuse two different ones of one architecture."""
    frame = cells.frame
    if not id_column:
        same = int(frame.duplicated().sum())
        if not same:
            return frame, []
        return frame, [
            f"{count(same, 'row')} {'is' if same == 1 else 'are'} equal to an earlier one, the "
            f"first on line {frame.index[frame.duplicated()][0]}. Without a column that names "
            "the architectures it cannot be told whether they are repeated; they are counted."
        ]
    unnamed = [line for line, text in frame[id_column].items() if is_missing(str(text))]
    if unnamed:
        raise ConfigError(
            f"{cells.path}, line {unnamed[0]}: no name in the column '{id_column}'; every "
            "architecture needs one (or name another column with --id)"
        )
    kept = frame.drop_duplicates()
    rows.refuse_two_rows(
        kept, [id_column], cells.path, "a row per architecture; name another --id column"
    )
    dropped = frame.drop(kept.index)
    if dropped.empty:
        return frame, []
    return kept, [rows.repeated_rows(dropped, id_column)]
