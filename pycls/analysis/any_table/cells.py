"""The reader of delimited text files from elsewhere: cells as texts, and columns as numbers."""

import codecs
import csv
import gzip
import io
import math
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.errors import ConfigError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_DASHES = ("-", "--", "\N{EN DASH}", "\N{EM DASH}")
_NOTHING = ("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "missing", "?")
_MISSING = frozenset((*_NOTHING, *_DASHES))
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+$")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?$")
_INFINITE = re.compile(r"[+-]?(inf|infinity)$", re.IGNORECASE)
# "45.48±0.3", "45.48 +/- 0.3", "45.48 (0.3)": a mean, and what follows it.
_MEAN = re.compile(r"(?P<mean>\S+?)\s*(?:(?:±|\+/-|\+-)\s*\S+|\(\s*(?:±\s*)?[\d.,]+\s*%?\s*\))$")
# The line of dashes under the header of a table in Markdown.
_MARKDOWN = re.compile(r"^[ \t]*\|?[ \t]*:?-{3,}:?[ \t]*(\|[ \t]*:?-{3,}:?[ \t]*)*\|?[ \t]*$", re.M)
_MOST_UNPACKED = 256 << 20
# First bytes of kinds of files that are no text -> what to do about them.
_OTHER_FILES = {
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it",
    b"PK\x03\x04": "a ZIP archive or a workbook; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook; save the sheet as CSV",
    b"PAR1": "a Parquet table; save it as CSV",
    b"\x89HDF": "an HDF5 file; save the table as CSV",
    b"\x93NUMPY": "a NumPy array; save it as CSV with a header line",
    b"SQLite format 3": "an SQLite database; save the table as CSV",
    b"%PDF": "a PDF; save its table as CSV",
}


@dataclass(frozen=True)
class Cells:
    """A table of texts.

    Attributes:
        path: of the file.
        delimiter: between its cells.
        frame: the texts, without spaces around them; the index is the line in the file.
        notes: what was found and is not obvious, in sentences.
    """

    path: Path
    delimiter: str
    frame: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """A column read as numbers.

    Attributes:
        values: NaN where there is none.
        wrong: (line, text) of cells that are no numbers.
        infinite: how many cells are infinite; their values are NaN.
        comma: "" or what commas were taken for: "decimal" or "thousands".
        means: whether cells hold a mean and its deviation, of which the mean was read.
    """

    values: NDArray[np.float64]
    wrong: tuple[tuple[int, str], ...]
    infinite: int
    comma: str
    means: bool = False


def read_cells(path: str | os.PathLike[str]) -> Cells:
    """Read a table with a header line; comma, semicolon, tab or bar between the cells.

    A byte order mark, blank lines and spaces around cells do not matter.

    Raises:
        ConfigError: no such file, not a text, no rows, a row of another length than the
            header, or a name that two columns have.
    """
    path = Path(path)
    text = _read_text(path)
    delimiter = _find_delimiter(text, path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: not a table ({error})") from None
    header = _check_header(rows[0][1], path)
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise ConfigError(
                f"{path}, line {line}: {len(row)} cells, where the header has {len(header)} "
                f"({DELIMITERS[delimiter]}s between cells); put cells that hold the delimiter in "
                "double quotes"
            )
    if len(rows) == 1:
        raise ConfigError(f"{path}: only a header line; expected a row per architecture")
    lines = [line for line, _ in rows[1:]]
    frame = pd.DataFrame([row for _, row in rows[1:]], columns=header, index=lines, dtype=object)
    notes = () if delimiter == "," else (f"Cells are separated by {DELIMITERS[delimiter]}s.",)
    return Cells(path, delimiter, frame, notes)


def parse_numbers(texts: pd.Series, delimiter: str) -> Numbers:
    """Read a column of :func:`read_cells` as numbers.

    A cell may end in "%". Commas are thousands separators where all cells with one look
    so and the delimiter is a comma too; else decimal commas, where no cell has a point. Where
    half of the cells or more are a mean with its deviation, such as "45.48±0.3" or "45.48 (0.3)",
    the means are read.
    """
    cells = [str(text) for text in texts]
    matches = [_MEAN.match(cell) for cell in cells]
    means = 2 * sum(map(bool, matches)) >= max(1, sum(not is_missing(cell) for cell in cells))
    kept = [
        found["mean"] if means and found else cell
        for found, cell in zip(matches, cells, strict=True)
    ]
    plain = [cell.removesuffix("%").rstrip() for cell in kept]
    with_comma = [cell for cell in plain if _COMMA_NUMBER.match(cell) or _THOUSANDS.match(cell)]
    comma = ""
    if with_comma:
        thousands = delimiter == "," or any(cell.count(",") > 1 for cell in with_comma)
        if thousands and all(_THOUSANDS.match(cell) for cell in with_comma):
            comma = "thousands"
        elif not any("." in cell for cell in plain if _NUMBER.match(cell)):
            comma = "decimal"
    values = np.full(len(cells), math.nan)
    wrong, infinite = [], 0
    for place, (line, cell) in enumerate(zip(texts.index, plain, strict=True)):
        if cell.lower() in _MISSING:
            continue
        number = cell.replace("\N{MINUS SIGN}", "-")
        if comma == "thousands" and _THOUSANDS.match(number):
            number = number.replace(",", "")
        elif comma == "decimal" and _COMMA_NUMBER.match(number):
            number = number.replace(",", ".")
        if _NUMBER.match(number):
            values[place] = float(number)
        elif _INFINITE.match(number):
            infinite += 1
        else:
            wrong.append((int(line), cells[place]))
    overflown = np.isinf(values)  # such as 1e999
    values[overflown] = math.nan
    return Numbers(values, tuple(wrong), infinite + int(overflown.sum()), comma, means)


def has_percent_signs(texts: pd.Series) -> bool:
    """Say whether cells of a column have a percent sign."""
    return any("%" in str(text) for text in texts)


def is_missing(text: str) -> bool:
    """Say whether a cell stands for no value."""
    return text.lower() in _MISSING


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a table such as CSV") from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path}: is a folder; expected a table such as CSV (of a study, its results.csv)"
        ) from None
    if data.startswith(b"\x1f\x8b"):
        data = _unpack(data, path)
    for start, what in _OTHER_FILES.items():
        if data.startswith(start):
            raise ConfigError(f"{path}: {what}; expected a table such as CSV")
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not a text in UTF-8 (byte {error.start}); save the table as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise ConfigError(f"{path}: not a text; save the table as CSV in UTF-8")
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty; expected a header line and rows")
    _refuse_markup(text, path)
    return text


def _unpack(data: bytes, path: Path) -> bytes:
    """Return what gzip has packed."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(_MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(
            f"{path}: damaged or cut short ({error}); pack it by gzip again, or unpack it"
        ) from None
    if len(unpacked) > _MOST_UNPACKED:
        raise ConfigError(f"{path}: unpacks to over {_MOST_UNPACKED >> 20} MB; unpack it yourself")
    return unpacked


def _refuse_markup(text: str, path: Path) -> None:
    """Refuse texts that are no delimited table though they may hold one."""
    start = text.lstrip()
    if start.startswith("version https://git-lfs"):
        raise ConfigError(
            f"{path}: is a Git LFS pointer, not the table itself; fetch that with git lfs pull"
        )
    kinds = {"JSON": ("{", "["), "HTML or XML": ("<",), "LaTeX": ("\\begin", "\\documentclass")}
    for kind, starts in kinds.items():
        if start.startswith(starts):
            raise ConfigError(
                f"{path}: {kind} is not read; expected a table such as CSV, with a header line "
                "and a row per architecture"
            )
    if _MARKDOWN.search(text):
        raise ConfigError(
            f"{path}: Markdown is not read; expected a table such as CSV: take out the bars at "
            "both ends of the lines, and the line of dashes"
        )


def _find_delimiter(text: str, path: Path) -> str:
    """Return the delimiter that cuts most lines into as many cells as the header has."""
    sample = "".join(text.lstrip("\r\n").splitlines(keepends=True)[:200])
    found: list[tuple[int, int, str]] = []
    for delimiter in DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
            rows = [row for row in reader if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        if rows and len(rows[0]) > 1:
            alike = sum(len(row) == len(rows[0]) for row in rows)
            found.append((alike, len(rows[0]), delimiter))
    if not found:
        raise ConfigError(
            f"{path}: one column only; expected a header line and {', '.join(DELIMITERS.values())} "
            "between the cells"
        )
    return max(found)[2]


def _check_header(header: Sequence[str], path: Path) -> list[str]:
    names = [name or f"column {place}" for place, name in enumerate(header, 1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ConfigError(
            f"{path}: the header has the name '{twice[0]}' more than once; rename all but one"
        )
    return names
