"""A contact sheet: sample images of every class and side of a data set."""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pycls import files
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.randomness import shuffled, text_key
from pycls.datasets.readers.layout import printable
from pycls.datasets.store.store import SIDES, ImageArray
from pycls.errors import ConfigError

_TILE = 48
_GAP = 2
_SAMPLES = 8
_MOST_CLASSES = 100
_MOST_LETTERS = 40
_KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def write_sheet(train: Dataset, test: Dataset, path: str | os.PathLike[str]) -> list[str]:
    """Write an image with one row per class: train samples on the left, test on the right.

    Sets of more than 100 classes show the first 100.

    Returns:
        Names of classes with letters that the font lacks, with the numbers that stand for them.

    Raises:
        ConfigError: the file's suffix is not that of PNG or JPEG.
    """
    from PIL import Image, ImageDraw, ImageFont

    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(f"sheet {path}: expected a name that ends in {' or '.join(_KINDS)}")
    font_path = _find_font()
    font = ImageFont.truetype(font_path, 12)
    titles = [train.class_titles[name] for name in train.class_names[:_MOST_CLASSES]]
    names, numbered = _name_rows(titles, font_path)
    text_width = 12 + max(round(font.getlength(name)) for name in names)
    step = _TILE + _GAP
    side_width = _SAMPLES * step + 4 * _GAP
    sheet = Image.new(
        "RGB", (text_width + len(SIDES) * side_width, 16 + len(names) * step), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for side_number, side in enumerate((train, test)):
        left = text_width + side_number * side_width
        draw.text((left, 1), side.split, fill="black", font=font)
        for label in range(len(names)):
            for column, image in enumerate(_samples(side, label)):
                tile = Image.fromarray(image).resize(_fit(image), Image.Resampling.NEAREST)
                sheet.paste(tile, (left + column * step, 16 + label * step))
    for label, name in enumerate(names):
        place = (4, 16 + label * step + _TILE // 2 - 8)
        draw.text(place, name, fill="black", font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(path) as temporary:
        sheet.save(temporary, format=kind)
    return numbered


def _find_font() -> str:
    """Return the path of DejaVu Sans, which comes with Matplotlib; that is not imported."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")


def _name_rows(titles: Sequence[str], font_path: str) -> tuple[list[str], list[str]]:
    """Return what the rows are called: a number where the font lacks a letter of the title."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    with TTFont(font_path, lazy=True) as opened:
        letters = opened.getBestCmap().keys()
    rows, numbered = [], []
    for label, title in enumerate(titles):
        if all(ord(letter) in letters for letter in title):
            rows.append(title if len(title) <= _MOST_LETTERS else title[: _MOST_LETTERS - 1] + "…")
        else:
            rows.append(f"class {label}")
            numbered.append(f"class {label}: {printable(title)}")
    return rows, numbered


def _samples(dataset: Dataset, label: int) -> Iterator[ImageArray]:
    members = np.flatnonzero(dataset.labels == label)
    chosen = shuffled(text_key("sheet", label, SIDES.index(dataset.split)), len(members))[:_SAMPLES]
    for index in members[chosen]:
        yield dataset[index][0]


def _fit(image: ImageArray) -> tuple[int, int]:
    """Width and height of an image's tile: the longer side fills it."""
    height, width = image.shape[:2]
    factor = _TILE / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))
