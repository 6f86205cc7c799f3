"""A run's log, written and read: plain lines, and pycls's `json_stats` records in between.

This is the only place that knows what an entry looks like: ``[file.py: 123]: text``, and, of a
record, ``[file.py: 123]: json_stats: {"_type": "test_epoch", "epoch": "3/10", ...}``.
"""

import copy
import decimal
import errno
import functools
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import simplejson

STATS_TAG = "json_stats: "
Record = dict[str, Any]
_TAG = STATS_TAG.encode()
_PAIR = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_COLOUR = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_MOST_CUTS = 20  # in one line
_JSON = json.JSONDecoder()


class RunLog:
    """Writes log lines of the form ``[file.py: 123]: text``.

    A log file is appended to, one system call an entry: a killed run leaves whole lines but
    for at most the last, and the next start begins on a line of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        watchers: Sequence[Callable[[Record], object]] = (),
        before_write: Callable[[], None] | None = None,
    ) -> None:
        """Open the log file `path`, or standard output where it is None.

        Args:
            path: the file.
            watchers: functions that get each record, too. One that fails is left out from
                then on, with a line about it: who watches a run never stops it.
            before_write: called before each entry; what it raises, the entry's writer gets.
        """
        self._path = path
        self._watchers = list(watchers)
        self._before_write = before_write
        self._descriptor: int | None = None
        if path is not None:
            cut = _ends_inside_line(Path(path))
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if cut:
                self._append("\n")

    def line(self, text: str) -> None:
        """Write one entry (which may hold line breaks)."""
        self._write(text, sys._getframe(1))

    def stats(self, stats: dict[str, Any], kind: str) -> None:
        """Write one `json_stats` record; floats get 4 decimals as in pycls.

        `kind` is its ``_type``: complexity, train_iter, train_epoch, test_iter, ...
        """
        record = {key: _rounded(value) for key, value in stats.items()}
        self._write_stats(record, kind)
        self._tell({"_type": kind, **stats})

    def config(self, values: dict[str, Any]) -> None:
        """Write the whole configuration as a ``cfg`` record, its numbers unrounded."""
        self._write_stats(values, "cfg")
        self._tell({"_type": "cfg", **values})

    def close(self) -> None:
        """Close the log file, and what watches in a way that has an end."""
        for watcher in self._watchers:
            if hasattr(watcher, "close"):
                self._call(watcher, watcher.close)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _tell(self, record: Record) -> None:
        for watcher in tuple(self._watchers):
            self._call(watcher, functools.partial(watcher, copy.deepcopy(record)))

    def _call(self, watcher: Callable[[Record], object], call: Callable[[], object]) -> None:
        try:
            call()
        except (Exception, SystemExit) as error:
            self._watchers = [each for each in self._watchers if each is not watcher]
            name = getattr(watcher, "__qualname__", type(watcher).__name__)
            text = f"{name} failed and is told no more: {type(error).__name__}: {error}"
            self.line(text)
            warnings.warn(text, stacklevel=2)

    def _write_stats(self, record: dict[str, Any], kind: str) -> None:
        text = simplejson.dumps(
            {"_type": kind, **record}, sort_keys=True, use_decimal=True, allow_nan=True
        )
        self._write(STATS_TAG + text, sys._getframe(2))

    def _write(self, text: str, caller: Any) -> None:
        source = Path(caller.f_code.co_filename).name
        line = f"[{source}: {caller.f_lineno:3d}]: {text}\n"
        if self._before_write is not None:
            self._before_write()
        if self._path is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            self._append(line)

    def _append(self, text: str) -> None:
        """Append to the file: all of the text or nothing."""
        if self._descriptor is None:
            raise ValueError("the log is closed")
        data = text.encode("utf-8")
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                # The disk took a part of it, its last space.
                size = os.fstat(self._descriptor).st_size
                os.ftruncate(self._descriptor, size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            error.filename = str(self._path)
            raise


def _rounded(value: Any) -> Any:
    if isinstance(value, float) and math.isfinite(value):
        return decimal.Decimal(f"{value:.4f}")
    return value


def _ends_inside_line(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


# ---------------------------------------------------------------- reading


def find_records(
    data: bytes, kinds: frozenset[str], on_damaged: Callable[[bytes], object] | None = None
) -> Iterator[tuple[str, Record]]:
    """Yield kind and fields of every whole record of some kinds in a part of a log.

    Others are passed over as bytes, without being parsed. Lines cut short by a kill, also those
    that the next start wrote on, codes of colours and bytes that are no text do no harm, nor does
    it that a console wrote UTF-16.

    Args:
        data: lines of a log; the first may lack its beginning and the last one its end.
        kinds: those that are wanted, such as "cfg" and "test_epoch".
        on_damaged: called with each line that begins as such a record and goes on as none.
    """
    if b"\0" in data:
        data = data.replace(b"\0", b"")  # records are ASCII
    if b"\x1b" in data:
        data = _COLOUR.sub(b"", data)
    for match in _candidates(kinds).finditer(data):
        for record in _parse_line(match[1]):
            if record is None:
                if on_damaged is not None:
                    on_damaged(match[1])
            elif record["_type"] in kinds:
                yield record.pop("_type"), record


def read_pair(value: Any) -> tuple[int, int] | None:
    """Return the numbers of "3/10", the form of a record's epoch and iteration; else None."""
    match = _PAIR.fullmatch(str(value))
    return None if match is None else (int(match[1]), int(match[2]))


@functools.cache
def _candidates(kinds: frozenset[str]) -> re.Pattern[bytes]:
    # Keys are sorted, so that `_type` comes first in all but `cfg`, whose keys are upper case.
    wanted = "|".join(sorted(kinds - {"cfg"})).encode()
    return re.compile(_TAG + rb'(\{(?:"_type": "(?:' + wanted + rb')"|"(?!_type"))[^\r\n]*)')


def _parse_line(data: bytes) -> Iterator[Record | None]:
    """Yield the whole records of a line, which begins with one, or None if that is not whole.

    A record ends with its brace: what another process wrote behind it, a progress bar or a code of
    a colour, does no harm. A line that was cut goes on with what the next start wrote.
    """
    text = data.decode("utf-8", "replace")
    for cut in range(_MOST_CUTS):
        try:
            record, end = _JSON.raw_decode(text)
        except (ValueError, RecursionError):
            end = 0
        else:
            if isinstance(record, dict) and isinstance(record.get("_type"), str):
                yield record
                cut = -1
        if cut == 0:
            yield None
        _, tag, text = text[end:].partition(STATS_TAG)
        if not tag:
            return
