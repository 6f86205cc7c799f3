"""The validation side of a prepared set: its own, or held out of its training side.

Nothing is copied and the prepared set stays as it is: the held-out images are a third side of the
set as it was opened. Which they are depends on the set, the share and the seed alone, and so not on
a view, of which each therefore validates on a part of the same images.
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pycls.datasets.preparation.group_split import split_groups
from pycls.datasets.randomness import hash_positions, text_key
from pycls.datasets.store.store import SIDES, VALIDATION, Store
from pycls.errors import ConfigError, DataError

_TRAIN = SIDES.index("train")


def with_validation(store: Store, share: float, seed: int) -> Store:
    """Return a prepared set with three sides.

    A set that brings a validation side keeps it. Of another one a share of each class of the
    training side is held out; in whole groups where the set knows its groups.

    Args:
        store: the set.
        share: of the training images, above 0 and below 1; of each class at least one, not all.
        seed: which draw.

    Returns:
        The set, whose fingerprint tells this division from others.

    Raises:
        ConfigError: the share is no share.
        DataError: a class has one training image, or no division by whole groups puts every class
            on both sides.
    """
    if not 0 < share < 1:
        raise ConfigError(f"a validation share of {share}: expected a number above 0 and below 1")
    if len(store.sides) > len(SIDES):
        return store
    held = _held_out(store, share, seed)
    split = store.split.copy()
    split[held] = len(SIDES)
    text = "\0".join((store.fingerprint, VALIDATION, hashlib.sha256(held.tobytes()).hexdigest()))
    meta = {
        **store.meta,
        "sides": [*SIDES, VALIDATION],
        "fingerprint": hashlib.sha256(text.encode("utf-8")).hexdigest(),
        "held_out": len(held),
    }
    return replace(store, meta=meta, split=split)


def describe_rule(store: Store, share: float, seed: int) -> str:
    """Say how the validation side comes about, for reports and records."""
    if len(store.sides) > len(SIDES) and store.meta.get("held_out") is None:
        return "the set's own validation side"
    whole = ", whole groups" if store.groups is not None else ""
    unknown = store.groups is None and bool(store.meta.get("groups"))
    caution = (
        "; the set was prepared by a version that did not keep which images belong together, so "
        "that images of one group may be on both sides"
    )
    return (
        f"{share:.0%} of each class of the training side{whole}, drawn with seed {seed}"
        f"{caution if unknown else ''}"
    )


def _held_out(store: Store, share: float, seed: int) -> npt.NDArray[Any]:
    """Return the positions that are held out, ascending, as little-endian 64-bit integers."""
    train = np.flatnonzero(store.split == _TRAIN)
    labels = store.labels[train]
    if store.groups is None:
        held = train[_draw_images(store, labels, train, share, seed)]
    else:
        groups = store.groups[train].tolist()
        try:
            side = split_groups(labels, groups, share, seed, class_names=store.class_names)
        except DataError as error:
            raise _too_few(store, str(error)) from None
        held = train[side == 1]
    return np.sort(held).astype("<i8")


def _draw_images(
    store: Store,
    labels: npt.NDArray[np.int64],
    train: npt.NDArray[np.int64],
    share: float,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """Return which of the training images are held out, a share of each class."""
    drawn = hash_positions(text_key(VALIDATION, seed), train)
    held = np.zeros(len(train), dtype=np.bool_)
    order = np.lexsort((drawn, labels))  # stable: of equal numbers the earlier image
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(members) < 2:
            name = store.class_names[labels[members[0]]]
            raise _too_few(store, f"class '{name}' has one training image")
        held[members[: min(max(round(len(members) * share), 1), len(members) - 1)]] = True
    return held


def _too_few(store: Store, why: str) -> DataError:
    return DataError(
        f"data set '{store.name}': no validation side can be held out of its training side: {why}; "
        "add images, or leave the class out (a view of the other classes)"
    )
