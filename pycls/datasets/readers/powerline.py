"""Reader of Powerline: bitmaps in two modalities with the class in their names (n6wrv4ry6v)."""

import re
from collections import Counter
from pathlib import PurePosixPath

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_EXPECTED = "files named like 'TV_IR_0001.bmp' (TV: power line, TY: none; IR or VL: modality)"
_CLASSES = {"TY": "none", "TV": "power line"}
_CLASS_NAMES = tuple(sorted(_CLASSES.values()))
_MODALITIES = {"IR": "infrared", "VL": "visible light"}
# Of each class in each modality.
_PUBLISHED = 2000
_LEAK = (
    "the pictures are frames of videos and do not say of which one: frames that resemble each "
    "other are on both sides"
)


def read_powerline(source: Source) -> Listing:
    """List the Powerline Image Dataset (Infrared-IR and Visible Light-VL).

    Class and modality are words of the file name, in either order; the modality may be the
    folder's instead. The modality is each image's stratum. The archive may be unpacked.

    Raises:
        DataError: a class or modality is missing, or an image names both classes.
    """
    items, unnamed = [], []
    for member in layout.find_images(source, _EXPECTED):
        *folders, file = layout.path_parts(member.name)
        token = _find_word(PurePosixPath(file).stem, _CLASSES, member.name, source)
        modality = _find_modality(folders, file, member.name, source) if token else None
        if token is None or modality is None:
            unnamed.append(member.name)
            continue
        label = _CLASS_NAMES.index(_CLASSES[token])
        items.append(Item(member, f"{modality}/{file}", label, stratum=modality))
    if not items:
        raise layout.not_found(source, _EXPECTED)
    items, notes = layout.finish_items(items, source)
    _require_all(items, source)
    if unnamed:
        notes.append(
            f"left out, since its name has no class or modality: {layout.name_some(unnamed)}"
        )
    return Listing(
        items=items,
        class_names=_CLASS_NAMES,
        notes=(*notes, *_compare(items), _LEAK),
        class_titles={
            "none": "no power line (TY in the file name)",
            "power line": "power line (TV in the file name)",
        },
    )


def _find_word(text: str, words: dict[str, str], name: str, source: Source) -> str | None:
    """Return which one of some words a text has between what are no letters, or None."""
    found = set(re.split(r"[^A-Z]+", text.upper())) & words.keys()
    if len(found) > 1:
        raise DataError(
            f"{source.path}: '{name}' has both {' and '.join(sorted(found))} in its name; expected "
            f"{_EXPECTED}"
        )
    return found.pop() if found else None


def _find_modality(folders: list[str], file: str, name: str, source: Source) -> str | None:
    modality = _find_word(PurePosixPath(file).stem, _MODALITIES, name, source)
    # The innermost folder first; the outermost names both modalities in the published archive.
    for folder in reversed(folders) if modality is None else ():
        words = set(re.split(r"[^A-Z]+", folder.upper())) & _MODALITIES.keys()
        if len(words) == 1:
            return words.pop()
    return modality


def _require_all(items: list[Item], source: Source) -> None:
    """Check that each class and each modality has images."""
    where = str(source.path)
    layout.require_classes({_CLASS_NAMES[item.label] for item in items}, _CLASS_NAMES, where)
    missing = [key for key in _MODALITIES if not any(item.stratum == key for item in items)]
    if missing:
        raise DataError(
            f"{where}: no image of {_MODALITIES[missing[0]]} ({missing[0]}); expected {_EXPECTED}, "
            f"{_PUBLISHED:,} of each class and modality"
        )


def _compare(items: list[Item]) -> list[str]:
    counts = Counter(f"{_CLASS_NAMES[item.label]}, {item.stratum}" for item in items)
    published = {f"{name}, {key}": _PUBLISHED for name in _CLASS_NAMES for key in _MODALITIES}
    return layout.compare_counts(counts, published, "images of ")
