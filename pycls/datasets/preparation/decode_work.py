"""The work of worker processes on a set: hashing files, decoding images and writing them."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycls import files
from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.readers.base import ImageSequence, Item
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.decode import Decoding, decode_file, fit_image
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.channel_sums import sum_image
from pycls.datasets.store.store import ImageArray, compute_digest
from pycls.errors import DataError

# Positions, and the images there.
Task = tuple[Sequence[int], Sequence[Item]]
_MOST_REASON = 400


class HashFiles:
    """Hashes files: members to the hashes of their bytes, None for one that cannot be read."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self, members: Sequence[Member]) -> list[bytes | None]:
        """Return the hashes of some files."""
        return [self._hash(member) for member in members]

    def _hash(self, member: Member) -> bytes | None:
        try:
            return compute_digest(self._source.read(member))
        except DataError:
            return None


class _WriteImages:
    """Writes the images of a task to their places; subclasses say where they come from."""

    def __init__(self, path: Path, offset: int, size: int, aspect: str) -> None:
        self._path = path
        self._offset = offset
        self._size = size
        self._aspect = aspect
        # Of the image loaded last: the hash of its file, and what there is to say of it.
        self._digest = b""
        self._remarks: tuple[str, ...] = ()

    def __call__(self, task: Task) -> dict[str, Any]:
        """Do a task; return a packed :class:`~pycls.datasets.preparation.decoded.Decoded`."""
        positions, items = task
        found = Decoded(len(items))
        with files.naming(self._path), self._path.open("r+b", buffering=0) as file:
            for number, (position, item) in enumerate(zip(positions, items, strict=True)):
                if item.member is not None:
                    found.times[number] = item.member._time
                try:
                    image = self._load(position, item)
                    image = np.ascontiguousarray(fit_image(image, self._size, self._aspect))
                except DataError as error:
                    found.unreadable[number] = _shorten(f"{item.name}: {error}")
                    continue
                self._write(file.fileno(), position, image)
                found.digests[number] = np.frombuffer(compute_digest(image.data), np.uint8)
                if self._digest:
                    found.files[number] = np.frombuffer(self._digest, np.uint8)
                sums = sum_image(image)
                found.sums[number] = [*sums.first, *sums.second]
                for word in self._remarks:
                    found.remarks[word].append(number)
        return found.pack()

    def _load(self, position: int, item: Item) -> ImageArray:
        raise NotImplementedError

    def _write(self, descriptor: int, position: int, image: ImageArray) -> None:
        data = image.data.cast("B")
        place = self._offset + position * len(data)
        while data:
            written = os.pwrite(descriptor, data, place)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            place, data = place + written, data[written:]


class DecodeFiles(_WriteImages):
    """Decodes the files of a source."""

    def __init__(
        self,
        source: Source,
        path: Path,
        offset: int,
        size: int,
        aspect: str,
        how: Decoding | None = None,
    ) -> None:
        super().__init__(path, offset, size, aspect)
        self._source = source
        self._how = how
        # Parts of one picture follow each other.
        self._last: tuple[str, ImageArray] | None = None

    def _load(self, position: int, item: Item) -> ImageArray:
        if item.member is None:
            raise DataError("the listing names no file")
        if self._last is None or self._last[0] != item.member.name:
            data = self._source.read(item.member)
            where = self._source.where(item.member)
            image, self._remarks = decode_file(data, where, self._how)
            self._digest = compute_digest(data)
            self._last = (item.member.name, image)
        image = self._last[1]
        if item.box is None:
            return image
        left, top, width, height = item.box
        part = image[max(top, 0) : top + height, max(left, 0) : left + width]
        if part.shape[:2] != (height, width):
            raise DataError(
                f"the part of {width} x {height} pixels at {left}, {top} is not within the picture "
                f"of {image.shape[1]} x {image.shape[0]} pixels"
            )
        return part


class CopyArrays(_WriteImages):
    """Takes the images of an array (N x H x W x 3), or those that are loaded one by one."""

    def __init__(
        self, pixels: ImageArray | ImageSequence, path: Path, offset: int, size: int, aspect: str
    ) -> None:
        super().__init__(path, offset, size, aspect)
        self._pixels = pixels

    def _load(self, position: int, item: Item) -> ImageArray:
        if isinstance(self._pixels, ImageSequence):
            return self._pixels.load(position)
        return self._pixels[position]


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_REASON else text[:_MOST_REASON] + "..."
