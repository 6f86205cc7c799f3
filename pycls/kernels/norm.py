"""Batch normalisation, addition and ReLU in one, as kernels of our own.

All tensors are N x C x H x W, channels last, float32 or float64, on the CPU.
"""

import functools
import math
import struct
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from pycls.kernels import norm_code as code
from pycls.kernels.layout import LANES, channels_last
from pycls.kernels.machine import CompiledKernel, scratch


def norm_act(
    norm: nn.BatchNorm2d, x: torch.Tensor, skip: torch.Tensor | None, relu: bool
) -> torch.Tensor:
    """Return relu(norm(x) + skip), and move the running statistics where the layer trains.

    Args:
        norm: an affine batch normalisation with running statistics.
        x: what it normalises; whole rows of channels fill vectors.
        skip: of the same shape; None: nothing is added.
        relu: False: no ReLU.
    """
    if not norm.training:
        return _with_running_statistics(norm, x, skip, relu)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum
    if momentum is None:  # the mean over all batches
        momentum = 1.0 / float(norm.num_batches_tracked)
    result: torch.Tensor = _NormAct.apply(
        x, norm.weight, norm.bias, skip, norm.running_mean, norm.running_var,
        (norm.eps, momentum), relu,
    )  # fmt: skip
    return result


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        skip: torch.Tensor | None,
        running_mean: torch.Tensor,
        running_var: torch.Tensor,
        numbers: tuple[float, float],
        relu: bool,
    ) -> torch.Tensor:
        x = channels_last(x)
        skip = None if skip is None else channels_last(skip)
        channels = x.shape[1]
        fold = _fold(channels)
        wide = channels * fold
        y, saved = torch.empty_like(x), x.new_empty(2 * wide)
        size = code.scratch_length(wide)
        _kernel("forward", x.dtype, relu, skip is not None)(
            (
                x.numel() // wide, channels, fold, *map(_bits, numbers), x.data_ptr(),
                0 if skip is None else skip.data_ptr(), y.data_ptr(), weight.data_ptr(),
                bias.data_ptr(), running_mean.data_ptr(), running_var.data_ptr(),
                saved.data_ptr(), scratch.reserve(torch.get_num_threads() * size), size,
            ),
        )  # fmt: skip
        ctx.relu, ctx.has_skip = relu, skip is not None
        ctx.save_for_backward(x, weight, saved, y if relu else None)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, saved, y = ctx.saved_tensors
        gradient = channels_last(gradient)
        channels = x.shape[1]
        fold = _fold(channels)
        wide = channels * fold
        # The gradient behind ReLU is that of what was added.
        masks = ctx.relu and ctx.has_skip
        masked = torch.empty_like(x) if masks else gradient
        by_x, by_weight, by_bias = (torch.empty_like(t) for t in (x, weight, weight))
        size = code.scratch_length(wide)
        _kernel("backward", x.dtype, ctx.relu, masks)(
            (
                x.numel() // wide, channels, fold, x.data_ptr(), 0 if y is None else y.data_ptr(),
                gradient.data_ptr(), masked.data_ptr(), by_x.data_ptr(), weight.data_ptr(),
                saved.data_ptr(), by_weight.data_ptr(), by_bias.data_ptr(),
                scratch.reserve(torch.get_num_threads() * size), size,
            ),
        )  # fmt: skip
        return by_x, by_weight, by_bias, masked if ctx.has_skip else None, None, None, None, None


def _with_running_statistics(
    norm: nn.BatchNorm2d, x: torch.Tensor, skip: torch.Tensor | None, relu: bool
) -> torch.Tensor:
    """Return relu(norm(x) + skip) of a layer that does not train; without gradients."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    fold = _fold(x.shape[1])
    skip = None if skip is None else channels_last(skip)
    return _apply(channels_last(x), skip, scale.repeat(fold), shift.repeat(fold), relu)


def _apply(
    x: torch.Tensor, skip: torch.Tensor | None, scale: torch.Tensor, shift: torch.Tensor, relu: bool
) -> torch.Tensor:
    y = torch.empty_like(x)
    _kernel("apply", x.dtype, relu, skip is not None)(
        (
            x.numel() // len(scale), len(scale), x.data_ptr(),
            0 if skip is None else skip.data_ptr(), y.data_ptr(), scale.data_ptr(),
            shift.data_ptr(),
        ),
    )  # fmt: skip
    return y


@functools.cache
def _kernel(part: str, dtype: torch.dtype, *flags: bool) -> CompiledKernel:
    real = str(dtype).removeprefix("torch.")
    name = "_".join((part, real, *(str(int(flag)) for flag in flags)))
    return CompiledKernel(name, getattr(code, part)(name, real, *flags))


@functools.cache
def _bits(number: float) -> int:
    """Return the bits of a float64 as an integer."""
    bits: int = struct.unpack("q", struct.pack("d", number))[0]
    return bits


def _fold(channels: int) -> int:
    """Return how many rows are taken as one, so that its length is one of whole vectors."""
    return LANES // math.gcd(channels, LANES)
