"""Batches of images that lie on the device as one tensor."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pycls.datasets.loading import crops, transforms
from pycls.datasets.loading.epoch_plan import EpochPlan, TrainTransform
from pycls.datasets.loading.padded_crops import PaddedCrops
from pycls.datasets.loading.records import RecordReader
from pycls.datasets.loading.transforms import to_device
from pycls.datasets.store.store import IntArray

# Read and moved to the device at once.
_CHUNK_BYTES = 64 << 20


class HeldImages:
    """Cuts batches out of images that are all on the device.

    Args:
        reader: reads the prepared set.
        positions: int64, N, which images to hold.
        device: where to hold them.
        pad: pixels of padding on each side.
        colour: uint8, 3, of the padding; None for zeros.

    Attributes:
        border: pixels of padding around the images of :meth:`uncut`.
    """

    def __init__(
        self,
        reader: RecordReader,
        positions: IntArray,
        device: torch.device,
        pad: int = 0,
        colour: Tensor | None = None,
    ) -> None:
        self._device = device
        self.border = pad
        height, width, channels = reader.shape
        shape = (len(positions), height + 2 * pad, width + 2 * pad, channels)
        self._images = torch.zeros(shape, dtype=torch.uint8, device=device)
        if colour is not None:
            self._images[:] = colour
        step = max(1, _CHUNK_BYTES // (height * width * channels))
        for first in range(0, len(positions), step):
            part = positions[first : first + step]
            images = np.empty((len(part), height, width, channels), dtype=np.uint8)
            reader.read(part, images)
            held = self._images[first : first + step, pad : pad + height, pad : pad + width]
            held.copy_(to_device(images, device))

    def train_batches(self, plan: EpochPlan, transform: TrainTransform) -> Iterator[Tensor]:
        """Yield the plan's batches, cut and mirrored: uint8, N x S x S x 3."""
        rows = to_device(self.rows_of(plan), self._device)
        if plan.boxes is not None:
            boxes, flips = (to_device(a, self._device) for a in (plan.boxes, plan.flips))
            for number, images in enumerate(self.uncut(plan)):
                part = plan.part(number)
                yield crops.cut_boxes_on_device(
                    images, rows[part], boxes[part], flips[part], transform.im_size
                )
            return
        padded = PaddedCrops(plan, transform.im_size, self._device)
        for number, images in enumerate(self.uncut(plan)):
            yield padded.cut(number, images, rows[plan.part(number)])

    def uncut(self, plan: EpochPlan, *, in_place: bool = False) -> Iterator[Tensor]:
        """Yield for each of the plan's batches what it is cut out of: the images as they are held.

        They are in one place in any case.
        """
        return itertools.repeat(self._images, len(plan))

    def release(self) -> None:
        """Do nothing: images that are held are not written over."""

    def rows_of(self, plan: EpochPlan) -> IntArray:
        """Return where the images of the plan are among those of :meth:`uncut`."""
        return plan.rows

    def test_batches(
        self, parts: Sequence[slice], centre: transforms.CentreCrop
    ) -> Iterator[Tensor]:
        """Yield the central squares of parts of the images: uint8, N x S x S x 3."""
        for part in parts:
            yield centre(self._images[part])
