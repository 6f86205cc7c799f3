"""The operations of AutoAugment and RandAugment on batches of uint8 images.

Each image of a batch may get its own operation with its own argument; those that are alike in
kind are computed together, on the device that the batch is on. Results are those of Pillow,
which pycls uses: equal where colours are mapped or blended, up to the rounding of 32-bit numbers
where pixels are moved.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from pycls.datasets.loading.transforms import replace, to_device

FILL = 128  # grey, for pixels that come from outside the image

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

# More pixels at once leave the processor's cache, and take two to three times as long.
_CPU_PIXELS = 32768


def apply_operations(images: Tensor, operations: Codes, arguments: Numbers) -> None:
    """Apply one operation to each image, in place.

    Args:
        images: uint8, N x H x W x 3, contiguous.
        operations: N, places in `NAMES`; -1 leaves an image as it is.
        arguments: N, what the operation takes: degrees counter-clockwise (rotate), the number of
            bits to keep (posterize), the smallest value to invert (solarize), what is added
            to values below 128 (solarize_add), 1 for the image and 0 for its grey, blurred or
            black version (color, contrast, brightness, sharpness), pixels per pixel
            (shear_x, shear_y), a share of width or height (trans_x, trans_y); the others
            take none.
    """
    kinds = ((_map_values, TABLES), (_mix, BLENDS), (_warp, WARPS))
    _, height, width, _ = images.shape
    at_once = _CPU_PIXELS // (height * width) if images.device.type == "cpu" else len(images)
    step = max(1, at_once)
    first = 0
    for apply, names in kinds:
        members = np.flatnonzero((operations >= first) & (operations < first + len(names)))
        first += len(names)
        # Sorted, so that the images of one operation are neighbours.
        members = members[np.argsort(operations[members], kind="stable")]
        for start in range(0, len(members), step):
            rows = members[start : start + step]
            index = to_device(rows, images.device)
            changed = apply(images.index_select(0, index), operations[rows], arguments[rows])
            replace(images, index, changed)


def _runs(operations: Codes) -> Iterator[tuple[str, slice]]:
    """Go through sorted operations: the name of each and where its images are."""
    codes, starts, counts = np.unique(operations, return_index=True, return_counts=True)
    for code, start, count in zip(codes.tolist(), starts.tolist(), counts.tolist(), strict=True):
        yield NAMES[code], slice(start, start + count)


# ------------------------------------------------ each value of a channel becomes another
def _map_values(images: Tensor, operations: Codes, arguments: Numbers) -> Tensor:
    values = torch.arange(256, device=images.device)
    given = to_device(arguments, images.device).view(-1, 1, 1)
    tables = [
        TABLES[name](images[part], values, given[part]).expand(part.stop - part.start, 3, 256)
        for name, part in _runs(operations)
    ]
    return look_up(images, torch.cat(tables))


def look_up(images: Tensor, table: Tensor) -> Tensor:
    """Return images whose values are those of tables.

    Args:
        images: uint8, N x H x W x 3, contiguous.
        table: int64, N x 3 x 256, what each value of a channel becomes; cut to 0..255.
    """
    whole = table.clamp(0, 255).to(torch.uint8).flatten(1)
    return whole.gather(1, _places(images)).view(images.shape)


def _places(images: Tensor) -> Tensor:
    """Return int64, N x (H W 3): value + 256 * channel of every pixel."""
    count, height, width, _ = images.shape
    rows = images.to(torch.int64).view(count, height, width * 3)
    # Repeated for a whole row of pixels: inner loops of 3 would be several times slower.
    rows += (torch.arange(3, device=images.device) * 256).repeat(width)
    return rows.view(count, -1)


def _auto_contrast(images: Tensor, values: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel over the whole range; a constant channel stays."""
    pixels = images.flatten(1, 2)
    low, high = (extreme.double().unsqueeze(2) for extreme in (pixels.amin(1), pixels.amax(1)))
    # Not 255 / ..., which PyTorch rounds twice.
    scale = torch.full_like(low, 255) / (high - low).clamp(min=1)
    return torch.where(high > low, (values * scale - low * scale).to(torch.int64), values)


def _equalize(images: Tensor, values: Tensor, _: Tensor) -> Tensor:
    """Even out each channel's histogram, in whole numbers and without its last value."""
    places = _places(images)
    counts = torch.zeros((len(images), 768), dtype=torch.int64, device=images.device)
    counts = counts.scatter_add_(1, places, torch.ones_like(places)).view(-1, 3, 256)
    last = ((counts > 0) * values).amax(2, keepdim=True)
    step = (counts.sum(2, keepdim=True) - counts.gather(2, last)) // 255
    below = counts.cumsum(2) - counts
    return torch.where(step > 0, (below + step // 2) // step.clamp(min=1), values)


def _posterize(images: Tensor, values: Tensor, bits: Tensor) -> Tensor:
    return values & ~((1 << (8 - bits.to(torch.int64))) - 1)


def _solarize(images: Tensor, values: Tensor, threshold: Tensor) -> Tensor:
    return torch.where(values < threshold, values, 255 - values)


def _solarize_add(images: Tensor, values: Tensor, amount: Tensor) -> Tensor:
    return torch.where(values < 128, (values + amount).round().to(torch.int64), values)


def _brightness(images: Tensor, values: Tensor, factor: Tensor) -> Tensor:
    return blend(torch.zeros_like(factor), values, factor).to(torch.int64)


def _contrast(images: Tensor, values: Tensor, factor: Tensor) -> Tensor:
    luma = _luma(images).flatten(1)
    # Half up, in whole numbers: a sum that does not depend on its order.
    mean = (2 * luma.sum(1, dtype=torch.int64) + luma.shape[1]) // (2 * luma.shape[1])
    return blend(mean.view(-1, 1, 1), values, factor).to(torch.int64)


# --------------------------------------------- each pixel is mixed with that of another image
def _mix(images: Tensor, operations: Codes, arguments: Numbers) -> Tensor:
    factors = to_device(arguments, images.device).view(-1, 1, 1, 1)
    mixed = [
        blend(BLENDS[name](images[part]), images[part], factors[part])
        for name, part in _runs(operations)
    ]
    return to_pixels(torch.cat(mixed))


def to_pixels(blended: Tensor) -> Tensor:
    """Return numbers, which are written over, cut to whole ones of 0..255: uint8."""
    return blended.clamp_(0, 255).to(torch.uint8)


def blend(other: Tensor, image: Tensor, factor: Tensor) -> Tensor:
    """Return other + factor * (image - other) in 32 bits, to be cut to whole numbers.

    Args:
        other: of any type, of a shape that goes with the image's.
        image: of any type.
        factor: likewise.
    """
    other = other.to(torch.float32)
    return (image.to(torch.float32) - other).mul(factor.to(torch.float32)).add_(other)


def _luma(images: Tensor) -> Tensor:
    """Return ITU-R 601 luma in 0..255, int32, N x H x W, in 16-bit fixed point as in Pillow."""
    red, green, blue = images.to(torch.int32).unbind(3)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def _smooth(images: Tensor) -> Tensor:
    """Return the mean of 3 x 3 pixels, of which the middle one counts 5 times; keep the border."""
    smoothed = images.to(torch.int32)
    if min(images.shape[1:3]) < 3:
        return smoothed
    rows = smoothed[:, :-2] + smoothed[:, 1:-1] + smoothed[:, 2:]
    total = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * smoothed[:, 1:-1, 1:-1]
    smoothed[:, 1:-1, 1:-1] = (2 * total + 13) // 26
    return smoothed


# --------------------------------------------------------------------- pixels are moved

# 32-bit sampling of a value that is whole may end just below it.
_ROUNDING = 1 / 256


def _warp(images: Tensor, operations: Codes, arguments: Numbers) -> Tensor:
    matrices = warp_matrices(operations, arguments, *images.shape[1:3])
    return take_pixels(images, to_device(matrices, images.device).view(6, -1, 1, 1))


def warp_matrices(
    operations: Codes, arguments: Numbers, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Return where the pixels of images come from, 6 x N, see `WARPS`; the same place by default.

    Args:
        operations: N, places in `NAMES`, of any kind.
        arguments: N, what they take.
        height: of the images, in pixels.
        width: of the images, in pixels.
    """
    same = np.array((1, 0, 0, 0, 1, 0), dtype=np.float32)
    matrices = np.tile(same[:, np.newaxis], len(operations))
    for name, entries_of in WARPS.items():
        of_it = np.flatnonzero(operations == NAMES.index(name))
        for place, entry in enumerate(entries_of(arguments[of_it], height, width)):
            matrices[place, of_it] = entry
    return matrices


def take_pixels(images: Tensor, matrices: Tensor) -> Tensor:
    """Take each pixel from another place: bilinear, grey where that is outside.

    Args:
        images: uint8, N x H x W x 3.
        matrices: float32, 6 x N x 1 x 1, see `WARPS`.
    """
    _, height, width, _ = images.shape
    a, b, c, d, e, f = matrices
    x = torch.arange(width, device=images.device) + 0.5
    y = (torch.arange(height, device=images.device) + 0.5).unsqueeze(1)
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    sampled = functional.grid_sample(
        images.permute(0, 3, 1, 2).to(torch.float32),
        torch.stack((from_x * (2 / width) - 1, from_y * (2 / height) - 1), dim=3),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    outside = (from_x < 0) | (from_x >= width) | (from_y < 0) | (from_y >= height)
    moved = sampled.add_(_ROUNDING).to(torch.uint8).permute(0, 2, 3, 1)
    return moved.masked_fill(outside.unsqueeze(3), FILL)


def _rotation(degrees: Numbers, height: int, width: int) -> Any:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    x, y = width / 2, height / 2
    return cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y


# What each value 0..255 of the channels of some images becomes, given their arguments.
TABLES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "invert": lambda images, values, _: 255 - values,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "brightness": _brightness,
    "contrast": _contrast,
}
BLENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "color": lambda images: _luma(images).unsqueeze(3),
    "sharpness": _smooth,
}
# Where in the old image a pixel of the new one comes from, x' = a x + b y + c and
# y' = d x + e y + f, in pixels; the middle of the first pixel is at 0.5.
WARPS: dict[str, Callable[[Numbers, int, int], Any]] = {
    "rotate": _rotation,
    "shear_x": lambda slope, height, width: (1, slope, 0, 0, 1, 0),
    "shear_y": lambda slope, height, width: (1, 0, 0, slope, 1, 0),
    "trans_x": lambda share, height, width: (1, 0, share * width, 0, 1, 0),
    "trans_y": lambda share, height, width: (1, 0, 0, 0, 1, share * height),
}
# RandAugment draws places in it: the order stays.
NAMES = (*TABLES, *BLENDS, *WARPS)
