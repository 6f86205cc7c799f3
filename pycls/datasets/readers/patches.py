"""The cutting of patches from disjoint areas of large pictures."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycls.datasets.randomness import make_key, shuffled, text_key
from pycls.datasets.readers.base import RawSet
from pycls.datasets.splits import split_areas
from pycls.datasets.store.store import SIDES, ImageArray
from pycls.errors import ConfigError

TEST_AREAS = 1 / 3
# Grey levels between the darkest and the brightest pixel of a patch, in some channel.
LEAST_CONTRAST = 4


@dataclass(frozen=True)
class PatchOptions:
    """How patches are cut.

    Attributes:
        size: side of a patch in pixels, after the reduction.
        scale: the picture is first reduced by this whole factor (1: full resolution); each
            pixel is the mean of a block, so that no pixel of one area reaches another.
        area: side of the square areas in pixels, after the reduction.
        train: patches of each class on the train side.
        test: patches of each class on the test side.
        level: "keep" leaves brightness as it is; "centre" shifts each patch to a mean of
            128, so that its brightness does not give the class away; "standard" also sets
            its standard deviation to 40.
        grey: turn colour into luminance.
        seed: of the division into sides and the places of the patches.
    """

    size: int = 16
    scale: int = 1
    area: int = 32
    train: int = 1000
    test: int = 400
    level: str = "keep"
    grey: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("size", "scale", "train", "test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: expected at least 1")
        if self.area < self.size:
            raise ConfigError(
                f"area {self.area} is smaller than the patch size {self.size}; expected at least "
                "as much"
            )
        if self.level not in _LEVELS:
            raise ConfigError(f"level '{self.level}': expected one of {', '.join(_LEVELS)}")


def cut_patches(pictures: Mapping[str, ImageArray], options: PatchOptions) -> RawSet:
    """Cut every class's patches out of its picture.

    Each picture is divided into square areas, about a third of which go to the test side by
    a draw that belongs to the picture's name. Patches lie at random places wholly inside
    one area, no place twice, spread evenly over the side's areas. Patches of a single
    colour (all values of a channel within 4) are left out.

    Args:
        pictures: class name to picture, uint8 H x W or H x W x 3.
        options: see :class:`PatchOptions`.

    Raises:
        ConfigError: a picture is too small for the areas, or a side too small for the
            number of patches.
    """
    images, labels, split = [], [], []
    for label, (name, picture) in enumerate(pictures.items()):
        reduced = reduce_blocks(_to_rgb(picture, options.grey), options.scale)
        for side, value in (("train", 0), ("test", 1)):
            places = choose_places(name, reduced, side, options)
            images.append(_cut(reduced, places, options.size))
            labels += [label] * len(places)
            split += [value] * len(places)
    patches = _LEVELS[options.level](np.concatenate(images))
    return RawSet(
        images=patches,
        labels=np.array(labels, dtype=np.int64),
        split=np.array(split, dtype=np.uint8),
        class_names=tuple(pictures),
        split_rule=(
            f"each picture is divided into areas of {options.area} x {options.area} pixels"
            f"{_after_reduction(options)}; a third of them, drawn with seed {options.seed}, is "
            "the test side; no patch crosses an area's border, patches of a single colour are "
            "left out"
        ),
    )


def choose_places(
    name: str, picture: ImageArray, side: str, options: PatchOptions
) -> npt.NDArray[np.int64]:
    """Return the top left corners of one side's patches in a (reduced) picture.

    Args:
        name: name of the picture, part of the draw.
        picture: uint8, H x W x 3.
        side: "train" or "test".
        options: see :class:`PatchOptions`.

    Returns:
        int64, N x 2: rows and columns.

    Raises:
        ConfigError: there are fewer places than patches asked.
    """
    grid = (picture.shape[0] // options.area, picture.shape[1] // options.area)
    if grid[0] * grid[1] < 2:
        raise ConfigError(
            f"picture '{name}' of {picture.shape[0]} x {picture.shape[1]} pixels"
            f"{_after_reduction(options)} has no two areas of {options.area} pixels; choose a "
            "smaller area or scale"
        )
    sides = split_areas(name, *grid, TEST_AREAS, options.seed)
    areas = np.argwhere(sides == SIDES.index(side)) * options.area
    key = text_key("places", options.seed, name, side)
    areas = areas[shuffled(key, len(areas))]
    varied = _find_varied(picture, options.size)
    room = options.area - options.size + 1
    places, ranks = [], []
    for number, (top, left) in enumerate(areas):
        inside = np.argwhere(varied[top : top + room, left : left + room])
        inside += areas[number]
        order = shuffled(make_key(key, number), len(inside))
        places.append(inside[order])
        ranks.append(np.arange(len(inside)))
    count = options.train if side == "train" else options.test
    found = np.concatenate(places)
    if count > len(found):
        raise ConfigError(
            f"picture '{name}' has {len(found)} places for patches of {options.size} pixels on "
            f"the {side} side, {count} were asked; ask for fewer"
        )
    # One patch from every area, then a second from every area that has one, and so on.
    return found[np.argsort(np.concatenate(ranks), kind="stable")[:count]]


def _find_varied(picture: ImageArray, size: int) -> npt.NDArray[np.bool_]:
    """Say for each place whether a patch there shows more than noise on a single colour.

    Such patches (the black around a retina) show nothing to learn, and equal ones would come
    to lie on both sides.
    """
    high, low = _slide(np.maximum, picture, size), _slide(np.minimum, picture, size)
    return np.any(high - low >= LEAST_CONTRAST, axis=2)


def _slide(extreme: np.ufunc, picture: ImageArray, size: int) -> ImageArray:
    """Return the largest or smallest value of every size x size window."""
    for _ in range(2):
        count = len(picture) - size + 1
        picture = functools.reduce(extreme, (picture[k : k + count] for k in range(size)))
        picture = picture.swapaxes(0, 1)
    return picture


def reduce_blocks(picture: ImageArray, factor: int) -> ImageArray:
    """Reduce a picture (H x W x 3) by a whole factor; each pixel is the mean of its block."""
    if factor == 1:
        return picture
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    blocks = picture[: height * factor, : width * factor].reshape(
        height, factor, width, factor, picture.shape[2]
    )
    return np.round(blocks.mean(axis=(1, 3), dtype=np.float64)).astype(np.uint8)


def _to_rgb(picture: ImageArray, grey: bool) -> ImageArray:
    if picture.ndim == 3 and grey:
        # Luminance weights of ITU-R BT.601.
        weights = np.array([0.299, 0.587, 0.114])
        picture = np.round(picture[..., :3] @ weights).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return picture[..., :3]


def _cut(picture: ImageArray, places: npt.NDArray[np.int64], size: int) -> ImageArray:
    windows = np.lib.stride_tricks.sliding_window_view(picture, (size, size), axis=(0, 1))
    chosen = windows[places[:, 0], places[:, 1]]
    return np.ascontiguousarray(chosen.transpose(0, 2, 3, 1))


def _centre(patches: ImageArray) -> ImageArray:
    shifted = patches - patches.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64) + 128
    return np.clip(np.round(shifted), 0, 255).astype(np.uint8)


def _standard(patches: ImageArray) -> ImageArray:
    # The floor keeps noise in flat patches from being blown up to full contrast.
    shifted = patches - patches.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
    spread = np.maximum(shifted.std(axis=(1, 2, 3), keepdims=True), 4.0)
    return np.clip(np.round(shifted * (40 / spread) + 128), 0, 255).astype(np.uint8)


_LEVELS: dict[str, Callable[[ImageArray], ImageArray]] = {
    "keep": lambda patches: patches,
    "centre": _centre,
    "standard": _standard,
}


def _after_reduction(options: PatchOptions) -> str:
    return f" (after reduction by {options.scale})" if options.scale > 1 else ""
