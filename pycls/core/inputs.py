"""What a run reads, its two sides of data and its first weights: opened, or found wanting.

No PyTorch: what is launched is checked with this on machines that train nothing.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from yacs.config import CfgNode

from pycls.datasets.catalog.views import list_views
from pycls.datasets.loading.image_tree import ImageTree, is_image_tree, open_image_tree
from pycls.datasets.opening.dataset import Dataset, open_dataset
from pycls.datasets.opening.locate import list_prepared, resolve_data_dir
from pycls.datasets.store.store import is_store
from pycls.errors import ConfigError, DataError

SIDES = ("TRAIN", "TEST")


def open_side(cfg: CfgNode, side: str) -> Dataset | ImageTree:
    """Open one side of a run's data: of a prepared set or view, or of a tree of files.

    Args:
        cfg: the configuration.
        side: "TRAIN" or "TEST", the section that names data set and split.

    Raises:
        ConfigError: no data set is named, MODEL.NUM_CLASSES is not its number, or a part of it
            cannot be chosen.
        DataError: the data set is missing or damaged.
    """
    data, section = cfg.DATA, cfg[side]
    if not section.DATASET:
        raise ConfigError(
            f"{side}.DATASET is empty; name a prepared data set (tools/prepare_data.py list "
            "shows them) or the path of one"
        )
    dataset: Dataset | ImageTree
    tree = _find_tree(section.DATASET, resolve_data_dir(data.DIR))
    if tree is None:
        dataset = open_dataset(
            section.DATASET,
            section.SPLIT,
            data.DIR,
            classes=data.CLASSES,
            per_class=data.PER_CLASS,
            balance=data.BALANCE,
            view_seed=data.VIEW_SEED,
            validation_share=data.VALIDATION_SHARE,
        )
    elif data.PER_CLASS or data.BALANCE or data.VALIDATION_SHARE:
        raise ConfigError(
            f"{tree} is a tree of image files, of which DATA.PER_CLASS, DATA.BALANCE "
            "and DATA.VALIDATION_SHARE cannot choose; prepare it first (tools/prepare_data.py "
            "prepare folder), or leave them out"
        )
    else:
        dataset = open_image_tree(tree, section.SPLIT, data.CLASSES)
    if dataset.num_classes != cfg.MODEL.NUM_CLASSES:
        raise ConfigError(
            f"MODEL.NUM_CLASSES is {cfg.MODEL.NUM_CLASSES}, but {side}.DATASET {section.DATASET} "
            f"has {dataset.num_classes} classes; set MODEL.NUM_CLASSES {dataset.num_classes}"
        )
    return dataset


def _find_tree(name: str, data_dir: Path) -> Path | None:
    """Return the tree of image files that a name or a path means; None: something prepared.

    "./birds" and "birds/" are paths, whatever the data folder holds by the name of "birds". A
    name is a prepared set's or a view's first, then a tree's in the data folder (pycls's layout,
    DATA.DIR/imagenet/train/CLASS), then a tree's here.
    """
    places = [Path(name)]
    if os.sep not in name:
        if is_store(data_dir / name) or name in list_views(data_dir):
            return None
        places = [data_dir / name, *places]
    for place in places:
        if is_store(place) or list_prepared(place):
            return None
        if is_image_tree(place):
            return place
    return None


def find_missing(cfg: CfgNode, where: str) -> list[str]:
    """Return what has to be there before a run can begin, a sentence each.

    Args:
        cfg: the run's configuration.
        where: the file that it stands in, for messages.

    Raises:
        ConfigError: the run could never begin: the data are of other classes, or fewer than a
            batch.
    """
    missing = []
    try:
        train, test = (open_side(cfg, side) for side in SIDES)
        check_classes(cfg, train.class_names, test.class_names)
        check_batch(cfg, len(train))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except DataError as error:
        folder = resolve_data_dir(cfg.DATA.DIR)
        note = "" if folder.is_absolute() else f" (that is {folder.absolute()}"
        note += ", which does not exist)" if note and not folder.is_dir() else ")" if note else ""
        missing.append(f"{error}{note}")
    return missing + find_missing_weights(cfg.TRAIN.WEIGHTS)


def find_missing_weights(source: str) -> list[str]:
    """Return, in a sentence, that a file of first weights is not there; those of the net may be."""
    if not source or urlsplit(source).scheme in ("http", "https") or Path(source).is_file():
        return []
    return [f"TRAIN.WEIGHTS {source}: no such file"]


def check_classes(cfg: CfgNode, train: Sequence[str], test: Sequence[str]) -> None:
    """Refuse to test on other classes than those that are trained.

    Args:
        cfg: the configuration.
        train: the names of the classes that are trained, in the order of their labels.
        test: the same of the test side.

    Raises:
        ConfigError: names or order differ, and TEST.CLASSES_BY_POSITION does not say that the
            order is what counts.
    """
    if tuple(train) == tuple(test) or cfg.TEST.CLASSES_BY_POSITION:
        return
    place = next(i for i, pair in enumerate(zip(train, test, strict=False)) if pair[0] != pair[1])
    shown = [", ".join(names[place : place + 3]) for names in (test, train)]
    what = "in another order" if sorted(train) == sorted(test) else "other classes"
    raise ConfigError(
        f"TEST.DATASET {cfg.TEST.DATASET} has {what} than TRAIN.DATASET {cfg.TRAIN.DATASET}: "
        f"class {place + 1} and on are {shown[0]}, in training {shown[1]}; name sets of the same "
        "classes, or set TEST.CLASSES_BY_POSITION True if class i is the same in both"
    )


def check_batch(cfg: CfgNode, train_images: int) -> None:
    """Refuse a batch larger than the training side, of which not one would be whole.

    Raises:
        ConfigError: names key, value and size.
    """
    if train_images < cfg.TRAIN.BATCH_SIZE:
        raise ConfigError(
            f"TRAIN.BATCH_SIZE is {cfg.TRAIN.BATCH_SIZE}, but TRAIN.DATASET {cfg.TRAIN.DATASET} "
            f"has {train_images:,} training images, fewer than one batch; set TRAIN.BATCH_SIZE to "
            f"{train_images} or less"
        )
