"""Copies of prepared sets on a node's own disk, for all processes there: PYCLS_STAGE.

A copy is made once, by the first process that opens the set, in a folder named after the set and
its fingerprint; others wait for it. It appears whole and checked, or not at all. Where there can be
none, the shared set is used, and a warning says why.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from pycls.datasets.store.store import META_FILE, Store, open_store, verify_store
from pycls.errors import DataError, PyclsError
from pycls.files import exclusive_lock, write_json
from pycls.pulse import beat
from pycls.schema import STAGE_VARIABLE

# Of a copy: its files' sizes and times as they were when all of it was read and found right.
CHECKED_FILE = "checked.json"
_PIECE_BYTES = 16 << 20
_LOOK_AGAIN_S = 0.2

_in_vain: dict[tuple[str, str], str] = {}  # {(stage, fingerprint): why there is no copy}


def open_staged(path: Path) -> Store:
    """Open a prepared set, by its copy on this node's own disk where PYCLS_STAGE names a place.

    Raises:
        DataError: the set itself cannot be used.
    """
    stage = os.environ.get(STAGE_VARIABLE, "")
    store = open_store(path)
    if not stage or (stage, store.fingerprint) in _in_vain:
        return store
    try:
        return _find_copy(store, Path(stage).expanduser())
    except (OSError, PyclsError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        _in_vain[stage, store.fingerprint] = reason
        warnings.warn(
            f"{path} is read where it is, and not from a copy in {stage}: {reason}", stacklevel=2
        )
        return store


def _find_copy(store: Store, stage: Path) -> Store:
    """Return the open copy of a set, made or mended if need be.

    Raises:
        OSError: it cannot be made.
        PyclsError: there is no room, or what would be copied is damaged.
    """
    if not stage.is_dir():
        raise PyclsError("there is no such folder on this machine")
    folder = stage / f"pycls-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PyclsError(f"{folder} is another user's")
    copy = folder / f"{store.name}-{store.fingerprint[:16]}"
    if not _is_as_checked(copy):
        with contextlib.ExitStack() as held:
            _hold(Path(f"{copy}.lock"), held)
            if not _is_as_checked(copy):
                _make(store, copy)
    return open_store(copy)


def _hold(lock: Path, held: contextlib.ExitStack) -> None:
    """Hold a lock, however long another process copies."""
    while True:
        try:
            held.enter_context(exclusive_lock(lock, "copying"))
        except PyclsError:
            beat()
            time.sleep(_LOOK_AGAIN_S)
        else:
            return


def _is_as_checked(copy: Path) -> bool:
    """Say whether a copy is there, and no file of it was touched since it was read and right."""
    try:
        return bool(json.loads((copy / CHECKED_FILE).read_text()) == _describe(copy))
    except (OSError, ValueError):
        return False


def _describe(copy: Path) -> dict[str, Any]:
    stats = {p.name: p.stat() for p in copy.iterdir() if p.name != CHECKED_FILE}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _make(store: Store, copy: Path) -> None:
    """Copy a set, check all of it, and only then let it appear."""
    with contextlib.suppress(OSError, DataError):  # touched, perhaps without harm
        verify_store(copy)
        write_json(copy / CHECKED_FILE, _describe(copy))
        return
    if copy.exists():
        warnings.warn(f"{copy} is damaged; it is copied again", stacklevel=2)
        shutil.rmtree(copy)
    for left in copy.parent.glob(f".{copy.name}.*"):  # by a killed process: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    names = [META_FILE, *store.meta["arrays"], *store.meta.get("records", {})]
    needed = sum((store.path / name).stat().st_size for name in names)
    free = shutil.disk_usage(copy.parent).free
    if needed > free:
        raise PyclsError(f"it takes {needed:,} bytes, and there is room for {free:,}")
    partial = Path(tempfile.mkdtemp(prefix=f".{copy.name}.", dir=copy.parent))
    try:
        for name in names:
            _copy_file(store.path / name, partial / name)
        verify_store(partial)
        write_json(partial / CHECKED_FILE, _describe(partial))
        partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as written:
        while piece := read.read(_PIECE_BYTES):
            written.write(piece)
            beat()
