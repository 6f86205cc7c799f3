"""The optimizer, its parameter groups and the learning-rate schedules of pycls."""

import math
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

_NORMS = (nn.BatchNorm2d,)


def build_optimizer(model: nn.Module, cfg: CfgNode) -> torch.optim.Optimizer:
    """Return SGD, Adam or AdamW over the network's parameter groups.

    All of them update all weights in one fused kernel, on the CPU and on a GPU.
    """
    optim, groups = cfg.OPTIM, parameter_groups(model, cfg)
    shared: dict[str, Any] = {
        # In a captured graph a changing rate has to be a tensor on the device.
        "lr": _lr_tensor(model, optim.BASE_LR) if cfg.TRAIN.CUDA_GRAPH else optim.BASE_LR,
        "weight_decay": optim.WEIGHT_DECAY,
        "fused": True,
    }
    if optim.OPTIMIZER == "sgd":
        return torch.optim.SGD(
            groups,
            momentum=optim.MOMENTUM,
            dampening=optim.DAMPENING,
            nesterov=optim.NESTEROV,
            **shared,
        )
    kind = torch.optim.Adam if optim.OPTIMIZER == "adam" else torch.optim.AdamW
    return kind(groups, betas=(optim.BETA1, optim.BETA2), capturable=cfg.TRAIN.CUDA_GRAPH, **shared)


def parameter_groups(model: nn.Module, cfg: CfgNode) -> list[dict[str, Any]]:
    """Return the weight-decay groups in pycls's order: bn, ln, bias, rest; empty ones left out.

    Groups go by the kind of layer a parameter belongs to, not by its name.
    """
    optim = cfg.OPTIM
    decays = {
        "bn": cfg.BN.CUSTOM_WEIGHT_DECAY if cfg.BN.USE_CUSTOM_WEIGHT_DECAY else None,
        "ln": cfg.LN.CUSTOM_WEIGHT_DECAY if cfg.LN.USE_CUSTOM_WEIGHT_DECAY else None,
        "bias": optim.BIAS_CUSTOM_WEIGHT_DECAY if optim.BIAS_USE_CUSTOM_WEIGHT_DECAY else None,
        "rest": None,
    }
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in decays}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, _NORMS):
                groups["bn"].append(parameter)
            elif isinstance(module, nn.LayerNorm):
                groups["ln"].append(parameter)
            else:
                # "in_proj_bias" of self-attention is one too.
                groups["bias" if name.endswith("bias") else "rest"].append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": optim.WEIGHT_DECAY if decays[name] is None else decays[name],
        }
        for name, parameters in groups.items()
        if parameters
    ]


def lr_at(optim: CfgNode, epoch: float) -> float:
    """Return the learning rate at a fractional epoch (iteration i of n: epoch + i / n).

    Args:
        optim: the OPTIM section.
        epoch: 0 to MAX_EPOCH.
    """
    lr = optim.BASE_LR * _decay(optim, epoch)
    if epoch < optim.WARMUP_EPOCHS:
        alpha = epoch / optim.WARMUP_EPOCHS
        lr *= optim.WARMUP_FACTOR * (1.0 - alpha) + alpha
    return lr


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def _lr_tensor(model: nn.Module, lr: float) -> torch.Tensor:
    return torch.tensor(lr, device=next(model.parameters()).device)


def _decay(optim: CfgNode, epoch: float) -> float:
    progress = epoch / optim.MAX_EPOCH
    if optim.LR_POLICY == "steps":
        reached = sum(step <= epoch for step in optim.STEPS)
        return optim.LR_MULT ** (reached - 1)
    if optim.LR_POLICY == "exp":
        return optim.MIN_LR**progress
    if optim.LR_POLICY == "cos":
        factor = 0.5 * (1.0 + math.cos(math.pi * progress))
    else:
        factor = 1.0 - progress
    return (1.0 - optim.MIN_LR) * factor + optim.MIN_LR
