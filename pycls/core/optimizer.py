"""Builds the optimizer of a training, over its parameter groups.

:data:`pycls.core.config.rules.OPTIMIZERS` chooses by the name of OPTIM.OPTIMIZER among the
functions at the end.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.config.rules import OPTIMIZERS
from pycls.core.config.trainable import captures_steps

Groups = list[dict[str, Any]]
BuildOptimizer = Callable[[Groups, CfgNode, dict[str, Any]], torch.optim.Optimizer]


def build_optimizer(model: nn.Module, cfg: CfgNode) -> torch.optim.Optimizer:
    """Return the optimizer of OPTIM.OPTIMIZER over the network's parameter groups."""
    optim = cfg.OPTIM
    lr, device = optim.BASE_LR, next(model.parameters()).device
    if captures_steps(cfg, device):
        # A captured graph reads a changing rate from a tensor on the device.
        lr = torch.tensor(lr, device=device)
    build: BuildOptimizer = OPTIMIZERS.load(optim.OPTIMIZER)
    return build(parameter_groups(model, cfg), cfg, {"lr": lr, "weight_decay": optim.WEIGHT_DECAY})


def parameter_groups(model: nn.Module, cfg: CfgNode) -> Groups:
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
            if isinstance(module, nn.BatchNorm2d):
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


def set_lr(optimizer: torch.optim.Optimizer, lr: float | torch.Tensor) -> None:
    """Set the learning rate of every parameter group.

    Args:
        optimizer: the optimizer.
        lr: the rate; a tensor without dimensions where a graph reads it from the device.
    """
    tensors: dict[int, torch.Tensor] = {}
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            tensors[id(group["lr"])] = group["lr"]
        else:
            group["lr"] = lr
    # Groups share theirs, which is written once.
    for rate in tensors.values():
        rate.fill_(lr)


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a checkpoint's state; a learning rate that is a tensor stays the same tensor.

    A captured graph reads the rate from it: one read from a file lies on the CPU, and would be
    captured as the number it then was.

    Raises:
        KeyError, ValueError: the state is of another optimizer.
    """
    own = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, lr in zip(optimizer.param_groups, own, strict=True):
        loaded = float(group["lr"])
        if isinstance(lr, torch.Tensor):
            group["lr"] = lr.fill_(loaded)
        else:
            group["lr"] = loaded


# Each updates all weights in one fused kernel, on the CPU and on a GPU.
def sgd(groups: Groups, cfg: CfgNode, shared: dict[str, Any]) -> torch.optim.Optimizer:
    """Return SGD with momentum.

    Args:
        groups: of :func:`parameter_groups`.
        cfg: the configuration.
        shared: the learning rate `lr`, perhaps a tensor, and `weight_decay`, for groups without
            their own.
    """
    optim = cfg.OPTIM
    return _without_compiler(torch.optim.SGD)(
        groups,
        momentum=optim.MOMENTUM,
        dampening=optim.DAMPENING,
        nesterov=optim.NESTEROV,
        fused=True,
        **shared,
    )


def adam(groups: Groups, cfg: CfgNode, shared: dict[str, Any]) -> torch.optim.Optimizer:
    """Return Adam; arguments as :func:`sgd`."""
    return _without_compiler(torch.optim.Adam)(groups, **_adam_options(cfg, shared), **shared)


def adamw(groups: Groups, cfg: CfgNode, shared: dict[str, Any]) -> torch.optim.Optimizer:
    """Return AdamW; arguments as :func:`sgd`."""
    return _without_compiler(torch.optim.AdamW)(groups, **_adam_options(cfg, shared), **shared)


def _adam_options(cfg: CfgNode, shared: dict[str, Any]) -> dict[str, Any]:
    betas = (cfg.OPTIM.BETA1, cfg.OPTIM.BETA2)
    is_captured = isinstance(shared["lr"], torch.Tensor)
    return {"betas": betas, "capturable": is_captured, "fused": True}


@functools.cache
def _without_compiler(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """Return the same optimizer without the wrappers by which PyTorch's compiler knows it.

    They import the compiler, with a thousand modules, in every process that makes an optimizer;
    TRAIN.COMPILE compiles the network alone.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)
