"""A run's log: plain lines, and pycls's `json_stats` lines in between."""

import decimal
import errno
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import simplejson

from pycls.core.runs.events import Events

STATS_TAG = "json_stats: "


class RunLog:
    """Writes log lines of the form ``[file.py: 123]: text``.

    A log file is appended to, one system call an entry: a killed run leaves whole lines but
    for at most the last, and the next start begins on a line of its own.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        events: Events | None = None,
        before_write: Callable[[], None] | None = None,
    ) -> None:
        """Open the log file `path`, or standard output where it is None.

        Args:
            path: the file.
            events: what gets the records too, for TensorBoard.
            before_write: called before each entry; what it raises, the entry's writer gets.
        """
        self._path = path
        self._events = events
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

        Args:
            stats: the record's fields.
            kind: its ``_type``: complexity, train_iter, train_epoch, test_iter, ...
        """
        record = {key: _rounded(value) for key, value in stats.items()}
        self._write_stats(record, kind)
        if self._events is not None:
            self._events.add(stats, kind)

    def config(self, values: dict[str, Any]) -> None:
        """Write the whole configuration as a ``cfg`` record, its numbers unrounded."""
        self._write_stats(values, "cfg")

    def close(self) -> None:
        """Close the log file."""
        if self._events is not None:
            self._events.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, data) < len(data):
                # The disk took a part of it, its last space.
                os.ftruncate(self._descriptor, size)
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
