"""From a configuration to the batches of one side of its data."""

import torch
from yacs.config import CfgNode

from pycls.datasets import open_dataset
from pycls.datasets.loader import Loader
from pycls.errors import ConfigError


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
        device: where batches shall be.
        rank: number of this process, from 0.
        world_size: number of processes that share every batch.
        evaluate: the training side as in testing: stored order, centre crop, no augmentation,
            every image once.

    Raises:
        ConfigError: MODEL.NUM_CLASSES is not the data set's, or a size does not fit.
        DataError: the data set is missing or damaged.
    """
    section = cfg[side]
    dataset = open_dataset(section.DATASET, section.SPLIT, cfg.DATA.DIR, cfg.DATA.CLASSES)
    if dataset.num_classes != cfg.MODEL.NUM_CLASSES:
        raise ConfigError(
            f"MODEL.NUM_CLASSES is {cfg.MODEL.NUM_CLASSES}, but {side}.DATASET {section.DATASET} "
            f"has {dataset.num_classes} classes; set MODEL.NUM_CLASSES {dataset.num_classes}"
        )
    is_train = side == "TRAIN" and not evaluate
    return Loader(
        dataset,
        batch_size=section.BATCH_SIZE,
        im_size=cfg.TRAIN.IM_SIZE,
        train=is_train,
        seed=cfg.RNG_SEED,
        device=device,
        pad=cfg.DATA.PAD,
        flip=cfg.DATA.FLIP and dataset.mirror,
        augment=cfg.TRAIN.AUGMENT,
        lighting=cfg.TRAIN.PCA_STD if cfg.DATA.LIGHTING else 0.0,
        test_im_size=None if is_train else cfg.TEST.IM_SIZE,
        rank=rank,
        world_size=world_size,
        channels_last=cfg.MEMORY_FORMAT == "channels_last",
    )
