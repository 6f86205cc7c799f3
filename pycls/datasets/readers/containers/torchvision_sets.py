"""Reader of sets that lie on disk as torchvision's own classes read them."""

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from pycls.datasets.catalog.torchvision_sets import USABLE
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import ImageSequence, Item, Listing
from pycls.datasets.readers.containers.labels import number_labels
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import ImageArray
from pycls.errors import ConfigError, DataError
from pycls.torchvision_import import import_torchvision

# Where these keep what they list in the order in which the disk gives it.
_UNSORTED = {"SUN397": "_image_files", "INaturalist": "index"}
# Folders that a class makes where they are not there.
_MADE = {"Caltech101": "caltech101", "Caltech256": "caltech256", "SUN397": "SUN397"}


def read_torchvision(source: Source, dataset: str, variant: str = "") -> Listing:
    """List a set by torchvision's class; images are called `train/0000000` and so on.

    Every image is decoded once here, for its label and to tell changed ones, and again to be
    stored.

    Args:
        source: the class's root, a folder.
        dataset: the class.
        variant: EMNIST's `split`: "balanced", "letters" ...

    Raises:
        ConfigError: EMNIST without a variant.
        DataError: torchvision does not find the set there, or an image cannot be read.
        PyclsError: torchvision is not installed.
    """
    if not source.root.is_dir():
        raise DataError(f"{source.path}: expected the folder that torchvision takes as root")
    if dataset in _MADE and not (source.root / _MADE[dataset]).is_dir():
        raise DataError(f"{source.path}: has no folder '{_MADE[dataset]}'")
    if dataset == "EMNIST" and not variant:
        raise ConfigError("torchvision:EMNIST: say with variant which of its splits is meant")
    import_torchvision()
    import torchvision.datasets

    kind = getattr(torchvision.datasets, dataset, None)
    if kind is None:
        raise DataError(f"the installed torchvision has no class {dataset}")
    sided = len(USABLE[dataset]) > 1
    # The test side first, since items are sorted by name.
    opened = [
        (side, _Ordered(_open(kind, source, arguments, variant), dataset))
        for side, arguments in reversed(list(enumerate(USABLE[dataset])))
    ]
    values: list[int] = []
    names: list[tuple[str, int | None]] = []
    digest = hashlib.sha256()
    for side, images in opened:
        word = ("train", "test")[side]
        for number in range(len(images)):
            pixels, label = _load(images, number, f"{source.path}: {dataset}, {word} {number}")
            digest.update(repr(pixels.shape).encode() + pixels.tobytes())
            values.append(label)
            names.append((f"{word}/{number:07}" if sided else f"{number:07}", side))
    values, texts = _name_classes(opened[-1][1].images, values)
    labels, classes = number_labels(values, texts, str(source.path))
    items = [
        Item(None, name, label, side=side if sided else None)
        for (name, side), label in zip(names, labels.tolist(), strict=True)
    ]
    if sided:
        layout.require_both_sides(items, classes, str(source.path))
    return Listing(
        items,
        classes,
        pixels=_Decoded([images for _, images in opened], digest.hexdigest()),
        official_split="torchvision's" if sided else "",
    )


class _Ordered:
    """A set of torchvision, in an order that does not depend on the disk."""

    def __init__(self, images: Any, dataset: str) -> None:
        self.images = images
        keys = getattr(images, _UNSORTED.get(dataset, ""), None)
        self._order = None if keys is None else sorted(range(len(keys)), key=keys.__getitem__)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> Any:
        return self.images[number if self._order is None else self._order[number]]


class _Decoded(ImageSequence):
    """The images of some of torchvision's sets, one after the other, decoded when asked for."""

    def __init__(self, sets: Sequence[Any], digest: str) -> None:
        self._sets = sets
        self.digest = digest
        self._starts = np.cumsum([0, *map(len, sets)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def load(self, position: int) -> ImageArray:
        """Return an image, uint8, H x W x 3."""
        number = int(np.searchsorted(self._starts, position, side="right")) - 1
        inside = position - int(self._starts[number])
        return _load(self._sets[number], inside, f"image {position}")[0]


def _open(kind: Any, source: Source, arguments: Any, variant: str) -> Any:
    given = {**arguments, **({"split": variant} if variant else {})}
    if "download" in inspect.signature(kind).parameters:
        given["download"] = False
    try:
        return kind(str(source.root), **given)
    except ImportError as error:
        raise ConfigError(f"torchvision's {kind.__name__} needs another package: {error}") from None
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        if "needs to have" in str(error):
            raise ConfigError(f"torchvision's {kind.__name__}: {error}") from None
        told = str(error).replace("You can use download=True to download it", "").strip()
        raise DataError(
            f"{source.path}: torchvision's {kind.__name__} does not find its set there "
            f"({told or type(error).__name__}); give the folder that it takes as root"
        ) from None


def _load(images: Any, number: int, where: str) -> tuple[ImageArray, int]:
    try:
        picture, label = images[number]
        if label is None:
            raise DataError(f"{where}: has no label there; give a version of the set with labels")
        return np.asarray(picture.convert("RGB")), int(label)
    except DataError:
        raise
    except Exception as error:  # whatever a decoder stumbles over in damaged data
        raise DataError(f"{where}: cannot be read ({type(error).__name__}: {error})") from None


def _name_classes(images: Any, values: list[int]) -> tuple[list[int], tuple[str, ...]]:
    """Return labels as positions in the names of the classes that there are, and those.

    Without a name for each, the labels stay as they are, and there are none.
    """
    names = getattr(images, "classes", None) or getattr(images, "categories", None) or ()
    texts = tuple(" ".join(map(str, name)) if isinstance(name, tuple) else str(name)
                  for name in names)  # fmt: skip
    used = sorted(set(values))
    if not used or used[0] < 0 or used[-1] >= len(texts) or len(set(texts)) < len(texts):
        return values, ()
    rank = {value: label for label, value in enumerate(used)}
    return [rank[value] for value in values], tuple(texts[value] for value in used)
