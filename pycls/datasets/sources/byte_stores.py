"""Runs of bytes within files, from which the members of archives are read.

A *store* is a run of bytes that can be read at any position: a file on disk, or something
unpacked into a temporary file. Members point into stores, those of an archive within an
archive too, so that reading one costs two reads of the outermost file. Stores keep no file of
the disk open: threads and forked processes share them, and they can be pickled.
"""

import bz2
import errno
import gzip
import io
import lzma
import os
import struct
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pycls.errors import DataError

# How a part of a store is packed; a zip's methods, and whole compressed files.
STORED, DEFLATED, BZIP2 = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2
_OPENERS: dict[str, Callable[[Any], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
_CHUNK = 1 << 18
_LOCAL_HEADER = struct.Struct("<4s22xHH")
# Unpacking may need the unpacking of what is around it, in the same thread.
_UNPACK_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a source.

    Attributes:
        name: "/"-separated path below the source's root, in which an archive counts as a
            folder: "train.tar/n01440764.tar/n01440764_10026.JPEG".
        size: bytes, unpacked.
    """

    name: str
    size: int
    # Where its bytes are: position in the source's list of stores (-1: a file of the folder),
    # offset there (in a zip, of the local header), bytes as packed, a zip's method and CRC.
    _store: int = field(default=-1, repr=False)
    _offset: int = field(default=0, repr=False)
    _packed: int = field(default=0, repr=False)
    _method: int = field(default=STORED, repr=False)
    _crc: int | None = field(default=None, repr=False)
    # When the file on disk that holds it was changed, in ns since 1970.
    _time: int = field(default=0, repr=False, compare=False)

    @property
    def file(self) -> str:
        """Its name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Its name without folders and suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Its suffix in lower case, with the dot."""
        return PurePosixPath(self.name).suffix.lower()

    def __reduce__(self) -> tuple[Any, ...]:
        # Members are sent to workers by the million; the generated way is slower.
        state = (self.name, self.size, self._store, self._offset, self._packed, self._method)
        return Member, (*state, self._crc, self._time)


class DiskFile:
    """The bytes of a file on disk."""

    def __init__(self, path: Path):
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of the file."""
        with self.path.open("rb", buffering=0) as file:
            yield file.fileno()


class Unpacked:
    """Unpacked bytes in a temporary file without a name, written when first asked for.

    A process that does not inherit the file unpacks for itself; a killed one leaves nothing.

    Args:
        chunks: makes an iterator over the bytes; picklable.
    """

    def __init__(self, chunks: Callable[[], Iterator[bytes]]):
        self._chunks = chunks
        self._file: IO[bytes] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_chunks": self._chunks, "_file": None}

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of the temporary file."""
        with _UNPACK_LOCK:
            if self._file is None:
                self._file = _write_temporary(self._chunks())
        yield self._file.fileno()


Store = DiskFile | Unpacked


class Span(io.RawIOBase):
    """A part of a store as a file to read, for libraries that want one."""

    def __init__(self, descriptor: int, start: int, size: int):
        self._descriptor, self._start, self._size = descriptor, start, size
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it has a position."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the part's begin."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, as files do."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            # As of a file, so that zipfile knows what is too short to be a zip.
            raise OSError(errno.EINVAL, f"seek to {base + offset}, before the begin")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes into a buffer; return how many."""
        wanted = min(len(buffer), max(self._size - self._position, 0))
        data = os.pread(self._descriptor, wanted, self._start + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def iter_member(store: Store, member: Member, where: str) -> Iterator[bytes]:
    """Yield the bytes of an archive's member in pieces, and check number and checksum.

    Args:
        store: the store it points into.
        member: which.
        where: what to call it in messages.

    Raises:
        DataError: the archive is damaged or cut short there.
    """
    with store.opened() as descriptor:
        start = member._offset
        packed = member.size if member._crc is None else member._packed
        if member._crc is not None:
            start = _skip_local_header(descriptor, start, where)
        pieces = _iter_span(descriptor, start, packed)
        total, checksum = 0, 0
        for piece in _inflate(pieces, member._method, where):
            total += len(piece)
            checksum = zlib.crc32(piece, checksum) if member._crc is not None else 0
            if total > member.size:
                break
            yield piece
    if total != member.size:
        raise damaged(where, f"{total} bytes or more instead of {member.size}")
    if member._crc is not None and checksum != member._crc:
        raise damaged(where, "its checksum is not the recorded one")


def find_data(store: Store, member: Member, where: str) -> int:
    """Return the offset of the bytes of a member that is stored as it is.

    Raises:
        DataError: the archive is damaged there.
    """
    if member._crc is None:
        return member._offset
    with store.opened() as descriptor:
        return _skip_local_header(descriptor, member._offset, where)


def iter_decompressed(
    store: Store, start: int, size: int, kind: str, where: str, most: int
) -> Iterator[bytes]:
    """Yield the content of a compressed file that lies in a store.

    Args:
        store: where it lies.
        start: offset of its first byte.
        size: its bytes.
        kind: "gz", "bz2" or "xz".
        where: what to call it in messages.
        most: bytes that it may become.

    Raises:
        DataError: it is damaged or cut short, or becomes more.
    """
    total = 0
    with store.opened() as descriptor:
        packed = io.BufferedReader(Span(descriptor, start, size), _CHUNK)
        try:
            with _OPENERS[kind](packed) as file:
                while piece := file.read(_CHUNK):
                    total += len(piece)
                    if total > most:
                        raise DataError(
                            f"{where}: refused, since its {size:,} bytes become more than "
                            f"{most:,}; if it is what you want to read, raise the limit "
                            "(--max-unpacked-gb)"
                        )
                    yield piece
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise damaged(where, str(error)) from None
        except OSError as error:
            # The decompressors' own, unlike those of the disk, have no number.
            if error.errno is not None:
                raise
            raise damaged(where, str(error)) from None


def damaged(where: str, detail: str) -> DataError:
    """Return the error that says an archive is damaged or cut short."""
    return DataError(
        f"{where}: damaged or cut short ({detail}); download it again and compare its size and "
        "checksum with the publisher's"
    )


def _write_temporary(chunks: Iterator[bytes]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - kept as long as its store
    try:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
    except BaseException as error:
        file.close()
        if isinstance(error, OSError) and error.filename is None:
            # The file has no name; its folder is what may be full.
            error.filename = tempfile.gettempdir()
        raise
    return file


def _iter_span(descriptor: int, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end:
        piece = os.pread(descriptor, min(_CHUNK, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


def _inflate(pieces: Iterator[bytes], method: int, where: str) -> Iterator[bytes]:
    if method == STORED:
        yield from pieces
        return
    decompressor: Any = zlib.decompressobj(-15) if method == DEFLATED else bz2.BZ2Decompressor()
    try:
        for piece in pieces:
            yield decompressor.decompress(piece)
            if decompressor.eof:
                return
    except (zlib.error, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(where, str(error)) from None


def _skip_local_header(descriptor: int, offset: int, where: str) -> int:
    """Return where a zip member's bytes begin: after a header of its own, of varying length."""
    header = os.pread(descriptor, _LOCAL_HEADER.size, offset)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise damaged(where, "no header where the archive's directory says")
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)
