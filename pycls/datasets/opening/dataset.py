"""One side of a prepared set, whole or a view of it."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.catalog.views import ViewSpec
from pycls.datasets.opening import subsets
from pycls.datasets.opening.locate import locate
from pycls.datasets.opening.staged import open_staged
from pycls.datasets.opening.validation import with_validation
from pycls.datasets.store.store import SIDES, VALIDATION, ImageArray, Store
from pycls.errors import ConfigError

# "val" is pycls's word for the side that it tests on.
_SIDE_OF_SPLIT = {"train": "train", "test": "test", "val": "test", VALIDATION: VALIDATION}
_SIDES = (*SIDES, VALIDATION)


class Dataset:
    """Images and labels of one side of a prepared set; a view of it copies no image.

    Attributes:
        store: the open prepared set.
        split: "train", "test" or "validation".
        selection: the images of all sides that it holds.
        title: name in reports.
        error_metric: "top1" or "top5".
        indices: int64, N, positions of the images in the prepared set, ascending.
        labels: int64, N, positions in `class_names`.
        class_names: the classes that occur here, in the prepared set's order.
        fingerprint: identifies contents, split and view; the same on all sides.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        selection: subsets.ImageSelection | None = None,
        title: str = "",
        error_metric: str = "",
    ) -> None:
        self.store = store
        self.split = split
        self.selection = selection or subsets.select_all(store)
        self.title = title or str(store.meta.get("title", store.name))
        self.error_metric = error_metric or str(store.meta.get("error_metric", "top1"))
        self.class_names = self.selection.class_names
        side = store.split == _SIDES.index(split)
        self.indices = np.flatnonzero(self.selection.kept & side).astype(np.int64)
        number = {name: label for label, name in enumerate(self.class_names)}
        numbers = np.array([number.get(name, -1) for name in store.class_names], dtype=np.int64)
        self.labels = numbers[store.labels[self.indices]]
        self.fingerprint = subsets.fingerprint_selection(store, self.selection)

    def view(self, spec: ViewSpec) -> "Dataset":
        """Return a view of this data set, of the same side.

        Labels are renumbered in the order of `class_names`; each image keeps the augmentation
        that it has in the whole set. `spec.of` is not looked at: it is this set.

        Raises:
            ConfigError: an unknown or repeated class, or an impossible number of classes.
        """
        selection = self.selection
        classes = spec.classes
        if spec.num_classes is not None:
            try:
                classes = tuple(subsets.draw_classes(self.class_names, spec.num_classes, spec.seed))
            except ConfigError as error:
                raise ConfigError(f"data set '{self.name}': {error}") from None
        if classes:
            selection = subsets.select_classes(self.store, selection, classes)
        if spec.balance:
            selection = subsets.balance_classes(self.store, selection, spec.seed)
        if spec.per_class is not None:
            selection = subsets.cap_classes(self.store, selection, spec.per_class, spec.seed)
        return Dataset(
            self.store,
            self.split,
            selection,
            title=spec.make_title(self.title, len(selection.class_names)),
            error_metric=spec.metric or self.error_metric,
        )

    @property
    def name(self) -> str:
        """Name of the prepared set."""
        return self.store.name

    @property
    def meta(self) -> dict[str, Any]:
        """What the prepared set's `meta.json` says."""
        return dict(self.store.meta)

    @property
    def names(self) -> tuple[str, ...] | None:
        """What the N images are called; None where the prepared set keeps no names."""
        found = self.store.names
        return None if found is None else tuple(found[index] for index in self.indices)

    @property
    def num_classes(self) -> int:
        """Number of classes, at least 2."""
        return len(self.class_names)

    @property
    def class_titles(self) -> Mapping[str, str]:
        """Words for each class name; the name itself where the set has no others."""
        titles = self.store.meta.get("class_titles") or {}
        return {name: str(titles.get(name, name)) for name in self.class_names}

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
    per_class: int = 0,
    balance: bool = False,
    view_seed: int = 1,
    validation_share: float = 0.0,
) -> Dataset:
    """Open one side of a prepared set or of a view.

    Args:
        name_or_path: the name of a prepared set or view, looked up in `data_dir`, or the path
            of a prepared set's folder, or of a folder that holds only one.
        split: "train", "test" or "validation"; "val" is another word for "test".
        data_dir: folder of the prepared sets; by default the environment variable
            PYCLS_DATA, or else `data`.
        classes: names of the classes to keep (at least 2); all of them where empty. Labels
            are renumbered in the set's own order of classes, whatever order they come in.
        per_class: keep at most so many training images of each class; 0: all.
        balance: cut, on each side, the most common class to the size of the second.
        view_seed: draws the images that the two before keep, and those of the next.
        validation_share: share of the training side that is held out as the validation side, unless
            the set brings one; 0: none is.

    Raises:
        ConfigError: unknown split, unknown or repeated class, fewer than 2 classes, a negative
            number, or a `views.yaml` that cannot be used.
        DataError: the set is not prepared, incomplete or damaged.
    """
    if split not in _SIDE_OF_SPLIT:
        raise ConfigError(f"split '{split}': expected one of {', '.join(_SIDE_OF_SPLIT)}")
    if isinstance(classes, str):
        raise ConfigError(f"classes '{classes}': expected a list of names, not one text")
    path, views = locate(name_or_path, data_dir)
    store = open_staged(path)
    if validation_share:
        store = _divided(path, store.fingerprint, validation_share, view_seed)
    if split == VALIDATION and len(store.sides) == len(SIDES):
        raise ConfigError(
            f"data set '{store.name}' brings no validation side; DATA.VALIDATION_SHARE 0.15 holds "
            "one out of its training side"
        )
    dataset = Dataset(store, _SIDE_OF_SPLIT[split])
    for name, spec in views.items():
        try:
            dataset = dataset.view(spec)
        except ConfigError as error:
            raise ConfigError(f"view '{name}': {error}") from None
    if not (classes or per_class or balance):
        return dataset
    on_top = ViewSpec(
        of=dataset.name,
        classes=tuple(classes),
        balance=balance,
        per_class=per_class or None,
        seed=view_seed,
    )
    return dataset.view(on_top)


@functools.lru_cache(maxsize=2)
def _divided(path: Path, fingerprint: str, share: float, seed: int) -> Store:
    """Return a prepared set with three sides: kept, since each side of a run asks for it anew.

    Args:
        path: its folder.
        fingerprint: the set's, which tells one that was prepared anew from before.
        share: as :func:`with_validation` takes it.
        seed: likewise.
    """
    return with_validation(open_staged(path), share, seed)
