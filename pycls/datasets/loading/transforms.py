"""Batched image transforms, on the device that the batch is on.

Images are uint8 N x H x W x 3 until the last step, which normalises them; its result, seen as
N x 3 x H x W, is in channels-last memory format.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pycls.datasets.loading.buffers import BufferPool
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu

_WORDS = (torch.int64, torch.int32, torch.int16, torch.uint8)

# Normalised at once: more leave the processor's cache between one operation and the next.
_CPU_VALUES = 1 << 18


class Normalizer:
    """Maps pixels in 0..255 to float32 by (x / 255 - mean) / std.

    Args:
        mean: 3 channel means in 0..1.
        std: 3 channel standard deviations in 0..1; a constant channel (0) is divided by 1.
        size: side of the images in pixels.
        device: where the batches are.
    """

    def __init__(
        self,
        mean: npt.NDArray[np.float64],
        std: npt.NDArray[np.float64],
        size: int,
        device: torch.device | str = "cpu",
    ) -> None:
        std = np.where(std > 0, std, 1.0)
        self.size = size
        self._buffers = BufferPool()
        # Repeated for a whole row of pixels: inner loops of 3 would be several times slower.
        self._scale = torch.tensor(np.tile(1 / (255 * std), size), dtype=torch.float32).to(device)
        self._shift = torch.tensor(np.tile(-mean / std, size), dtype=torch.float32).to(device)

    @property
    def of_channels(self) -> tuple[Tensor, Tensor]:
        """What the pixels of each channel are multiplied by, and what is added: float32, 3."""
        return self._scale[:3], self._shift[:3]

    def __call__(self, images: Tensor, light: Tensor | None = None) -> Tensor:
        """Normalise images.

        Args:
            images: uint8 or float32, N x S x S x 3.
            light: float32, N x 3, is added to the channels of each image in 0..1 before.

        Returns:
            float32, N x S x S x 3.
        """
        count, size = len(images), self.size
        pixels = images.reshape(count, size, size * 3)
        rows = self._empty(pixels.shape, images.device)
        shifts = self._shifts(light).expand(count, 1, size * 3)
        at_once = max(1, _CPU_VALUES // pixels[0].numel()) if count else 1
        step = at_once if images.device.type == "cpu" else max(1, count)
        for first in range(0, count, step):
            part = slice(first, first + step)
            rows[part].copy_(pixels[part]).mul_(self._scale).add_(shifts[part])
        return rows.view(count, size, size, 3)

    def padded(
        self,
        images: Tensor,
        inside_rows: Tensor,
        inside_columns: Tensor,
        light: Tensor | None = None,
    ) -> Tensor:
        """Normalise images of which a part is padding (zeros), which stays exactly 0.

        That is the mean colour, as in pycls, which pads after it has normalised.

        Args:
            images: uint8, N x S x S x 3, zero in the padding.
            inside_rows: float32, N x S, 1 for rows of the image and 0 for padding.
            inside_columns: float32, N x S, the same for columns.
            light: as for a call; not for the padding.

        Returns:
            float32, N x S x S x 3.
        """
        count, size = len(images), self.size
        pixels = images.reshape(count, size, size * 3)
        rows = self._empty(pixels.shape, images.device).copy_(pixels).mul_(self._scale)
        columns = inside_columns.repeat_interleave(3, dim=1).unsqueeze(1)
        rows.addcmul_(inside_rows.unsqueeze(2), columns * self._shifts(light))
        return rows.view(count, size, size, 3)

    def _empty(self, shape: Sequence[int], device: torch.device) -> Tensor:
        if device.type == "cpu":
            return self._buffers.empty(shape, torch.float32)
        return torch.empty(tuple(shape), dtype=torch.float32, device=device)

    def _shifts(self, light: Tensor | None) -> Tensor:
        """Return what a row of pixels is shifted by, 3 S or N x 1 x 3 S."""
        if light is None:
            return self._shift
        # 1 / std is the scale of pixels in 0..1.
        return self._shift + (light * (255 * self._scale[:3])).repeat(1, self.size).unsqueeze(1)


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; without waiting for it where that is a GPU."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if is_gpu(device):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def pad_images(images: Tensor, pad: int, colour: Tensor | None = None) -> Tensor:
    """Surround images with a border.

    Args:
        images: uint8, N x H x W x 3.
        pad: pixels on each of the four sides.
        colour: uint8, 3, of the border; None for zeros.

    Returns:
        uint8, N x (H + 2 pad) x (W + 2 pad) x 3, contiguous.
    """
    if pad == 0:
        return images.contiguous()
    if colour is None:
        return functional.pad(images, (0, 0, pad, pad, pad, pad))
    count, height, width, _ = images.shape
    padded = colour.repeat(count, height + 2 * pad, width + 2 * pad, 1)
    padded[:, pad : pad + height, pad : pad + width] = images
    return padded


def crop(images: Tensor, rows: Tensor, tops: Tensor, lefts: Tensor, size: int) -> Tensor:
    """Cut a square out of each chosen image.

    Args:
        images: uint8, M x H x W x 3, contiguous.
        rows: int64, N, which images.
        tops: int64, N, first row of each square, 0 .. H - size.
        lefts: int64, N, first column of each square, 0 .. W - size.
        size: side of the squares in pixels.

    Returns:
        uint8, N x size x size x 3, contiguous.
    """
    _, height, width, channels = images.shape
    length = size * channels
    # Every place where a row of a square can begin, as the rows of one overlapping view.
    places = images.as_strided(
        (images.numel() - length + 1, length), (1, 1), images.storage_offset()
    )
    starts = ((rows * height + tops) * width + lefts) * channels
    steps = torch.arange(size, device=images.device) * (width * channels)
    chosen = places.index_select(0, (starts.unsqueeze(1) + steps).flatten())
    return chosen.view(len(rows), size, size, channels)


def mirror(images: Tensor, rows: Tensor) -> None:
    """Flip some images left to right, in place.

    Args:
        images: uint8, N x H x W x 3, contiguous.
        rows: int64, which of them, without repeats.
    """
    replace(images, rows, images.index_select(0, rows).flip(2))


def replace(images: Tensor, rows: Tensor, others: Tensor) -> None:
    """Put other images in the place of some, in place.

    Args:
        images: uint8, N x H x W x 3, contiguous.
        rows: int64, n, which of them, without repeats.
        others: uint8, n x H x W x 3.
    """
    length = images[0].numel()
    # In whole words where that goes: PyTorch copies element by element.
    word = next(kind for kind in _WORDS if length % kind.itemsize == 0)
    images.view(-1, length).view(word).index_copy_(
        0, rows, others.contiguous().view(-1, length).view(word)
    )


def inside_table(length: int, pad: int, size: int) -> Tensor:
    """Tell for every offset of a crop which of its pixels are image and which padding.

    Args:
        length: pixels of the image along this axis.
        pad: pixels of padding before and after it.
        size: pixels of the crop.

    Returns:
        float32, offsets x size: 1 inside the image, 0 in the padding.
    """
    offsets = torch.arange(length + 2 * pad - size + 1).unsqueeze(1)
    pixels = offsets + torch.arange(size)
    return ((pixels >= pad) & (pixels < pad + length)).to(torch.float32)


@dataclass(frozen=True)
class CentreCrop:
    """What testing does to images: the shorter side is resized, the central square cut out.

    Attributes:
        im_size: side of the square in pixels.
        test_im_size: the shorter side after resizing; None leaves the stored size.
    """

    im_size: int
    test_im_size: int | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return uint8 N x S x S x 3 of uint8 N x H x W x 3 images."""
        if self.resizes(images.shape[1:3]):
            images = resize_short_side(images, self.test_im_size or self.im_size)
        return centre_crop(images, self.im_size)

    def resizes(self, im_size: Sequence[int]) -> bool:
        """Say whether images of that height and width are resized."""
        return self.test_im_size is not None and self.test_im_size != min(im_size)


def resize_short_side(images: Tensor, size: int) -> Tensor:
    """Resize images so that the shorter side becomes `size`, keeping the aspect.

    Bilinear, antialiased when it shrinks, in whole numbers: what Pillow gives on the CPU; up to
    one step of 255 the same on a GPU.

    Args:
        images: uint8, N x H x W x 3.
        size: the shorter side afterwards, in pixels.

    Returns:
        uint8, N x H' x W' x 3.
    """
    height, width = images.shape[1:3]
    short = min(height, width)
    target = (round(height * size / short), round(width * size / short))
    pixels = images.permute(0, 3, 1, 2)
    if images.device.type != "cpu":
        pixels = pixels.to(torch.float32)
    resized = functional.interpolate(
        pixels, target, mode="bilinear", align_corners=False, antialias=True
    )
    if images.device.type != "cpu":
        resized = resized.round_().clamp_(0, 255).to(torch.uint8)
    return resized.permute(0, 2, 3, 1)


def centre_crop(images: Tensor, size: int) -> Tensor:
    """Cut the central square out of N x H x W x 3 images.

    Raises:
        ConfigError: the images are smaller than the square.
    """
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise ConfigError(
            f"cannot cut {size} x {size} pixels out of images of {height} x {width}; choose a "
            "smaller image size, resize for testing, or prepare the set at a larger size"
        )
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, top : top + size, left : left + size]
