"""The two results of a reader: a set read whole, or a listing of where its images are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.store.store import ImageArray, IntArray


@dataclass(frozen=True)
class RawSet:
    """A data set as read: images with labels and split, before it is stored.

    Attributes:
        images: uint8, N x H x W x 3, or an iterable of N such images.
        labels: int64, N, positions in `class_names`.
        split: uint8, N, 0 for train and 1 for test.
        class_names: names in label order.
        split_rule: how the split was made, in words.
    """

    images: ImageArray | Iterable[ImageArray]
    labels: IntArray
    split: npt.NDArray[np.uint8]
    class_names: tuple[str, ...]
    split_rule: str


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a listing, not yet decoded.

    Attributes:
        member: the file whose bytes hold the image; None where `Listing.pixels` is given.
        name: what the image is called, unique in the set and the same however the set is
            packed ("Positive/00001.jpg").
        label: position in the listing's class names.
        group: images of one group go to one side of the split.
        side: 0 for train, 1 for test, 2 for validation, where the set has an official split (all
            items or none).
        stratum: the split keeps its share in each stratum of a class.
        box: left, top, width and height in pixels of the part of the decoded image that is
            the image; None for all of it.
    """

    member: Member | None
    name: str
    label: int
    group: str | None = None
    side: int | None = None
    stratum: str = ""
    box: tuple[int, int, int, int] | None = None


class ImageSequence:
    """Images that are made when asked for, for sets whose images are no files.

    Attributes:
        digest: a hash over all of them.
    """

    digest: str

    def __len__(self) -> int:
        raise NotImplementedError

    def load(self, position: int) -> ImageArray:
        """Return an image, uint8, H x W x 3.

        Raises:
            DataError: it cannot be read.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Listing:
    """A published data set as found on disk: which images there are, nothing decoded.

    Attributes:
        items: the images, sorted by name.
        class_names: names in label order.
        notes: what was left out or merged, or differs from the published counts, in words.
        pixels: uint8, N x H x W x 3, of the items in their order, where the set comes as arrays,
            or something that loads them one by one.
        class_titles: words for class names that are codes.
        official_split: words about the official split, where the items have sides.
        group_word: what a group is.
        left_out: files that are not used, by the reason, which goes on from "left out, ".
    """

    items: Sequence[Item]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    pixels: ImageArray | ImageSequence | None = None
    class_titles: Mapping[str, str] = field(default_factory=dict)
    official_split: str = ""
    group_word: str = "group"
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)
