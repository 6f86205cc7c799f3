"""The listing of the files in a zip or tar file, archives within it included."""

import functools
import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from pycls.datasets.sources.byte_stores import (
    BZIP2,
    DEFLATED,
    STORED,
    Member,
    Span,
    Store,
    Unpacked,
    damaged,
    find_data,
    iter_decompressed,
    iter_member,
)
from pycls.datasets.sources.sieve import Sieve
from pycls.errors import DataError

_KINDS = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "gz",
    ".tgz": "gz",
    ".tar.bz2": "bz2",
    ".tbz2": "bz2",
    ".tar.xz": "xz",
    ".txz": "xz",
}
# Formats that nothing we depend on reads, with the programs that unpack them.
UNPACKERS = {
    ".rar": "unrar, unar or 7z",
    ".7z": "7z",
    ".zst": "zstd or tar",
    ".lz4": "lz4",
    ".lz": "lzip or tar",
}
# What a zip's numbers mean, of those that are not read.
_METHODS = {9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 97: "WavPack", 98: "PPMd"}
_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_MOST_LEVELS = 5
# No system unpacks longer paths, and what is made of their parts would fill the memory.
_MOST_NAME_BYTES = 4096


def archive_suffix(name: str) -> str:
    """Return the suffix that makes a file an archive we read (".zip", ".tar.gz"), or ""."""
    lower = name.lower()
    return next((suffix for suffix in _KINDS if lower.endswith(suffix)), "")


def kind_of(name: str) -> str:
    """Return an archive's kind by its name: "zip", "tar", "gz", "bz2", "xz", or ""."""
    return _KINDS.get(archive_suffix(name), "")


@dataclass(frozen=True)
class Location:
    """Where an archive is.

    Attributes:
        store: position, in the source's list of stores, of the one it lies in.
        start: offset of its first byte there.
        size: its bytes.
        kind: see `kind_of`.
        prefix: what the names of its members begin with: "" or its own path and "/".
        where: what to call it in messages.
        level: how many archives it lies in, itself included.
        packed: bytes that it takes on disk, packed in others as it is.
        time: when the file on disk was changed, in ns since 1970.
    """

    store: int
    start: int
    size: int
    kind: str
    prefix: str
    where: str
    level: int = 1
    packed: int = 0
    time: int = 0


def list_archive(stores: list[Store], archive: Location, sieve: Sieve) -> Iterator[Member]:
    """Yield the files in an archive, those of archives within it under their paths.

    Args:
        stores: the source's stores; archives that must be unpacked to be read add theirs.
        archive: where it is.
        sieve: keeps out what is not the set's, and takes note of folders.

    Raises:
        DataError: the archive is damaged, cut short, encrypted, packed by a method nothing
            here reads, or names a file outside itself.
    """
    if archive.level > _MOST_LEVELS:
        raise DataError(
            f"{archive.where}: more than {_MOST_LEVELS} archives within each other; unpack it"
        )
    if archive.kind in ("gz", "bz2", "xz"):
        archive = _decompress(stores, archive, sieve)
    walk = _walk_zip if archive.kind == "zip" else _walk_tar
    # By name: of a file that was added again, the later one counts, as when unpacking.
    found: dict[str, Member] = {}
    with stores[archive.store].opened() as descriptor:
        file: IO[bytes] = io.BufferedReader(Span(descriptor, archive.start, archive.size))
        for member in walk(file, archive, sieve):
            found[member.name] = member
    for member in found.values():
        if kind := kind_of(member.name):
            yield from list_archive(stores, _locate(stores, member, kind, archive), sieve)
        else:
            yield member


def _decompress(stores: list[Store], archive: Location, sieve: Sieve) -> Location:
    """Add the store with the tar file that is in a compressed one."""
    unpack = functools.partial(
        iter_decompressed,
        stores[archive.store],
        archive.start,
        archive.size,
        archive.kind,
        archive.where,
        sieve.most_bytes(archive.packed),
    )
    stores.append(Unpacked(unpack))
    with stores[-1].opened() as descriptor:
        size = os.fstat(descriptor).st_size
    sieve.check_expansion(archive.packed, size, archive.where)
    return replace(archive, store=len(stores) - 1, start=0, size=size, kind="tar")


def _locate(stores: list[Store], member: Member, kind: str, outer: Location) -> Location:
    """Say where an archive in an archive is, unpacking it if it is deflated there."""
    where = f"{outer.where}: {member.name.removeprefix(outer.prefix)}"
    store, start = member._store, 0
    packed = min(member.size if member._method == STORED else member._packed, outer.packed)
    if member._method == STORED:
        start = find_data(stores[store], member, where)
    else:
        stores.append(Unpacked(functools.partial(iter_member, stores[store], member, where)))
        store = len(stores) - 1
    return Location(
        store,
        start,
        member.size,
        kind,
        f"{member.name}/",
        where,
        outer.level + 1,
        packed,
        outer.time,
    )


def _walk_zip(file: IO[bytes], archive: Location, sieve: Sieve) -> Iterator[Member]:
    where = archive.where
    try:
        with zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
            sizes = (e.file_size for e in entries if e.compress_type != STORED)
            sieve.check_expansion(archive.packed, sum(sizes), where)
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError) as error:
        raise damaged(where, str(error)) from None
    except NotImplementedError as error:
        raise DataError(f"{where}: {error}; unpack it and give the folder") from None
    for entry in entries:
        # Some packers of Windows write its separator.
        name, is_guessed = _read_name(entry)
        name = _check_name(name.replace("\\", "/"), where)
        if not sieve.keeps(archive.prefix + name, entry.is_dir()) or entry.is_dir():
            continue
        problem = ""
        if entry.flag_bits & 0x1:
            problem = "encrypted"
        elif entry.compress_type not in (STORED, DEFLATED, BZIP2):
            method = _METHODS.get(entry.compress_type, f"number {entry.compress_type}")
            problem = f"packed by the method {method}, which is not read here"
        if problem:
            raise DataError(f"{where}: '{name}' is {problem}; unpack it and give the folder")
        if is_guessed:
            sieve.guessed.append(archive.prefix + name)
        yield Member(
            archive.prefix + name,
            entry.file_size,
            archive.store,
            archive.start + entry.header_offset,
            entry.compress_size,
            entry.compress_type,
            entry.CRC,
            archive.time,
        )


def _walk_tar(file: IO[bytes], archive: Location, sieve: Sieve) -> Iterator[Member]:
    where = archive.where
    # Offset and size by name, for hard links.
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as opened:
            while (entry := opened.next()) is not None:
                # The list it keeps would take a kilobyte a file.
                opened.members.clear()  # type: ignore[attr-defined]
                name = _check_name(entry.name, where)
                if not sieve.keeps(archive.prefix + name, entry.isdir()) or entry.isdir():
                    continue
                if entry.isreg() and not entry.issparse():
                    place = entry.offset_data, entry.size
                elif entry.islnk() and entry.linkname in places:
                    place = places[entry.linkname]
                else:
                    raise DataError(
                        f"{where}: '{name}' is a link or special file; unpack the archive and "
                        "give the folder"
                    )
                places[entry.name] = place
                offset, size = place
                start = archive.start + offset
                yield Member(archive.prefix + name, size, archive.store, start, _time=archive.time)
            end = opened.offset
    except tarfile.TarError as error:
        raise damaged(where, str(error)) from None
    file.seek(end)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise damaged(where, "it does not end as a tar file does")


def _read_name(entry: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return an entry's name, and whether its encoding is a guess.

    Without the flag for UTF-8 the name may stand in UTF-8 in an extra field. Else it is read as
    UTF-8 first: `zip -r` writes the names as they are on disk, mostly in that, and sets no flag;
    the letters of DOS, which the format then means, are hardly ever valid UTF-8.
    """
    name = entry.filename
    if entry.flag_bits & _UTF8_FLAG or name.isascii():
        return name, False
    try:
        raw = entry.orig_filename.encode("cp437")
        return _find_extra_name(entry.extra, raw) or raw.decode("utf-8"), False
    except UnicodeError:
        return name, True


def _find_extra_name(extra: bytes, raw: bytes) -> str:
    """Return the name in the extra field "Unicode Path" of an entry called `raw`, or ""."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        # A version, the checksum of the other name, the name.
        if kind == _UNICODE_PATH and extra[5:9] == zlib.crc32(raw).to_bytes(4, "little"):
            return extra[9 : 4 + size].decode("utf-8")
        extra = extra[4 + size :]
    return ""


def _check_name(name: str, where: str) -> str:
    """Return a member's path without "." and empty parts; refuse one that leads outside."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or parts[0].endswith(":"):
        raise DataError(
            f"{where}: refused, since it names a file outside itself: '{name}'; a data set's "
            "archive does not, so take it from its publisher"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise DataError(
            f"{where}: the file name {name!r} is not UTF-8; unpack the archive, rename the file "
            "and give the folder"
        ) from None
    if size > _MOST_NAME_BYTES:
        raise DataError(f"{where}: refused, since it holds a file name of {size:,} bytes")
    return "/".join(part for part in parts if part not in ("", "."))
