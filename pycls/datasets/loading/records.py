"""Reader of single images of a prepared set through the page cache.

The cache is the system's: processes that read one set share one copy. A set that fits into
memory is read where it lies, as a memory map; of a larger one whole images are copied out of the
file, since faults of a map that is not in memory would be slow and push out what else is there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pycls.datasets.store.store import ImageArray, IntArray
from pycls.errors import DataError

# Buffers that one system call takes (IOV_MAX of Linux).
_MAX_BUFFERS = 1024
# Images that are looked at to know whether a batch is in the cache.
_SAMPLE = 8


class RecordReader:
    """Reads images by their positions; any number of threads and forked processes may.

    Args:
        images: the memory map of a prepared set's images, uint8, M x H x W x 3.
    """

    def __init__(self, images: ImageArray) -> None:
        if not isinstance(images, np.memmap) or images.filename is None:
            raise TypeError("expected images that are a memory-mapped file")
        self.shape: tuple[int, ...] = images.shape[1:]
        self._mapped = np.asarray(images)
        self._start = images.offset
        self._bytes = int(np.prod(self.shape))
        # Closed when the reader goes. The place to read from is always given, never the file's.
        self._file = Path(images.filename).open("rb", buffering=0)  # noqa: SIM115

    def views(self, positions: IntArray) -> list[ImageArray]:
        """Return images, uint8, H x W x 3, as views of the memory map; they cannot be written.

        Raises:
            DataError: the file has become shorter.
        """
        size = os.fstat(self._file.fileno()).st_size
        if size < self._start + self._mapped.nbytes:
            # Touching what is missing of a map would end the process.
            raise self._error_at(size)
        return [self._mapped[position] for position in positions.tolist()]

    def announce(self, positions: IntArray) -> None:
        """Ask the system to fetch images that are read soon, without waiting for them."""
        if not hasattr(os, "posix_fadvise") or self._are_cached(positions):
            return
        ordered = np.sort(positions)
        for first, last in _runs(ordered):
            where = self._start + int(ordered[first]) * self._bytes
            length = (last - first) * self._bytes
            os.posix_fadvise(self._file.fileno(), where, length, os.POSIX_FADV_WILLNEED)

    def read(self, positions: IntArray, images: ImageArray) -> None:
        """Read images, in the order they lie in.

        Args:
            positions: int64, N.
            images: uint8, N x H x W x 3, contiguous, to be filled.

        Raises:
            DataError: the file ends before an image does.
        """
        order = np.argsort(positions, kind="stable")
        ordered = positions[order]
        for first, last in _runs(ordered):
            rows = [images[row] for row in order[first:last].tolist()]
            where = self._start + int(ordered[first]) * self._bytes
            found = os.preadv(self._file.fileno(), rows, where)
            if found != len(rows) * self._bytes:
                # Rare: a signal came, or the file ends.
                for number, row in enumerate(rows):
                    self._read_one(row, where + number * self._bytes)

    def _are_cached(self, positions: IntArray) -> bool:
        """Say whether a sample of images can be read without waiting for the disk."""
        flag, byte = getattr(os, "RWF_NOWAIT", None), bytearray(1)
        if flag is None:
            return False
        step = max(1, len(positions) // _SAMPLE)
        for position in positions[::step].tolist():
            middle = self._start + position * self._bytes + self._bytes // 2
            try:
                os.preadv(self._file.fileno(), [byte], middle, flag)
            except OSError:
                # It would have to wait; or the file system cannot say.
                return False
        return True

    def _read_one(self, image: ImageArray, where: int) -> None:
        left: Any = image.reshape(-1)
        while len(left):
            found = os.preadv(self._file.fileno(), [left], where)
            if not found:
                raise self._error_at(where)
            left, where = left[found:], where + found

    def _error_at(self, end: int) -> DataError:
        return DataError(
            f"{self._file.name}: the file ends at byte {end}, within an image; it was changed "
            "while it was read. Prepare the set again"
        )


def _runs(ordered: IntArray) -> Iterator[tuple[int, int]]:
    """Go through the stretches of a sorted array in which each number follows on the last."""
    first = 0
    for end in (*(np.flatnonzero(np.diff(ordered) != 1) + 1).tolist(), len(ordered)):
        while first < end:
            last = min(end, first + _MAX_BUFFERS)
            yield first, last
            first = last
