"""The prepared set: a folder of memory-mapped arrays that is complete or not there.

`<name>/` holds

- `images.npy`  uint8, N x H x W x 3, RGB, opened as a memory map
- `labels.npy`  int64, N, positions in `class_names`
- `split.npy`   uint8, N, the side of each image, a position in the `sides` of `meta.json`
- `digests.npy` uint8, N x 16, a hash of each image's pixels
- `names.json`  the N names of the images, where they come from files
- `groups.npy`  int64, N, the group of each image, where images belong together
- `source.json` names, sizes, times and hashes of the files the set was made of
- `meta.json`   what the set is, statistics, and size and SHA-256 of the files but `source.json`

The fingerprint is over images, labels, split and class names only. Sets of format 1 (before
0.4.0) lack digests, names and files. :mod:`pycls.datasets.store.writer` writes it.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.errors import DataError

FORMAT_VERSION = 2
_READABLE = (1, 2)
META_FILE = "meta.json"
ARRAY_FILES = ("images.npy", "labels.npy", "split.npy")
NAMES_FILE = "names.json"
GROUPS_FILE = "groups.npy"
DIGESTS_FILE = "digests.npy"
SOURCE_FILE = "source.json"
# A set may have a third side, which `meta.json` names; training and testing use these.
SIDES = ("train", "test")
VALIDATION = "validation"  # the third one, by whatever name
VALIDATION_SIDE = len(SIDES)
_MOST_SIDES = 3
DIGEST_BYTES = 16
_PREPARE_AGAIN = "delete the folder and prepare the set again (tools/prepare_data.py prepare)"

ImageArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Store:
    """An open prepared set: its arrays (images as a memory map) and its `meta.json`."""

    path: Path
    meta: Mapping[str, Any]
    images: ImageArray
    labels: IntArray
    split: npt.NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Name under which the set was prepared."""
        return str(self.meta["name"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(self.meta["class_names"])

    @property
    def sides(self) -> tuple[str, ...]:
        """What the values of `split` mean: train, test and, in some sets, a third side."""
        return tuple(self.meta.get("sides", SIDES))

    @functools.cached_property
    def names(self) -> tuple[str, ...] | None:
        """What each of the N images is called; None where the set was made without names.

        Raises:
            DataError: the file of names is missing or damaged.
        """
        if NAMES_FILE not in self.meta.get("records", {}):
            return None
        path = self.path / NAMES_FILE
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); {_PREPARE_AGAIN}") from None
        if not isinstance(names, list) or len(names) != len(self.labels):
            raise DataError(f"{path}: expected {len(self.labels)} names; {_PREPARE_AGAIN}")
        return tuple(map(str, names))

    @functools.cached_property
    def groups(self) -> IntArray | None:
        """The group of each of the N images, images of one being on one side; None: not known.

        Raises:
            DataError: the file of groups is missing or damaged.
        """
        if GROUPS_FILE not in self.meta.get("records", {}):
            return None
        path = self.path / GROUPS_FILE
        try:
            groups = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); {_PREPARE_AGAIN}") from None
        _expect(path, groups, np.int64, (len(self.labels),))
        return np.asarray(groups)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over images, labels, split and class names, as hexadecimal digits."""
        return str(self.meta["fingerprint"])


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a prepared set, with checks that cost next to nothing.

    Checked are the format version, the recorded size, type and shape of every array, and
    the range of labels and split; :func:`verify_store` reads the contents too.

    Raises:
        DataError: the folder is missing, incomplete, damaged or of an unknown version.
    """
    path = Path(path)
    meta = _read_meta(path)
    loaded = {name: _open_array(path / name, meta) for name in ARRAY_FILES}
    images, labels, split = (loaded[name] for name in ARRAY_FILES)
    count = meta["num_images"]
    _expect(path / ARRAY_FILES[0], images, np.uint8, (count, *meta["im_size"], 3))
    _expect(path / ARRAY_FILES[1], labels, np.int64, (count,))
    _expect(path / ARRAY_FILES[2], split, np.uint8, (count,))
    labels, split = np.array(labels), np.array(split)
    if labels.min() < 0 or labels.max() >= meta["num_classes"]:
        raise DataError(
            f"{path / ARRAY_FILES[1]}: labels from {labels.min()} to {labels.max()}, expected "
            f"0 to {meta['num_classes'] - 1}; {_PREPARE_AGAIN}"
        )
    store = Store(path, meta, images, labels, split)
    if split.max() >= len(store.sides):
        raise DataError(
            f"{path / ARRAY_FILES[2]}: values other than 0 to {len(store.sides) - 1}; "
            f"{_PREPARE_AGAIN}"
        )
    return store


def verify_store(path: str | os.PathLike[str]) -> Store:
    """Open a prepared set after reading all of it and comparing every checksum.

    Raises:
        DataError: as :func:`open_store`, or a file's contents are not what was written.
    """
    store = open_store(path)
    for name, record in {**store.meta["arrays"], **store.meta.get("records", {})}.items():
        try:
            with (store.path / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise DataError(f"{store.path / name}: missing; {_PREPARE_AGAIN}") from None
        expected = record["sha256"]
        if found != expected:
            raise DataError(
                f"{store.path / name}: damaged (SHA-256 {found[:12]}..., expected "
                f"{expected[:12]}...); {_PREPARE_AGAIN}"
            )
    if compute_fingerprint(store.meta["arrays"], store.class_names) != store.fingerprint:
        raise DataError(
            f"{store.path / META_FILE}: the fingerprint does not belong to the checksums and "
            f"class names beside it; {_PREPARE_AGAIN}"
        )
    return store


def is_store(path: str | os.PathLike[str]) -> bool:
    """Say whether a folder looks like a prepared set (it may still be damaged)."""
    return (Path(path) / META_FILE).is_file()


def compute_digest(data: Any) -> bytes:
    """Return the hash of an image's pixels or a file's bytes, 16 bytes.

    SHA-256 cut short: processors compute it two to three times as fast as other good hashes.
    """
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def compute_fingerprint(arrays: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Return the SHA-256 over the checksums of the arrays (in file order) and class names."""
    parts = [arrays[name]["sha256"] for name in ARRAY_FILES]
    text = json.dumps([*parts, list(class_names)], separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


_META_TYPES: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "arrays": dict,
    "class_names": list,
    "num_classes": int,
    "num_images": int,
    "im_size": list,
    "mean": list,
    "std": list,
    "fingerprint": str,
}


def _read_meta(path: Path) -> dict[str, Any]:
    meta_path = path / META_FILE
    try:
        meta = json.loads(meta_path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a prepared data set (it has no meta.json)" if path.exists() else "not found"
        raise DataError(f"{path}: {what}; prepare one with tools/prepare_data.py prepare") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{meta_path}: damaged ({error}); {_PREPARE_AGAIN}") from None
    version = meta.get("format") if isinstance(meta, dict) else None
    if version not in _READABLE:
        raise DataError(
            f"{meta_path}: format version {version}, this program reads "
            f"{' and '.join(map(str, _READABLE))}; {_PREPARE_AGAIN}"
        )
    for key, kind in _META_TYPES.items():
        if not isinstance(meta.get(key), kind):
            raise DataError(f"{meta_path}: '{key}' is missing or damaged; {_PREPARE_AGAIN}")
    if meta["num_classes"] != len(meta["class_names"]) or len(meta["im_size"]) != 2:
        raise DataError(f"{meta_path}: class names or image size damaged; {_PREPARE_AGAIN}")
    sides = meta.get("sides", list(SIDES))
    if not isinstance(sides, list) or tuple(sides[:2]) != SIDES or len(sides) > _MOST_SIDES:
        raise DataError(f"{meta_path}: 'sides' is {sides}, not train and test; {_PREPARE_AGAIN}")
    return meta


def _open_array(path: Path, meta: Mapping[str, Any]) -> npt.NDArray[Any]:
    record = meta["arrays"].get(path.name)
    if not isinstance(record, dict) or "bytes" not in record or "sha256" not in record:
        raise DataError(
            f"{path.parent / META_FILE}: nothing recorded of {path.name}; {_PREPARE_AGAIN}"
        )
    try:
        found = path.stat().st_size
        if found != record["bytes"]:
            raise DataError(
                f"{path}: {found} bytes, expected {record['bytes']}; the file is not complete: "
                f"{_PREPARE_AGAIN}"
            )
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: missing; {_PREPARE_AGAIN}") from None
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged ({error}); {_PREPARE_AGAIN}") from None


def _expect(path: Path, array: npt.NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise DataError(
            f"{path}: {array.dtype} of shape {array.shape}, expected {np.dtype(dtype)} of shape "
            f"{shape}; {_PREPARE_AGAIN}"
        )
