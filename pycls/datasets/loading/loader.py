"""Batches of one side of a data set, cut, mirrored and normalised on the device."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pycls.cores import runs_on_gpu
from pycls.datasets import randomness
from pycls.datasets.loading import transforms
from pycls.datasets.loading.augment import Augment, apply_draws
from pycls.datasets.loading.crops import AREA, ASPECT
from pycls.datasets.loading.epoch_plan import (
    EpochPlan,
    TrainTransform,
    crops_resized,
    padded_room,
    plan_epoch,
)
from pycls.datasets.loading.file_images import FileImages
from pycls.datasets.loading.fixed_cuts import CapturedCuts, FixedCuts, tabulate
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.image_tree import ImageTree
from pycls.datasets.loading.records import RecordReader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import Dataset
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu

if TYPE_CHECKING:
    from pycls.kernels.gpu_crop import BatchKernel

# A side of padded images that a process keeps for itself on the CPU, in bytes; larger ones are
# read through the page cache, which processes share.
MAX_HELD_BYTES = 512 << 20
# Share of a GPU's memory that a side may take.
GPU_SHARE = 0.4
# Augmented images are made as a graph up to this size: it does more to each, docs/benchmarks.md.
_MAX_CAPTURED = 64

Batch = tuple[Tensor, Tensor]


class Loader:
    """Iterates over a data set's batches, epoch by epoch.

    Training: a new order every epoch; a random square, either out of the image with zero padding
    (in mean colour, 0 after normalisation) or a box of random area and aspect, resized; a random
    flip, augmentation and lighting; the last partial batch is dropped. What happens to an image
    depends on seed, epoch and the image alone.
    Testing: stored order, resized to `test_im_size` and centre-cropped to `im_size`; every
    image once, the last batch may be smaller.

    Several processes share the images. Training: each takes its part of every batch, so that
    together they go through what one process would. Testing: each takes a part of the side.

    Where the images come from changes nothing in the batches (but see `max_resident_bytes`): a side
    that fits is held on the device as one tensor (in testing the process's share of it); a
    larger one is read batch by batch in threads, through the page cache; a tree of files is
    decoded by worker processes.

    Args:
        dataset: what to read.
        batch_size: images in a batch, of all processes together.
        im_size: side of the square images that come out, in pixels.
        train: training or testing, see above.
        seed: seed of order and augmentation.
        device: where the batches are wanted.
        crop: "padded", "resized", or "auto": resized for stored images above 64 pixels.
        pad: pixels of padding on each side before a padded crop (training). An augmented
            image has its padding in the mean colour rounded to 8 bits, as a part of it.
        area, aspect: ranges of the resized boxes' share of the image and width / height.
        flip: mirror a random half of the images (training).
        augment: "", "AutoAugment" or "RandAugment" with its parts, see
            :class:`pycls.datasets.loading.augment.Augment` (training).
        lighting: standard deviation of the draws along the colour axes of ImageNet (training).
        test_im_size: shorter side after resizing (testing); None leaves the stored size, and
            means `im_size` for images of a tree.
        max_resident_bytes: largest side to hold on the device, in bytes of pixels. None:
            `gpu_share` of the run's part of a GPU's memory (all of it, or where several runs
            share it an equal part); on the CPU 512 MiB. On the CPU images that are resized
            are never held. A GPU resizes crops with other rounding than the CPU: one step of 255
            at most.
        gpu_share: see there.
        rank: number of this process, from 0.
        world_size: number of processes.
        channels_last: memory format of the images; else contiguous.
        threads: threads that read what is not held.
        workers: processes that decode the files of a tree; 0: this one does.
        own_kernel: on a GPU, make batches by a kernel of our own
            (:mod:`pycls.kernels.gpu_crop`): crops of images that are not augmented in one pass,
            and of others the normalisation.
        captured: on a GPU, replay what makes a training batch as a CUDA graph, where images are
            neither decoded here nor made by `own_kernel`, nor augmented and above 64 pixels.

    Raises:
        ConfigError: an impossible batch size, padding, image size, augmentation or share, or
            fewer training images than a batch holds.
    """

    def __init__(
        self,
        dataset: Dataset | ImageTree,
        *,
        batch_size: int,
        im_size: int,
        train: bool,
        seed: int,
        device: torch.device | str = "cpu",
        crop: str = "auto",
        pad: int = 0,
        area: tuple[float, float] = AREA,
        aspect: tuple[float, float] = ASPECT,
        flip: bool = True,
        augment: str = "",
        lighting: float = 0.0,
        test_im_size: int | None = None,
        max_resident_bytes: int | None = None,
        gpu_share: float = GPU_SHARE,
        rank: int = 0,
        world_size: int = 1,
        channels_last: bool = True,
        threads: int = 1,
        workers: int = 0,
        own_kernel: bool = False,
        captured: bool = False,
    ) -> None:
        self.dataset = dataset
        self._channels_last = channels_last
        self.batch_size = batch_size
        self.im_size = im_size
        self.train = train
        self.seed = seed
        self.device = torch.device(device)
        self.rank = rank
        self.world_size = world_size
        resized = crops_resized(crop, dataset.im_size, dataset.name)
        self.transform = TrainTransform(
            im_size=im_size,
            resized=resized,
            pad=pad if train and not resized else 0,
            area=area,
            aspect=aspect,
            flip=flip,
            augment=Augment(augment) if augment and train else None,
            lighting=lighting if train else 0.0,
        )
        self._centre = transforms.CentreCrop(im_size, test_im_size)
        self._check_arguments()
        if dataset.im_size is not None:
            self._check_image_size(dataset.im_size)
        self._normalize = transforms.Normalizer(dataset.mean, dataset.std, im_size, self.device)
        self._kernel: BatchKernel | None = None
        if own_kernel:
            from pycls.kernels import gpu_crop  # imports Triton

            scale, shift = self._normalize.of_channels
            self._kernel = gpu_crop.BatchKernel(scale, shift, im_size, channels_last)
        if self.transform.pad and dataset.im_size is not None:
            self._inside_rows, columns = (
                transforms.inside_table(length, self.transform.pad, im_size).to(self.device)
                for length in dataset.im_size
            )
            # Below them those of mirrored images.
            self._inside_columns = torch.cat((columns, columns.flip(1)))
        # In training any image may come to any process.
        # Of the images those that this process reads.
        self.own = slice(0, len(dataset)) if train else self._part(len(dataset))
        self._labels = transforms.to_device(dataset.labels[self.own], self.device)
        if max_resident_bytes is None:
            max_resident_bytes = MAX_HELD_BYTES
            if is_gpu(self.device):
                memory = torch.cuda.get_device_properties(self.device).total_memory
                max_resident_bytes = int(gpu_share * memory / runs_on_gpu())
        self._images = self._open_images(threads, workers, max_resident_bytes)
        self._captured = self._captured_cuts() if captured else None
        self._last_plan: tuple[tuple[int, int], EpochPlan] | None = None

    def _check_arguments(self) -> None:
        """Check how the arguments go together."""
        batch_size, world_size = self.batch_size, self.world_size
        centre, lighting = self._centre, self.transform.lighting
        if batch_size < 1 or centre.im_size < 1 or self.transform.pad < 0:
            raise ConfigError(
                f"batch size {batch_size}, image size {centre.im_size}, padding "
                f"{self.transform.pad}: expected at least 1, 1 and 0"
            )
        if not 0 <= self.rank < world_size:
            raise ConfigError(
                f"process {self.rank} of {world_size}: expected a number from 0 to {world_size - 1}"
            )
        if self.train and batch_size % world_size:
            raise ConfigError(
                f"a batch of {batch_size} training images cannot be shared evenly by "
                f"{world_size} processes; choose a batch size that is a multiple of {world_size}"
            )
        if not 0 <= lighting < float("inf"):
            raise ConfigError(f"lighting {lighting}: expected a number of 0 or more")
        if centre.test_im_size is not None and centre.test_im_size < centre.im_size:
            raise ConfigError(
                f"test image size {centre.test_im_size} is below the image size {centre.im_size}, "
                "which is cut out of it; expected at least as much"
            )
        if self.train and len(self.dataset) < batch_size:
            raise ConfigError(
                f"{self._name} has {len(self.dataset)} images, fewer than one batch of "
                f"{batch_size}; choose a batch size of at most {len(self.dataset)}"
            )

    def _check_image_size(self, im_size: tuple[int, int]) -> None:
        height, width = im_size
        size, pad = self.im_size, self.transform.pad
        has = f"{self._name} has images of {height} x {width} pixels, too small for"
        padded = self.train and not self.transform.resized
        if padded and min(padded_room(im_size, self.transform)) < 0:
            raise ConfigError(
                f"{has} crops of {size} with {pad} pixels of padding; choose an image size of at "
                f"most {min(height, width) + 2 * pad} or prepare the set at a larger size"
            )
        if not self.train and not self._centre.resizes(im_size) and size > min(im_size):
            raise ConfigError(
                f"{has} centre crops of {size}; set the test image size to {size} or more, or "
                "prepare the set at a larger size"
            )

    @property
    def _name(self) -> str:
        return f"data set '{self.dataset.name}' ({self.dataset.split})"

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
    def made_by(self) -> str:
        """What makes its batches: "own", a kernel of our own, or "library", PyTorch's operations.

        They may differ in resized crops, by rounding.
        """
        return "library" if self._kernel is None else "own"

    def describe(self) -> str:
        """Return a sentence for the log: what is read, and where it is."""
        dataset = self.dataset
        text = f"{dataset.split} side of {dataset.name}: {len(dataset):,} images, "
        if isinstance(dataset, ImageTree):
            text += f"decoded from files; mean and deviation are {dataset.statistics}"
            if dataset.left_out:
                kinds = ", ".join(f"{what} {n:,}" for what, n in dataset.left_out.items())
                text += f"; files left out: {kinds}"
        elif isinstance(self._images, HeldImages):
            text += f"held in memory ({self.device})"
        else:
            text += "read through the page cache"
        if self.train:
            text += f"; {'resized' if self.transform.resized else 'padded'} crops"
        return text

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
        self._check_start(start)
        return self._train_batches(epoch, start) if self.train else self._test_batches(start)

    def pixels(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch as they are before lighting and normalisation.

        Args:
            epoch: 0-based; without meaning for testing.
            start: the batch to begin with, 0-based.

        Yields:
            Images, uint8 N x S x S x 3, cut, mirrored and augmented, and labels, int64 N, both
            on the device.

        Raises:
            ValueError: `start` is not in the epoch or just after it.
        """
        self._check_start(start)
        if self.train:
            plan = self._plan_epoch(epoch, start)
            return zip(self._train_pixels(plan), self._plan_labels(plan), strict=True)
        parts = self._test_parts(start)
        # Of images that are held they would be a view.
        squares = (images.clone() for images in self._images.test_batches(parts, self._centre))
        return zip(squares, (self._labels[part] for part in parts), strict=True)

    def _check_start(self, start: int) -> None:
        if not 0 <= start <= len(self):
            raise ValueError(f"start is {start}; expected 0 to {len(self)}")

    def _train_batches(self, epoch: int, start: int) -> Iterator[Batch]:
        plan = self._plan_epoch(epoch, start)
        made = self._cut_at_once(plan) or self._cut_step_by_step(plan)
        yield from zip(made, self._plan_labels(plan), strict=True)

    def _cut_at_once(self, plan: EpochPlan) -> Iterator[Tensor] | None:
        """Return the plan's batches, a launch each; None where something else has to make them."""
        if isinstance(self._images, FileImages):
            return None
        if self._captured is not None:
            return self._cut_by_graph(self._captured, self._images, plan)
        if self._kernel is not None and plan.draws is None:
            return self._cut_by_kernel(self._kernel, self._images, plan)
        return None

    def _cut_step_by_step(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the plan's batches, normalised."""
        light = None if plan.light is None else transforms.to_device(plan.light, self.device)
        inside = self._inside(plan)
        for number, images in enumerate(self._train_pixels(plan)):
            part = plan.part(number)
            lit = None if light is None else light[part]
            if inside is None:
                yield self._normalised(images, lit)
            else:
                yield self._normalised_padded(images, inside[0][part], inside[1][part], lit)

    def _cut_by_kernel(
        self, kernel: "BatchKernel", images: HeldImages | StreamedImages, plan: EpochPlan
    ) -> Iterator[Tensor]:
        places = plan.offsets if plan.boxes is None else plan.boxes
        assert places is not None
        drawn = transforms.to_device(np.column_stack((places, plan.flips)), self.device)
        rows = transforms.to_device(images.rows_of(plan), self.device)
        light = None if plan.light is None else transforms.to_device(plan.light, self.device)
        border, pad = images.border, self.transform.pad
        for number, uncut in enumerate(images.uncut(plan)):
            part = plan.part(number)
            lit = None if light is None else light[part]
            yield kernel.cut(uncut, rows[part], drawn[part], lit, border, pad)

    def _cut_by_graph(
        self, cut: CapturedCuts, images: HeldImages | StreamedImages, plan: EpochPlan
    ) -> Iterator[Tensor]:
        table = tabulate(plan, images.rows_of(plan), self.im_size)
        numbers = transforms.to_device(table, self.device)
        for number, uncut in enumerate(images.uncut(plan, in_place=True)):
            batch = cut(uncut, numbers[plan.part(number)])
            images.release()
            yield batch

    def _captured_cuts(self) -> CapturedCuts | None:
        if isinstance(self._images, FileImages):
            return None
        transform = self.transform
        if transform.augment is None:
            fits = self._kernel is None
        else:
            fits = transform.im_size <= _MAX_CAPTURED
        if not fits:
            return None
        pad, colour = transform.pad - self._images.border, self._border_colour()
        return CapturedCuts(FixedCuts(transform, pad, colour, self._normalised_cuts))

    def _train_pixels(self, plan: EpochPlan) -> Iterator[Tensor]:
        for number, images in enumerate(self._images.train_batches(plan, self.transform)):
            if plan.draws is not None:
                apply_draws(images, plan.draws[plan.part(number)])
            yield images

    def _plan_epoch(self, epoch: int, start: int) -> EpochPlan:
        """Return all that happens in an epoch: per batch there is only slicing left.

        The last one is kept: precise statistics go through the epoch that was trained.
        """
        if self._last_plan is None or self._last_plan[0] != (epoch, start):
            self._last_plan = (epoch, start), self._draw_plan(epoch, start)
        return self._last_plan[1]

    def _draw_plan(self, epoch: int, start: int) -> EpochPlan:
        indices = self.dataset.indices
        order = randomness.epoch_order(self.seed, epoch, indices)
        batches = order[: self.total_images].reshape(len(self), self.batch_size)
        rows = batches[start:, self._part(self.batch_size)].ravel()
        return plan_epoch(
            self.transform, self.dataset.im_size, self.seed, epoch, rows, indices[rows], self._share
        )

    def _plan_labels(self, plan: EpochPlan) -> Iterator[Tensor]:
        labels = self._labels[transforms.to_device(plan.rows, self.device)]
        return (labels[plan.part(number)] for number in range(len(plan)))

    def _inside(self, plan: EpochPlan) -> tuple[Tensor, Tensor] | None:
        """Return the crops' places in the tables of what is image; None where all of it is."""
        if not self.transform.pad or plan.draws is not None or plan.offsets is None:
            return None
        rows, columns = plan.offsets.T
        mirrored = self._inside_place(columns, plan.flips)
        return (
            transforms.to_device(rows, self.device),
            transforms.to_device(mirrored, self.device),
        )

    def _inside_place(self, columns: Any, flips: Any) -> Any:
        """Return where crops, of which some are mirrored, are in the table of columns."""
        return columns + len(self._inside_columns) // 2 * flips

    def _normalised_cuts(
        self, images: Tensor, cuts: tuple[Tensor, Tensor, Tensor] | None, light: Tensor | None
    ) -> Tensor:
        """Return a batch of squares, see :data:`pycls.datasets.loading.fixed_cuts.Normalise`."""
        if cuts is None or not self.transform.pad:
            return self._normalised(images, light)
        rows, columns, flips = cuts
        return self._normalised_padded(images, rows, self._inside_place(columns, flips), light)

    def _normalised_padded(
        self, images: Tensor, rows: Tensor, columns: Tensor, light: Tensor | None
    ) -> Tensor:
        """Return a batch of squares, of which a part is padding; by their places in the tables."""
        inside = self._inside_rows[rows], self._inside_columns[columns]
        return self._lay_out(self._normalize.padded(images, *inside, light))

    def _test_batches(self, start: int) -> Iterator[Batch]:
        parts = self._test_parts(start)
        for part, images in zip(parts, self._images.test_batches(parts, self._centre), strict=True):
            yield self._normalised(images), self._labels[part]

    def _test_parts(self, start: int) -> list[slice]:
        """Return which of this process's images each batch takes."""
        share = self._share
        return [
            slice(first, first + share) for first in range(start * share, len(self._labels), share)
        ]

    def _normalised(self, images: Tensor, light: Tensor | None = None) -> Tensor:
        if self._kernel is not None:
            return self._kernel.normalise(images, light)
        return self._lay_out(self._normalize(images, light))

    def _lay_out(self, images: Tensor) -> Tensor:
        """Return N x H x W x 3 images as N x 3 x H x W, in the memory format asked for."""
        images = images.permute(0, 3, 1, 2)
        return images if self._channels_last else images.contiguous()

    def _open_images(
        self, threads: int, workers: int, max_resident_bytes: int
    ) -> HeldImages | StreamedImages | FileImages:
        if isinstance(self.dataset, ImageTree):
            return FileImages(self.dataset, self.own, self.device, workers)
        reader = RecordReader(self.dataset.images)
        positions = self.dataset.indices[self.own]
        border = (self.transform.pad, self._border_colour())
        # The CPU cuts what is resized where it is read: holding it would cost memory only.
        can_hold = is_gpu(self.device) or not self.transform.resized
        if can_hold and self._bytes() <= max_resident_bytes:
            try:
                return HeldImages(reader, positions, self.device, *border)
            except torch.OutOfMemoryError:
                # Others use the GPU too: it can be done without.
                torch.cuda.empty_cache()
        return StreamedImages(reader, positions, self.device, threads, *border)

    def _bytes(self) -> int:
        assert self.dataset.im_size is not None
        height, width = (length + 2 * self.transform.pad for length in self.dataset.im_size)
        return len(self._labels) * height * width * 3

    def _border_colour(self) -> Tensor | None:
        if not self.transform.augment:
            return None
        mean = torch.from_numpy(self.dataset.mean * 255)
        return mean.round().to(torch.uint8).to(self.device)
