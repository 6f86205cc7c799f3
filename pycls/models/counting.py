"""Complexity of a network by walking the real module on the meta device.

The rules are pycls's: flops are multiply-adds; a convolution costs
k * k * w_in * w_out * h * w / groups (and w_out * h * w with a bias), a linear layer
w_in * w_out (+ w_out); normalisation, activation and average pooling cost nothing. acts are
output elements of convolutions, max pooling and linear layers. params is everything learnable.
"""

from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.models.builders import build_meta_model

_FREE = (
    nn.BatchNorm2d,
    nn.ReLU,
    nn.SiLU,
    nn.GELU,
    nn.Sigmoid,
    nn.AdaptiveAvgPool2d,
)


def complexity(cfg: CfgNode) -> dict[str, int]:
    """Return {"flops", "params", "acts"} of a configuration's network.

    Counted for one image of TRAIN.IM_SIZE x TRAIN.IM_SIZE.
    """
    return count_model(build_meta_model(cfg), cfg.TRAIN.IM_SIZE)


def count_model(model: nn.Module, im_size: int) -> dict[str, int]:
    """Return {"flops", "params", "acts"} of a network on the meta device.

    Args:
        model: the network; its mode is left as it was.
        im_size: height and width of the input in pixels.

    Raises:
        TypeError: the network holds a layer without a counting rule.
    """
    totals = {"flops": 0, "acts": 0}

    def add(module: nn.Module, args: Any, output: torch.Tensor) -> None:
        flops, acts = _count_layer(module, output)
        totals["flops"] += flops
        totals["acts"] += acts

    layers = [m for m in model.modules() if not any(True for _ in m.children())]
    handles = [layer.register_forward_hook(add) for layer in layers]
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(torch.empty(1, 3, im_size, im_size, device="meta"))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    params = sum(p.numel() for p in model.parameters())
    return {"flops": totals["flops"], "params": params, "acts": totals["acts"]}


def _count_layer(module: nn.Module, output: torch.Tensor) -> tuple[int, int]:
    """Return (flops, acts) of one layer for the output it gave for one image."""
    elements = output.numel()
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        flops = kernel * (module.in_channels // module.groups) * elements
        return flops + (elements if module.bias is not None else 0), elements
    if isinstance(module, nn.Linear):
        return module.in_features * elements + (
            elements if module.bias is not None else 0
        ), elements
    if isinstance(module, nn.MaxPool2d):
        return 0, elements
    if isinstance(module, _FREE):
        return 0, 0
    raise TypeError(f"no counting rule for the layer {type(module).__name__}")
