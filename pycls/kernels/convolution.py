"""Convolutions as their own kernels, and as products of matrices.

Both take and give N x C x H x W tensors, channels last.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

from pycls.kernels import convolution_code as code
from pycls.kernels.layout import channels_last, dense_taps, weight_strides
from pycls.kernels.machine import CompiledKernel, scratch
from pycls.kernels.taps import Window, list_pairs


def direct(x: torch.Tensor, weight: torch.Tensor, groups: int, window: Window) -> torch.Tensor:
    """Convolve by kernels of our own, compiled for the groups' widths.

    Args:
        x: N x C x H x W, float32 or float64, on the CPU.
        weight: C_out x C/groups x kernel height x kernel width.
        groups: of the channels.
        window: how the kernel moves.

    Returns:
        N x C_out x H' x W', channels last.
    """
    result: torch.Tensor = _Direct.apply(x, weight, groups, window)
    return result


def as_matrices(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: int
) -> torch.Tensor:
    """Convolve with a kernel of one pixel, ungrouped: a product of matrices.

    Args:
        x: N x C x H x W.
        weight: C_out x C x 1 x 1.
        bias: C_out, or None.
        stride: in both directions.

    Returns:
        N x C_out x H/stride x W/stride, channels last.
    """
    if stride > 1:
        x = x[:, :, ::stride, ::stride]
    y = F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias)
    return y.permute(0, 3, 1, 2)


class _Direct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, groups: int, window: Window
    ) -> torch.Tensor:
        x, weight = channels_last(x), dense_taps(weight)
        ctx.save_for_backward(x, weight)
        ctx.groups, ctx.window = groups, window
        return _sum_over_taps(x, weight, groups, window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = channels_last(gradient)
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:
            by_x = _sum_over_taps(gradient, weight, ctx.groups, ctx.window, back=True)
        if ctx.needs_input_grad[1]:
            by_weight = _weight_gradient(x, gradient, weight, ctx.groups, ctx.window)
        return by_x, by_weight, None, None


def _sum_over_taps(
    source: torch.Tensor, weight: torch.Tensor, groups: int, window: Window, *, back: bool = False
) -> torch.Tensor:
    """Return the convolution of a source, or of a gradient, what goes back to the source."""
    w_out, w_in = weight.shape[0] // groups, weight.shape[1]
    pixels, pairs = (window.pixels, window.out_pixels), list_pairs(window).forward
    size, widths, part = window.out_size, (w_in, w_out), "forward"
    if back:
        pixels, pairs = pixels[::-1], list_pairs(window).backward
        size, widths, part = window.size, widths[::-1], "backward"
    shape = (len(source), groups * widths[1], *size)
    result = torch.empty(shape, dtype=source.dtype, memory_format=torch.channels_last)
    length = code.scratch_length(groups, *widths, *pixels, window.taps)
    _kernel(part, w_in, w_out, source.dtype)(
        (
            len(source), groups, *widths, window.taps, *pixels, source.data_ptr(),
            weight.data_ptr(), *weight_strides(weight), *pairs.addresses, result.data_ptr(),
            scratch.reserve(torch.get_num_threads() * length), length,
        ),
    )  # fmt: skip
    return result


def _weight_gradient(
    x: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor, groups: int, window: Window
) -> torch.Tensor:
    w_out, w_in, taps = weight.shape[0] // groups, weight.shape[1], window.taps
    threads = torch.get_num_threads()
    sums = code.sums_length(groups, w_in, w_out, taps)
    pixels = window.pixels, window.out_pixels
    planes = code.scratch_length(groups, w_in, w_out, *pixels, taps)
    at = scratch.reserve(threads * (sums + planes))
    by_weight = torch.empty_like(weight)
    _kernel("sums", w_in, w_out, x.dtype)(
        (
            len(x), groups, w_in, w_out, taps, *pixels, x.data_ptr(), gradient.data_ptr(),
            *list_pairs(window).by_tap.addresses, at, sums, at + threads * sums * 8, planes,
            by_weight.data_ptr(), *weight_strides(weight),
        ),
    )  # fmt: skip
    return by_weight


def _kernel(part: str, w_in: int, w_out: int, dtype: torch.dtype) -> CompiledKernel:
    """Return a part of the convolution whose groups have such widths."""
    return _compiled(part, (w_in, w_out) if code.is_narrow(w_in, w_out) else None, dtype)


@functools.cache
def _compiled(part: str, widths: code.Widths, dtype: torch.dtype) -> CompiledKernel:
    real = str(dtype).removeprefix("torch.")
    name = "_".join((part, *map(str, widths or ("wide",)), real))
    if part == "sums":
        return CompiledKernel(name, code.weight_gradient(name, widths, real))
    turned = part == "backward"
    if turned and widths is not None:
        widths = widths[::-1]  # of the source, here the result's gradient, and of its own result
    return CompiledKernel(name, code.sum_over_taps(name, widths, real, turned))
