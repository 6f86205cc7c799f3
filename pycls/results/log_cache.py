"""A cache of logs that were read before: only what is new in them is read.

The cache is one file. A log counts as unchanged by its size, time of change and inode; one
that has grown is read on from where it ended, any other one anew. A cache of another version,
or a damaged one, is not used. It can be deleted at any time.
"""

import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

from pycls import files
from pycls.core.runs.packed import file_stat, open_file
from pycls.progress import Progress
from pycls.results.log_records import LogData, find_records, from_columns, to_columns
from pycls.schema import COLLECT_PREFIX

CACHE = f"{COLLECT_PREFIX}cache"
VERSION = 3

# Below this, starting processes takes longer than reading.
_BYTES_WORTH_PROCESSES = 64 << 20
_LOGS_A_TASK = 50
_CHECKED_BYTES = 1024
_SHOWN = 5

Signature = list[int]
Derive = Callable[[str, LogData], dict[str, Any]]


@dataclass(frozen=True)
class LogEntry:
    """A log as it was read.

    Attributes:
        signature: size, time of change in ns and inode.
        offset: where to read on, after the last whole line; 0: read anew.
        check: a checksum of the bytes around the part that was read.
        start: how far the log's last start is; see :meth:`LogData.start_state`.
        derived: what the cache's owner made of the log.
        fresh: what :func:`to_columns` made of it, as JSON; "" where `line` has it.
        line: as the file has it, where it comes from there.
    """

    signature: Signature
    offset: int
    check: int
    start: dict[str, Any]
    derived: dict[str, Any]
    fresh: str = ""
    line: str = ""

    @classmethod
    def from_line(cls, line: str) -> tuple[str, "LogEntry"]:
        """Return name and entry of a line of the file."""
        fields = line[: line.find("\t")]
        name, signature, offset, check, start, derived = json.loads(fields)
        return name, cls(signature, offset, check, start, derived, line=line)

    @property
    def job(self) -> str:
        """Return what :func:`to_columns` made of the log, as JSON."""
        return self.fresh or self.line[self.line.find("\t") + 1 :]

    def to_line(self, name: str) -> str:
        """Return the line that :meth:`from_line` reads."""
        fields = [name, self.signature, self.offset, self.check, self.start, self.derived]
        return self.line or f"{json.dumps(fields)}\t{self.job}"

    def data(self) -> LogData:
        """Return the log's records."""
        data = from_columns(json.loads(self.job))
        data.restore_start(self.start)
        return data


@dataclass
class Reading:
    """What :meth:`LogCache.read` had to read.

    Attributes:
        unchanged: logs taken from the cache.
        read: logs read anew or on.
        size: bytes read.
    """

    unchanged: int = 0
    read: int = 0
    size: int = 0


@dataclass
class LogCache:
    """The records of many logs, and the file that keeps them.

    Attributes:
        path: the file.
        owner: what is derived, and how: a cache of another owner is not used.
        derive: makes of (name, log) what the owner needs of it, for JSON; a module's function.
        with_cfg: whether to keep the logs' `cfg` records.
        entries: {name: log}.
        shared: further content for the owner, for JSON.
    """

    path: Path
    owner: str
    derive: Derive | None = None
    with_cfg: bool = True
    entries: dict[str, LogEntry] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    _saved: str = ""

    def load_shared(self) -> bool:
        """Take over the owner's content from the file; say whether the file can be used."""
        try:
            with self.path.open(encoding="utf-8") as file:
                header = json.loads(file.readline())
            if header["version"] != VERSION or header["owner"] != self.owner:
                return False
            self.shared = dict(header["shared"])
        except (OSError, ValueError, TypeError, KeyError):
            return False
        return True

    def load(self) -> None:
        """Take over all that the file holds, if it can be used."""
        if not self.load_shared():
            return
        try:
            with self.path.open(encoding="utf-8", newline="\n") as file:
                head = file.readline().removesuffix("\n")
                entries = dict(LogEntry.from_line(line.removesuffix("\n")) for line in file)
            if len(entries) != json.loads(head)["logs"]:
                return
        except (OSError, ValueError, TypeError, KeyError):
            return
        self.entries = entries
        self._saved = head

    def read(
        self,
        logs: Mapping[str, Path | str],
        processes: int = 1,
        meanwhile: Callable[[], None] | None = None,
    ) -> Reading:
        """Bring the entries up to date; logs that are not named are dropped.

        Args:
            logs: {name: file}; a file that is not there has no entry.
            processes: how many may read at a time.
            meanwhile: what to do while they read.
        """
        reading, tasks, left = Reading(), [], 0
        entries: dict[str, LogEntry] = {}
        for name, path in logs.items():
            signature = signature_of(path)
            old = self.entries.get(name)
            if signature is None:
                continue
            if old is not None and old.signature == signature:
                entries[name] = old
                continue
            tasks.append((name, str(path), old))
            left += signature[0] - (old.offset if old else 0)
        reading.unchanged = len(entries)
        processes = processes if left > _BYTES_WORTH_PROCESSES else 1
        progress = Progress(sys.stderr if sys.stderr.isatty() else None)
        progress.begin("reading", len(tasks), unit="logs")
        for name, entry, size in self._run(tasks, processes, meanwhile):
            progress.advance(1)
            if entry is not None:
                entries[name] = entry
                reading.read += 1
                reading.size += size
        progress.clear()
        if tasks or len(entries) != len(self.entries):
            self._saved = ""
        self.entries = {name: entries[name] for name in logs if name in entries}
        return reading

    def damaged(self) -> dict[str, int]:
        """Return {name: records that could not be read} of the logs that have some."""
        counts = {name: int(entry.start["damaged"]) for name, entry in self.entries.items()}
        return {name: count for name, count in counts.items() if count}

    def save(self) -> None:
        """Write the file, if there is anything new."""
        header = {
            "version": VERSION, "owner": self.owner, "logs": len(self.entries),
            "shared": self.shared,
        }  # fmt: skip
        head = json.dumps(header)
        if head == self._saved:
            return
        # Line by line: of many runs it has hundreds of megabytes.
        with files.atomic_path(self.path) as place, place.open("w", encoding="utf-8") as file:
            file.write(f"{head}\n")
            file.writelines(f"{entry.to_line(n)}\n" for n, entry in self.entries.items())
        self._saved = head

    def _run(
        self, tasks: Sequence["_Task"], processes: int, meanwhile: Callable[[], None] | None
    ) -> Iterator[tuple[str, LogEntry | None, int]]:
        if processes <= 1:
            if meanwhile is not None:
                meanwhile()
            yield from _read_logs(tasks, self.derive, self.with_cfg)
            return
        # Not by fork: the caller may have threads.
        context = get_context("forkserver")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            parts = [tasks[i : i + _LOGS_A_TASK] for i in range(0, len(tasks), _LOGS_A_TASK)]
            results = [pool.submit(_read_logs, p, self.derive, self.with_cfg) for p in parts]
            if meanwhile is not None:
                meanwhile()
            for result in results:
                yield from result.result()


def damaged_text(damaged: Mapping[str, int]) -> str:
    """Return a sentence on the records that :meth:`LogCache.damaged` counts."""
    count = sum(damaged.values())
    shown = ", ".join(f"{name} ({n})" for name, n in list(damaged.items())[:_SHOWN])
    more = f" and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
    records = "1 damaged record is" if count == 1 else f"{count:,} damaged records are"
    return f"{records} left out, in the log of {shown}{more}"


_Task = tuple[str, str, LogEntry | None]


def signature_of(path: str | os.PathLike[str]) -> Signature | None:
    """Return a file's size, time of change and inode; None where it is not there."""
    try:
        return list(file_stat(path))
    except FileNotFoundError:
        return None


def _read_logs(
    tasks: Sequence[_Task], derive: Derive | None, with_cfg: bool
) -> list[tuple[str, LogEntry | None, int]]:
    return [(name, *_read_log(name, path, old, derive, with_cfg)) for name, path, old in tasks]


def _read_log(
    name: str, path: str, old: LogEntry | None, derive: Derive | None, with_cfg: bool
) -> tuple[LogEntry | None, int]:
    """Return a log's entry and the bytes that were read."""
    try:
        with open_file(path) as file:
            signature = list(file_stat(path, file))
            if old is not None and not _continues(file, signature, old):
                old = None
            begin = old.offset if old is not None else 0
            file.seek(begin)
            content = file.read(signature[0] - begin)
            whole = content.rfind(b"\n") + 1
            check = _checksum(file, begin + whole)
    except FileNotFoundError:
        return None, 0
    data = old.data() if old is not None else LogData()
    _add(data, content[:whole], with_cfg)
    start = json.loads(json.dumps(data.start_state()))
    # A last line without its end may be a record already, but will be read again.
    has_tail = _add(data, content[whole:], with_cfg)
    entry = LogEntry(
        signature=signature,
        offset=0 if has_tail else begin + whole,
        check=check,
        start=start,
        derived=derive(name, data) if derive is not None else {},
        fresh=json.dumps(to_columns(data)),
    )
    return entry, len(content)


def _add(data: LogData, content: bytes, with_cfg: bool) -> bool:
    """Add the records in a part of a log; say whether there was one."""
    found = False
    damaged: list[object] = []
    for kind, record in find_records(content, damaged.append):
        data.add(kind, record if with_cfg or kind != "cfg" else {})
        found = True
    data.damaged += len(damaged)
    return found


def _continues(file: BinaryIO, signature: Signature, old: LogEntry) -> bool:
    """Say whether a log is what was read before, with more behind it."""
    size, _, inode = signature
    return (
        old.offset > 0
        and inode == old.signature[2]
        and size > old.signature[0]
        and _checksum(file, old.offset) == old.check
    )


def _checksum(file: BinaryIO, end: int) -> int:
    """Return a checksum of the first and the last bytes of a file's first `end` ones."""
    file.seek(0)
    check = zlib.crc32(file.read(min(end, _CHECKED_BYTES)))
    file.seek(max(0, end - _CHECKED_BYTES))
    return zlib.crc32(file.read(min(end, _CHECKED_BYTES)), check)
