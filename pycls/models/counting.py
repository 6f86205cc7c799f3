"""Counts the complexity of a network by walking the real module on the meta device.

The rules are pycls's: flops are multiply-adds; a convolution costs
k * k * w_in * w_out * h * w / groups (and w_out * h * w with a bias), a linear layer
w_in * w_out (+ w_out) a token; self-attention its projections and the two products with the
L x L matrix of each head; normalisation, activation and average pooling cost nothing. acts are
output elements of convolutions, max pooling, linear layers and attention's products. params is
everything learnable.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.blocks import BlockOptions, find_block
from pycls.models.builders import build_meta_model
from pycls.models.foreign_counting import Counted, count_foreign
from pycls.models.layers import DropConnect, SelfAttention
from pycls.models.network_types import is_foreign
from pycls.models.vocabulary import ACTIVATIONS

_FREE = (
    nn.BatchNorm2d,
    nn.LayerNorm,
    nn.Dropout,
    DropConnect,
    nn.Sigmoid,
    nn.AdaptiveAvgPool2d,
    nn.Identity,
    *map(ACTIVATIONS.load, ACTIVATIONS),
)


def complexity(cfg: CfgNode) -> dict[str, int]:
    """Return {"flops", "params", "acts"} of a configuration's network.

    Counted for one image of TRAIN.IM_SIZE x TRAIN.IM_SIZE. Of a network of another library that
    has layers without a rule, "params" only; :func:`count` names them.
    """
    return count(cfg).counts


def count(cfg: CfgNode) -> Counted:
    """Return what a configuration's network costs, and which of its layers have no rule.

    Raises:
        ConfigError: a network of another library that cannot take images of TRAIN.IM_SIZE.
    """
    model, side = build_meta_model(cfg), cfg.TRAIN.IM_SIZE
    if not is_foreign(cfg):
        return Counted(count_model(model, side), ())
    try:
        return count_foreign(model, side)
    except Exception as error:  # any kind, from within the network
        raise ConfigError(
            f"{cfg.MODEL.TYPE}'s {cfg[cfg.MODEL.TYPE.upper()].NAME!r} cannot take images of {side} "
            f"pixels (TRAIN.IM_SIZE): {type(error).__name__}: {error}"
        ) from error


@functools.cache
def count_block(
    block_type: str,
    w_in: int,
    w_out: int,
    stride: int,
    side: int,
    bot_mul: float,
    group_w: int,
    se_r: float | None,
) -> tuple[int, int, int]:
    """Return (flops, params, acts) of one block of an AnyNet, on `side` x `side` pixels.

    The other arguments are those of :class:`pycls.models.blocks.Block` and its options.
    """
    with torch.device("meta"):
        block = find_block(block_type)(w_in, w_out, stride, BlockOptions(bot_mul, group_w, se_r))
    counts = count_model(block, side, w_in)
    return counts["flops"], counts["params"], counts["acts"]


def count_model(model: nn.Module, im_size: int, channels: int = 3) -> dict[str, int]:
    """Return {"flops", "params", "acts"} of a network on the meta device.

    Args:
        model: the network; its mode is left as it was.
        im_size: height and width of the input in pixels.
        channels: of the input.

    Raises:
        TypeError: the network holds a layer without a counting rule.
    """
    layers = count_layers(model, im_size, channels)
    return {
        "flops": sum(flops for _, flops, _ in layers),
        "params": sum(p.numel() for p in model.parameters()),
        "acts": sum(acts for _, _, acts in layers),
    }


def count_layers(model: nn.Module, im_size: int, channels: int = 3) -> list[tuple[str, int, int]]:
    """Return (name, flops, acts) of each layer of a network, in the order of computation.

    Arguments and errors as :func:`count_model`.
    """
    counted: list[tuple[str, int, int]] = []

    def shape_only(name: str, module: nn.Module) -> Any:
        def forward(x: torch.Tensor) -> torch.Tensor:
            output = _empty(_output_shape(module, x.shape))
            counted.append((name, *_count_layer(module, output)))
            # The output projection is a layer of its own.
            return module.block.out_proj(output) if isinstance(module, SelfAttention) else output

        return forward

    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, SelfAttention) or not any(True for _ in module.children())
    ]
    was_training = model.training
    try:
        model.eval()
        for name, module in layers:
            module.forward = shape_only(name, module)
        with torch.no_grad():
            model(_empty((1, channels, im_size, im_size)))
    finally:
        model.train(was_training)
        for _, module in layers:
            module.__dict__.pop("forward", None)
    return counted


class _ShapeOnly(torch.Tensor):
    """A tensor on the meta device, of which sums and products are too.

    PyTorch's own meta kernels give the same shapes, but their first use in a process takes more
    than a second of imports.
    """

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in (torch.Tensor.add, torch.Tensor.mul):
            return _empty(np.broadcast_shapes(*(operand.shape for operand in args)))
        return super().__torch_function__(function, types, args, kwargs or {})


def _empty(shape: Sequence[int]) -> torch.Tensor:
    return torch.empty(tuple(shape), device="meta").as_subclass(_ShapeOnly)


def _output_shape(module: nn.Module, shape: torch.Size) -> tuple[int, ...]:
    """Return the shape of what a layer makes of an input of `shape`."""
    if isinstance(module, nn.Conv2d):
        window = (module.kernel_size, module.stride, module.padding)
        return (shape[0], module.out_channels, *_slide(shape[2:], *window))
    if isinstance(module, nn.MaxPool2d):
        return (*shape[:2], *_slide(shape[2:], module.kernel_size, module.stride, module.padding))
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return (*shape[:2], 1, 1)
    if isinstance(module, nn.Linear):
        return (*shape[:-1], module.out_features)
    return tuple(shape)


def _slide(size: torch.Size, kernel: Any, stride: Any, padding: Any) -> list[int]:
    """Return how many places a window has along each axis."""
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding)]
    return [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, *pairs, strict=True)]


def _count_layer(module: nn.Module, output: torch.Tensor) -> tuple[int, int]:
    """Return (flops, acts) of one layer for the output it gave for one image."""
    elements = output.numel()
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        inputs = kernel * (module.in_channels // module.groups)
        return (inputs + (module.bias is not None)) * elements, elements
    if isinstance(module, nn.Linear):
        return (module.in_features + (module.bias is not None)) * elements, elements
    if isinstance(module, nn.MaxPool2d):
        return 0, elements
    if isinstance(module, SelfAttention):
        return _count_attention(module, output.shape[1])
    if isinstance(module, _FREE):
        return 0, 0
    raise TypeError(f"no counting rule for the layer {type(module).__name__}")


def _count_attention(module: SelfAttention, length: int) -> tuple[int, int]:
    """Return (flops, acts) of attention over `length` tokens, less its output projection."""
    dim, heads = module.hidden_dim, module.num_heads
    projections = length * (3 * dim * dim + 3 * dim)
    products = 2 * length * length * dim  # queries with keys, and weights with values
    return projections + products, length * 3 * dim + heads * length * length + length * dim
