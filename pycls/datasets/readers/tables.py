"""Tables that come with images: text with a line of column names, or JSON objects."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pycls.datasets.readers import layout
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
TEXT_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_NOT_READ = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save it as CSV in UTF-8"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst"), "unpack it"),
}
_DELIMITERS = ",\t;|"


@dataclass(frozen=True)
class Row:
    """A row of a table: the number of its line, and its cells by column."""

    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]


def read_table(source: Source, member: Member, columns: Sequence[str] = ()) -> list[Row]:
    """Read a table of text with a line of column names, or one of JSON objects.

    Args:
        source: the files.
        member: the table; by its suffix it is one of JSON objects (one a line, or a list of
            them), else of text, whatever separates its columns.
        columns: columns that must be there, in lower case.

    Returns:
        The rows with something in them; column names in lower case, cells without blanks
        around them, "" where a row is short or JSON has null.

    Raises:
        DataError: it is not UTF-8 text, lacks a column, has a row of more cells than
            columns, a line that is no JSON object, or no row.
    """
    where = source.where(member)
    if remedy := _NOT_READ.get(member.suffix):
        raise DataError(f"{where}: a {member.suffix} file is not read as a table; {remedy}")
    text = layout.read_text(source, member, "the table")
    read = _read_json if member.suffix in JSON_SUFFIXES else _read_delimited
    names, rows = read(text, where)
    if names:
        _check_columns(names, columns, where)
    if not rows:
        raise DataError(f"{where}: the table has no row")
    return rows


def _read_delimited(text: str, where: str) -> tuple[list[str], list[Row]]:
    header = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    rows = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if not names:
                names = [cell.lower() for cell in cells]
                continue
            if len(cells) > len(names):
                raise DataError(
                    f"{where}, line {reader.line_num}: {len(cells)} cells for {len(names)} columns"
                )
            cells += [""] * (len(names) - len(cells))
            rows.append(Row(reader.line_num, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num}: {error}") from None
    return names, rows


def _read_json(text: str, where: str) -> tuple[list[str], list[Row]]:
    """Read JSON objects, one a line or in one list."""
    names: dict[str, None] = {}
    found = []
    if text.lstrip().startswith("["):
        listed = _parse_json(text, where)
        objects = list(enumerate(listed, start=1)) if isinstance(listed, list) else []
    else:
        lines = enumerate(text.split("\n"), start=1)
        objects = [
            (n, _parse_json(line, f"{where}, line {n}")) for n, line in lines if line.strip()
        ]
    for number, cells in objects:
        if not isinstance(cells, dict):
            raise DataError(f"{where}, line {number}: expected a JSON object in each line")
        row = {key.strip().lower(): _as_cell(value) for key, value in cells.items()}
        names.update(dict.fromkeys(row))
        found.append((number, row))
    empty = dict.fromkeys(names, "")
    return list(names), [Row(number, {**empty, **row}) for number, row in found]


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from None


def _as_cell(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _check_columns(found: Sequence[str], wanted: Sequence[str], where: str) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise no_column(missing, found, where)
    repeated = sorted({name for name in found if found.count(name) > 1 and name})
    if repeated:
        raise DataError(f"{where}: the column {layout.join_quoted(repeated)} is there twice")


def no_column(
    missing: Sequence[str], found: Sequence[str], where: str, remedy: str = ""
) -> DataError:
    """Return the error that says which columns a table lacks, and which it has."""
    return DataError(
        f"{where}: no column {layout.join_quoted(missing)}; it has {layout.join_quoted(found)}"
        f"{remedy}"
    )
