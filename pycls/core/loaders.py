"""Opens one side of the data of a configuration and returns its batches."""

from pathlib import Path

import torch
from yacs.config import CfgNode

from pycls.cores import usable_cores
from pycls.datasets.catalog.views import list_views
from pycls.datasets.loading.image_tree import ImageTree, is_image_tree, open_image_tree
from pycls.datasets.loading.loader import Loader
from pycls.datasets.opening.dataset import Dataset, open_dataset
from pycls.datasets.opening.locate import list_prepared, resolve_data_dir
from pycls.datasets.store.store import is_store
from pycls.errors import ConfigError

# Threads that read and cut for a GPU: more are seldom of use.
_MAX_THREADS = 8


def build_loader(
    cfg: CfgNode,
    side: str,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
    evaluate: bool = False,
) -> Loader:
    """Return the loader of one side of a run.

    Args:
        cfg: the configuration.
        side: "TRAIN" or "TEST", the section that names data set, split and batch size.
        device: where the batches go.
        rank: number of this process, from 0.
        world_size: number of processes that share every batch.
        evaluate: the training side as in testing: stored order, centre crop, no augmentation,
            every image once.

    Raises:
        ConfigError: MODEL.NUM_CLASSES is not the data set's, or a size does not fit.
        DataError: the data set is missing or damaged.
    """
    section = cfg[side]
    dataset = _open_side(cfg, section.DATASET, section.SPLIT)
    if dataset.num_classes != cfg.MODEL.NUM_CLASSES:
        raise ConfigError(
            f"MODEL.NUM_CLASSES is {cfg.MODEL.NUM_CLASSES}, but {side}.DATASET {section.DATASET} "
            f"has {dataset.num_classes} classes; set MODEL.NUM_CLASSES {dataset.num_classes}"
        )
    is_train = side == "TRAIN" and not evaluate
    cores = max(1, usable_cores() // world_size)
    return Loader(
        dataset,
        batch_size=section.BATCH_SIZE,
        im_size=cfg.TRAIN.IM_SIZE,
        train=is_train,
        seed=cfg.RNG_SEED,
        device=device,
        crop=cfg.DATA.CROP,
        pad=cfg.DATA.PAD,
        area=tuple(cfg.DATA.AREA),
        aspect=tuple(cfg.DATA.ASPECT),
        flip=cfg.DATA.FLIP and dataset.mirror,
        augment=cfg.TRAIN.AUGMENT,
        lighting=cfg.TRAIN.PCA_STD if cfg.DATA.LIGHTING else 0.0,
        test_im_size=None if is_train else cfg.TEST.IM_SIZE,
        rank=rank,
        world_size=world_size,
        channels_last=cfg.MEMORY_FORMAT == "channels_last",
        gpu_share=cfg.DATA.GPU_SHARE,
        # The threads of a network on the CPU take all the cores there are.
        threads=1 if device.type == "cpu" else min(_MAX_THREADS, cores),
        workers=min(cfg.DATA_LOADER.NUM_WORKERS, cores),
    )


def _open_side(cfg: CfgNode, name: str, split: str) -> Dataset | ImageTree:
    """Open one side of a prepared set or view; or of a tree of files, where the name is one's."""
    data = cfg.DATA
    if not _means_tree(name, resolve_data_dir(data.DIR)):
        return open_dataset(
            name,
            split,
            data.DIR,
            classes=data.CLASSES,
            per_class=data.PER_CLASS,
            balance=data.BALANCE,
            view_seed=data.VIEW_SEED,
        )
    if data.PER_CLASS or data.BALANCE:
        raise ConfigError(
            f"{name} is a tree of image files, of which DATA.PER_CLASS and DATA.BALANCE cannot "
            "choose; prepare it first (tools/prepare_data.py prepare folder), or leave them out"
        )
    return open_image_tree(name, split, data.CLASSES)


def _means_tree(name: str, data_dir: Path) -> bool:
    """Say whether a name is the path of a tree, and not something prepared or a view."""
    if not name or not is_image_tree(name):
        return False
    prepared = is_store(name) or is_store(data_dir / name) or list_prepared(name)
    return not prepared and name not in list_views(data_dir)
