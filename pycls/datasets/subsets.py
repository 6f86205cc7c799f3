"""Class subsets: nested draws, and views of a data set without copies."""

from collections.abc import Sequence

import numpy as np

from pycls.datasets.dataset import Dataset
from pycls.datasets.randomness import order_names
from pycls.errors import ConfigError

_LISTED = 30


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


def restrict(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Return a view of a data set that holds only some of its classes.

    Labels are renumbered in the order of `dataset.class_names`; images are not copied, and
    each keeps the augmentation that it has in the whole set.

    Raises:
        ConfigError: an unknown or repeated class, or fewer than 2.
    """
    _check_distinct(classes)
    unknown = [name for name in classes if name not in dataset.class_names]
    if unknown:
        names = ", ".join(dataset.class_names[:_LISTED])
        more = len(dataset.class_names) - _LISTED
        raise ConfigError(
            f"data set '{dataset.name}' has no class {', '.join(map(repr, unknown))}; its "
            f"classes are {names}{f' and {more} more' if more > 0 else ''}"
        )
    if len(classes) < 2:
        raise ConfigError(f"a view of {list(classes)}: expected at least 2 classes")
    kept = [name for name in dataset.class_names if name in set(classes)]
    renumbered = np.full(dataset.num_classes, -1, dtype=np.int64)
    renumbered[[dataset.class_names.index(name) for name in kept]] = np.arange(len(kept))
    labels = renumbered[dataset.labels]
    inside = labels >= 0
    return Dataset(dataset.store, dataset.split, dataset.indices[inside], labels[inside], kept)


def _check_distinct(names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise ConfigError(f"classes '{names}': expected a list of names, not one text")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ConfigError(f"a class is named twice: {', '.join(repeated)}")
