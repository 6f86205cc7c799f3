"""Grouped 3 x 3 convolutions of narrow groups as kernels for a GPU.

Images are N x C x H x W, channels last. One kernel forward and three backward.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from pycls.kernels import gpu_convolution_code as code
from pycls.kernels.gpu_launch import PARTS, empty_image, launch, units
from pycls.kernels.layout import channels_last, dense_taps, weight_strides

ROWS = 64  # pixels of a product
_TILE = 32  # channels of a product


def packed(x: torch.Tensor, weight: torch.Tensor, groups: int, stride: int) -> torch.Tensor:
    """Convolve by 3 x 3 taps with padding 1, in autocast's type where it is on.

    Args:
        x: N x C x H x W, float32, bfloat16 or float16.
        weight: C x C/groups x 3 x 3, C/groups at most 32.
        groups: of the channels.
        stride: in both directions.

    Returns:
        N x C x H' x W', channels last, of the type that it was computed in.
    """
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    result: torch.Tensor = _Packed.apply(channels_last(x), dense_taps(weight), groups, stride)
    return result


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, groups: int, stride: int
    ) -> torch.Tensor:
        n, channels, *size = x.shape
        ctx.stride = stride
        ctx.save_for_backward(x, weight)
        shape = (n, channels, *((side - 1) // stride + 1 for side in size))
        y = empty_image(x, shape)
        _convolve(x, weight, y, stride, back=False)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = channels_last(gradient)
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:
            by_x = torch.empty_like(x)
            _convolve(gradient, weight, by_x, ctx.stride, back=True)
        if ctx.needs_input_grad[1]:
            by_weight = _weight_gradient(x, gradient, weight, ctx.stride)
        return by_x, by_weight, None, None


def _convolve(
    x: torch.Tensor, weight: torch.Tensor, y: torch.Tensor, stride: int, *, back: bool
) -> None:
    channels, width, used, tiles = _shape(weight)
    count = y.numel() // channels
    launch(
        code.convolve, (-(-count // ROWS), tiles), x, weight, y, count, *x.shape[2:], *y.shape[2:],
        units(channels)[0], *weight_strides(weight), UNIT=units(channels)[1], G=width, T=used,
        STRIDE=stride, BACK=back, BR=ROWS, PRECISION=_precision(),
    )  # fmt: skip


def _weight_gradient(
    x: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor, stride: int
) -> torch.Tensor:
    channels, width, used, tiles = _shape(weight)
    count = gradient.numel() // channels
    spans = max(1, min(-(-count // ROWS), 2 * PARTS // (9 * tiles)))
    span = -(-count // (spans * ROWS)) * ROWS
    spans = -(-count // span)
    parts = weight.new_empty((spans, channels, width, 3, 3), dtype=torch.float32)
    launch(
        code.sum_weights, (spans, tiles, 9), x, gradient, parts, count, *x.shape[2:],
        *gradient.shape[2:], span, units(channels)[0], UNIT=units(channels)[1], G=width, T=used,
        STRIDE=stride, BR=ROWS, PRECISION=_precision(),
    )  # fmt: skip
    return parts.sum(0).to(weight.dtype)


def _shape(weight: torch.Tensor) -> tuple[int, int, int, int]:
    """Return the channels, those of a group, those of a tile that are used, and the tiles."""
    channels, width = weight.shape[:2]
    used = _TILE // width * width
    return channels, width, used, -(-channels // used)


def _precision() -> str:
    """Return how float32 is multiplied, as the library's convolutions do it."""
    return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
