"""Lists which pixels a convolution's taps connect."""

import functools
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Window:
    """How the kernel of a convolution moves over an image: pairs of (height, width).

    Attributes:
        size: of the image, in pixels.
        kernel: taps.
        stride, padding, dilation: as in ``torch.nn.Conv2d``, padded with zeros.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @functools.cached_property
    def out_size(self) -> tuple[int, int]:
        """Size of the result, in pixels."""
        sizes = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)
        return height, width

    @functools.cached_property
    def pixels(self) -> int:
        """Pixels of the image."""
        return self.size[0] * self.size[1]

    @functools.cached_property
    def out_pixels(self) -> int:
        """Pixels of the result."""
        return self.out_size[0] * self.out_size[1]

    @functools.cached_property
    def taps(self) -> int:
        """Taps of the kernel."""
        return self.kernel[0] * self.kernel[1]


@functools.lru_cache(maxsize=4096)
def find_window(size: torch.Size, *numbers: tuple[int, int]) -> Window:
    """Return the window of an image of `size` and of the other attributes, in their order."""
    return Window((size[0], size[1]), *numbers)


@dataclass(frozen=True)
class PairList:
    """Pairs, sorted by an item: those of item i are starts[i] to starts[i + 1] - 1.

    Attributes:
        starts: int64, one more than there are items.
        firsts, seconds: int64, the two other numbers of each pair.
    """

    starts: np.ndarray
    firsts: np.ndarray
    seconds: np.ndarray

    @functools.cached_property
    def addresses(self) -> tuple[int, int, int]:
        """Where the three arrays lie in memory."""
        return self.starts.ctypes.data, self.firsts.ctypes.data, self.seconds.ctypes.data


@dataclass(frozen=True)
class Pairs:
    """Which pixels of image and result meet through which tap; edges have fewer pairs.

    Attributes:
        forward: by pixel of the result: pixel of the image, tap.
        backward: by pixel of the image: pixel of the result, tap.
        by_tap: by tap: pixel of the result, pixel of the image.
    """

    forward: PairList
    backward: PairList
    by_tap: PairList


@functools.lru_cache(maxsize=512)
def list_pairs(window: Window) -> Pairs:
    """Return the pairs of a convolution; pixels and taps are numbered row by row."""
    lines = [
        _axis_pairs(*numbers)
        for numbers in zip(
            window.size, window.out_size, window.kernel, window.stride, window.padding,
            window.dilation, strict=True,
        )
    ]  # fmt: skip
    (out_y, in_y, tap_y), (out_x, in_x, tap_x) = lines
    width, out_width, kernel_width = window.size[1], window.out_size[1], window.kernel[1]
    out = (out_y[:, None] * out_width + out_x).ravel()
    source = (in_y[:, None] * width + in_x).ravel()
    tap = (tap_y[:, None] * kernel_width + tap_x).ravel()
    return Pairs(
        _sort(out, window.out_pixels, source, tap),
        _sort(source, window.pixels, out, tap),
        _sort(tap, window.taps, out, source),
    )


def _axis_pairs(
    size: int, out_size: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (place in the result, place in the image, tap) of all pairs along one axis."""
    out, tap = (a.ravel() for a in np.mgrid[:out_size, :kernel])
    place = out * stride - padding + tap * dilation
    inside = (place >= 0) & (place < size)
    return out[inside], place[inside], tap[inside]


def _sort(items: np.ndarray, count: int, firsts: np.ndarray, seconds: np.ndarray) -> PairList:
    order = np.lexsort((firsts, seconds, items))
    starts = np.searchsorted(items[order], np.arange(count + 1))
    arrays = (starts, firsts[order], seconds[order])
    return PairList(*(np.ascontiguousarray(a, dtype=np.int64) for a in arrays))
