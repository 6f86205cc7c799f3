"""Refuses configurations that ask for what cannot be trained."""

import torch
from yacs.config import CfgNode

from pycls.core.precision import choose_format
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu
from pycls.kernels.forms import OWN
from pycls.kernels.gpu_launch import has_triton


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
    if cfg.LAYER_FORMS == OWN and is_gpu(device) and not has_triton():
        raise ConfigError(
            "LAYER_FORMS is 'own', whose kernels for GPUs need the package triton, which is not "
            "installed; install it, or set LAYER_FORMS auto"
        )
    obstacle = _graph_obstacle(cfg, device) if cfg.TRAIN.CUDA_GRAPH is True else None
    if obstacle:
        raise ConfigError(f"TRAIN.CUDA_GRAPH is True, {obstacle}")


def captures_steps(cfg: CfgNode, device: torch.device) -> bool:
    """Say whether a run's steps are captured and replayed as a graph (TRAIN.CUDA_GRAPH)."""
    if cfg.TRAIN.CUDA_GRAPH == "auto":
        return _graph_obstacle(cfg, device) is None
    return bool(cfg.TRAIN.CUDA_GRAPH)


def _graph_obstacle(cfg: CfgNode, device: torch.device) -> str | None:
    """Return what is in the way of a graph: a captured step is fixed."""
    if not is_gpu(device):
        return "but the run is not on a GPU; set it False"
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
            return f"which does not go together with {key}; set one of them back to its default"
    return None
