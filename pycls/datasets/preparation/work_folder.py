"""The folder of a preparation under way, from which an interrupted one goes on.

`.<name>.preparing/` beside a set's place holds

- `plan.json`     what is being made of which files; another plan starts over
- `images.jsonl`  journal of the images decoded: hashes of pixels and files, sums of channels
- `finish.json`   written once the images are final: those that were left out as unreadable
- `near.json`     the images that nearly look alike, where that was asked for
- `set/`          the prepared set as it grows; moved to its place when it is complete

A journal names only work whose data had reached the disk before.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycls import files

_SUFFIX = ".preparing"
_PLAN = "plan.json"
_FINISH = "finish.json"
_NEAR = "near.json"
# Flushing takes at most about a tenth of the time.
_LEAST_WAIT_S = 0.1
_WAIT_PER_FLUSH = 9


class WorkFolder:
    """The work folder of the set at `path`; for one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}{_SUFFIX}")
        self.set_path = self.path / "set"
        self.images_path = self.path / "images.jsonl"

    def begin(self, plan: Mapping[str, Any]) -> bool | None:
        """Make the folder ready for a plan.

        Returns:
            True where earlier work on the same plan is there, None where there was none, and
            False where there was one on another plan, which is removed.
        """
        found = self.read_plan()
        # The set is gone where a process was killed just after it had put it in its place.
        goes_on = found == plan and self.set_path.is_dir()
        if goes_on:
            for folder in (self.path, self.set_path):
                files.remove_partials(folder)
            return True
        self.remove()
        self.set_path.mkdir(parents=True)
        files.write_json(self.path / _PLAN, plan)
        return None if found in (None, plan) else False

    def reset(self) -> None:
        """Forget which images are decoded; the plan stays."""
        (self.path / _FINISH).unlink(missing_ok=True)
        self.images_path.unlink(missing_ok=True)

    def read_plan(self) -> Any:
        """Return the plan that is being worked on; None where there is none."""
        return _read_json(self.path / _PLAN)

    def read_finish(self) -> Any:
        """Return what :meth:`write_finish` wrote; None where it did not."""
        return _read_json(self.path / _FINISH)

    def write_finish(self, value: Any) -> None:
        """Record that the images are final."""
        files.write_json(self.path / _FINISH, value)

    def read_near(self) -> Any:
        """Return what :meth:`write_near` wrote; None where it did not."""
        return _read_json(self.path / _NEAR)

    def write_near(self, value: Any) -> None:
        """Record which images nearly look alike."""
        files.write_json(self.path / _NEAR, value)

    def remove(self) -> None:
        """Remove the folder; the plan goes first, so that no part of it is taken up again."""
        if self.path.exists():
            (self.path / _PLAN).unlink(missing_ok=True)
            shutil.rmtree(self.path)


def list_work(folder: Path) -> dict[str, int]:
    """Return the sets in a folder whose preparation was interrupted or is under way.

    Returns:
        {name: bytes used on disk}.
    """
    found = {}
    for path in sorted(folder.glob(f".*{_SUFFIX}")):
        sizes = [part.stat().st_blocks * 512 for part in path.rglob("*") if part.is_file()]
        found[path.name.removeprefix(".").removesuffix(_SUFFIX)] = sum(sizes)
    return found


def read_journal(path: Path) -> dict[int, Any]:
    """Return a journal's records by number; what a kill cut off is removed from the file."""
    if not path.exists():
        return {}
    records = {}
    whole = 0
    with path.open("rb+") as file:
        for line in file:
            try:
                number, record = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            records[number] = record
            whole += len(line)
        file.truncate(whole)
    return records


class Journal:
    """Appends records to a journal, each after the data it describes is on disk.

    A thread of its own flushes the data file and then writes the records that came before the
    flush, so that the work goes on meanwhile. Use as a context manager.
    """

    def __init__(self, path: Path, data_path: Path | None = None) -> None:
        self._path = path
        self._data_path = data_path
        self._pending: list[str] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Journal":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        # After an error too: what was done before it need not be done again.
        self._ended.set()
        self._thread.join()
        if kind is None:
            self._raise_error()

    def add(self, number: int, record: Any) -> None:
        """Note that a piece of work is done.

        Raises:
            OSError: an earlier record could not be written.
        """
        self._raise_error()
        with self._lock:
            self._pending.append(json.dumps([number, record], separators=(",", ":")) + "\n")

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        wait_s = _LEAST_WAIT_S
        while self._error is None and not self._ended.wait(wait_s):
            start = time.monotonic()
            self._write_pending()
            wait_s = max(_LEAST_WAIT_S, _WAIT_PER_FLUSH * (time.monotonic() - start))
        self._write_pending()

    def _write_pending(self) -> None:
        with self._lock:
            lines, self._pending = self._pending, []
        if not lines or self._error is not None:
            return
        try:
            if self._data_path is not None:
                sync_file(self._data_path)
            with self._path.open("ab") as file:
                file.write("".join(lines).encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            error.filename = error.filename or str(self._path)
            self._error = error


def sync_file(path: Path) -> None:
    """Flush a file's data to disk, whoever wrote it."""
    with files.naming(path), path.open("rb") as file:
        os.fsync(file.fileno())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
