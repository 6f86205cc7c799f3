"""The reader of tables from elsewhere into errors by architecture and data set.

Wide: a row per architecture, a column per data set. Long: a row per architecture and data
set. Several files: a data set each, or columns of the same architectures. What is recognised
rather than given is said in `notes`; what may be wrong in `warnings`; what would give a wrong
number is refused.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pycls.analysis.any_table.cells import Cells, read_cells
from pycls.analysis.any_table.columns import COST_WORDS, is_average
from pycls.analysis.any_table.joined import read_joined
from pycls.analysis.any_table.kinds import kind_by_name, to_errors, words_of
from pycls.analysis.any_table.long import read_long
from pycls.analysis.any_table.rows import (
    ARCH_NAMES,
    DATASET_NAMES,
    ERROR_NAMES,
    Found,
    Request,
    columns_text,
    find_column,
)
from pycls.analysis.any_table.wide import is_text, read_wide, require_targets
from pycls.analysis.wording import MINUS, count, listing
from pycls.errors import ConfigError

LAYOUTS = ("wide", "long")
# What rows that sum up the others are called.
_SUMMARIES = frozenset(
    ("mean", "average", "avg", "median", "std", "stdev", "min", "max", "sum", "total", "overall")
)


@dataclass(frozen=True)
class AnyTable:
    """Errors of architectures on data sets.

    Attributes:
        path: of the file, or of the first of several.
        reference: its column in `errors`.
        targets: columns of `errors`, in order.
        errors: architectures x data sets (reference first), lower is better: errors in percent,
            costs as they are and scores with their sign changed; NaN where there is none.
        groups: architectures x text columns with a few different values.
        notes: what was found and how, in sentences.
        warnings: what may be wrong, in sentences.
        labels: column of `errors` -> what an axis is called.
        percent: columns of `errors` that hold errors in percent.
        files: how many were joined.
        families: of the architectures, "" for one without; None where none are given.
    """

    path: Path
    reference: str
    targets: tuple[str, ...]
    errors: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    labels: Mapping[str, str]
    percent: frozenset[str]
    files: int = 1
    families: pd.Series | None = None


def read_table(
    path: str | os.PathLike[str], request: Request, *more: str | os.PathLike[str]
) -> AnyTable:
    """Read a table of errors or accuracies, or several of the same architectures.

    Args:
        path: a text file with a header line; see :func:`pycls.analysis.any_table.cells.read_cells`.
        request: what is known about it.
        more: further files; see :func:`pycls.analysis.any_table.joined.read_joined`.

    Raises:
        ConfigError: a name is not in the table, a text stands among numbers, a number is no
            percentage, or it cannot be told what the numbers are; the message says where.
        DataError: one architecture has two different values on one data set.
    """
    tables = [read_cells(each) for each in (path, *more)]
    if len(tables) == 1:
        tables = [_turned(tables[0], request)]
    _check_request(tables, request)
    cells = tables[0]
    if more:
        found, why = read_joined(tables, request), ""
        require_targets(found, request, cells)
    else:
        layout, why = _find_layout(cells, request)
        found = (read_wide if layout == "wide" else read_long)(cells, request)
    found = _without_summaries(found)
    keys = [str(key) for key in found.values]
    reference = request.reference if request.reference in keys else keys[0]
    keys = [reference, *(key for key in keys if key != reference)]
    values = found.values[keys].set_axis(pd.Index(keys), axis=1)
    values.index = pd.Index([str(name) for name in values.index], name="arch")
    found = replace(found, values=values)
    others, labels, said = _no_percentages(found, reference, request)
    percent = [key for key in keys if key not in others]
    notes, warnings = [*cells.notes, why, *found.notes, *said], list(found.warnings)
    errors = others
    if percent:
        signed = found.signed & set(percent)
        try:
            converted = to_errors(values[percent], found.names, request.kind, request.unit, signed)
        except ConfigError as error:
            raise ConfigError(f"{cells.path}: {error}") from None
        _check_range(converted.errors, cells.path)
        notes += converted.notes
        warnings += converted.warnings
        errors = pd.concat([converted.errors, others], axis=1)
    families = None
    if found.families is not None:
        by_name = found.families.set_axis([str(name) for name in found.families.index])
        families = by_name.reindex(values.index, fill_value="")
        notes.append(_families_note(families, request.family_column))
    if is_average(reference):
        warnings.append(
            f"{reference} is an average over data sets by its name. Where it holds a target too, "
            "its rho with it is too high."
        )
    return AnyTable(
        cells.path,
        reference,
        tuple(keys[1:]),
        errors[keys],
        found.groups,
        tuple(note for note in notes if note),
        tuple(warnings),
        {key: f"error on {key} (%)" for key in percent} | labels,
        frozenset(percent),
        len(tables),
        families,
    )


def _families_note(families: pd.Series, column: str | None) -> str:
    sizes = families[families != ""].value_counts()
    alone = int((families == "").sum())
    return (
        f"Intervals and p-values count families, of the column '{column}': {len(sizes)} of "
        f"{int(sizes.sum())} architectures, {alone} without one count by themselves."
    )


def _without_summaries(found: Found) -> Found:
    """Leave out the rows that are no architectures but sum up the others, and say so."""
    names = [name for name in found.values.index if str(name).strip().lower() in _SUMMARIES]
    if not names:
        return found
    rows = "row is no architecture" if len(names) == 1 else "rows are no architectures"
    left = (
        f"Left out: {listing([repr(str(name)) for name in names])}, by the name the {rows} but a "
        "summary of the others."
    )
    return replace(
        found,
        values=found.values.drop(index=names),
        groups=found.groups.drop(index=names, errors="ignore"),
        warnings=[*found.warnings, left],
    )


def _no_percentages(
    found: Found, reference: str, request: Request
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Return the columns that are scores or costs, what axes call them, and what was found.

    Columns that were not named hold percentages, or they would not have been chosen.
    """
    columns, labels = {}, {}
    scores, costs = [], []
    for key in map(str, found.values):
        values = found.values[key]
        named = key == reference or key in request.targets
        middle = values.median()
        outside = not np.isnan(middle) and not 0 <= middle <= 100
        name = found.names[key]
        by_name = kind_by_name(name) is not None
        if key in request.scores:
            scores.append(key)
        elif key in request.costs or (named and not by_name and words_of(name) & COST_WORDS):
            costs.append(key)
        elif named and not by_name and outside:
            scores.append(key)
        else:
            continue
        columns[key] = -values if key in scores else values
        labels[key] = f"{MINUS}{key}" if key in scores else key
    notes = []
    if scores:
        notes.append(
            f"{listing(scores)}: no percentages, ranked as scores, of which higher is better "
            "(where lower is better, name them with --costs)."
        )
    if costs:
        notes.append(
            f"{listing(costs)}: no percentages, ranked as costs, of which lower is better (where "
            "higher is better, name them with --scores)."
        )
    return pd.DataFrame(columns, index=found.values.index), labels, notes


def _turned(cells: Cells, request: Request) -> Cells:
    """Return a table with a row per data set and a column per architecture turned round."""
    frame = cells.frame
    first = str(frame.columns[0])
    has_numbers = find_column(cells, request.error_column, ERROR_NAMES)
    if request.reference in frame or request.layout == "long" or request.dataset_column:
        return cells
    if has_numbers or request.id_columns or find_column(cells, None, ARCH_NAMES) not in ("", first):
        return cells
    numeric = [name for name in frame.columns[1:] if not is_text(cells, str(name))]
    named = frame[first].tolist().count(request.reference) == 1 and frame[first].is_unique
    if not named or len(numeric) < max(2, len(frame.columns) - 1):
        return cells
    turned = frame.set_index(first).T
    turned.columns = [str(name) for name in turned.columns]
    turned.insert(0, "arch", turned.index.astype(str))
    turned.index = pd.RangeIndex(2, len(turned) + 2)  # as if it stood so in the file
    note = (
        f"The table has a row per data set (in the column '{first}') and a column per "
        "architecture; it is read transposed, and its lines are counted so."
    )
    return replace(cells, frame=turned, notes=(*cells.notes, note))


def _check_request(tables: Sequence[Cells], request: Request) -> None:
    named: list[tuple[str, str | None]] = [("--id", name) for name in request.id_columns]
    named += [("--dataset", request.dataset_column), ("--error", request.error_column)]
    family = request.family_column
    if family is not None and not any(family in cells.frame for cells in tables):
        raise ConfigError(
            f"{tables[0].path}: no column '{family}' (--family); {columns_text(tables[0])}"
        )
    for flag, name in named:
        for cells in tables:
            if name is not None and name not in cells.frame:
                raise ConfigError(
                    f"{cells.path}: no column '{name}' ({flag}); {columns_text(cells)}"
                )
    if request.reference in request.targets:
        raise ConfigError(f"'{request.reference}' is the reference; take it out of the targets")
    twice = [key for key in request.targets if request.targets.count(key) > 1]
    if twice:
        raise ConfigError(f"target '{twice[0]}' is named twice")
    both = [key for key in request.scores if key in request.costs]
    if both:
        raise ConfigError(f"'{both[0]}' is named as a score and as a cost; name it as one of them")
    if len(tables) > 1 and (request.layout == "long" or request.dataset_column):
        raise ConfigError("a long table is analysed alone; leave the other files out")


def _find_layout(cells: Cells, request: Request) -> tuple[str, str]:
    dataset = find_column(cells, request.dataset_column, DATASET_NAMES)
    if request.layout == "wide" or (
        request.layout is None and request.dataset_column is None and not dataset
    ):
        return "wide", f"A row per architecture, {count(len(cells.frame), 'row')}."
    if request.layout is None and request.dataset_column is None:
        # A wide table may have a column "task"; the reference says which it is.
        if request.reference in cells.frame:
            return "wide", (
                f"A row per architecture, {count(len(cells.frame), 'row')}, because "
                f"'{request.reference}' is a column."
            )
        if not (cells.frame[dataset] == request.reference).any():
            raise ConfigError(
                f"{cells.path}: the reference '{request.reference}' is neither a column nor a "
                f"data set in the column '{dataset}'; {columns_text(cells)}"
            )
    if not dataset:
        raise ConfigError(
            f"{cells.path}: which column names the data set? Name it with --dataset; "
            f"{columns_text(cells)}"
        )
    return "long", (
        f"A row per architecture and data set, {count(len(cells.frame), 'row')}; data sets in "
        f"the column '{dataset}'."
    )


def _check_range(errors: pd.DataFrame, path: Path) -> None:
    for key in errors:
        values = errors[key].dropna()
        wrong = values[(values < 0) | (values > 100)]
        if len(wrong):
            raise ConfigError(
                f"{path}: {wrong.index[0]} has an error of {wrong.iloc[0]:g} % on '{key}' "
                f"({count(len(wrong), 'value')} out of range); expected errors or accuracies "
                "from 0 to 100 percent or 0 to 1 (name a score or a cost with --scores or --costs)"
            )
