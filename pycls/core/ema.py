"""Keeps an exponential moving average of a network's weights, tested beside the network."""

import copy

import torch
from torch import nn
from yacs.config import CfgNode


def ema_alpha(cfg: CfgNode, epoch: int) -> float:
    """Return the weight of the network's own state in one update of the average.

    alpha = EMA_ALPHA * BATCH_SIZE / MAX_EPOCH * EMA_UPDATE_PERIOD, at most 1: the average then
    spans about the same part of a training whatever its batch size and length. During warm-up
    it is 1, a copy (pycls). Epochs count from 0.
    """
    if epoch < cfg.OPTIM.WARMUP_EPOCHS:
        return 1.0
    span = cfg.TRAIN.BATCH_SIZE / cfg.OPTIM.MAX_EPOCH * cfg.OPTIM.EMA_UPDATE_PERIOD
    return min(1.0, cfg.OPTIM.EMA_ALPHA * span)


class Ema:
    """The moving average of a network, a network itself.

    Attributes:
        model: the averaged network, on the same device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model)
        self.model.requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, alpha: float) -> None:
        """Move the average towards a network: all of its state, buffers too."""
        average, current = self.model.state_dict(), model.state_dict()
        floats = [name for name, value in average.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in floats], [current[name] for name in floats], alpha
        )
        for name, value in average.items():
            if not value.is_floating_point():
                # Counters are averaged as numbers and cut to whole ones.
                value.copy_(value * (1.0 - alpha) + current[name] * alpha)
