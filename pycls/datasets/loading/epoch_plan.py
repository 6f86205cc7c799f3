"""The plan of an epoch: what happens to every image, drawn before the epoch begins."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycls.datasets import randomness
from pycls.datasets.loading import crops
from pycls.datasets.loading.augment import Augment, Draws, sample_lighting
from pycls.datasets.store.store import IntArray
from pycls.errors import ConfigError

CROPS = ("auto", "padded", "resized")

# Sets of larger images are cropped as ImageNet, others as CIFAR.
_MAX_PADDED = 64


@dataclass(frozen=True)
class TrainTransform:
    """What training does to images.

    Attributes:
        im_size: side of the squares that come out, in pixels.
        resized: cut a box of random area and aspect and resize it; else a square of `im_size`
            out of the padded image.
        pad: pixels of padding on each side (where not resized).
        area, aspect: ranges of the boxes, see :func:`pycls.datasets.loading.crops.sample_boxes`.
        flip: mirror a random half.
        augment: the policy of augmentation; None for none.
        lighting: standard deviation of the draws along the colour axes of ImageNet.
    """

    im_size: int
    resized: bool
    pad: int = 0
    area: tuple[float, float] = crops.AREA
    aspect: tuple[float, float] = crops.ASPECT
    flip: bool = True
    augment: Augment | None = None
    lighting: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.area
        if not 0 < low <= high <= 1:
            raise ConfigError(
                f"area of crops {low:g} to {high:g}: expected two shares above 0 and up to 1, "
                "the smaller one first"
            )
        low, high = self.aspect
        if not 0 < low <= high < float("inf"):
            raise ConfigError(
                f"aspect of crops {low:g} to {high:g}: expected two numbers above 0, the smaller "
                "one first"
            )


@dataclass(frozen=True)
class EpochPlan:
    """What happens to the images of an epoch, or its rest, in the order of the batches.

    Attributes:
        seed, epoch: what the draws belong to.
        share: images in a batch of this process.
        rows: int64, N, where the images lie in the side.
        positions: int64, N, where they lie in the prepared set.
        flips: bool, N, which are mirrored.
        offsets: int64, N x 2, first row and column of each padded crop; None where resized.
        boxes: int64, N x 4, parts to be resized; None where padded, or while the sizes of the
            images are not known.
        draws: their augmentation; None for none.
        light: float32, N x 3, what is added to their channels; None for nothing.
    """

    seed: int
    epoch: int
    share: int
    rows: IntArray
    positions: IntArray
    flips: npt.NDArray[np.bool_]
    offsets: IntArray | None
    boxes: IntArray | None
    draws: Draws | None
    light: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        """Number of batches."""
        return len(self.rows) // self.share

    def part(self, number: int) -> slice:
        """Return where the images of a batch are."""
        return slice(number * self.share, (number + 1) * self.share)


def crops_resized(crop: str, im_size: tuple[int, int] | None, name: str) -> bool:
    """Decide between the two kinds of crops.

    Args:
        crop: "padded", "resized", or "auto": resized for images above 64 pixels.
        im_size: height and width of all images; None where they differ.
        name: of the data set, for the message.

    Raises:
        ConfigError: another word, or padding of images that differ in size.
    """
    if crop not in CROPS:
        raise ConfigError(f"crop '{crop}': expected one of {', '.join(CROPS)}")
    if im_size is None and crop == "padded":
        raise ConfigError(
            f"data set '{name}' has images of different sizes, which cannot be padded and "
            "cropped; set DATA.CROP resized or auto, or prepare the set"
        )
    return crop == "resized" or im_size is None or (crop == "auto" and min(im_size) > _MAX_PADDED)


def padded_room(im_size: tuple[int, int], transform: TrainTransform) -> tuple[int, int]:
    """Return the rows and columns that a padded crop can move by; below 0 where none fits."""
    height, width = (length + 2 * transform.pad - transform.im_size for length in im_size)
    return height, width


def plan_epoch(
    transform: TrainTransform,
    im_size: tuple[int, int] | None,
    seed: int,
    epoch: int,
    rows: IntArray,
    positions: IntArray,
    share: int,
) -> EpochPlan:
    """Draw all that happens in an epoch: to each image by itself, whatever the others are.

    Args:
        transform: what to draw.
        im_size: height and width of the stored images; None where they differ.
        seed: the run's seed.
        epoch: 0-based epoch.
        rows: N, where the images lie in the side, in the order of the batches.
        positions: N, where they lie in the prepared set.
        share: images in a batch of this process.
    """
    flips = np.zeros(len(rows), dtype=np.bool_)
    if transform.flip:
        flips = randomness.sample_uniform(seed, epoch, randomness.STREAM_FLIP, positions) < 0.5
    offsets = boxes = None
    if not transform.resized and im_size is not None:
        streams = (randomness.STREAM_CROP_Y, randomness.STREAM_CROP_X)
        drawn = [
            randomness.sample_integers(seed, epoch, stream, positions, room + 1)
            for stream, room in zip(streams, padded_room(im_size, transform), strict=True)
        ]
        offsets = np.stack(drawn, axis=1)
    elif im_size is not None:
        boxes = crops.sample_boxes(
            seed, epoch, positions, im_size, transform.area, transform.aspect
        )
    augment, lighting = transform.augment, transform.lighting
    return EpochPlan(
        seed=seed,
        epoch=epoch,
        share=share,
        rows=rows,
        positions=positions,
        flips=flips,
        offsets=offsets,
        boxes=boxes,
        draws=augment.sample(seed, epoch, positions) if augment else None,
        light=sample_lighting(seed, epoch, positions, lighting) if lighting else None,
    )
