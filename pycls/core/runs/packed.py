"""The small files of finished runs, packed into archives beside the runs' folders.

Of a run ``LOGS/000012`` they are entries ``000012/run.json``, ``000012/stdout.log`` and so on of a
zip file in ``LOGS/.packed``. A file in the run's own folder stands above the packed one, and one of
a later archive above an earlier one's, so that an archive is there before the files that it holds
are removed, and a kill at any moment loses nothing. Archives are never changed.
"""

import calendar
import contextlib
import errno
import io
import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pycls import files
from pycls.schema import RECORD_FILE

PACKED = ".packed"
_SUFFIX = ".zip"
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # of a zip file
_LENGTHS = struct.Struct("<26xHH")
_TICK_NS = 2_000_000_000

_Signature = tuple[int, int, int]  # size, time of change in ns, inode


@dataclass(frozen=True)
class Entry:
    """A packed file.

    Attributes:
        archive: the file that holds it.
        info: its place there.
        mtime_ns: when the file was written, in ns; archives keep every other second.
        inode: the archive's.
    """

    archive: str
    info: zipfile.ZipInfo
    mtime_ns: int
    inode: int


class _Index:
    """What the archives of a folder of runs hold; archives that are known are not read again."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._seen: _Signature | None = None
        self._archives: dict[str, _Signature] = {}
        self._lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self.runs: set[str] = set()

    def refresh(self) -> None:
        """Look for archives that are new, by the folder's time of change."""
        try:
            found = _signature(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            found = None
        with self._lock:
            if found != self._seen or (found is None and self._archives):
                self._read(found is not None)
                # Files may change within one tick of the file system's clock.
                is_past = found is not None and time.time_ns() - found[1] > _TICK_NS
                self._seen = found if is_past else None

    def _read(self, is_there: bool) -> None:
        names = sorted(os.listdir(self._folder)) if is_there else []  # noqa: PTH208
        paths = [f"{self._folder}/{name}" for name in names if name.endswith(_SUFFIX)]
        present = {path: _signature(path) for path in paths}
        if not self._archives.items() <= present.items():  # somebody has been at them
            self._archives.clear()
            self.entries.clear()
            self.runs.clear()
        for path, signature in present.items():
            if path not in self._archives:
                self._add(path, signature[2])
                self._archives[path] = signature

    def _add(self, path: str, inode: int) -> None:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                mtime_ns = calendar.timegm(info.date_time) * 1_000_000_000
                self.entries[info.filename] = Entry(path, info, mtime_ns, inode)
                self.runs.add(info.filename.partition("/")[0])


def _signature(path: str | os.PathLike[str] | int) -> _Signature:
    found = os.stat(path)  # noqa: PTH116 (asked for thousands of runs)
    return found.st_size, found.st_mtime_ns, found.st_ino


_indexes: dict[str, _Index] = {}


def _index_of(logs: str) -> _Index:
    index = _indexes.setdefault(logs, _Index(f"{logs}/{PACKED}"))
    index.refresh()
    return index


def _find(path: str | os.PathLike[str]) -> Entry | None:
    out_dir, name = os.path.split(os.fspath(path))
    logs, run = os.path.split(out_dir)
    return _index_of(logs or ".").entries.get(f"{run}/{name}")


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file of a run to be read, packed or not.

    Raises:
        FileNotFoundError: it is neither there nor packed.
    """
    try:
        return open(path, "rb")  # noqa: PTH123 (thousands of files)
    except (FileNotFoundError, NotADirectoryError):
        entry = _find(path)
        if entry is None:
            raise FileNotFoundError(2, os.strerror(2), os.fspath(path)) from None
        return io.BytesIO(_read(entry))


def _read(entry: Entry) -> bytes:
    """Return what is packed; by its place, as reading the archive's list each time would take long.

    Raises:
        OSError: the archive is damaged there.
    """
    info = entry.info
    with Path(entry.archive).open("rb") as file:
        file.seek(info.header_offset)
        # The entry's own header ends with the lengths of its name and of further fields.
        file.seek(sum(_LENGTHS.unpack(file.read(_LENGTHS.size))), os.SEEK_CUR)
        packed = file.read(info.compress_size)
    with contextlib.suppress(zlib.error):
        data = zlib.decompress(packed, wbits=-zlib.MAX_WBITS)
        if zlib.crc32(data) == info.CRC:
            return data
    raise OSError(errno.EIO, f"the packed {info.filename} is damaged", entry.archive)


def file_stat(path: str | os.PathLike[str], opened: BinaryIO | None = None) -> tuple[int, int, int]:
    """Return size, time of change in ns and inode of a run's file, packed or not.

    Args:
        path: the file.
        opened: what :func:`open_file` has returned, to ask that.

    Raises:
        FileNotFoundError: it is neither there nor packed.
    """
    is_open = opened is not None and not isinstance(opened, io.BytesIO)
    try:
        return _signature(opened.fileno() if opened is not None and is_open else path)
    except (FileNotFoundError, NotADirectoryError):
        entry = _find(path)
        if entry is None:
            raise FileNotFoundError(2, os.strerror(2), os.fspath(path)) from None
        return entry.info.file_size, entry.mtime_ns, entry.inode


def is_packed(out_dir: str | os.PathLike[str]) -> bool:
    """Say whether an archive holds files of a run."""
    logs, run = os.path.split(os.fspath(out_dir))
    return run in packed_runs(logs or ".")


def packed_runs(logs: str | os.PathLike[str]) -> set[str]:
    """Return the names of the runs of a folder that archives hold files of."""
    return _index_of(os.fspath(logs)).runs


def begun_in(logs: str | os.PathLike[str]) -> set[str]:
    """Return the names of runs in a folder that have written anything, packed ones among them."""
    try:
        names = set(os.listdir(logs))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return names - {PACKED} | packed_runs(logs)


# ---------------------------------------------------------------- writing


def pack(out_dirs: Sequence[str | os.PathLike[str]]) -> int:
    """Pack the small files of runs that are done, and remove what is packed.

    Checkpoints and folders stay as they are; a run's folder goes where nothing is left in it. What
    is packed already is only removed. For who sees to it that nobody works in the folders.

    Args:
        out_dirs: folders of runs, all in one folder.

    Returns:
        The number of runs of which anything was packed or removed.

    Raises:
        OSError: nothing is lost; some runs may be packed, and others not yet.
    """
    if not out_dirs:
        return 0
    found = {Path(out_dir): _small_files(Path(out_dir)) for out_dir in out_dirs}
    found = {out_dir: paths for out_dir, paths in found.items() if paths}
    folder = Path(out_dirs[0]).parent / PACKED
    index = _index_of(str(folder.parent))
    todo = [path for paths in found.values() for path in paths if not _is_packed(path, index)]
    if todo:
        _write_archive(folder, todo)
    for out_dir, paths in found.items():
        for path in paths:
            path.unlink(missing_ok=True)
        for lease in out_dir.glob(".lease.*"):
            lease.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # checkpoints are in it
            out_dir.rmdir()
    return len(found)


def _small_files(out_dir: Path) -> list[Path]:
    try:
        paths = sorted(out_dir.iterdir())
    except FileNotFoundError:
        return []
    # The record last: without it a run would not count as done.
    paths.sort(key=lambda path: path.name == RECORD_FILE)
    return [
        path
        for path in paths
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".pyth"
    ]


def _is_packed(path: Path, index: _Index) -> bool:
    entry = index.entries.get(f"{path.parent.name}/{path.name}")
    return entry is not None and zlib.crc32(path.read_bytes()) == entry.info.CRC


def _write_archive(folder: Path, paths: Sequence[Path]) -> None:
    folder.mkdir(exist_ok=True)
    files.remove_partials(folder)
    number = max((int(p.stem) for p in folder.glob(f"*{_SUFFIX}")), default=0) + 1
    with (
        files.atomic_path(folder / f"{number:06d}{_SUFFIX}") as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        for path in paths:
            when = time.gmtime(path.stat().st_mtime)[:6]
            info = zipfile.ZipInfo(f"{path.parent.name}/{path.name}", max(when, _FIRST_TIME))
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    # Before anything that it holds is removed, its name has reached the disk, too.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unpack(out_dir: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Write the packed files of a run, if it has any, into a folder, but those that are there."""
    logs, run = os.path.split(os.fspath(out_dir))
    entries = _index_of(logs or ".").entries if is_packed(out_dir) else {}
    names = [name for name in entries if name.partition("/")[0] == run]
    names.sort(key=lambda name: name.endswith(f"/{RECORD_FILE}"))
    for name in names:
        path = Path(target, name.partition("/")[2])
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(path, _read(entries[name]))
