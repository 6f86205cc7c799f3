"""The reader of a table from elsewhere into errors by architecture and data set.

Wide: a row per architecture, a column per data set. Long: a row per architecture and data
set. What is recognised rather than given is said in `notes`; what may be wrong in `warnings`;
what would give a wrong number is refused.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pycls.analysis.any_table.cells import Cells, read_cells
from pycls.analysis.any_table.kinds import to_errors
from pycls.analysis.any_table.long import read_long
from pycls.analysis.any_table.rows import DATASET_NAMES, Request, columns_text, find_column
from pycls.analysis.any_table.wide import read_wide
from pycls.analysis.wording import count
from pycls.errors import ConfigError

LAYOUTS = ("wide", "long")


@dataclass(frozen=True)
class AnyTable:
    """Errors of architectures on data sets.

    Attributes:
        path: of the file.
        reference: its column in `errors`.
        targets: columns of `errors`, in order.
        errors: architectures x data sets (reference first), in percent; NaN where there is
            none.
        groups: architectures x text columns with a few different values.
        notes: what was found and how, in sentences.
        warnings: what may be wrong, in sentences.
    """

    path: Path
    reference: str
    targets: tuple[str, ...]
    errors: pd.DataFrame
    groups: pd.DataFrame
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_table(path: str | os.PathLike[str], request: Request) -> AnyTable:
    """Read a table of errors or accuracies.

    Args:
        path: a text file with a header line; see :func:`pycls.analysis.any_table.cells.read_cells`.
        request: what is known about it.

    Raises:
        ConfigError: a name is not in the table, a text stands among numbers, a number is no
            percentage, or it cannot be told what the numbers are; the message says where.
        DataError: one architecture has two different values on one data set.
    """
    cells = read_cells(path)
    _check_request(cells, request)
    layout, why = _find_layout(cells, request)
    found = (read_wide if layout == "wide" else read_long)(cells, request)
    keys = [request.reference, *(key for key in found.values if key != request.reference)]
    values = found.values[keys].set_axis(pd.Index(keys), axis=1)
    values.index = pd.Index([str(name) for name in values.index], name="arch")
    converted = to_errors(values, found.names, request.kind, request.unit, found.signed)
    _check_range(converted.errors, cells.path)
    notes = [*cells.notes, why, *found.notes, *converted.notes]
    return AnyTable(
        cells.path,
        request.reference,
        tuple(map(str, keys[1:])),
        converted.errors,
        found.groups,
        tuple(notes),
        (*found.warnings, *converted.warnings),
    )


def _check_request(cells: Cells, request: Request) -> None:
    named = {
        "--id": request.id_column,
        "--dataset": request.dataset_column,
        "--error": request.error_column,
    }
    for flag, name in named.items():
        if name is not None and name not in cells.frame:
            raise ConfigError(f"{cells.path}: no column '{name}' ({flag}); {columns_text(cells)}")
    if request.reference in request.targets:
        raise ConfigError(f"'{request.reference}' is the reference; take it out of the targets")
    twice = [key for key in request.targets if request.targets.count(key) > 1]
    if twice:
        raise ConfigError(f"target '{twice[0]}' is named twice")


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
                "from 0 to 100 percent or 0 to 1"
            )
