"""Functions that write files so that a reader sees the old content or the new, never a part."""

import csv
import fcntl
import filecmp
import io
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError, PyclsError

PARTIAL_SUFFIX = ".partial"
_MOST_HOLDER = 200


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place.

    The temporary file is flushed to disk before the rename and removed on any error, so
    that a crash, a full disk or a kill leaves `path` as it was.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically."""
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with naming(path):
            # By few calls: a thousand runs at a time ask a lot of a shared file system.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with the line ends it has."""
    write_bytes(path, text.encode("utf-8"))


def write_text_if_changed(path: str | os.PathLike[str], text: str) -> bool:
    """Write `text` atomically unless `path` holds it already; say whether it was written."""
    path = Path(path)
    if path.is_file() and path.read_bytes() == text.encode("utf-8"):
        return False
    write_text(path, text)
    return True


@contextmanager
def csv_if_changed(path: str | os.PathLike[str]) -> Iterator[Callable[[Iterable[Any]], object]]:
    """Yield a function that writes a row; in the end the table is at `path`, atomically.

    No more of it than a row is in memory, and a file that holds the same already is left alone.
    """
    path = Path(path)
    temporary = temporary_path(path)
    try:
        with naming(path):
            with temporary.open("w", encoding="utf-8", newline="") as file:
                yield csv.writer(file, lineterminator="\n").writerow
                file.flush()
                os.fsync(file.fileno())
            if not path.is_file() or not filecmp.cmp(path, temporary, shallow=False):
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_texts(folder: str | os.PathLike[str], texts: Mapping[str, str]) -> list[str]:
    """Write many small files, each atomically, in a fraction of the time of one by one.

    Files that hold their text already are left alone. The others are all written to
    temporary names, flushed to disk together, and then renamed: a crash, a full disk or a
    kill leaves every file old or new, though some may be new and others still old.

    Args:
        folder: where the names begin; it and folders within it are made.
        texts: {name or relative path in the folder: text}, written as UTF-8.

    Returns:
        The names of the files that were written.
    """
    # Thousands of files: texts for paths, and one listing for many looks.
    top = os.fspath(folder)
    present: dict[str, set[str]] = {}
    pending: list[tuple[str, str, str]] = []
    try:
        for name, text in texts.items():
            parent, base = os.path.split(f"{top}/{name}")
            if parent not in present:
                Path(parent).mkdir(parents=True, exist_ok=True)
                present[parent] = set(os.listdir(parent))  # noqa: PTH208
            path, data = f"{parent}/{base}", text.encode("utf-8")
            if base in present[parent] and _holds(path, data):
                continue
            temporary = f"{parent}/{_temporary_name(base)}"
            pending.append((name, temporary, path))
            with naming(Path(path)), open(temporary, "wb", buffering=0) as file:  # noqa: PTH123
                file.write(data)
        if pending:
            os.sync()  # one flush for all: thousands of fsync calls would take seconds
        for _, temporary, path in pending:
            os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        for _, temporary, _ in pending:
            Path(temporary).unlink(missing_ok=True)
        raise
    return [name for name, _, _ in pending]


def _holds(path: str, data: bytes) -> bool:
    """Say whether a file is there and holds just these bytes."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return os.fstat(file.fileno()).st_size == len(data) and file.readall() == data
    except (FileNotFoundError, IsADirectoryError):
        return False


def temporary_path(path: Path) -> Path:
    """Return the name beside `path` that :func:`remove_partials` knows."""
    return path.with_name(_temporary_name(path.name))


def _temporary_name(name: str) -> str:
    return f".{name}.{os.getpid()}{PARTIAL_SUFFIX}"


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError without a file name that of `path`."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_text(path: str | os.PathLike[str], kind: str, encoding: str = "utf-8") -> str:
    """Return the text of a user's file.

    Args:
        path: the file.
        kind: what it should be, for messages: "YAML" or "CSV".
        encoding: UTF-8, or "utf-8-sig" where a byte-order mark may stand in front.

    Raises:
        ConfigError: the file is missing or not text.
    """
    try:
        return Path(path).read_text(encoding=encoding)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, expected a {kind} file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file (expected {kind} in UTF-8)") from None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def expand_home(path: str) -> str:
    """Return a path with ~ at its beginning as the home folder, as a shell has it."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def path_beside(folder: Path, path: str) -> Path:
    """Return what a file in a folder means by a path: relative to the folder, ~ is home."""
    return folder / expand_home(path)


def cache_folder(cache_dir: str | os.PathLike[str] = "") -> Path:
    """Return the folder of what can be downloaded or made again.

    Args:
        cache_dir: the folder; empty: the variable PYCLS_CACHE, or else `pycls` in the user's
            cache folder (XDG_CACHE_HOME, ~/.cache).
    """
    given = os.fspath(cache_dir) or os.environ.get("PYCLS_CACHE", "")
    if given:
        return Path(given).expanduser()
    user_cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification says to pass over a relative folder.
    return (user_cache if user_cache.is_absolute() else Path("~/.cache").expanduser()) / "pycls"


def remove_partials(folder: str | os.PathLike[str]) -> None:
    """Remove what killed writers left in `folder`; for the folder's single owner only."""
    for path in Path(folder).glob(f".*{PARTIAL_SUFFIX}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def exclusive_lock(
    path: str | os.PathLike[str],
    purpose: str,
    wait_s: float = 0.0,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[int]:
    """Hold a lock file for one process (and those that inherit its descriptor).

    The lock ends with its last holder, however that ends; the file itself stays.

    Args:
        path: the lock file.
        purpose: what holding it means, for the message ("training in runs/a").
        wait_s: how long to wait for another holder, in seconds.
        waiting: called once if there is another holder, with who it is; the lock file says it.

    Yields:
        The file descriptor, to be handed to child processes that must hold it too.

    Raises:
        PyclsError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + wait_s
    # A holder for whom others wait with a word says who it is.
    waits = waiting is not None
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waiting is not None:
                    holder = os.pread(descriptor, _MOST_HOLDER, 0).decode("utf-8", "replace")
                    waiting(holder.strip() or "another process")
                    waiting = None
                if time.monotonic() >= deadline:
                    raise PyclsError(
                        f"another process is {purpose}; wait for it or stop it first"
                    ) from None
                time.sleep(0.05)
        if waits:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: str | os.PathLike[str]) -> bool:
    """Say whether a process holds a lock file of :func:`exclusive_lock`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows, the header first, as CSV with line feeds; None is an empty cell."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
