"""Batches of one side of a data set, cut, mirrored and normalised on the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pycls.datasets import randomness, transforms
from pycls.datasets.augment import Augment, Draws, apply_draws
from pycls.datasets.dataset import Dataset
from pycls.datasets.lighting import sample_lighting
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
        inside: int64, N, places in the table of columns that are image and not padding.
        flipped: for every batch the images in it to mirror, int64.
        draws: their augmentation; None for none.
        light: float32, N x 3, what is added to their channels; None for nothing.
    """

    positions: IntArray
    rows: Tensor
    labels: Tensor
    tops: Tensor
    lefts: Tensor
    inside: Tensor
    flipped: Sequence[Tensor]
    draws: Draws | None
    light: Tensor | None


class Loader:
    """Iterates over a data set's batches, epoch by epoch.

    Training: a new order every epoch, zero padding (in mean colour, 0 after normalisation),
    a random square of `im_size`, a random flip, augmentation and lighting; the last partial
    batch is dropped. What happens to an image depends on seed, epoch and the image alone.
    Testing: stored order, resized to `test_im_size` and centre-cropped to `im_size`; every
    image once, the last batch may be smaller.

    Several processes share the images. Training: each takes its part of every batch, so that
    together they go through what one process would. Testing: each takes a part of the side.

    A side of at most `max_resident_bytes` is held on the device as one tensor (in testing the
    process's share of it); a larger one is gathered batch by batch from the memory map. Both
    give the same batches.

    Args:
        dataset: what to read.
        batch_size: images in a batch, of all processes together.
        im_size: side of the square images that come out, in pixels.
        train: training or testing, see above.
        seed: seed of order and augmentation.
        device: where the batches shall be.
        pad: pixels of padding on each side before the random crop (training). An augmented
            image has its padding in the mean colour rounded to 8 bits, as a part of it.
        flip: mirror a random half of the images (training).
        augment: "", "AutoAugment" or "RandAugment" with its parts, see
            :class:`pycls.datasets.augment.Augment` (training).
        lighting: standard deviation of the draws along the colour axes of ImageNet (training).
        test_im_size: shorter side after resizing (testing); None leaves the stored size.
        max_resident_bytes: largest side to hold on the device, in bytes of pixels.
        rank: number of this process, from 0.
        world_size: number of processes.
        channels_last: memory format of the images; else contiguous.

    Raises:
        ConfigError: an impossible batch size, padding, image size, augmentation or share, or
            fewer training images than a batch holds.
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
        augment: str = "",
        lighting: float = 0.0,
        test_im_size: int | None = None,
        max_resident_bytes: int = MAX_RESIDENT_BYTES,
        rank: int = 0,
        world_size: int = 1,
        channels_last: bool = True,
    ) -> None:
        self.dataset = dataset
        self._channels_last = channels_last
        self.batch_size = batch_size
        self.im_size = im_size
        self.train = train
        self.seed = seed
        self.device = torch.device(device)
        self.pad = pad if train else 0
        self.flip = flip and train
        self.augment = Augment(augment) if augment and train else None
        self.lighting = lighting if train else 0.0
        self.test_im_size = test_im_size
        self.rank = rank
        self.world_size = world_size
        self._check()
        self._normalize = transforms.Normalizer(dataset.mean, dataset.std, im_size, self.device)
        if self.pad:
            self._inside_rows, columns = (
                transforms.inside_table(length, self.pad, im_size).to(self.device)
                for length in dataset.im_size
            )
            # Below them those of mirrored images.
            self._inside_columns = torch.cat((columns, columns.flip(1)))
        # In training any image may come to any process.
        self._held = slice(0, len(dataset)) if train else self._part(len(dataset))
        self._labels = self._to_device(dataset.labels[self._held])
        self._resident = self._load() if self._bytes() <= max_resident_bytes else None

    def __len__(self) -> int:
        """Number of this process's batches in an epoch."""
        if self.train:
            return len(self.dataset) // self.batch_size
        return -(-len(self._labels) // self._share)

    @property
    def num_images(self) -> int:
        """Images that this process goes through in one epoch."""
        return len(self) * self._share if self.train else len(self._labels)

    @property
    def total_images(self) -> int:
        """Images that all processes together go through in one epoch."""
        return len(self) * self.batch_size if self.train else len(self.dataset)

    @property
    def _share(self) -> int:
        """Images in this process's batch."""
        return max(1, self.batch_size // self.world_size)

    def _part(self, count: int) -> slice:
        """Return this process's part of a count."""
        first, last = (count * rank // self.world_size for rank in (self.rank, self.rank + 1))
        return slice(first, last)

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch.

        Args:
            epoch: 0-based; without meaning for testing.
            start: the batch to begin with, 0-based; they are those of the whole epoch.

        Yields:
            Images, float32 N x 3 x S x S in channels-last memory format, and labels, int64
            N, both on the device.

        Raises:
            ValueError: `start` is not in the epoch or just after it.
        """
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}; expected 0 to {len(self)}")
        return self._train_batches(epoch, start) if self.train else self._test_batches(start)

    def _train_batches(self, epoch: int, start: int) -> Iterator[Batch]:
        plan = self._plan_epoch(epoch, start)
        for number in range(len(self) - start):
            part = slice(number * self._share, (number + 1) * self._share)
            images = self._cut(plan, part)
            transforms.mirror(images, plan.flipped[number])
            if plan.draws is not None:
                apply_draws(images, plan.draws[part])
            light = None if plan.light is None else plan.light[part]
            if self.pad and plan.draws is None:
                rows = self._inside_rows[plan.tops[part]]
                columns = self._inside_columns[plan.inside[part]]
                normalised = self._normalize.padded(images, rows, columns, light)
            else:
                normalised = self._normalize(images, light)
            yield self._lay_out(normalised), plan.labels[part]

    def _cut(self, plan: _EpochPlan, part: slice) -> Tensor:
        if self._resident is not None:
            source, rows = self._resident, plan.rows[part]
        else:
            source = self._pad(self._gather(plan.positions[part]))
            rows = torch.arange(self._share, device=self.device)
        return transforms.crop(source, rows, plan.tops[part], plan.lefts[part], self.im_size)

    def _plan_epoch(self, epoch: int, start: int) -> _EpochPlan:
        """Draw all that happens in an epoch: per batch there is only slicing left."""
        order = randomness.epoch_order(self.seed, epoch, self.dataset.indices)
        batches = order[: self.total_images].reshape(len(self), self.batch_size)
        order = batches[start:, self._part(self.batch_size)].ravel()
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
        draws = self.augment.sample(self.seed, epoch, positions) if self.augment else None
        light = None
        if self.lighting:
            drawn_light = sample_lighting(self.seed, epoch, positions, self.lighting)
            light = self._to_device(drawn_light)
        numbers, places = np.nonzero(flips.reshape(-1, self._share))
        rows = self._to_device(order)
        return _EpochPlan(
            positions=positions,
            rows=rows,
            labels=self._labels[rows],
            tops=self._to_device(tops),
            lefts=self._to_device(lefts),
            inside=self._to_device(lefts + (room[1] + 1) * flips),
            # Where the flips are is known here: the device need not be asked for their number.
            flipped=self._to_device(places).split(
                np.bincount(numbers, minlength=len(self) - start).tolist()
            ),
            draws=draws,
            light=light,
        )

    def _test_batches(self, start: int) -> Iterator[Batch]:
        positions = self.dataset.indices[self._held]
        for first in range(start * self._share, len(positions), self._share):
            part = slice(first, first + self._share)
            if self._resident is not None:
                images = self._resident[part]
            else:
                images = self._gather(positions[part])
            if self._resizes():
                images = transforms.resize_short_side(images, self.test_im_size or self.im_size)
            images = self._normalize(transforms.centre_crop(images, self.im_size))
            yield self._lay_out(images), self._labels[part]

    def _lay_out(self, images: Tensor) -> Tensor:
        """Return N x H x W x 3 images as N x 3 x H x W, in the memory format asked for."""
        images = images.permute(0, 3, 1, 2)
        return images if self._channels_last else images.contiguous()

    def _resizes(self) -> bool:
        return self.test_im_size is not None and self.test_im_size != min(self.dataset.im_size)

    def _room(self) -> tuple[int, int]:
        """Rows and columns that the random square can move by."""
        height, width = self.dataset.im_size
        return height + 2 * self.pad - self.im_size, width + 2 * self.pad - self.im_size

    def _bytes(self) -> int:
        height, width = self.dataset.im_size
        return len(self._labels) * (height + 2 * self.pad) * (width + 2 * self.pad) * 3

    def _load(self) -> Tensor:
        """Read all that is held, padded."""
        return self._pad(self._gather(self.dataset.indices[self._held]))

    def _pad(self, images: Tensor) -> Tensor:
        colour = None
        if self.augment:
            mean = torch.from_numpy(self.dataset.mean * 255)
            colour = mean.round().to(torch.uint8).to(self.device)
        return transforms.pad_images(images, self.pad, colour)

    def _gather(self, positions: IntArray) -> Tensor:
        """Copy images of the prepared set to the device, read in the order they lie in."""
        order = np.argsort(positions, kind="stable")
        images = np.empty((len(positions), *self.dataset.im_size, 3), dtype=np.uint8)
        images[order] = self.dataset.images[positions[order]]
        return self._to_device(images)

    def _to_device(self, array: npt.NDArray[Any]) -> Tensor:
        return transforms.to_device(array, self.device)

    def _check(self) -> None:
        name = f"data set '{self.dataset.name}' ({self.dataset.split})"
        if self.batch_size < 1 or self.im_size < 1 or self.pad < 0:
            raise ConfigError(
                f"batch size {self.batch_size}, image size {self.im_size}, padding {self.pad}: "
                "expected at least 1, 1 and 0"
            )
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(
                f"process {self.rank} of {self.world_size}: expected a number from 0 to "
                f"{self.world_size - 1}"
            )
        if self.train and self.batch_size % self.world_size:
            raise ConfigError(
                f"a batch of {self.batch_size} training images cannot be shared evenly by "
                f"{self.world_size} processes; choose a batch size that is a multiple of "
                f"{self.world_size}"
            )
        if not 0 <= self.lighting < float("inf"):
            raise ConfigError(f"lighting {self.lighting}: expected a number of 0 or more")
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
