"""Batch normalisation, addition and ReLU in one, as kernels for a GPU.

All images are N x C x H x W, channels last, float32, bfloat16 or float16; what belongs to channels
is float32. Three kernels forward and three backward.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from pycls.kernels import gpu_norm_code as code
from pycls.kernels.gpu_launch import PARTS, launch, power_of_two, units
from pycls.kernels.layout import channels_last

TILE = 4096  # numbers that a program has in hand at a time
_CHANNELS = 128  # of a tile, at most
_FINISH = {"BP": 32, "BC": 32}


def norm_act(
    norm: nn.BatchNorm2d, x: torch.Tensor, skip: torch.Tensor | None, relu: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return relu(norm(x) + skip) twice, and move the running statistics where the layer trains.

    The two are one image in memory, but each has a gradient of its own: those of a block's branches
    are added where they are needed, which saves two passes over them.

    Args:
        norm: an affine batch normalisation with running statistics and a momentum.
        x: what it normalises.
        skip: of the same shape and type; None: nothing is added.
        relu: False: no ReLU.
    """
    x = channels_last(x)
    skip = None if skip is None else channels_last(skip)
    if norm.training:
        first, second = _NormAct.apply(x, norm.weight, norm.bias, skip, norm, relu)
        return first, second
    assert norm.running_mean is not None
    assert norm.running_var is not None
    y = torch.empty_like(x)
    tiles = _Tiles(x)
    launch(
        code.apply_forward, tiles.grid, x, x if skip is None else skip, y, norm.running_mean,
        norm.running_var, norm.weight, norm.bias, tiles.rows, tiles.span, norm.eps, *tiles.shape,
        IS_VARIANCE=True, ADDS=skip is not None, RELU=relu,
    )  # fmt: skip
    return y, y


class _Tiles:
    """How a kernel's programs share an image.

    Attributes:
        rows: pixels of all images.
        span: rows of a program.
        spans: programs along the rows.
        grid: of programs, along rows and channels.
        shape: the arguments `units`, UNIT, BR and BC.
    """

    def __init__(self, x: torch.Tensor) -> None:
        channels = x.shape[1]
        self.rows = x.numel() // channels
        width = min(_CHANNELS, power_of_two(channels))
        height = max(1, TILE // width)
        blocks = -(-channels // width)
        tiles = -(-self.rows // height)
        self.span = -(-tiles // max(1, PARTS // blocks)) * height
        self.spans = -(-self.rows // self.span)
        self.grid = (self.spans, blocks)
        self.shape = (*units(channels), height, width)


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        skip: torch.Tensor | None,
        norm: nn.BatchNorm2d,
        relu: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        channels, tiles = x.shape[1], _Tiles(x)
        parts = weight.new_empty((tiles.spans, 2, channels))
        saved = weight.new_empty((2, channels))
        launch(code.sum_forward, tiles.grid, x, parts, tiles.rows, tiles.span, *tiles.shape)
        launch(
            code.finish_forward, _over_channels(channels), parts, saved, norm.running_mean,
            norm.running_var, norm.num_batches_tracked, tiles.spans, tiles.rows, tiles.span,
            norm.momentum, norm.eps, channels, **_FINISH,
        )  # fmt: skip
        y = torch.empty_like(x)
        launch(
            code.apply_forward, tiles.grid, x, x if skip is None else skip, y, saved[0], saved[1],
            weight, bias, tiles.rows, tiles.span, norm.eps, *tiles.shape,
            IS_VARIANCE=False, ADDS=skip is not None, RELU=relu,
        )  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.relu, ctx.has_skip = relu, skip is not None
        # Without an addition, where ReLU let through is computed from x again, not read.
        ctx.save_for_backward(x, y if relu and skip is not None else None, saved, weight, bias)
        return y, y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        x, y, saved, weight, bias = ctx.saved_tensors
        given = [channels_last(gradient) for gradient in gradients if gradient is not None]
        gradient, is_two = given[0], len(given) == 2
        channels, tiles = x.shape[1], _Tiles(x)
        keeps = is_two or (ctx.has_skip and ctx.relu)
        kept = torch.empty_like(x) if keeps else gradient
        parts = weight.new_empty((tiles.spans, 2, channels))
        launch(
            code.sum_backward, tiles.grid, gradient, given[-1], x, x if y is None else y, kept,
            parts, saved, weight, bias, tiles.rows, tiles.span, *tiles.shape,
            TWO=is_two, RELU=ctx.relu, FROM_Y=y is not None, KEEPS=keeps,
        )  # fmt: skip
        by_weight, by_bias = torch.empty_like(weight), torch.empty_like(bias)
        launch(
            code.finish_backward, _over_channels(channels), parts, by_bias, by_weight, tiles.spans,
            channels, **_FINISH,
        )  # fmt: skip
        by_x = torch.empty_like(x)
        launch(
            code.apply_backward, tiles.grid, kept, x, by_x, saved, weight, bias, by_weight, by_bias,
            tiles.rows, tiles.span, *tiles.shape, RELU=ctx.relu and not keeps,
        )  # fmt: skip
        return by_x, by_weight, by_bias, kept if ctx.has_skip else None, None, None


def _over_channels(channels: int) -> tuple[int]:
    return (-(-channels // _FINISH["BC"]),)
