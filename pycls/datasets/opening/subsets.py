"""The selection of the images of a prepared set that a view holds. No image is copied.

A view is made by three operations, in this order: some of the classes, the most common class
cut to the size of the second, and a cap of training images a class. Which images of a class
are kept follows from the seed and each image's position in the prepared set. So a smaller cut
lies inside a larger one, and other classes change nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pycls.datasets.randomness import hash_positions, order_names, text_key
from pycls.datasets.spelling import as_known
from pycls.datasets.store.store import SIDES, Store
from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

_LISTED = 30


@dataclass(frozen=True)
class ImageSelection:
    """The images that a view holds, of both sides.

    Attributes:
        class_names: the view's classes, in the prepared set's order.
        kept: bool, one for each image of the prepared set; all of them are of those classes.
    """

    class_names: tuple[str, ...]
    kept: npt.NDArray[np.bool_]


def draw_classes(class_names: Sequence[str], n: int, seed: int) -> list[str]:
    """Draw classes so that smaller draws of one seed lie inside the larger ones.

    The draw depends on the names and the seed, not on the order of the names, and dropping
    a class that was not drawn changes nothing. (The study's ImageNet-X members are such
    subsets: paper, section 4.4.)

    Args:
        class_names: distinct names to draw from.
        n: how many, from 2 to all.
        seed: which draw.

    Returns:
        n names, in the order drawn: the first k of them are the draw of k.

    Raises:
        ConfigError: n is out of range, or a name occurs twice.
    """
    _check_distinct(class_names)
    if not 2 <= n <= len(class_names):
        raise ConfigError(
            f"cannot draw {n} of {len(class_names)} classes; expected 2 to {len(class_names)}"
        )
    return order_names(class_names, "draw_classes", seed)[:n]


def select_all(store: Store) -> ImageSelection:
    """Select the whole prepared set."""
    return ImageSelection(store.class_names, np.ones(len(store.labels), dtype=np.bool_))


def select_classes(
    store: Store, selection: ImageSelection, classes: Sequence[str]
) -> ImageSelection:
    """Keep only some of a selection's classes.

    Raises:
        ConfigError: an unknown or repeated class, or fewer than 2.
    """
    classes = as_known(classes, selection.class_names)
    _check_distinct(classes)
    known = set(selection.class_names)
    unknown = [name for name in classes if name not in known]
    if unknown:
        hint = near_miss(unknown[0], selection.class_names).strip()
        raise ConfigError(
            f"data set '{store.name}' has no class {_list_names(map(repr, unknown))}; its "
            f"classes are {_list_names(selection.class_names)}{'; ' * bool(hint)}{hint}"
        )
    if len(classes) < 2:
        raise ConfigError(f"a view of {list(classes)}: expected at least 2 classes")
    chosen = set(classes)
    inside = np.array([name in chosen for name in store.class_names])
    return ImageSelection(
        tuple(name for name in selection.class_names if name in chosen),
        selection.kept & inside[store.labels],
    )


def balance_classes(store: Store, selection: ImageSelection, seed: int) -> ImageSelection:
    """Cut, on each side, the most common class to the size of the second most common.

    (Paper, appendix 6.1.6: MLC2008-balanced and HAM10000-balanced.)
    """
    kept = selection.kept
    for side in range(len(store.sides)):
        labels = store.labels[kept & (store.split == side)]
        counts = np.bincount(labels, minlength=len(store.class_names))
        most = kept & (store.split == side) & (store.labels == np.argmax(counts))
        kept = kept.copy()
        kept[_order(store, most, seed)[np.sort(counts)[-2] :]] = False
    return ImageSelection(selection.class_names, kept)


def cap_classes(
    store: Store, selection: ImageSelection, per_class: int, seed: int
) -> ImageSelection:
    """Keep at most `per_class` training images of each class; the test side stays whole.

    (Paper, section 4.5: ImageNet-1000-10 has 10 of each class.)

    Raises:
        ConfigError: `per_class` is below 1.
    """
    if per_class < 1:
        raise ConfigError(f"{per_class} training images a class: expected at least 1")
    kept, train = selection.kept, SIDES.index("train")
    order = _order(store, kept & (store.split == train), seed)
    labels = store.labels[order]
    # Images of one class stand together, in the order drawn: their ranks within it.
    starts = np.searchsorted(labels, labels, side="left")
    kept = kept.copy()
    kept[order[np.arange(len(order)) - starts >= per_class]] = False
    return ImageSelection(selection.class_names, kept)


def fingerprint_selection(store: Store, selection: ImageSelection) -> str:
    """Return what identifies a view: the prepared set's fingerprint, classes and images."""
    if selection.class_names == store.class_names:
        fingerprint = store.fingerprint
    else:
        fingerprint = _hash_texts(store.fingerprint, *selection.class_names)
    names = set(selection.class_names)
    of_classes = np.array([name in names for name in store.class_names])[store.labels]
    if np.array_equal(of_classes, selection.kept):
        return fingerprint
    positions = np.flatnonzero(selection.kept).astype("<i8")
    return _hash_texts(fingerprint, hashlib.sha256(positions.tobytes()).hexdigest())


def _hash_texts(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8")).hexdigest()


def _order(store: Store, chosen: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """Return the positions of chosen images, by class and then in the order drawn.

    One draw serves all cuts: what a cap keeps does not depend on a balancing before it.
    """
    positions = np.flatnonzero(chosen)
    drawn = hash_positions(text_key("view", seed), positions)
    return positions[np.lexsort((positions, drawn, store.labels[positions]))]


def _list_names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _check_distinct(names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise ConfigError(f"classes '{names}': expected a list of names, not one text")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ConfigError(f"a class is named twice: {', '.join(repeated)}")
