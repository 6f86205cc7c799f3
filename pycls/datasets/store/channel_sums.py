"""Sums over pixels from which channel statistics follow without rounding."""

from dataclasses import dataclass, field

import numpy as np

from pycls.datasets.store.store import ImageArray, IntArray


@dataclass
class ChannelSums:
    """Sums over the pixels of the train side, for mean and deviation without rounding.

    Attributes:
        pixels: how many pixels.
        first: sums of the values 0..255, one for each channel; integers of any size.
        second: sums of their squares.
    """

    pixels: int = 0
    first: list[int] = field(default_factory=lambda: [0, 0, 0])
    second: list[int] = field(default_factory=lambda: [0, 0, 0])

    def add(self, other: "ChannelSums") -> None:
        """Add the sums of more pixels."""
        self.pixels += other.pixels
        for channel in range(3):
            self.first[channel] += other.first[channel]
            self.second[channel] += other.second[channel]

    def compute_statistics(self) -> tuple[list[float], list[float]]:
        """Return means and standard deviations in 0..1, exact but for one rounding."""
        total = self.pixels
        means = [first / total / 255 for first in self.first]
        deviations = [
            (second * total - first * first) ** 0.5 / total / 255
            for first, second in zip(self.first, self.second, strict=True)
        ]
        return means, deviations


def sum_histogram(counts: IntArray) -> ChannelSums:
    """Return the sums over pixels counted by channel and value (int64, 3 x 256)."""
    # 64 bits last for 10**14 pixels.
    values = np.arange(256)
    return ChannelSums(
        pixels=int(counts[0].sum()),
        first=(counts @ values).tolist(),
        second=(counts @ (values * values)).tolist(),
    )


def sum_image(image: ImageArray) -> ChannelSums:
    """Return the sums over an image (uint8, H x W x 3, at most 2**24 pixels)."""
    import cv2

    # Counts come as float32, which holds whole numbers up to 2**24.
    counts = [cv2.calcHist([image], [channel], None, [256], [0, 256]) for channel in range(3)]
    return sum_histogram(np.stack(counts).reshape(3, 256).astype(np.int64))
