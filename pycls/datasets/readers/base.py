"""What a reader hands to the store."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycls.datasets.store import ImageArray, IntArray


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
