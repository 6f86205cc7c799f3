"""One side of a prepared set, whole or restricted to some classes."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets import store as store_module
from pycls.datasets.store import ImageArray, IntArray, Store, is_store, open_store
from pycls.errors import ConfigError, DataError

DATA_DIR_VARIABLE = "PYCLS_DATA"
DEFAULT_DATA_DIR = "data"
_SIDE_OF_SPLIT = {"train": "train", "test": "test", "val": "test"}


class Dataset:
    """Images and labels of one side of a prepared set; restricting it copies no image.

    Attributes:
        store: the open prepared set.
        split: "train" or "test".
        indices: int64, N, positions of the images in the prepared set.
        labels: int64, N, positions in `class_names`.
        class_names: the classes that occur here, in the prepared set's order.
        fingerprint: identifies the contents, the split and the choice of classes.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        indices: IntArray,
        labels: IntArray,
        class_names: Sequence[str],
    ) -> None:
        self.store = store
        self.split = split
        self.indices = indices
        self.labels = labels
        self.class_names = tuple(class_names)
        self.fingerprint = _view_fingerprint(store, self.class_names)

    @property
    def name(self) -> str:
        """Name of the prepared set."""
        return self.store.name

    @property
    def meta(self) -> dict[str, Any]:
        """What the prepared set's `meta.json` says."""
        return dict(self.store.meta)

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 2."""
        return len(self.class_names)

    @property
    def images(self) -> ImageArray:
        """The whole prepared set, uint8 M x H x W x 3, as a memory map."""
        return self.store.images

    @property
    def im_size(self) -> tuple[int, int]:
        """Height and width of the stored images, in pixels."""
        return self.store.images.shape[1], self.store.images.shape[2]

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """Channel means of the prepared set's whole train side, 3 values in 0..1."""
        return np.array(self.store.meta["mean"], dtype=np.float64)

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """Channel standard deviations of the prepared set's whole train side, in 0..1."""
        return np.array(self.store.meta["std"], dtype=np.float64)

    @property
    def mirror(self) -> bool:
        """Whether a mirrored image still shows its class (digits: no)."""
        return bool(self.store.meta.get("mirror", True))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[ImageArray, int]:
        """Return one image (uint8, H x W x 3, a copy) and its label."""
        position = self.indices[index]
        return np.array(self.store.images[position]), int(self.labels[index])

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {self.split!r}, {len(self)} images, "
            f"{self.num_classes} classes)"
        )


def open_dataset(
    name_or_path: str | os.PathLike[str],
    split: str,
    data_dir: str | os.PathLike[str] | None = None,
    classes: Sequence[str] = (),
) -> Dataset:
    """Open one side of a prepared set.

    Args:
        name_or_path: a prepared set's name, looked up in `data_dir`, or the path of its
            folder.
        split: "train" or "test"; "val" is another word for "test".
        data_dir: folder of the prepared sets; by default the environment variable
            PYCLS_DATA, or else `data`.
        classes: names of the classes to keep (at least 2); all of them where empty. Labels
            are renumbered in the set's own order of classes, whatever order they come in.

    Raises:
        ConfigError: unknown split, unknown or repeated class, fewer than 2 classes.
        DataError: the set is not prepared, incomplete or damaged.
    """
    if split not in _SIDE_OF_SPLIT:
        raise ConfigError(f"split '{split}': expected one of {', '.join(_SIDE_OF_SPLIT)}")
    side = _SIDE_OF_SPLIT[split]
    store = open_store(find_store(name_or_path, data_dir))
    indices = np.flatnonzero(store.split == store_module.SIDES.index(side)).astype(np.int64)
    dataset = Dataset(store, side, indices, store.labels[indices], store.class_names)
    if not classes:
        return dataset
    from pycls.datasets.subsets import restrict

    return restrict(dataset, classes)


def resolve_data_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the prepared sets: as given, or PYCLS_DATA, or `data`."""
    return Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)


def find_store(
    name_or_path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Return the folder of a prepared set, from its name or its path.

    Raises:
        DataError: nothing prepared is there; says what is and how to prepare one.
    """
    text = os.fspath(name_or_path)
    if os.sep in text or (os.altsep is not None and os.altsep in text):
        return Path(text)
    folder = resolve_data_dir(data_dir)
    if text and is_store(folder / text):
        return folder / text
    if text and is_store(text):
        return Path(text)
    present = list_prepared(folder)
    found = ", ".join(present) if present else "nothing"
    raise DataError(
        f"data set '{text}' is not prepared: {folder} holds {found}. Prepare it with "
        f"'python tools/prepare_data.py prepare {text or 'KEY'} --out {folder}' "
        f"('list' shows the known sets), or name another folder (key DATA.DIR, or the variable "
        f"{DATA_DIR_VARIABLE})"
    )


def list_prepared(data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the sets prepared in a folder, sorted."""
    folder = resolve_data_dir(data_dir)
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if not path.name.startswith(".") and is_store(path)
    )


def _view_fingerprint(store: Store, class_names: tuple[str, ...]) -> str:
    if class_names == store.class_names:
        return store.fingerprint
    text = "\0".join((store.fingerprint, *class_names))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
