"""The reader of several tables at once: a data set each, or columns of the same architectures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pycls.analysis.any_table import rows
from pycls.analysis.any_table.cells import Cells
from pycls.analysis.any_table.rows import Found, Request, columns_text
from pycls.analysis.any_table.wide import read_columns
from pycls.analysis.wording import count, listing
from pycls.errors import ConfigError, DataError


def read_joined(tables: Sequence[Cells], request: Request) -> Found:
    """Return the numbers of several tables with a row per architecture each.

    Where the reference is the name of a file (its stem, or what sets that apart from the
    others'), each file holds one data set, in the column `error_column` of each. Otherwise the
    reference is a column of one file, and each file gives columns. Architectures are matched by
    name; one that a file does not have has no number there.

    Raises:
        ConfigError: a name is in no file, or a column cannot be found or read.
        DataError: two files have different numbers for one data set.
    """
    names = dataset_names([cells.path for cells in tables])
    known = {cells.path.stem: name for cells, name in zip(tables, names, strict=True)}
    known |= {name: name for name in names}
    if request.reference in known and not any(request.reference in c.frame for c in tables):
        return _one_set_each(dict(zip(names, tables, strict=True)), known, request)
    return _columns_of_each(tables, request)


def dataset_names(paths: Sequence[Path]) -> list[str]:
    """Return what sets the names of files apart: without suffix and what all begin with.

    Raises:
        ConfigError: two files have one name.
    """
    stems = [path.stem for path in paths]
    twice = [stem for stem in stems if stems.count(stem) > 1]
    if twice:
        raise ConfigError(f"two files are called '{twice[0]}'; give each file once, with its name")
    end = 0
    while all(len(stem) > end and stem[end] == stems[0][end] for stem in stems):
        end += 1
    shared = stems[0][:end]
    shared = shared[: max(shared.rfind("-"), shared.rfind("_"), shared.rfind(".")) + 1]
    return [stem.removeprefix(shared) for stem in stems]


def _one_set_each(tables: Mapping[str, Cells], known: Mapping[str, str], request: Request) -> Found:
    targets = []
    for key in request.targets:
        if key not in known:
            raise ConfigError(f"no file '{key}' (--targets); the files are {listing(list(tables))}")
        targets.append(known[key])
    reference = known[request.reference]
    used = [reference, *(targets or [key for key in tables if key != reference])]
    parts = {}
    for key in used:
        cells = tables[key]
        column = rows.find_column(cells, request.error_column, rows.ERROR_NAMES)
        if not column or column not in cells.frame:
            raise ConfigError(
                f"{cells.path}: which column holds the errors or accuracies? Name it with --error; "
                f"{columns_text(cells)}"
            )
        found = read_columns(cells, request, [column], choose=False)
        parts[key] = replace(
            found,
            values=found.values.rename(columns={column: key}),
            names={key: column},
            signed=frozenset({key} if found.signed else ()),
        )
    columns = list(
        dict.fromkeys(column for part in parts.values() for column in part.names.values())
    )
    note = (
        f"A file per data set, {count(len(used), 'file')}: {listing(used)}; numbers are in the "
        f"column {listing(list(columns))}."
    )
    return _merge(list(parts.values()), [tables[key] for key in parts], [note])


def _columns_of_each(tables: Sequence[Cells], request: Request) -> Found:
    named = [request.reference, *request.targets]
    for key in named:
        holders = [str(cells.path) for cells in tables if key in cells.frame]
        if not holders:
            raise ConfigError(
                f"no file has a column '{key}', and none is called so; "
                + "; ".join(f"{cells.path}: {columns_text(cells)}" for cells in tables)
            )
    parts, used = [], []
    for cells in tables:
        own = [key for key in named if key in cells.frame]
        found = read_columns(cells, request, own, choose=not request.targets)
        if found.names:
            parts.append(found)
            used.append(cells)
    note = f"Columns of {count(len(used), 'file')}, matched by the architectures' names."
    return _merge(parts, used, [note])


def _merge(parts: Sequence[Found], tables: Sequence[Cells], notes: list[str]) -> Found:
    values = pd.DataFrame(index=pd.Index([], name="arch", dtype=object))
    names: dict[str, str] = {}
    warnings: list[str] = []
    shared = [note for note in parts[0].notes if all(note in part.notes for part in parts)]
    notes = [*notes, *shared]
    for part, cells in zip(parts, tables, strict=True):
        values = values.reindex(values.index.union(part.values.index, sort=False))
        for key in part.values:
            column = part.values[key].reindex(values.index)
            if key in values:
                differ = (values[key] - column).abs() > 0
                if differ.any():
                    raise DataError(
                        f"{cells.path}: {values.index[differ][0]} has another '{key}' there "
                        "than in an earlier file; leave one file out, or rename a column"
                    )
                column = values[key].fillna(column)
            values[key] = column
        names |= part.names
        notes += [f"{cells.path.name}: {note}" for note in part.notes if note not in shared]
        warnings += [f"{cells.path.name}: {text}" for text in part.warnings]
    groups = parts[0].groups.reindex(values.index)
    signed = frozenset().union(*(part.signed for part in parts))
    known = [part.families for part in parts if part.families is not None]
    families = pd.concat(known) if known else None
    if families is not None:
        families = families[~families.index.duplicated()]
    return Found(values.rename_axis("arch"), names, groups, notes, warnings, signed, families)
