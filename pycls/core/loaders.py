"""Opens one side of the data of a configuration and returns its batches."""

from collections.abc import Callable

import torch
from yacs.config import CfgNode

from pycls.core.config.trainable import captures_steps
from pycls.core.inputs import open_side
from pycls.cores import usable_cores
from pycls.datasets.loading.loader import Loader
from pycls.gpu_devices import is_gpu
from pycls.kernels.forms import OWN
from pycls.kernels.gpu_launch import has_triton

LoaderBuilder = Callable[[CfgNode, str, torch.device, int, int, bool], Loader]

# Threads that read and cut for a GPU: more are seldom of use.
_MAX_THREADS = 8


def build_loader(
    cfg: CfgNode,
    side: str,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
    evaluate: bool = False,
    kind: type[Loader] = Loader,
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
        kind: what to make of it.

    Raises:
        ConfigError: MODEL.NUM_CLASSES is not the data set's, or a size does not fit.
        DataError: the data set is missing or damaged.
    """
    section = cfg[side]
    dataset = open_side(cfg, side)
    is_train = side == "TRAIN" and not evaluate
    cores = max(1, usable_cores() // world_size)
    return kind(
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
        threads=min(_MAX_THREADS, cores) if is_gpu(device) else 1,
        workers=min(cfg.DATA_LOADER.NUM_WORKERS, cores),
        own_kernel=cfg.LAYER_FORMS == OWN and is_gpu(device) and has_triton(),
        captured=is_train and captures_steps(cfg, device),
    )
