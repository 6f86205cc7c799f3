"""Batches of crops, made so that no shape depends on what was drawn: work for a CUDA graph."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pycls.datasets.loading import crops, transforms
from pycls.datasets.loading.epoch_plan import EpochPlan
from pycls.datasets.store.store import IntArray
from pycls.kernels import gpu_graph

# Squares (uint8, N x S x S x 3), first rows and columns of padded crops and which are mirrored
# (None where they are resized), light -> float32, N x 3 x S x S.
Normalise = Callable[[Tensor, tuple[Tensor, Tensor, Tensor] | None, Tensor | None], Tensor]


def tabulate(plan: EpochPlan, rows: IntArray) -> npt.NDArray[np.float64]:
    """Return all that happens to the images of a plan as numbers, a row an image.

    They are in one table, so that a batch of them is one copy; float64 holds each as it is.

    Args:
        plan: the epoch, without augmentation.
        rows: N, the place of each image among those that the batch is cut out of.

    Returns:
        N x (4, 6, 7 or 9): the place, first row and column of a padded crop, or the box to be
        resized, 1 for what is mirrored, and light where there is any.
    """
    places = plan.offsets if plan.boxes is None else plan.boxes
    assert places is not None
    light = () if plan.light is None else (plan.light,)
    return np.column_stack((rows, places, plan.flips, *light)).astype(np.float64)


class FixedCuts:
    """Cuts, mirrors and normalises batches by PyTorch's own operations.

    Args:
        size: side of the squares in pixels.
        resized: boxes are resized; else squares are cut out of padded images.
        pad: pixels of padding that images lack on each side.
        is_lit: the numbers hold light.
        normalise: what makes a batch of squares.
    """

    def __init__(
        self, size: int, resized: bool, pad: int, is_lit: bool, normalise: Normalise
    ) -> None:
        self._size = size
        self._resized = resized
        self._pad = pad
        self._end = -3 if is_lit else None
        self._normalise = normalise

    def __call__(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Return a batch, N x 3 x S x S.

        Args:
            images: uint8, M x H x W x 3, what the batch is cut out of.
            numbers: N rows of :func:`tabulate`, on the device of the images.
        """
        drawn = numbers[:, : self._end].to(torch.int64)
        rows, flips = drawn[:, 0], drawn[:, -1] > 0
        light = None if self._end is None else numbers[:, self._end :].to(torch.float32)
        if self._resized:
            squares = crops.cut_boxes_on_device(images, rows, drawn[:, 1:5], flips, self._size)
            return self._normalise(squares, None, light)
        tops, lefts = drawn[:, 1], drawn[:, 2]
        padded = transforms.pad_images(images, self._pad)
        squares = transforms.crop(padded, rows, tops, lefts, self._size)
        squares = torch.where(flips.view(-1, 1, 1, 1), squares.flip(2), squares)
        return self._normalise(squares, (tops, lefts, flips), light)


class CapturedCuts:
    """Makes batches as :class:`FixedCuts` does, by replaying on a GPU the work of the first.

    Args:
        cut: what makes them.
    """

    def __init__(self, cut: FixedCuts) -> None:
        self._cut = cut
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Return a batch, which is the caller's own; arguments as there.

        The images are read where those of the first call were.
        """
        if self._graph is None:
            self._images, self._numbers = images, numbers.clone()
            self._graph, self._batch = gpu_graph.capture(
                lambda: self._cut(self._images, self._numbers)
            )
        assert images is self._images
        self._numbers.copy_(numbers)
        self._graph.replay()
        return self._batch.clone()
