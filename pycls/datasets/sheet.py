"""A contact sheet: sample images of every class and side of a prepared set."""

import os

import numpy as np

from pycls import files
from pycls.datasets.randomness import shuffled, text_key
from pycls.datasets.store import SIDES, ImageArray, Store

_TILE = 48
_GAP = 2
_SAMPLES = 8
_MOST_CLASSES = 100


def write_sheet(store: Store, path: str | os.PathLike[str]) -> None:
    """Write a PNG with one row per class: train samples on the left, test on the right.

    Args:
        store: an open prepared set.
        path: the PNG file. Sets of more than 100 classes show the first 100.
    """
    from PIL import Image, ImageDraw

    names = store.class_names[:_MOST_CLASSES]
    text_width = 8 + 7 * max(map(len, names))
    step = _TILE + _GAP
    side_width = _SAMPLES * step + 4 * _GAP
    sheet = Image.new(
        "RGB", (text_width + len(SIDES) * side_width, 16 + len(names) * step), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for side_number, side in enumerate(SIDES):
        left = text_width + side_number * side_width
        draw.text((left, 2), side, fill="black")
        for label in range(len(names)):
            for column, image in enumerate(_samples(store, label, side_number)):
                tile = Image.fromarray(image).resize(_fit(image), Image.Resampling.NEAREST)
                sheet.paste(tile, (left + column * step, 16 + label * step))
    for label, name in enumerate(names):
        draw.text((4, 16 + label * step + _TILE // 2 - 6), name, fill="black")
    with files.atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _samples(store: Store, label: int, side: int) -> list[ImageArray]:
    members = np.flatnonzero((store.labels == label) & (store.split == side))
    chosen = shuffled(text_key("sheet", label, side), len(members))[:_SAMPLES]
    return [np.array(store.images[position]) for position in members[chosen]]


def _fit(image: ImageArray) -> tuple[int, int]:
    """Width and height of an image's tile: the longer side fills it."""
    height, width = image.shape[:2]
    factor = _TILE / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))
