"""Random resized crops: the draw of a part of an image, and its resizing to a square.

A crop is resized bilinearly from the pixels next to each point, without antialiasing, as pycls
does in training (`cv2.resize`). From a set stored at 256 pixels a crop of 224 shrinks by 1.14 at
most, which leaves little to alias; photographs of a file tree may shrink by more.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pycls.datasets import randomness
from pycls.datasets.store.store import ImageArray, IntArray

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)

_TRIES = 10
# Images that are cut at once on a device: as float32 they take 12 times the bytes of a pixel.
_AT_ONCE = 128


def sample_boxes(
    seed: int,
    epoch: int,
    positions: npt.ArrayLike,
    sizes: npt.ArrayLike,
    area: tuple[float, float] = AREA,
    aspect: tuple[float, float] = ASPECT,
) -> IntArray:
    """Draw the part of each image that is cut out (Szegedy et al., 2015, section 6).

    Up to ten times a share of the area, uniform, and an aspect, uniform in its logarithm, are
    drawn; the first box that fits is taken, anywhere in the image. If none does, it is the
    central square.

    Args:
        seed: the run's seed.
        epoch: 0-based epoch.
        positions: positions of the images in their set, N.
        sizes: height and width of all images, or N x 2, in pixels.
        area: smallest and largest share of the image's area.
        aspect: smallest and largest width / height.

    Returns:
        int64, N x 4: first row, first column, height and width of each box, in pixels.
    """
    positions = np.asarray(positions)
    sizes = np.broadcast_to(np.asarray(sizes, dtype=np.int64), (len(positions), 2))
    short = sizes.min(axis=1, keepdims=True)
    boxes = np.concatenate(((sizes - short) // 2, short, short), axis=1)
    left = np.arange(len(positions))
    for number in range(_TRIES):
        if not len(left):
            break
        stream = randomness.STREAM_BOX + 4 * number
        drawn = _draw_shapes(seed, epoch, stream, positions[left], sizes[left], area, aspect)
        fits = (drawn <= sizes[left]).all(axis=1)
        chosen, shapes = left[fits], drawn[fits]
        room = sizes[chosen] - shapes + 1
        for axis in range(2):
            place = randomness.sample_uniform(seed, epoch, stream + 2 + axis, positions[chosen])
            boxes[chosen, axis] = (place * room[:, axis]).astype(np.int64)
        boxes[chosen, 2:] = shapes
        left = left[~fits]
    return boxes


def _draw_shapes(
    seed: int,
    epoch: int,
    stream: int,
    positions: IntArray,
    sizes: IntArray,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> IntArray:
    """Return int64, N x 2: heights and widths, which need not fit."""
    share = randomness.sample_uniform(seed, epoch, stream, positions)
    pixels = (area[0] + share * (area[1] - area[0])) * sizes.prod(axis=1)
    low, high = math.log(aspect[0]), math.log(aspect[1])
    drawn = randomness.sample_uniform(seed, epoch, stream + 1, positions)
    ratio = np.exp(low + drawn * (high - low))
    shapes = np.stack((np.sqrt(pixels / ratio), np.sqrt(pixels * ratio)), axis=1)
    return np.maximum(1, np.rint(shapes)).astype(np.int64)


def cut_boxes(
    images: Sequence[ImageArray] | ImageArray,
    boxes: IntArray,
    flips: npt.NDArray[np.bool_],
    squares: ImageArray,
) -> None:
    """Cut boxes out of images in memory, resize them and mirror some.

    Args:
        images: N, each uint8, H x W x 3, of any size.
        boxes: int64, N x 4, see :func:`sample_boxes`.
        flips: N, which squares to mirror.
        squares: uint8, N x S x S x 3, to be filled.
    """
    import cv2

    # Its threads would compete with those of PyTorch, and do not survive a fork.
    cv2.setNumThreads(0)
    size = (squares.shape[2], squares.shape[1])
    rows = zip(images, boxes.tolist(), flips.tolist(), squares, strict=True)
    for image, (top, left, height, width), flip, square in rows:
        part = image[top : top + height, left : left + width]
        if flip:
            # Most boxes have fewer pixels than the square.
            part = cv2.flip(part, 1)
        cv2.resize(part, size, dst=square, interpolation=cv2.INTER_LINEAR)


def cut_boxes_on_device(
    images: Tensor, rows: Tensor, boxes: Tensor, flips: Tensor, size: int
) -> Tensor:
    """Cut boxes out of images on a device, resize them and mirror some.

    Equal to :func:`cut_boxes` up to one step of 255, which comes from rounding.

    Args:
        images: uint8, M x H x W x 3.
        rows: int64, N, which images.
        boxes: int64, N x 4, see :func:`sample_boxes`.
        flips: bool, N, which squares to mirror.
        size: side of the squares in pixels.

    Returns:
        uint8, N x size x size x 3, contiguous.
    """
    squares = torch.empty((len(rows), size, size, 3), dtype=torch.uint8, device=images.device)
    for first in range(0, len(rows), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        chosen = images.index_select(0, rows[part]).permute(0, 3, 1, 2).to(torch.float32)
        grid = _sampling_grid(boxes[part], flips[part], size, images.shape[1:3])
        sampled = functional.grid_sample(chosen, grid, mode="bilinear", align_corners=True)
        squares[part] = sampled.round_().clamp_(0, 255).permute(0, 2, 3, 1).to(torch.uint8)
    return squares


def _sampling_grid(boxes: Tensor, flips: Tensor, size: int, im_size: Sequence[int]) -> Tensor:
    """Return where in its image each pixel of a square lies, float32, N x size x size x 2."""
    steps = torch.arange(size, device=boxes.device, dtype=torch.float64) + 0.5
    axes = []
    for axis in range(2):
        first, length = (
            boxes[:, place].unsqueeze(1).to(torch.float64) for place in (axis, axis + 2)
        )
        # Middles of pixels are whole numbers here; beyond the box its border is repeated.
        inside = (steps * (length / size) - 0.5).clamp(min=0).minimum(length - 1)
        # grid_sample counts from the first pixel, -1, to the last, 1.
        axes.append(((first + inside) * (2 / max(1, im_size[axis] - 1)) - 1).to(torch.float32))
    rows, columns = axes
    columns = torch.where(flips.unsqueeze(1), columns.flip(1), columns)
    return torch.stack(
        (
            columns.unsqueeze(1).expand(-1, size, -1),
            rows.unsqueeze(2).expand(-1, -1, size),
        ),
        dim=3,
    )
