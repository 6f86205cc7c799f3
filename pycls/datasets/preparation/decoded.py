"""What the decoding of a set's images found out about each of them, and its form in a journal."""

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.readers.base import Item
from pycls.datasets.store.channel_sums import ChannelSums
from pycls.datasets.store.store import DIGEST_BYTES, IntArray

_SUMS = 6


class Decoded:
    """One row for each image of a listing, in its order.

    Attributes:
        digests: uint8, N x 16, hashes of the pixels as they are stored.
        files: uint8, N x 16, hashes of the bytes of the files.
        times: int64, N, when the files had been changed, in ns since 1970.
        sums: int64, N x 6, sums of the channels and of their squares.
        unreadable: {position: why}.
        remarks: {what there is to say of an image, see :mod:`pycls.datasets.sources.decode`:
            positions}.
    """

    def __init__(self, count: int) -> None:
        self.digests = np.zeros((count, DIGEST_BYTES), dtype=np.uint8)
        self.files = np.zeros((count, DIGEST_BYTES), dtype=np.uint8)
        self.times: IntArray = np.zeros(count, dtype=np.int64)
        self.sums: IntArray = np.zeros((count, _SUMS), dtype=np.int64)
        self.unreadable: dict[int, str] = {}
        self.remarks: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, positions: Sequence[int], part: "Decoded") -> None:
        """Enter what was found of the images at some positions."""
        rows = np.asarray(positions)
        for name in ("digests", "files", "times", "sums"):
            getattr(self, name)[rows] = getattr(part, name)
        self.unreadable.update({positions[at]: why for at, why in part.unreadable.items()})
        for word, inside in part.remarks.items():
            self.remarks[word] += [positions[at] for at in inside]

    def find_changed(self, items: Sequence[Item]) -> list[int]:
        """Return the images whose files bear another time than when they were decoded."""
        now = [item.member._time if item.member is not None else 0 for item in items]
        return np.flatnonzero(np.array(now, dtype=np.int64) != self.times).tolist()

    def sum_channels(self, images: npt.NDArray[Any], pixels: int) -> ChannelSums:
        """Return the sums over some images (positions) of so many pixels each."""
        # Python's integers: 64 bits would last for ten million images of the largest size.
        totals = [int(total) for total in self.sums[images].sum(axis=0, dtype=object)]
        return ChannelSums(len(images) * pixels, totals[:3], totals[3:])

    def pack(self) -> dict[str, Any]:
        """Return it as a record for a journal."""
        arrays = {
            name: base64.b64encode(np.ascontiguousarray(getattr(self, name)).tobytes()).decode()
            for name in ("digests", "files", "times", "sums")
        }
        return {
            "count": len(self.times),
            **arrays,
            "unreadable": sorted(self.unreadable.items()),
            "remarks": dict(self.remarks),
        }

    @classmethod
    def unpack(cls, record: Mapping[str, Any]) -> "Decoded":
        """Return what :meth:`pack` packed."""
        found = cls(record["count"])
        for name in ("digests", "files", "times", "sums"):
            array = getattr(found, name)
            data = base64.b64decode(record[name])
            setattr(found, name, np.frombuffer(data, array.dtype).reshape(array.shape))
        found.unreadable = dict(record["unreadable"])
        found.remarks.update(record["remarks"])
        return found
