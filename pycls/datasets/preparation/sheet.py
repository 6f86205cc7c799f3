"""A contact sheet: sample images of every class and side of a data set."""

import os
from collections.abc import Iterator

import numpy as np

from pycls import files
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.randomness import shuffled, text_key
from pycls.datasets.store.store import SIDES, ImageArray

_TILE = 48
_GAP = 2
_SAMPLES = 8
_MOST_CLASSES = 100
_MOST_LETTERS = 40


def write_sheet(train: Dataset, test: Dataset, path: str | os.PathLike[str]) -> None:
    """Write a PNG with one row per class: train samples on the left, test on the right.

    Sets of more than 100 classes show the first 100.
    """
    from PIL import Image, ImageDraw

    names = [_ascii(train.class_titles[name]) for name in train.class_names[:_MOST_CLASSES]]
    text_width = 8 + 7 * max(map(len, names))
    step = _TILE + _GAP
    side_width = _SAMPLES * step + 4 * _GAP
    sheet = Image.new(
        "RGB", (text_width + len(SIDES) * side_width, 16 + len(names) * step), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for side_number, side in enumerate((train, test)):
        left = text_width + side_number * side_width
        draw.text((left, 2), side.split, fill="black")
        for label in range(len(names)):
            for column, image in enumerate(_samples(side, label)):
                tile = Image.fromarray(image).resize(_fit(image), Image.Resampling.NEAREST)
                sheet.paste(tile, (left + column * step, 16 + label * step))
    for label, name in enumerate(names):
        draw.text((4, 16 + label * step + _TILE // 2 - 6), name, fill="black")
    with files.atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _samples(dataset: Dataset, label: int) -> Iterator[ImageArray]:
    members = np.flatnonzero(dataset.labels == label)
    chosen = shuffled(text_key("sheet", label, SIDES.index(dataset.split)), len(members))[:_SAMPLES]
    for index in members[chosen]:
        yield dataset[index][0]


def _ascii(text: str) -> str:
    """Shorten a class's name; Pillow's built-in font knows no other letters."""
    return text.encode("ascii", "replace").decode("ascii")[:_MOST_LETTERS]


def _fit(image: ImageArray) -> tuple[int, int]:
    """Width and height of an image's tile: the longer side fills it."""
    height, width = image.shape[:2]
    factor = _TILE / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))
