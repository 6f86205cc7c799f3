"""Batches of one side of a data set, cut, mirrored and normalised on the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pycls.datasets import randomness, transforms
from pycls.datasets.dataset import Dataset
from pycls.datasets.store import IntArray
from pycls.errors import ConfigError

MAX_RESIDENT_BYTES = 2 << 30

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _EpochPlan:
    """What happens to every image of an epoch, in the order of its batches.

    Attributes:
        positions: int64, N, where the images lie in the prepared set (on the host).
        rows: int64, N, where they lie in the side.
        labels: int64, N.
        tops: int64, N, first rows of their crops.
        lefts: int64, N, first columns.
        flipped: for every batch the images in it to mirror, int64.
    """

    positions: IntArray
    rows: Tensor
    labels: Tensor
    tops: Tensor
    lefts: Tensor
    flipped: Sequence[Tensor]


class Loader:
    """Iterates over a data set's batches, epoch by epoch.

    Training: a new order every epoch, zero padding (in mean colour, 0 after normalisation),
    a random square of `im_size` and a random flip; the last partial batch is dropped. What
    happens to an image depends on seed, epoch and the image alone.
    Testing: stored order, resized to `test_im_size` and centre-cropped to `im_size`; every
    image once, the last batch may be smaller.

    A side of at most `max_resident_bytes` is held on the device as one tensor; a larger one
    is gathered batch by batch from the memory map. Both give the same batches.

    Args:
        dataset: what to read.
        batch_size: images in a batch.
        im_size: side of the square images that come out, in pixels.
        train: training or testing, see above.
        seed: seed of order and augmentation.
        device: where the batches shall be.
        pad: pixels of padding on each side before the random crop (training).
        flip: mirror a random half of the images (training).
        test_im_size: shorter side after resizing (testing); None leaves the stored size.
        max_resident_bytes: largest side to hold on the device, in bytes of pixels.

    Raises:
        ConfigError: an impossible batch size, padding or image size, or fewer training
            images than a batch holds.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        im_size: int,
        train: bool,
        seed: int,
        device: torch.device | str = "cpu",
        pad: int = 0,
        flip: bool = True,
        test_im_size: int | None = None,
        max_resident_bytes: int = MAX_RESIDENT_BYTES,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.im_size = im_size
        self.train = train
        self.seed = seed
        self.device = torch.device(device)
        self.pad = pad if train else 0
        self.flip = flip and train
        self.test_im_size = test_im_size
        self._check()
        self._normalize = transforms.Normalizer(dataset.mean, dataset.std, im_size, self.device)
        if self.pad:
            self._inside_rows, self._inside_columns = (
                transforms.inside_table(length, self.pad, im_size).to(self.device)
                for length in dataset.im_size
            )
        self._labels = torch.from_numpy(dataset.labels).to(self.device)
        self._resident = self._load() if self._bytes() <= max_resident_bytes else None

    def __len__(self) -> int:
        if self.train:
            return len(self.dataset) // self.batch_size
        return -(-len(self.dataset) // self.batch_size)

    @property
    def num_images(self) -> int:
        """Images that one epoch goes through."""
        return len(self) * self.batch_size if self.train else len(self.dataset)

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch (0-based; without meaning for testing).

        Yields:
            Images, float32 N x 3 x S x S in channels-last memory format, and labels, int64
            N, both on the device.
        """
        return self._train_batches(epoch) if self.train else self._test_batches()

    def _train_batches(self, epoch: int) -> Iterator[Batch]:
        plan = self._plan_epoch(epoch)
        for number in range(len(self)):
            part = slice(number * self.batch_size, (number + 1) * self.batch_size)
            tops, lefts = plan.tops[part], plan.lefts[part]
            if self._resident is not None:
                source, rows = self._resident, plan.rows[part]
            else:
                source = transforms.pad_images(self._gather(plan.positions[part]), self.pad)
                rows = torch.arange(self.batch_size, device=self.device)
            crops = transforms.crop(source, rows, tops, lefts, self.im_size)
            if self.pad:
                images = self._normalize.padded(
                    crops, self._inside_rows[tops], self._inside_columns[lefts]
                )
            else:
                images = self._normalize(crops)
            images = transforms.mirror(images, plan.flipped[number])
            yield images.permute(0, 3, 1, 2), plan.labels[part]

    def _plan_epoch(self, epoch: int) -> "_EpochPlan":
        """Draw order, crops and flips of a whole epoch: per batch there is only slicing left."""
        order = randomness.epoch_order(self.seed, epoch, self.dataset.indices)[: self.num_images]
        positions = self.dataset.indices[order]
        flips = np.zeros(len(order), dtype=np.bool_)
        if self.flip:
            drawn = randomness.sample_uniform(self.seed, epoch, randomness.STREAM_FLIP, positions)
            flips = drawn < 0.5
        room = self._room()
        tops, lefts = (
            randomness.sample_integers(self.seed, epoch, stream, positions, room[axis] + 1)
            for axis, stream in enumerate((randomness.STREAM_CROP_Y, randomness.STREAM_CROP_X))
        )
        batches, places = np.nonzero(flips.reshape(len(self), self.batch_size))
        rows = self._to_device(order)
        return _EpochPlan(
            positions=positions,
            rows=rows,
            labels=self._labels[rows],
            tops=self._to_device(tops),
            lefts=self._to_device(lefts),
            # Where the flips are is known here: the device need not be asked for their number.
            flipped=self._to_device(places).split(
                np.bincount(batches, minlength=len(self)).tolist()
            ),
        )

    def _test_batches(self) -> Iterator[Batch]:
        for start in range(0, len(self.dataset), self.batch_size):
            part = slice(start, start + self.batch_size)
            if self._resident is not None:
                images = self._resident[part]
            else:
                images = self._gather(self.dataset.indices[part])
            if self._resizes():
                images = transforms.resize_short_side(images, self.test_im_size or self.im_size)
            images = self._normalize(transforms.centre_crop(images, self.im_size))
            yield images.permute(0, 3, 1, 2), self._labels[part]

    def _resizes(self) -> bool:
        return self.test_im_size is not None and self.test_im_size != min(self.dataset.im_size)

    def _room(self) -> tuple[int, int]:
        """Rows and columns that the random square can move by."""
        height, width = self.dataset.im_size
        return height + 2 * self.pad - self.im_size, width + 2 * self.pad - self.im_size

    def _bytes(self) -> int:
        height, width = self.dataset.im_size
        return len(self.dataset) * (height + 2 * self.pad) * (width + 2 * self.pad) * 3

    def _load(self) -> Tensor:
        """Read the whole side, padded."""
        return transforms.pad_images(self._gather(self.dataset.indices), self.pad)

    def _gather(self, positions: IntArray) -> Tensor:
        """Copy images of the prepared set to the device, read in the order they lie in."""
        order = np.argsort(positions, kind="stable")
        images = np.empty((len(positions), *self.dataset.im_size, 3), dtype=np.uint8)
        images[order] = self.dataset.images[positions[order]]
        return self._to_device(images)

    def _to_device(self, array: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _check(self) -> None:
        name = f"data set '{self.dataset.name}' ({self.dataset.split})"
        if self.batch_size < 1 or self.im_size < 1 or self.pad < 0:
            raise ConfigError(
                f"batch size {self.batch_size}, image size {self.im_size}, padding {self.pad}: "
                "expected at least 1, 1 and 0"
            )
        if self.test_im_size is not None and self.test_im_size < self.im_size:
            raise ConfigError(
                f"test image size {self.test_im_size} is below the image size {self.im_size}, "
                "which is cut out of it; expected at least as much"
            )
        if self.train and len(self.dataset) < self.batch_size:
            raise ConfigError(
                f"{name} has {len(self.dataset)} images, fewer than one batch of "
                f"{self.batch_size}; choose a batch size of at most {len(self.dataset)}"
            )
        if self.train and min(self._room()) < 0:
            height, width = self.dataset.im_size
            raise ConfigError(
                f"{name} has images of {height} x {width} pixels, too small for crops of "
                f"{self.im_size} with {self.pad} pixels of padding; choose an image size of at "
                f"most {min(height, width) + 2 * self.pad} or prepare the set at a larger size"
            )
        if not self.train and not self._resizes() and self.im_size > min(self.dataset.im_size):
            height, width = self.dataset.im_size
            raise ConfigError(
                f"{name} has images of {height} x {width} pixels, too small for centre crops of "
                f"{self.im_size}; set the test image size to {self.im_size} or more, or prepare "
                "the set at a larger size"
            )
