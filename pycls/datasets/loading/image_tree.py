"""A tree of image files in class folders, to train on without preparing it."""

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers.layout import holds_image
from pycls.datasets.readers.sides import SideFolders, find_side_folders
from pycls.datasets.sources.decode import decode_image
from pycls.datasets.sources.sieve import is_litter
from pycls.datasets.sources.sources import open_source
from pycls.datasets.spelling import as_known, spelling_key
from pycls.datasets.store.store import ImageArray, IntArray
from pycls.errors import ConfigError, DataError

STATISTICS_FILE = "statistics.json"

# The words for a side that are preferred where several are there begin so.
_PREFERRED = {"train": "train", "val": "val", "test": "test"}
_SHOWN = 5

_Statistic = npt.NDArray[np.float64]


class ImageTree:
    """One side of a tree of image files; has what a loader asks of a prepared set's side.

    Attributes:
        path: the tree.
        name: what to call it in messages.
        split: "train" or "test".
        folder: the folder of this side.
        files: N, paths of the images below `folder`, sorted.
        labels: int64, N, positions in `class_names`.
        class_names: the names of the class folders, sorted.
        mean, std: of the channels, in 0..1.
        statistics: where mean and std come from, in words.
        fingerprint: identifies names and sizes of the files (not their contents) and classes.
        im_size: None: the images differ in size.
        mirror: True: a mirrored image is taken to show its class.
        left_out: how many files of each kind are not used.
    """

    im_size = None
    mirror = True

    def __init__(
        self,
        path: Path,
        folder: Path,
        split: str,
        files: Sequence[tuple[str, int, int]],
        class_names: Sequence[str],
        left_out: Mapping[str, int],
    ) -> None:
        """Take the files as (path below the folder, label, bytes), sorted."""
        self.path = path
        self.name = str(path)
        self.split = split
        self.folder = folder
        self.files = tuple(file for file, _, _ in files)
        self.labels: IntArray = np.array([label for _, label, _ in files], dtype=np.int64)
        self.class_names = tuple(class_names)
        self.left_out = dict(left_out)
        self.mean, self.std, self.statistics = _read_statistics(path)
        self.fingerprint = _fingerprint(files, self.class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 2."""
        return len(self.class_names)

    @property
    def indices(self) -> IntArray:
        """int64, N: places in `files`, which random draws belong to."""
        return np.arange(len(self.files), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[ImageArray, int]:
        """Return one image (uint8, H x W x 3, of any size) and its label.

        Raises:
            DataError: it cannot be read or decoded.
        """
        return read_image(self.folder / self.files[index]), int(self.labels[index])

    def __repr__(self) -> str:
        return (
            f"ImageTree({self.name!r}, {self.split!r}, {len(self)} images, "
            f"{self.num_classes} classes)"
        )


def is_image_tree(path: str | os.PathLike[str]) -> bool:
    """Say whether a folder looks like a tree of class folders: a train folder with folders."""
    return any(_list_folders(Path(path) / name) for name in _find_sides(Path(path)).train)


def open_image_tree(
    path: str | os.PathLike[str], split: str, classes: Sequence[str] = ()
) -> ImageTree:
    """List one side of a tree `<path>/train/<class>/...`, `<path>/val (or test)/<class>/...`.

    The folders of the sides and the images in them are known as in the preparation of class
    folders (`pycls.datasets.readers.sides` and `layout.holds_image`).

    Args:
        path: the tree.
        split: "train", "val" or "test"; of the latter two the other one is taken where it is
            the only one there.
        classes: names of the classes to keep (at least 2); all where empty.

    Raises:
        ConfigError: unknown split or class, or fewer than 2 classes.
        DataError: a folder is missing or holds no image, or the sides differ in classes.
    """
    path = Path(path)
    if split not in _PREFERRED:
        raise ConfigError(f"split '{split}': expected one of {', '.join(_PREFERRED)}")
    sides = _find_sides(path)
    tests = sorted(sides.tests, key=lambda word: not word.startswith(_PREFERRED[split]))
    chosen = sides.train if split == "train" else sides.tests[tests[0]] if tests else ()
    if not chosen:
        raise DataError(
            f"{path}: no folder {_PREFERRED[split]} or the like; expected class folders of images "
            f"in {path}/train and {path}/val (or test)"
        )
    train = tuple(path / name for name in sides.train)
    folder = path / chosen[0] if len(chosen) == 1 else path
    found = [_list_side(path / name, "" if len(chosen) == 1 else f"{name}/") for name in chosen]
    names = sorted({name for part in train for name in _list_folders(part)})
    here = {name for chosen_name in chosen for name in _list_folders(path / chosen_name)}
    classes = as_known(classes, names)
    as_trained = _match_spellings(names, here, folder)
    here = {as_trained.get(name, name) for name in here}
    _check_classes(path, folder, names, here, classes)
    kept = [name for name in names if name in classes] if classes else names
    labels = {name: label for label, name in enumerate(kept)}
    files = sorted(
        (labels[name], file, size)
        for side in found
        for name, file, size in (
            (as_trained.get(name, name), file, size) for name, file, size in side.images
        )
        if name in labels
    )
    empty = sorted(set(range(len(kept))) - {label for label, _, _ in files})
    if empty:
        shown = ", ".join(kept[label] for label in empty[:_SHOWN])
        raise DataError(
            f"{folder}: no image in {len(empty)} of {len(kept)} class folders ({shown}); expected "
            "files of images in each"
        )
    left_out = Counter[str]()
    for side in found:
        left_out.update(side.left_out)
    listed = [(file, label, size) for label, file, size in files]
    side_name = "train" if split == "train" else "test"
    return ImageTree(path, folder, side_name, listed, kept, left_out)


@dataclass
class _Side:
    """Class, path and bytes of the images of a folder of class folders; kinds of the others."""

    images: list[tuple[str, str, int]]
    left_out: Counter[str]


def _list_side(folder: Path, prefix: str) -> _Side:
    source = open_source(folder, archives=False)
    side = _Side([], Counter())
    for member in source.members:
        name, slash, _ = member.name.partition("/")
        if not slash:
            side.left_out["in no class's folder"] += 1
        elif holds_image(source, member):
            side.images.append((name, prefix + member.name, member.size))
        else:
            side.left_out[member.suffix or "no suffix"] += 1
    if source.sieve.litter:
        side.left_out["hidden or left by systems"] += len(source.sieve.litter)
    return side


def read_image(path: Path) -> ImageArray:
    """Decode an image file: uint8, H x W x 3, RGB.

    Raises:
        DataError: it is missing, unreadable, damaged or no image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return decode_image(data, str(path))


def _find_sides(path: Path) -> SideFolders:
    """Return the folders of the sides; of one that holds a single folder of folders, the latter."""
    found = find_side_folders(_list_folders(path))

    def find_inner(name: str) -> str:
        inner = _list_folders(path / name)
        while len(inner) == 1 and len(_list_folders(path / name / inner[0])) > 1:
            name = f"{name}/{inner[0]}"
            inner = _list_folders(path / name)
        return name

    return SideFolders(
        tuple(map(find_inner, found.train)),
        {word: tuple(map(find_inner, names)) for word, names in found.tests.items()},
    )


def _list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, but for litter; [] where it is none."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir() and not is_litter(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _match_spellings(names: Sequence[str], here: set[str], folder: Path) -> dict[str, str]:
    """Return {name of a side: name in training} where they differ in spelling only, and say so.

    Systems differ in the case of letters, and in how accents are encoded.
    """
    by_key: dict[str, list[str]] = {}
    for name in sorted({*names, *here}):
        by_key.setdefault(spelling_key(name), []).append(name)
    pairs = [found for found in by_key.values() if len(found) == 2]
    known = set(names)
    matched = {
        other: name
        for pair in pairs
        for other, name in (pair, pair[::-1])
        if other in here - known and name in known - here
    }
    if matched:
        shown = ", ".join(f"{a!a} as {b!a}" for a, b in list(matched.items())[:_SHOWN])
        warnings.warn(
            f"{folder}: its class folders are spelled otherwise than in training: {shown} is "
            "taken; give them one name",
            stacklevel=4,
        )
    return matched


def _check_classes(
    path: Path, folder: Path, names: Sequence[str], here: set[str], classes: Sequence[str]
) -> None:
    if len(names) < 2:
        found = f"one class folder, '{names[0]}'" if names else "no class folder"
        raise DataError(f"{path / 'train'}: {found}; expected a folder a class, at least two")
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise ConfigError(
            f"{path} has no class {', '.join(map(repr, unknown[:_SHOWN]))}; its classes are "
            f"{', '.join(names[:30])}{' ...' if len(names) > 30 else ''}"
        )
    if len(set(classes)) == 1:
        raise ConfigError(f"classes {list(classes)}: expected at least 2")
    for wrong, what in ((set(names) - here, "lacks"), (here - set(names), "has besides")):
        if wrong:
            raise DataError(
                f"{folder} {what} the class folders {', '.join(sorted(wrong)[:_SHOWN])}"
                f"{' ...' if len(wrong) > _SHOWN else ''}; expected those of {path / 'train'} "
                "('prepare_data.py prepare folder' knows sides that are given in other ways)"
            )


def _read_statistics(path: Path) -> tuple[_Statistic, _Statistic, str]:
    file = path / STATISTICS_FILE
    if not file.exists():
        # Nearly all published networks were trained with these.
        known = find_entry("imagenet")
        return np.array(known.mean), np.array(known.std), f"ImageNet's (there is no {file})"
    expected = 'expected {"mean": [r, g, b], "std": [r, g, b]} with numbers from 0 to 1'
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        mean, std = (np.array(found[key], dtype=np.float64) for key in ("mean", "std"))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); {expected}") from None
    values = np.concatenate((mean.ravel(), std.ravel()))
    if mean.shape != (3,) or std.shape != (3,) or not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"{file}: {expected}; in it are {found}")
    return mean, std, f"those of {file}"


def _fingerprint(files: Sequence[tuple[str, int, int]], class_names: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps(list(class_names)).encode())
    for file, _, size in files:
        digest.update(os.fsencode(f"{file}\0{size}\0"))
    return digest.hexdigest()
