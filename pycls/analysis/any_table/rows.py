"""The parts that reading of wide and of long tables shares: rows, names, groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.analysis.any_table.cells import Cells, is_missing, parse_numbers
from pycls.analysis.statistics.families import families_by_name
from pycls.analysis.wording import count, listing
from pycls.errors import ConfigError, DataError

ARCH_NAMES = ("arch", "architecture", "model", "network", "name", "id", "arch_id", "model_name")
# Columns that tell apart several rows of one architecture, where its name does not.
_MORE_NAMES = (
    *("pretrained", "weights", "checkpoint", "pretrained_tag", "tag", "variant", "version"),
    *("img_size", "image_size", "input_size", "resolution"),
)
ERROR_NAMES = (
    *("error", "err", "test_error", "top1_err", "error_rate", "accuracy", "acc", "top1_acc"),
    *("test_accuracy", "value", "score", "result", "top1"),
)
DATASET_NAMES = ("dataset", "data_set", "data set", "test_set", "testset", "benchmark", "task")
_MAX_GROUPS = 10
_MIN_GROUP = 8  # architectures of a group for its own rho to say anything


@dataclass(frozen=True)
class Request:
    """What the user says about a table; None or empty is found out.

    Attributes:
        reference: column or data set that the others are compared with.
        targets: those that are compared; empty: all that hold errors.
        kind: "errors" or "accuracies".
        unit: "percent" or "fraction".
        layout: "wide" or "long".
        id_columns: those that name the architectures, together.
        dataset_column: of the data sets, in a long table.
        error_column: of the numbers, in a long table or in files of a data set each.
        scores: columns or data sets of which higher is better and which are no percentages.
        costs: those of which lower is better and which are no percentages.
        family_column: of the architectures' families; one that names the architectures gives
            those that their names show.
        average_repeats: whether rows of one architecture are averaged; else they are refused.
    """

    reference: str
    targets: tuple[str, ...] = ()
    kind: str | None = None
    unit: str | None = None
    layout: str | None = None
    id_columns: tuple[str, ...] = ()
    dataset_column: str | None = None
    error_column: str | None = None
    scores: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    average_repeats: bool = False
    family_column: str | None = None


@dataclass(frozen=True)
class Found:
    """Numbers as they stand in the file, architectures x data sets."""

    values: pd.DataFrame
    names: dict[str, str]  # data set -> column its numbers come from
    groups: pd.DataFrame
    notes: list[str]
    warnings: list[str]
    signed: frozenset[str] = frozenset()  # data sets whose numbers end in "%"
    families: pd.Series | None = None  # by architecture, "" for none; None: not asked for


def find_column(cells: Cells, given: str | None, names: Sequence[str]) -> str:
    """Return the column given, or else the first with one of `names`; empty: none."""
    if given is not None:
        return given
    by_name = {str(name).lower(): str(name) for name in reversed(list(cells.frame))}
    return next((by_name[name] for name in names if name in by_name), "")


def number_column(
    texts: pd.Series, cells: Cells, name: str
) -> tuple[NDArray[np.float64], list[str]]:
    """Return a column's numbers, and what is to be said of them.

    Raises:
        ConfigError: a text stands among them.
    """
    numbers = parse_numbers(texts, cells.delimiter)
    if numbers.wrong:
        line, text = numbers.wrong[0]
        more = f" (and {len(numbers.wrong) - 1} more)" if len(numbers.wrong) > 1 else ""
        raise ConfigError(
            f"{cells.path}, line {line}, column '{name}': '{text}'{more}, expected a number such "
            "as 23.4, or nothing where there is none (of a column that holds no errors, name the "
            "others with --targets)"
        )
    said = []
    if numbers.infinite:
        said.append(
            f"{name}: {count(numbers.infinite, 'infinite value')} taken as missing, such as of "
            "training that diverged."
        )
    if numbers.means:
        said.append(f"{name}: of cells such as '{_first(texts)}' the mean is read.")
    if numbers.comma:
        separators = "separators of thousands" if numbers.comma == "thousands" else "decimal commas"
        said.append(f"{name}: commas in numbers are read as {separators}.")
    return numbers.values, said


def _first(texts: pd.Series) -> str:
    return next(str(text) for text in texts if not is_missing(str(text)))


def more_id_columns(frame: pd.DataFrame, column: str, apart: Sequence[str] = ()) -> list[str]:
    """Return the columns that name the architectures together, beginning with one.

    Args:
        frame: texts.
        column: that names them, perhaps several rows alike.
        apart: columns that tell rows apart anyway, such as the data set of a long table.

    Returns:
        The column alone where it does, or where no columns known for it do together.
    """
    frame = frame.drop_duplicates()
    by_name = {str(name).lower(): str(name) for name in frame}
    columns = [column]
    for name in _MORE_NAMES:
        if not frame.duplicated([*columns, *apart]).any():
            break
        extra = by_name.get(name)
        if extra and extra != column and frame[extra].nunique() > 1:
            columns.append(extra)
    return [column] if frame.duplicated([*columns, *apart]).any() else columns


def key_of(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.Series:
    """Return the architectures' names: the texts of columns, joined by ", ".

    Raises:
        ConfigError: a row has none.
    """
    unnamed = [line for line, text in frame[columns[0]].items() if is_missing(str(text))]
    if unnamed:
        raise ConfigError(
            f"{path}, line {unnamed[0]}: no name in the column '{columns[0]}'; every "
            "architecture needs one (or name another column with --id)"
        )
    return frame[list(columns)].agg(", ".join, axis=1)


def named_by(columns: Sequence[str]) -> str:
    """Return in words which columns name the architectures."""
    if len(columns) == 1:
        return f"Architectures are named by the column '{columns[0]}'."
    names = listing([f"'{name}'" for name in columns])
    return (
        f"Architectures are named by the columns {names} together, because '{columns[0]}' alone "
        "has several rows alike."
    )


def repeated_rows(dropped: pd.DataFrame, id_column: str) -> str:
    """Return in words that rows were left out because they repeat others."""
    repeats = "it repeats" if len(dropped) == 1 else "they repeat"
    return (
        f"{count(len(dropped), 'row')} left out because {repeats} another one, the first on line "
        f"{dropped.index[0]} ({dropped.iloc[0][id_column]})."
    )


def refuse_two_rows(frame: pd.DataFrame, columns: list[str], path: Path, expected: str) -> None:
    """Refuse two rows with the same texts in `columns`.

    Raises:
        DataError: there are some; the message says which and where they differ.
    """
    twice = frame[frame.duplicated(columns, keep=False)]
    if twice.empty:
        return
    rows = twice[(twice[columns] == twice.iloc[0][columns]).all(axis=1)]
    differing = [str(c) for c in frame if rows[c].nunique() > 1]
    what = " on ".join(str(rows.iloc[0][column]) for column in columns)
    lines = listing([str(line) for line in rows.index])
    raise DataError(
        f"{path}: {what} has {len(rows)} different rows, lines {lines}, which differ in "
        f"{listing(differing)}; expected {expected}. Name the columns that tell them apart with "
        "--id, or average them with --average-repeats"
    )


def average_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the mean of the rows of each index, in order of the first, and what was done."""
    times = table.index.value_counts()
    means = table.groupby(level=list(range(table.index.nlevels)), sort=False).mean()
    if not (times > 1).any():
        return means, "There are no repeated rows to average."
    return means, (
        f"Repeated rows are averaged, as asked: {count(len(table), 'row')} give "
        f"{count(len(means), 'mean')}, of up to {times.max()} each."
    )


def families_of(
    frame: pd.DataFrame, names: pd.Index, request: Request, id_columns: Sequence[str]
) -> pd.Series | None:
    """Return the family of each architecture, given the rows of a table and their names."""
    column = request.family_column
    if column is None or column not in frame:
        return None
    texts = frame[column].map(lambda text: "" if is_missing(str(text)) else str(text))
    texts = texts.set_axis(names)
    texts = texts[~texts.index.duplicated()]
    if column not in id_columns:
        return texts
    return families_by_name(texts.tolist()).set_axis(texts.index)


def group_columns(texts: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that cut the architectures into a few groups."""
    kept = [
        name
        for name in texts
        if 2 <= (sizes := texts[name].value_counts()).size <= _MAX_GROUPS
        and sizes.iloc[1] >= _MIN_GROUP
    ]
    return texts[kept]


def columns_text(cells: Cells) -> str:
    """Return in words which columns there are."""
    names = [str(name) for name in cells.frame]
    return f"the columns are {listing(names[:40])}{' and more' if len(names) > 40 else ''}"
