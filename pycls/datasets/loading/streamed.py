"""Batches of images that are read one batch at a time, ahead of their use."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pycls.datasets.loading import crops, transforms
from pycls.datasets.loading.buffers import BufferPool
from pycls.datasets.loading.device_copies import DeviceCopies
from pycls.datasets.loading.epoch_plan import EpochPlan, TrainTransform
from pycls.datasets.loading.memory import memory_limit
from pycls.datasets.loading.padded_crops import PaddedCrops
from pycls.datasets.loading.records import RecordReader
from pycls.datasets.store.store import ImageArray, IntArray
from pycls.gpu_devices import is_gpu

T = TypeVar("T")


class StreamedImages:
    """Reads images in threads, which on the CPU also cut and resize the crops that are resized.

    Args:
        reader: reads the prepared set.
        positions: int64, N, the side's images (in testing the process's share of them).
        device: where the batches are wanted.
        threads: how many threads read.
        pad: pixels of padding on each side.
        colour: uint8, 3, of the padding; None for zeros.

    Attributes:
        border: pixels of padding around the images of :meth:`uncut`.
    """

    border = 0

    def __init__(
        self,
        reader: RecordReader,
        positions: IntArray,
        device: torch.device,
        threads: int,
        pad: int = 0,
        colour: Tensor | None = None,
    ) -> None:
        self._reader = reader
        self._positions = positions
        self._device = device
        self._threads = threads
        self._pad = pad
        self._colour = colour
        # Where it is likely to stay in memory, reading the memory map is faster.
        self._mapped = len(positions) * int(np.prod(reader.shape)) <= memory_limit() // 2
        self._pool = BufferPool(most_free=threads + 1)
        self._buffers = threading.local()
        self._place: Tensor | None = None
        self._to_device = DeviceCopies(device)

    def train_batches(self, plan: EpochPlan, transform: TrainTransform) -> Iterator[Tensor]:
        """Yield the plan's batches, cut and mirrored: uint8, N x S x S x 3."""
        if plan.boxes is not None:
            resized = self._resized_on_device if is_gpu(self._device) else self._resized_batches
            return resized(plan, plan.boxes, transform.im_size)
        return self._padded_batches(plan, transform.im_size)

    def uncut(self, plan: EpochPlan, *, in_place: bool = False) -> Iterator[Tensor]:
        """Yield for each of the plan's batches what it is cut out of: its stored images.

        Args:
            plan: the epoch.
            in_place: they are in one tensor, the same for all epochs, which each batch writes over
                once `release` says that it has been cut.
        """
        return self._whole_batches(_parts(plan), in_place=in_place)

    def release(self) -> None:
        """Say that what cuts the last images of :meth:`uncut`, in place, is enqueued."""
        self._to_device.release()

    def rows_of(self, plan: EpochPlan) -> IntArray:
        """Return where the images of the plan are among those of :meth:`uncut`."""
        return np.tile(np.arange(plan.share), len(plan))

    def _resized_batches(self, plan: EpochPlan, boxes: IntArray, size: int) -> Iterator[Tensor]:
        parts = _parts(plan)

        def cut(number: int) -> Tensor:
            part = plan.part(number)
            squares = self._new_batch(plan.share, size, size)
            images = self._read(parts, number)
            crops.cut_boxes(images, boxes[part], plan.flips[part], squares.numpy())
            return squares

        for squares in prefetch(cut, len(parts), self._threads):
            yield self._to_device(squares)

    def _resized_on_device(self, plan: EpochPlan, boxes: IntArray, size: int) -> Iterator[Tensor]:
        """Cut as images that are held are cut: which it is must not change a pixel."""
        places, flips = (transforms.to_device(a, self._device) for a in (boxes, plan.flips))
        rows = torch.arange(plan.share, device=self._device)
        for number, images in enumerate(self.uncut(plan)):
            part = plan.part(number)
            yield crops.cut_boxes_on_device(images, rows, places[part], flips[part], size)

    def _padded_batches(self, plan: EpochPlan, size: int) -> Iterator[Tensor]:
        padded = PaddedCrops(plan, size, self._device)
        rows = torch.arange(plan.share, device=self._device)
        for number, images in enumerate(self.uncut(plan)):
            padded_images = transforms.pad_images(images, self._pad, self._colour)
            yield padded.cut(number, padded_images, rows)

    def test_batches(
        self, parts: Sequence[slice], centre: transforms.CentreCrop
    ) -> Iterator[Tensor]:
        """Yield the central squares of parts of the images: uint8, N x S x S x 3."""
        for images in self._whole_batches([self._positions[part] for part in parts]):
            yield centre(images)

    def _whole_batches(
        self, parts: Sequence[IntArray], *, in_place: bool = False
    ) -> Iterator[Tensor]:
        def read(number: int) -> Tensor:
            self._announce(parts, number)
            images = self._new_batch(len(parts[number]), *self._reader.shape[:2])
            self._reader.read(parts[number], images.numpy())
            return images

        for images in prefetch(read, len(parts), self._threads):
            if not in_place:
                yield self._to_device(images)
                continue
            if self._place is None:
                self._place = torch.empty_like(images, device=self._device)
            self._to_device.into(self._place, images)
            yield self._place

    def _read(self, parts: Sequence[IntArray], number: int) -> Sequence[ImageArray] | ImageArray:
        """Return a batch's images, until the thread reads the next batch."""
        self._announce(parts, number)
        if self._mapped:
            return self._reader.views(parts[number])
        # The thread's own: new memory would cost as much again.
        buffer = getattr(self._buffers, "images", None)
        if buffer is None or len(buffer) < len(parts[number]):
            shape = (len(parts[number]), *self._reader.shape)
            buffer = self._buffers.images = np.empty(shape, dtype=np.uint8)
        images: ImageArray = buffer[: len(parts[number])]
        self._reader.read(parts[number], images)
        return images

    def _announce(self, parts: Sequence[IntArray], number: int) -> None:
        """Have the batch fetched that a thread will come to after those being read."""
        ahead = number + self._threads
        for coming in range(ahead + 1) if number == 0 else (ahead,):
            if coming < len(parts):
                self._reader.announce(parts[coming])

    def _new_batch(self, count: int, height: int, width: int) -> Tensor:
        shape = (count, height, width, 3)
        if not is_gpu(self._device):
            return self._pool.empty(shape, torch.uint8)
        # PyTorch keeps pinned memory too, and uses it again only when the device has read it.
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)


def _parts(plan: EpochPlan) -> list[IntArray]:
    return [plan.positions[plan.part(number)] for number in range(len(plan))]


def prefetch(make: Callable[[int], T], count: int, threads: int) -> Iterator[T]:
    """Yield ``make(0)``, ``make(1)``, ... in this order, made ahead by threads.

    At most `threads` + 1 results are made or being made and not yet taken. An error in `make`
    is raised where its result would have come. Closing the iterator early ends the threads, and
    waits for what they are doing. The threads belong to the iteration: a process that is forked
    in the midst of one can begin its own.

    Args:
        make: called with 0 .. count - 1, by several threads at once.
        count: how many.
        threads: how many threads, at least 1.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="pycls-prefetch") as pool:
        try:
            for number in range(count):
                pending.append(pool.submit(make, number))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
