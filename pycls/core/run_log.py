"""A run's log: plain lines, and pycls's `json_stats` lines in between."""

import decimal
import math
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import simplejson

STATS_TAG = "json_stats: "


class RunLog:
    """Writes log lines of the form ``[file.py: 123]: text``.

    A log file is appended to, one write a line, so that a killed run leaves at most one
    incomplete line, its last; the next start begins on a line of its own.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Open the log file `path`, or standard output where it is None."""
        self._file: TextIO | None = None
        if path is not None:
            needs_newline = _ends_inside_line(Path(path))
            # Line buffering: a line is in the file as soon as it is complete.
            self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115
            if needs_newline:
                self._file.write("\n")

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

    def config(self, values: dict[str, Any]) -> None:
        """Write the whole configuration as a ``cfg`` record, its numbers unrounded."""
        self._write_stats(values, "cfg")

    def close(self) -> None:
        """Close the log file."""
        if self._file is not None:
            self._file.close()

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
        if self._file is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            self._file.write(line)


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
