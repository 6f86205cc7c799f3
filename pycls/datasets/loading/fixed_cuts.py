"""Batches of crops with shapes that nothing drawn changes: work for a CUDA graph."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pycls.datasets.loading import crops, fixed_ops, transforms
from pycls.datasets.loading.epoch_plan import EpochPlan, TrainTransform
from pycls.datasets.store.store import IntArray
from pycls.kernels import gpu_graph

# Squares (uint8, N x S x S x 3), first rows and columns of padded crops and which are mirrored
# (None where they are resized), light -> float32, N x 3 x S x S.
Normalise = Callable[[Tensor, tuple[Tensor, Tensor, Tensor] | None, Tensor | None], Tensor]


def tabulate(plan: EpochPlan, rows: IntArray, size: int) -> npt.NDArray[np.float64]:
    """Return all that happens to the images of a plan as numbers, a row an image.

    They are in one table, so that a batch of them is one copy; float64 holds each as it is.

    Args:
        plan: the epoch.
        rows: N, the place of each image among those that the batch is cut out of.
        size: side of the squares in pixels.

    Returns:
        float64, a row an image: the place, first row and column of a padded crop, or the box to be
        resized, 1 for what is mirrored; where there are any, augmentation and light.
    """
    places = plan.offsets if plan.boxes is None else plan.boxes
    assert places is not None
    more: list[npt.NDArray[np.generic]] = []
    if plan.draws is not None:
        more.append(fixed_ops.tabulate_draws(plan.draws, size))
    if plan.light is not None:
        more.append(plan.light)
    return np.column_stack((rows, places, plan.flips, *more)).astype(np.float64)


class FixedCuts:
    """Cuts, mirrors and normalises batches by PyTorch's own operations.

    Args:
        transform: what happens to images.
        pad: pixels of padding that they lack on each side.
        colour: uint8, 3, of the padding; None for zeros.
        normalise: what makes a batch of squares.
    """

    def __init__(
        self, transform: TrainTransform, pad: int, colour: Tensor | None, normalise: Normalise
    ) -> None:
        self._size = transform.im_size
        self._resized = transform.resized
        self._pad = pad
        self._colour = colour
        self._normalise = normalise
        places = 6 if transform.resized else 4
        drawn = fixed_ops.NUMBERS * transform.augment.steps if transform.augment else 0
        # How many of the numbers are of what.
        self._parts = (places, drawn, 3 if transform.lighting else 0)

    def __call__(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Return a batch, N x 3 x S x S.

        Args:
            images: uint8, M x H x W x 3, what the batch is cut out of.
            numbers: N rows of :func:`tabulate`, on the device of the images.
        """
        places, drawn, shades = numbers.split(self._parts, dim=1)
        places = places.to(torch.int64)
        rows, flips = places[:, 0], places[:, -1] > 0
        light = shades.to(torch.float32) if self._parts[2] else None
        padding = None
        if self._resized:
            squares = crops.cut_boxes_on_device(images, rows, places[:, 1:5], flips, self._size)
        else:
            tops, lefts = places[:, 1], places[:, 2]
            padded = transforms.pad_images(images, self._pad, self._colour)
            squares = transforms.crop(padded, rows, tops, lefts, self._size)
            squares = torch.where(flips.view(-1, 1, 1, 1), squares.flip(2), squares)
            padding = tops, lefts, flips
        if not self._parts[1]:
            return self._normalise(squares, padding, light)
        # What is augmented has its padding as a part of it.
        return self._normalise(fixed_ops.apply_numbers(squares, drawn), None, light)


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
