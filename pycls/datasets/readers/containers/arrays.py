"""Reader of sets that come as NumPy arrays: `.npz` (as MedMNIST's) and `.npy` files."""

import io
import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.containers.labels import find_class_names, number_labels
from pycls.datasets.readers.containers.sides import choose_sides, side_word
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import ImageArray
from pycls.errors import DataError

_EXPECTED = (
    "arrays of images and labels, such as 'train_images', 'train_labels', 'test_images', "
    "'test_labels', or 'X_train', 'y_train', 'X_test', 'y_test', or 'X', 'y'"
)
# What an array holds, by the words of its name beside that of the side.
_ROLES = {
    **dict.fromkeys(("x", "images", "image", "imgs", "data", "pixels"), "images"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "labels"),
    **dict.fromkeys(("names", "filenames", "files"), "names"),
    **dict.fromkeys(("class names", "classes"), "classes"),
}
_Array = npt.NDArray[Any]
# What damaged files, and those that claim to be huge, raise.
_BROKEN = (ValueError, EOFError, OSError, MemoryError, OverflowError, zipfile.BadZipFile,
           zlib.error)  # fmt: skip


def read_arrays(source: Source, class_names: str = "", test_split: str = "") -> Listing:
    """List the images of arrays, whose names say what they hold and of which side.

    Images are N x H x W, or with 1, 3 or 4 channels at the end or before the height (a fourth is
    left out): whole numbers from 0 to 255, or fractions from 0 to 1. Labels are N numbers or
    texts, or N x K with a single 1 in each row. An array `names` may say what the images are
    called, as the files of a folder are; they are numbered otherwise. All is held in memory.

    Args:
        source: a `.npz` or `.npy` file, or a folder or archive with some.
        class_names: names of the classes in the order of their numbers, with commas or bars
            between them, or a text file with one a line; "" for an array `class_names`, or the
            labels themselves.
        test_split: the side that is the test side; "" for test, or, if that is not there, val.

    Raises:
        ConfigError: there is no such test side.
        DataError: an array is missing, damaged, holds Python objects or something else than
            images and labels, or gives an image several labels.
    """
    found, notes = _sort_arrays(source)
    counts = {word: len(roles["labels"]) for word, roles in found.items() if "labels" in roles}
    named = found.get("", {}).get("classes")
    if "images" not in found.get("", {}):
        found.pop("", None)
        counts.pop("", None)
    for word, roles in found.items():
        _check_pair(word, roles, source)
    sides = choose_sides(counts, test_split, str(source.path))
    names = find_class_names(source, class_names) or tuple(map(str, named or ()))
    used = sorted(sides.by_word)
    values: list[object] = []
    items: list[Item] = []
    for word in used:
        roles, side = found[word], sides.by_word[word]
        of = f" of '{word}'" if word else ""
        values += _read_labels(roles["labels"], f"{source.path}: the labels{of}")
        for name in _names_of(word if side is not None else "", roles):
            items.append(Item(None, name, 0, side=side))
    labels, class_list = number_labels(values, names, str(source.path))
    items = [
        Item(None, item.name, label, side=item.side)
        for item, label in zip(items, labels.tolist(), strict=True)
    ]
    if sides.official:
        layout.require_both_sides(items, class_list, str(source.path))
    pixels = _join([_as_pixels(found[word]["images"], source, word) for word in used], source)
    return Listing(items, class_list, (*notes, *sides.notes), pixels, official_split=sides.official)


def _sort_arrays(source: Source) -> tuple[dict[str, dict[str, _Array]], list[str]]:
    """Return side to what it is to the array, and a note on arrays that are not used."""
    found: defaultdict[str, dict[str, _Array]] = defaultdict(dict)
    unused = []
    for name, load in _iter_arrays(source):
        word = side_word(name)
        words = [part for part in re.split(r"[^a-z0-9]+", name.lower()) if part]
        if word in words:
            words.remove(word)
        role = _ROLES.get(" ".join(words))
        if role is None or not load.ndim:
            unused.append(name)
        elif role in found[word]:
            raise DataError(
                f"{source.path}: several arrays of {role} of '{word}'; give the files of one set"
            )
        else:
            found[word][role] = load
    if not any("images" in roles for roles in found.values()):
        raise DataError(
            f"{source.path}: expected {_EXPECTED}; found "
            f"{layout.name_some(unused) or 'nothing of the kind'}"
        )
    notes = [f"arrays that are not used: {layout.name_some(unused)}"] if unused else []
    return dict(found), notes


def _iter_arrays(source: Source) -> Iterator[tuple[str, _Array]]:
    files = [member for member in source.members if member.suffix in (".npz", ".npy")]
    if not files:
        raise layout.not_found(source, f"a file .npz or .npy of {_EXPECTED}")
    packed = sum(member.suffix == ".npz" for member in files)
    for member in files:
        where = source.where(member)
        try:
            _check_packed(source, member)
            loaded = np.load(io.BytesIO(source.read(member)), allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                yield member.stem, loaded
                continue
            with loaded:
                for key in loaded.files:
                    yield (f"{member.stem}_{key}" if packed > 1 else key), loaded[key]
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise DataError(
                f"{where}: not arrays of numbers or texts, or damaged ({error}); Python objects "
                "are not loaded, since a file could run anything: save plain arrays"
            ) from None


def _check_packed(source: Source, member: Member) -> None:
    """Refuse a `.npz` that would only fill the memory."""
    if member.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(source.read(member))) as opened:
            unpacked = sum(entry.file_size for entry in opened.infolist())
        source.sieve.packed += member.size
        source.sieve.check_expansion(member.size, unpacked, source.where(member))


def _check_pair(word: str, roles: dict[str, _Array], source: Source) -> None:
    of = f" of '{word}'" if word else ""
    missing = [role for role in ("images", "labels") if role not in roles]
    if missing:
        raise DataError(f"{source.path}: no array of {missing[0]}{of}; expected {_EXPECTED}")
    lengths = {role: len(roles[role]) for role in ("images", "labels", "names") if role in roles}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{count:,} {role}" for role, count in lengths.items())
        raise DataError(f"{source.path}: {told}{of}; expected as many of each")


def _read_labels(labels: _Array, where: str) -> list[object]:
    if labels.dtype.kind not in "biufSU":
        raise DataError(f"{where}: {labels.dtype}; expected whole numbers or texts")
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not np.isin(labels, (0, 1)).all() or not (labels.sum(axis=1) == 1).all():
            raise DataError(
                f"{where}: {labels.shape[1]} values an image, not a single 1 in each row; sets of "
                "several labels an image cannot be used"
            )
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1:
        raise DataError(f"{where}: of shape {labels.shape}; expected one label an image")
    if labels.dtype.kind == "f":
        if not (labels == np.round(labels)).all():
            raise DataError(f"{where}: fractions; expected whole numbers or texts")
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    return list((labels.astype(int) if labels.dtype.kind == "b" else labels)[:, 0].tolist())


def _names_of(word: str, roles: dict[str, _Array]) -> list[str]:
    if "names" in roles:
        return [str(name) for name in roles["names"].reshape(-1).tolist()]
    prefix = f"{word}/" if word else ""
    return [f"{prefix}{number:07}" for number in range(len(roles["images"]))]


def _as_pixels(images: _Array, source: Source, word: str) -> ImageArray:
    """Return images as uint8, N x H x W (grey) or N x H x W x 3."""
    where = f"{source.path}: the images of '{word}'" if word else f"{source.path}: the images"
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise DataError(
            f"{where}: of shape {images.shape}; expected N x height x width, or with 1, 3 or 4 "
            "channels"
        )
    if images.ndim == 4:
        images = images[..., 0] if images.shape[3] == 1 else images[..., :3]
    if images.dtype.kind not in "biuf":
        raise DataError(f"{where}: {images.dtype}; expected whole numbers or fractions")
    if images.dtype == np.uint8:
        return images
    low, high = (images.min(), images.max()) if images.size else (0, 0)
    if images.dtype.kind == "b" or (images.dtype.kind == "f" and low >= 0 and high <= 1):
        # Block by block: whole sets of fractions are large already.
        scaled = np.empty(images.shape, dtype=np.uint8)
        for start in range(0, len(images), 256):
            block = images[start : start + 256].astype(np.float64)
            scaled[start : start + 256] = np.round(block * 255)
        return scaled
    whole = images.dtype.kind in "iu" or (
        images.dtype.kind == "f" and bool((images == np.round(images)).all())
    )
    if not (whole and low >= 0 and high <= 255):
        raise DataError(
            f"{where}: {images.dtype} from {low} to {high}; expected whole numbers from 0 to 255, "
            "or fractions from 0 to 1: scale them"
        )
    return images.astype(np.uint8)


def _join(parts: list[ImageArray], source: Source) -> ImageArray:
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise DataError(
            f"{source.path}: images of {' and '.join(map(str, sorted(shapes)))}; expected one shape"
        )
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if pixels.ndim == 3:
        # Three channels that are one in memory.
        return np.broadcast_to(pixels[..., None], (*pixels.shape, 3))
    return pixels
