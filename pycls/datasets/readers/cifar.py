"""Reader of CIFAR-10 and CIFAR-100: pickled arrays of 32 x 32 pixels.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the "python version".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.restricted_pickle import load_pickle
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import ImageArray
from pycls.errors import DataError

_SIDE = 32


@dataclass(frozen=True)
class _Format:
    """Files of a set with their published MD5, and the keys in them."""

    train: Mapping[str, str]
    test: Mapping[str, str]
    meta: Mapping[str, str]
    labels: str
    names: str
    num_classes: int


_CIFAR10 = _Format(
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels="labels",
    names="label_names",
    num_classes=10,
)
_CIFAR100 = _Format(
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels="fine_labels",
    names="fine_label_names",
    num_classes=100,
)


def read_cifar10(source: Source) -> Listing:
    """List CIFAR-10, `cifar-10-python.tar.gz` or the folder in it.

    Raises:
        DataError: a batch is missing, damaged, no pickle of arrays, or of another set.
    """
    return _read(source, _CIFAR10, "cifar10")


def read_cifar100(source: Source) -> Listing:
    """List CIFAR-100 with its fine labels, `cifar-100-python.tar.gz` or the folder in it.

    Raises:
        DataError: a batch is missing, damaged, no pickle of arrays, or of another set.
    """
    return _read(source, _CIFAR100, "cifar100")


def _read(source: Source, form: _Format, key: str) -> Listing:
    files = _find_files(source, form, key)
    altered: list[str] = []

    def load(name: str, md5: str) -> tuple[dict[str, Any], str]:
        data, where = source.read(files[name]), source.where(files[name])
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
            altered.append(name)
        return _load_batch(data, where), where

    names = _class_names(load(*next(iter(form.meta.items())))[0], form, source)
    items: list[Item] = []
    images = []
    # The test side comes first since items are sorted by name.
    for side, word, batches in ((1, "test", form.test), (0, "train", form.train)):
        before = len(items)
        for name, md5 in batches.items():
            pixels, labels = _check_batch(*load(name, md5), form, names)
            images.append(pixels)
            first = len(items) - before
            items += [
                Item(None, f"{word}/{first + number:05}", int(label), side=side)
                for number, label in enumerate(labels)
            ]
    notes = layout.compare_sides(items, key, "train images", "test images")
    if altered:
        notes.append(f"not the published files, by their MD5: {', '.join(altered)}")
    return Listing(
        items=items,
        class_names=names,
        notes=tuple(notes),
        pixels=np.concatenate(images),
        official_split=f"the published one: {', '.join(form.test)} is the test side",
    )


def _find_files(source: Source, form: _Format, key: str) -> dict[str, Member]:
    wanted = {**form.train, **form.test, **form.meta}
    found: dict[str, Member] = {}
    for member in source.members:
        # Archive and unpacked folder often lie side by side.
        if member.file in wanted and found.setdefault(member.file, member).size != member.size:
            raise DataError(
                f"{source.path}: two different files '{member.file}': "
                f"{found[member.file].name} and {member.name}; give the folder or the archive of "
                "one"
            )
    missing = [name for name in wanted if name not in found]
    if missing:
        others = [member for member in source.members if member.suffix in (".bin", ".mat")]
        if others:
            raise DataError(
                f"{source.path}: holds '{others[0].file}': this is the version for C or Matlab; "
                f"expected the one for Python, {find_entry(key).download}"
            )
        raise layout.not_found(
            source, f"{find_entry(key).title}'s files {', '.join(wanted)}, without {missing[0]}"
        )
    return found


def _load_batch(data: bytes, where: str) -> dict[str, Any]:
    batch = load_pickle(data, where)
    if not isinstance(batch, dict):
        raise DataError(f"{where}: holds a {type(batch).__name__}, expected a dictionary")
    return {_as_text(key): value for key, value in batch.items()}


def _class_names(meta: dict[str, Any], form: _Format, source: Source) -> tuple[str, ...]:
    names = meta.get(form.names)
    if not isinstance(names, list) or len({str(name) for name in names}) != form.num_classes:
        raise DataError(
            f"{source.path}: {next(iter(form.meta))}: expected {form.num_classes} distinct "
            f"class names under '{form.names}'"
        )
    return tuple(_as_text(name) for name in names)


def _check_batch(
    batch: dict[str, Any], where: str, form: _Format, names: tuple[str, ...]
) -> tuple[ImageArray, npt.NDArray[np.int64]]:
    """Return a batch's images, N x 32 x 32 x 3, and labels, N."""
    for key in ("data", form.labels):
        if key not in batch:
            raise DataError(f"{where}: no '{key}' in it; it has {', '.join(sorted(batch))}")
    data = batch["data"]
    values = 3 * _SIDE * _SIDE
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (values,):
        raise DataError(f"{where}: 'data' is not an array of N x {values} bytes")
    try:
        labels = np.array(batch[form.labels], dtype=np.int64, ndmin=1)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: '{form.labels}' is not a list of whole numbers") from None
    if labels.shape != (len(data),):
        raise DataError(f"{where}: {len(labels)} labels for {len(data)} images")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise DataError(
            f"{where}: image {wrong[0]} has the label {labels[wrong[0]]}; there are "
            f"{len(names)} classes, 0 to {len(names) - 1}"
        )
    # Channel by channel, each row by row.
    images = data.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _as_text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
