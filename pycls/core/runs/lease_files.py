"""The files of a folder's lease: `.lease.000001`, `.lease.000002`, ..., its generations.

Nothing is asked of the file system but that of several processes that create a file exclusively
one succeeds. The file of the highest generation is never renamed nor removed, so that nobody who
looks can miss it; it says that it was given up in place.
"""

import contextlib
import errno
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from pycls.files import PARTIAL_SUFFIX

_NAME = re.compile(r"\.lease\.(\d{6,})")
_RELEASED = b"released\n"
# Longer than what it holds, so that a counter that grows does not change a file's size.
_SPARE_BYTES = 24


_MOST_PROBES = 20
_MOST_BYTES = 4096


class LeaseFile:
    """A generation's file as it was at one look.

    Attributes:
        content: what its owner wrote; None where that is not (or no longer, or not yet) whole.
        is_released: its owner has given it up.
        mtime: when it was written last, by the clock of the file system, in seconds.
    """

    def __init__(self, data: bytes, mtime: float) -> None:
        self.mtime = mtime
        self.is_released = data == _RELEASED
        self.content: dict[str, Any] | None = None
        with contextlib.suppress(ValueError):
            content = json.loads(data)
            self.content = content if isinstance(content, dict) else None


def lease_path(out_dir: str | os.PathLike[str], generation: int) -> str:
    """Return the file of a generation."""
    return f"{os.fspath(out_dir)}/.lease.{generation:06d}"


def find_generations(out_dir: str | os.PathLike[str]) -> list[int]:
    """Return the generations that have a file, in order."""
    names = os.listdir(out_dir)  # noqa: PTH208 (thousands of folders: no Path objects)
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def was_released(path: str) -> bool:
    """Say whether a generation was given up, without opening its file."""
    return os.stat(path).st_size == len(_RELEASED)  # noqa: PTH116 (as above)


def read_lease(path: str) -> LeaseFile:
    """Read a generation's file.

    Raises:
        FileNotFoundError: it is gone; there is a higher one.
    """
    with Path(path).open("rb", buffering=0) as file:
        return _read(file.fileno())


def create_lease(path: str, content: dict[str, Any]) -> None:
    """Create a generation's file, which only one process can, and make it reach the disk.

    Raises:
        FileExistsError: another process has.
        OSError: the folder cannot be written; the file is given up, where it was created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        _write(descriptor, content)
    except OSError as error:
        _give_up(descriptor)
        error.filename = error.filename or path
        raise
    except BaseException:
        _give_up(descriptor)
        raise
    finally:
        os.close(descriptor)


def renew_lease(path: str, content: dict[str, Any]) -> bool:
    """Write an own generation's file anew, in place; say whether it still was the own one.

    Raises:
        OSError: it could not be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if _is_own(descriptor, content["token"]):
            _write(descriptor, content)
            return True
        return False
    finally:
        os.close(descriptor)


def release_lease(path: str, token: str) -> None:
    """Mark an own generation's file as given up, if it still is the own one."""
    # Where that fails it runs out.
    with contextlib.suppress(OSError), Path(path).open("r+b", buffering=0) as file:
        if _is_own(file.fileno(), token):
            _release(file.fileno())


def remove_lease(path: str) -> None:
    """Remove the file of a generation that is not the highest."""
    with contextlib.suppress(OSError):  # it only takes up room
        Path(path).unlink()


def folder_time(out_dir: str | os.PathLike[str]) -> float:
    """Return the time, in seconds, by the clock that stamps the files of a folder.

    Raises:
        OSError: the folder cannot be written.
    """
    for _ in range(_MOST_PROBES - 1):
        # Another process that starts here removes what it takes for left behind; a network file
        # system tells by such an error.
        try:
            return _probe_time(out_dir)
        except OSError as error:
            if error.errno not in (errno.ESTALE, errno.ENOENT) or not Path(out_dir).is_dir():
                raise
    return _probe_time(out_dir)


def _probe_time(out_dir: str | os.PathLike[str]) -> float:
    probe = f"{os.fspath(out_dir)}/.lease-clock.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
    descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, b"?")
        os.fsync(descriptor)
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        Path(probe).unlink(missing_ok=True)


def _read(descriptor: int) -> LeaseFile:
    data = os.pread(descriptor, _MOST_BYTES, 0)
    # The time last: what is written in between is taken for younger than it is, not for older.
    return LeaseFile(data, os.fstat(descriptor).st_mtime)


def _is_own(descriptor: int, token: str) -> bool:
    content = LeaseFile(os.pread(descriptor, _MOST_BYTES, 0), 0.0).content
    return content is not None and content.get("token") == token


def _write(descriptor: int, content: dict[str, Any]) -> None:
    text = json.dumps(content)
    size = len(text) - len(str(content["counter"])) + _SPARE_BYTES
    data = text.encode("utf-8").ljust(size) + b"\n"
    if os.pwrite(descriptor, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def _release(descriptor: int) -> None:
    try:
        os.pwrite(descriptor, _RELEASED, 0)
        os.ftruncate(descriptor, len(_RELEASED))
    except OSError:
        _give_up(descriptor)


def _give_up(descriptor: int) -> None:
    """Have a file that cannot be written count as run out: empty, and as old as can be."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.utime(descriptor, (0, 0))
