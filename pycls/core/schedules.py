"""Computes the learning rate over a training (no PyTorch here)."""

import math
from collections.abc import Callable

from yacs.config import CfgNode


def lr_at(optim: CfgNode, epoch: float) -> float:
    """Return the learning rate at a fractional epoch (iteration i of n: epoch + i / n)."""
    lr = optim.BASE_LR * SCHEDULES[optim.LR_POLICY](optim, epoch)
    if epoch < optim.WARMUP_EPOCHS:
        alpha = epoch / optim.WARMUP_EPOCHS
        lr *= optim.WARMUP_FACTOR * (1.0 - alpha) + alpha
    return lr


def _cosine(optim: CfgNode, epoch: float) -> float:
    return _down_to_min(optim, 0.5 * (1.0 + math.cos(math.pi * (epoch / optim.MAX_EPOCH))))


def _down_to_min(optim: CfgNode, factor: float) -> float:
    return (1.0 - optim.MIN_LR) * factor + optim.MIN_LR


def _steps(optim: CfgNode, epoch: float) -> float:
    reached = sum(step <= epoch for step in optim.STEPS)
    return optim.LR_MULT ** (reached - 1)


# OPTIM.LR_POLICY -> the share of BASE_LR at an epoch, before the warm-up.
SCHEDULES: dict[str, Callable[[CfgNode, float], float]] = {
    "cos": _cosine,
    "exp": lambda optim, epoch: optim.MIN_LR ** (epoch / optim.MAX_EPOCH),
    "lin": lambda optim, epoch: _down_to_min(optim, 1.0 - epoch / optim.MAX_EPOCH),
    "steps": _steps,
}
