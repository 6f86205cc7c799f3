"""Batches of image files that worker processes decode."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import queues
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pycls.datasets.loading import crops, transforms
from pycls.datasets.loading.device_copies import DeviceCopies
from pycls.datasets.loading.epoch_plan import EpochPlan, TrainTransform
from pycls.datasets.loading.image_tree import ImageTree, read_image
from pycls.datasets.sources.decode import fit_image
from pycls.datasets.store.store import ImageArray, IntArray
from pycls.errors import DataError
from pycls.gpu_devices import is_gpu

_BATCHES_AHEAD = 2  # of each worker


class FileImages:
    """Decodes and cuts the images of a tree.

    Workers are started for an epoch and end with it. They are new processes, not forks of this
    one with its threads and GPU: a script that trains on a tree needs its
    ``if __name__ == "__main__"``.

    Args:
        tree: the images.
        own: the part of the side that this process tests.
        device: where the batches are wanted.
        workers: how many processes decode; 0: this one does.
    """

    def __init__(self, tree: ImageTree, own: slice, device: torch.device, workers: int) -> None:
        self._tree = tree
        self._own = np.arange(len(tree))[own]
        self._device = device
        self._workers = workers
        self._to_device = DeviceCopies(device)

    def train_batches(self, plan: EpochPlan, transform: TrainTransform) -> Iterator[Tensor]:
        """Yield the plan's batches, cut and mirrored: uint8, N x S x S x 3.

        Raises:
            DataError: an image cannot be read; names it.
        """
        parts = [plan.part(number) for number in range(len(plan))]
        cut = _TrainBatches(self._tree.folder, plan.seed, plan.epoch, transform)
        return self._run(
            cut, [(self._names(plan.rows[p]), plan.positions[p], plan.flips[p]) for p in parts]
        )

    def test_batches(
        self, parts: Sequence[slice], centre: transforms.CentreCrop
    ) -> Iterator[Tensor]:
        """Yield the central squares of parts of the images: uint8, N x S x S x 3.

        Raises:
            DataError: an image cannot be read; names it.
        """
        cut = _TestBatches(self._tree.folder, centre)
        return self._run(cut, [(self._names(self._own[part]),) for part in parts])

    def _names(self, rows: IntArray) -> list[str]:
        return [self._tree.files[row] for row in rows.tolist()]

    def _run(self, cut: "_Batches", tasks: Sequence["_Task"]) -> Iterator[Tensor]:
        batches = self._received(cut, tasks) if self._workers else map(cut.__getitem__, tasks)
        for batch in batches:
            if isinstance(batch, str):
                raise DataError(batch)
            yield self._to_device(batch)

    def _received(self, cut: "_Batches", tasks: Sequence["_Task"]) -> Iterator[Tensor | str]:
        """Yield what workers send; one that dies is missed within seconds."""
        try:
            batches = iter(self._start(_Shared(cut), tasks))
            for worker in getattr(batches, "_workers", ()):
                # They ignore the other signal: a process that still has some at its end would
                # wait for them for ever.
                worker._popen.terminate = worker._popen.kill
            yield from batches
        except RuntimeError as error:
            if "worker" not in str(error):
                raise
            raise DataError(
                f"{self._tree.folder}: a process that reads images ended before its work was done "
                f"({str(error).splitlines()[0]}); memory may be short, or "
                "shared memory (/dev/shm): make it larger (docker run --shm-size 1g), or set "
                "DATA_LOADER.NUM_WORKERS lower, or 0"
            ) from None

    def _start(self, cut: "_Shared", tasks: Sequence["_Task"]) -> "DataLoader[Any]":
        context = multiprocessing.get_context("forkserver")
        # The server imports once what all workers need.
        context.set_forkserver_preload([__name__])
        return DataLoader(
            cut,  # type: ignore[arg-type]  # a mapping from tasks to batches
            sampler=tasks,  # type: ignore[arg-type]
            batch_size=None,
            num_workers=min(self._workers, max(1, len(tasks))),
            prefetch_factor=_BATCHES_AHEAD,
            pin_memory=is_gpu(self._device),
            multiprocessing_context=context,
            worker_init_fn=_begin_worker,
        )


# The files of a batch, and of training which images they are and which are mirrored.
_Task = tuple[list[str]] | tuple[list[str], IntArray, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class _Batches:
    """Makes batches in a worker: ``self[task]`` is one, or the message of what is wrong."""

    folder: Path

    def __getitem__(self, task: _Task) -> Tensor | str:
        try:
            images = [read_image(self.folder / file) for file in task[0]]
        except DataError as error:
            return str(error)
        return torch.from_numpy(self.squares(images, *task[1:]))

    def squares(self, images: Sequence[ImageArray], *drawn: Any) -> ImageArray:
        """Return uint8, N x S x S x 3."""
        raise NotImplementedError


@dataclass(frozen=True)
class _TrainBatches(_Batches):
    seed: int
    epoch: int
    transform: TrainTransform

    def squares(self, images: Sequence[ImageArray], *drawn: Any) -> ImageArray:
        positions, flips = drawn
        sizes = [image.shape[:2] for image in images]
        size, area, aspect = self.transform.im_size, self.transform.area, self.transform.aspect
        boxes = crops.sample_boxes(self.seed, self.epoch, positions, sizes, area, aspect)
        squares = np.empty((len(images), size, size, 3), dtype=np.uint8)
        crops.cut_boxes(images, boxes, flips, squares)
        return squares


@dataclass(frozen=True)
class _TestBatches(_Batches):
    centre: transforms.CentreCrop

    def squares(self, images: Sequence[ImageArray], *drawn: Any) -> ImageArray:
        size = self.centre.im_size
        side = self.centre.test_im_size or size
        inside = slice((side - size) // 2, (side - size) // 2 + size)
        squares = np.empty((len(images), size, size, 3), dtype=np.uint8)
        for image, square in zip(images, squares, strict=True):
            square[:] = fit_image(image, side, "crop")[inside, inside]
        return squares


@dataclass(frozen=True)
class _Shared:
    """Puts a worker's batches into shared memory itself.

    Left to the thread of the queue, as PyTorch does, the error of a full /dev/shm reaches nobody,
    and the parent waits for ever.
    """

    batches: _Batches

    def __getitem__(self, task: _Task) -> Tensor | str:
        batch = self.batches[task]
        if isinstance(batch, str):
            return batch
        try:
            return batch.share_memory_()
        except (RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            return (
                f"{self.batches.folder}: a batch of {batch.numel() / 1e6:.1f} MB finds no room in "
                f"shared memory, /dev/shm ({reason}); make it larger (docker run --shm-size 1g), "
                "or set DATA_LOADER.NUM_WORKERS 0"
            )


def _begin_worker(_: int) -> None:
    """Go on when the whole job is signalled: the training finishes its step and ends us.

    A worker that cannot send its result ends, for its parent notices that and nothing else.
    """
    queues.Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _end_worker(error: Exception, _: object) -> None:
    print(f"error: a batch of images cannot be sent: {error}", file=sys.stderr, flush=True)
    os._exit(1)
