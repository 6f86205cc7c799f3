"""Copies of the running package, and of study files, as they were at a launch: jobs go by these."""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pycls
from pycls import files
from pycls.core.runs.code_version import SNAPSHOT_FILE, code_version
from pycls.errors import ConfigError, PyclsError
from pycls.slurm.job_shell import ARCHIVE_SUFFIX

PACKAGE = "pycls"
_LEFT_OUT_FOLDERS = ("__pycache__",)
_LEFT_OUT_SUFFIXES = (".pyc", ".pyo", "~", ".swp", ".orig", ".rej", files.PARTIAL_SUFFIX)
_DIGITS = 16  # of the digest, in the folder's name
_READ_ONLY = 0o444


def snapshot_code(folder: str | os.PathLike[str]) -> Path:
    """Copy the running package, unless the same code is there already.

    Jobs run the copy when its folder stands first in PYTHONPATH, and PYTHONSAFEPATH is set: else
    ``python -m`` would prefer a checkout that it happens to be started in.

    Args:
        folder: where copies are kept, each in a folder named after a digest of its contents.

    Returns:
        The folder that holds the package ``pycls``, for PYTHONPATH.

    Raises:
        ConfigError: `folder` cannot be in PYTHONPATH.
    """
    folder = Path(folder)
    if os.pathsep in str(folder.absolute()):
        raise ConfigError(
            f"{folder.absolute()}: a folder of code cannot have '{os.pathsep}' in its name, as "
            "Python takes it for two; choose another folder"
        )
    contents = dict(_read_package(Path(pycls.__file__).resolve().parent))
    commit, dirty = code_version()
    version = json.dumps({"commit": commit, "dirty": dirty}, sort_keys=True)
    copy = folder / _digest(contents, version)
    if copy.is_dir():
        _mend(copy, contents, version)
        return copy
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{copy.name}.{os.getpid()}{files.PARTIAL_SUFFIX}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(partial, contents, version)
        partial.rename(copy)
    except OSError:
        if not copy.is_dir():  # else another process was faster, with the same contents
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return copy


def pack_snapshot(copy: Path) -> None:
    """Put a snapshot into one file beside it, which a node reads at once, unless it is there."""
    archive = copy.with_name(copy.name + ARCHIVE_SUFFIX)
    if archive.is_file():
        return
    with files.atomic_path(archive) as temporary, tarfile.open(temporary, "w") as tar:
        for name in (PACKAGE, SNAPSHOT_FILE):
            tar.add(copy / name, name, filter=_without_caches)


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return entry if _is_kept(Path(entry.name).name) else None


def require_whole(copy: Path) -> None:
    """Make sure that a copy is as it was made.

    Raises:
        PyclsError: it is gone, or damaged.
    """
    try:
        contents = dict(_read_package(copy / PACKAGE))
        version = (copy / SNAPSHOT_FILE).read_text(encoding="utf-8").removesuffix("\n")
        said = "is damaged" if _digest(contents, version) != copy.name else ""
    except (FileNotFoundError, NotADirectoryError):
        said = "is gone"
    except UnicodeDecodeError:
        said = "is damaged"
    if said:
        raise PyclsError(
            f"{copy}: the code of the last launch {said}; 'launch' goes on with the present code, "
            "and lays its copy again"
        )


def _mend(copy: Path, contents: dict[str, bytes], version: str) -> None:
    """Lay those files of a copy again that are gone or changed, and remove those that came."""
    for name, content in _all_files(contents, version).items():
        path = copy / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(path, content)
            path.chmod(_READ_ONLY)
    for name, _ in list(_read_package(copy / PACKAGE)):
        if name not in contents:
            (copy / PACKAGE / name).unlink()


def _all_files(contents: dict[str, bytes], version: str) -> dict[str, bytes]:
    """Return {relative path: content} of all files of a copy."""
    package = {f"{PACKAGE}/{name}": content for name, content in contents.items()}
    return {**package, SNAPSHOT_FILE: f"{version}\n".encode()}


def _read_package(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the relative path and content of each file that belongs to the package."""
    for parent, folders, names in os.walk(package):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and _is_kept(f))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and _is_kept(name) and path.is_file():
                yield path.relative_to(package).as_posix(), path.read_bytes()


def _is_kept(name: str) -> bool:
    return name not in _LEFT_OUT_FOLDERS and not name.endswith(_LEFT_OUT_SUFFIXES)


def _digest(contents: dict[str, bytes], version: str) -> str:
    digest = hashlib.sha256(version.encode())
    for name, content in sorted(contents.items()):
        digest.update(f"\n{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:_DIGITS]


def _write(partial: Path, contents: dict[str, bytes], version: str) -> None:
    for name, content in _all_files(contents, version).items():
        path = partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        # Against changes by mistake. Folders stay writable: for Python's own cache of
        # compiled modules, and to be removed.
        path.chmod(_READ_ONLY)
    os.sync()  # one flush for all, before the rename makes it valid


def keep_files(paths: Sequence[Path], folder: Path) -> Path:
    """Copy text files to where they stay as they are, at the same places to each other.

    What they name relative to themselves is so found among the copies.

    Args:
        paths: the files.
        folder: where copies are kept, each set in a folder named after its contents.

    Returns:
        The copy of the first.
    """
    # Of their names, not resolved: what names a file by a link finds it by that name.
    places = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    top = Path(os.path.commonpath([place.parent for place in places]))
    texts = {
        str(place.relative_to(top)): path.read_text(encoding="utf-8")
        for place, path in zip(places, paths, strict=True)
    }
    digest = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:_DIGITS]
    files.write_texts(folder / digest, texts)
    return folder / digest / places[0].relative_to(top)
