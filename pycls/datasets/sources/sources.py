"""A tree of files that sees through archives: a data set as it was downloaded.

A source is a folder, an archive or one file. An archive found in it counts as a folder, so
that readers of data sets see one tree however the download is packed. Zip and tar files are
read in place. What is compressed as a whole (`.tar.gz`, an archive deflated within a zip) goes
through a temporary file that vanishes with the process.
"""

import errno
import os
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pycls.datasets.sources.archives import UNPACKERS, Location, kind_of, list_archive
from pycls.datasets.sources.byte_stores import DiskFile, Member, Store, iter_member
from pycls.datasets.sources.parquet_images import ParquetImages
from pycls.datasets.sources.sieve import MOST_UNPACKED, Sieve
from pycls.errors import DataError

# Real ones stay far below these, and a tree made to be endless above them.
_MOST_FOLDERS = 100
_MOST_VISITS = 100


class Source:
    """The files of a folder or archive; :func:`open_source` makes one.

    It can be pickled. The copy carries where the files' bytes are, not the list of files: a
    worker that is handed members can read them, one that asks for `members` lists anew.

    Attributes:
        path: as the user gave it.
        sieve: what was kept out, and the folders; filled as the files are listed.
    """

    def __init__(self, path: Path, kind: str, sieve: Sieve, archives: bool = True):
        self.path = path
        self._archives = archives
        self.sieve = sieve
        self._kind = kind
        self._root = path.parent if kind == "file" else path
        self._stores: list[Store | ParquetImages] = []
        self._members: tuple[Member, ...] | None = None
        self._by_name: dict[str, Member] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_members": None, "_by_name": {}}

    @property
    def members(self) -> tuple[Member, ...]:
        """All files, what systems leave behind left out, sorted by name."""
        if self._members is None:
            # Built aside, so that members handed out before go on pointing where they did.
            stores: list[Store] = []
            self.sieve = Sieve(self.sieve.exclude, self.sieve.max_unpacked)
            self._members = tuple(sorted(self._list(stores), key=lambda member: member.name))
            self._stores = [*stores]
        return self._members

    @property
    def root(self) -> Path:
        """The folder or archive that the members' names begin from."""
        return self._root

    def files(self) -> tuple[Member, ...]:
        """Return all files that `at` finds: the members, beside which one file has its folder's."""
        if self._kind != "file":
            return self.members
        walk = _walk(self._root, "", (), Sieve(), Counter())
        found = (_loose(name, status) for name, status in walk)
        return tuple(sorted(found, key=lambda member: member.name))

    def read(self, member: Member) -> bytes:
        """Return the bytes of a member.

        Raises:
            DataError: it is gone, changed, damaged or cut short; names source and member.
        """
        where = self.where(member)
        try:
            if member._store >= 0:
                store = self._stores[member._store]
                if isinstance(store, ParquetImages):
                    return store.read(member._offset, member._packed, where)
                return b"".join(iter_member(store, member, where))
            data = (self._root / member.name).read_bytes()
        except OSError as error:
            raise _unreadable(where, error) from None
        if len(data) != member.size:
            raise DataError(
                f"{where}: {len(data)} bytes, {member.size} when it was listed; leave the files "
                "alone while they are read"
            )
        return data

    def add_images(self, images: ParquetImages, file: Member) -> list[Member]:
        """Take up the images of a Parquet file of this source; return a member for each.

        Their sizes are not known, and given as 0.
        """
        self._stores.append(images)
        number = len(self._stores) - 1
        return [
            Member(f"{file.name}/{first + row}", 0, number, group, row, _time=file._time)
            for group, (first, count) in enumerate(images.groups)
            for row in range(count)
        ]

    def reading_units(self, members: Sequence[Member]) -> list[Hashable]:
        """Return for each member a value that those share which are read at once."""
        return [
            (member._store, member._offset) if self._is_row(member) else member.name
            for member in members
        ]

    def reading_order(self, members: Sequence[Member]) -> Sequence[int]:
        """Return positions of members in an order that reads what is read at once only once."""
        if not any(map(self._is_row, members)):
            return range(len(members))
        return sorted(
            range(len(members)), key=lambda at: (members[at]._store, members[at]._offset, at)
        )

    def _is_row(self, member: Member) -> bool:
        return member._store >= 0 and isinstance(self._stores[member._store], ParquetImages)

    def read_head(self, member: Member, count: int) -> bytes:
        """Return the first bytes of a member, of which there may be fewer.

        Raises:
            DataError: as :meth:`read`.
        """
        where = self.where(member)
        try:
            if member._store >= 0:
                store = self._stores[member._store]
                if isinstance(store, ParquetImages):
                    return self.read(member)[:count]
                return next(iter_member(store, member, where), b"")[:count]
            with (self._root / member.name).open("rb", buffering=0) as file:
                return file.read(count)
        except OSError as error:
            raise _unreadable(where, error) from None

    def where(self, member: Member) -> str:
        """Return what to call a member in messages."""
        return f"{self.path}: {member.name}"

    def at(self, name: str) -> Member | None:
        """Return the file of that path below the root, or None.

        A source that is one file finds the files beside it too.
        """
        if self._kind == "file":
            path = self._root / name
            inside = not Path(name).is_absolute() and ".." not in Path(name).parts
            return _loose(name, path.stat()) if inside and path.is_file() else None
        if not self._by_name:
            self._by_name = {member.name: member for member in self.members}
        return self._by_name.get(name)

    def describe(self) -> str:
        """Return what it is and how much is in it, for messages."""
        kind = {"folder": "folder", "file": "file"}.get(self._kind, "archive")
        count = f" of {len(self.members):,} files" if self._kind != "file" else ""
        return f"{self.path} ({kind}{count})"

    def _list(self, stores: list[Store]) -> Iterator[Member]:
        if self._kind == "file":
            yield _loose(self.path.name, self.path.stat())
        elif self._kind == "folder":
            yield from _list_folder(self.path, stores, self.sieve, self._archives)
        else:
            yield from _list_file(self.path, self._kind, stores, self.sieve)


def open_source(
    path: str | os.PathLike[str],
    exclude: Sequence[str] = (),
    archives: bool = True,
    max_unpacked: int = MOST_UNPACKED,
) -> Source:
    """List the files of a folder, an archive (zip, tar, compressed tar) or one file.

    Args:
        path: where it is.
        exclude: patterns of names that are left out (see
            :func:`~pycls.datasets.sources.sieve.is_matched`).
        archives: whether an archive in a folder counts as a folder, or as a file.
        max_unpacked: archives that become more than 200 times their size are refused where that
            is more than so many bytes.

    Raises:
        DataError: there is nothing at `path` or nothing in it, it cannot be read, an archive
            is damaged or cut short, or of a format that must be unpacked first.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; give the data set's download")
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"{path}: a pipe, socket or device; give the data set's download")
    try:
        kind = "folder" if path.is_dir() else _sniff(path)
        source = Source(path, kind, Sieve(exclude, max_unpacked), archives)
        if not source.members:
            raise DataError(f"{path}: there is no file in it; give the data set's download")
    except OSError as error:
        raise _unreadable(str(error.filename or path), error) from None
    return source


def _sniff(path: Path) -> str:
    """Return the kind of a file: by its name, then, since downloads get renamed, by content."""
    with path.open("rb") as file:
        head = file.read(512)
    suffix = path.suffix.lower()
    marks = {b"Rar!": ".rar", b"7z\xbc\xaf": ".7z", b"\x28\xb5\x2f\xfd": ".zst"}
    suffix = next((kind for mark, kind in marks.items() if head.startswith(mark)), suffix)
    if suffix in UNPACKERS:
        raise DataError(
            f"{path}: a {suffix} file must be unpacked first, with {UNPACKERS[suffix]}; then give "
            "the unpacked folder"
        )
    if not head:
        raise DataError(f"{path}: the file is empty; download it again")
    if kind := kind_of(path.name):
        return kind
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    return "tar" if head[257:262] == b"ustar" else "file"


def _list_file(
    path: Path, kind: str, stores: list[Store], sieve: Sieve, prefix: str = ""
) -> Iterator[Member]:
    stores.append(DiskFile(path))
    found = path.stat()
    sieve.packed += found.st_size
    location = Location(
        len(stores) - 1,
        0,
        found.st_size,
        kind,
        prefix,
        str(path),
        packed=found.st_size,
        time=found.st_mtime_ns,
    )
    return list_archive(stores, location, sieve)


def _list_folder(root: Path, stores: list[Store], sieve: Sieve, archives: bool) -> Iterator[Member]:
    for name, found in _walk(root, "", (os.path.realpath(root),), sieve, Counter()):
        if archives and (kind := kind_of(name)):
            yield from _list_file(root / name, kind, stores, sieve, f"{name}/")
        else:
            yield _loose(name, found)


def _loose(name: str, found: os.stat_result) -> Member:
    return Member(name, found.st_size, _time=found.st_mtime_ns)


def _walk(
    folder: Path, prefix: str, above: tuple[str, ...], sieve: Sieve, visits: Counter[str]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path and status of all files, links followed; `visits` counts those of folders."""
    _check_depth(len(above), folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if not sieve.keeps(name, entry.is_dir()):
                if entry.is_dir() and not entry.is_symlink():
                    _count_files(entry.path, name, sieve)
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in above:
                    raise DataError(f"{entry.path}: a link to a folder it lies in; remove it")
                visits[real] += 1
                if visits[real] > _MOST_VISITS:
                    raise DataError(
                        f"{entry.path}: links lead to {real} on more than {_MOST_VISITS} ways; "
                        "remove them"
                    )
                yield from _walk(Path(entry.path), f"{name}/", (*above, real), sieve, visits)
            elif entry.is_file():
                _check_encoding(name, folder)
                yield name, entry.stat()
            elif entry.is_symlink() and not Path(entry.path).exists():
                raise DataError(f"{entry.path}: a link to a file that is not there; mend it")
            else:
                raise DataError(
                    f"{entry.path}: neither a file nor a folder, but a pipe, socket or device; "
                    "remove it, or leave it out with --exclude"
                )


def _check_depth(depth: int, folder: Path | str) -> None:
    if depth > _MOST_FOLDERS:
        raise DataError(f"{folder}: more than {_MOST_FOLDERS} folders within each other")


def _count_files(folder: str, name: str, sieve: Sieve) -> None:
    """Enter the files of a folder that is kept out into the account."""
    for where, _, files in os.walk(folder):
        below = os.path.relpath(where, folder).replace(os.sep, "/")
        _check_depth(below.count("/"), where)
        for file in files:
            path = f"{name}/{file}" if below == "." else f"{name}/{below}/{file}"
            sieve.keeps(path.encode("utf-8", "replace").decode())


def _check_encoding(name: str, folder: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{folder}: the file name {name!r} is not UTF-8; rename the file") from None


def _unreadable(where: str, error: OSError) -> Exception:
    """Return the error that says a file cannot be read; a full disk's stays what it is."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    return DataError(f"{where}: cannot be read: {error.strerror or error}; check it and its owner")
