"""Refuses configurations that ask for what cannot be trained."""

import torch
from yacs.config import CfgNode

from pycls.core.precision import choose_format
from pycls.errors import ConfigError


def check_trainable(cfg: CfgNode, device: torch.device) -> None:
    """Check that what a configuration asks for can be trained on a device.

    Raises:
        ConfigError: a key asks for what is not available, or not together with another.
    """
    if cfg.FSDP.ENABLED:
        raise ConfigError(
            "FSDP.ENABLED is True; weights are not split over GPUs here. Set it False: each GPU "
            "then holds the whole network"
        )
    if cfg.TRAIN.CUDA_GRAPH:
        _check_graph(cfg, device)


def _check_graph(cfg: CfgNode, device: torch.device) -> None:
    """A captured step is fixed: refuse what would change from step to step."""
    if device.type != "cuda":
        raise ConfigError("TRAIN.CUDA_GRAPH is True, but the run is not on a GPU; set it False")
    conflicts = {
        "NUM_GPUS": cfg.NUM_GPUS > 1,
        "TRAIN.ACCUMULATE": cfg.TRAIN.ACCUMULATE > 1,
        "TRAIN.COMPILE": cfg.TRAIN.COMPILE,
        "OPTIM.DAMPENING": cfg.OPTIM.DAMPENING != 0,
        "EN.DC_RATIO": cfg.MODEL.TYPE == "effnet" and cfg.EN.DC_RATIO > 0,
        "EN.DROPOUT_RATIO": cfg.MODEL.TYPE == "effnet" and cfg.EN.DROPOUT_RATIO > 0,
        # Whether a step of float16 updates the weights is decided after its gradients.
        "TRAIN.MIXED_DTYPE (float16; bfloat16 can)": choose_format(cfg, device) == "float16",
    }
    for key, is_set in conflicts.items():
        if is_set:
            raise ConfigError(
                f"TRAIN.CUDA_GRAPH is True, which does not go together with {key}; set one of "
                "them back to its default"
            )
