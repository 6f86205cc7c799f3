"""Max pooling as kernels for a GPU, which keep a byte where PyTorch keeps eight.

Images are N x C x H x W, channels last.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from pycls.kernels import gpu_pool_code as code
from pycls.kernels.gpu_launch import empty_image, launch, power_of_two, units
from pycls.kernels.layout import channels_last

TILE = 1024  # numbers of a program
_CHANNELS = 64  # of a tile, at most
Numbers = tuple[int, int, int]


def max_pool(x: torch.Tensor, numbers: Numbers) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the largest of each window twice, each with a gradient of its own.

    Args:
        x: N x C x H x W.
        numbers: side of the square windows, their stride, and the padding.
    """
    first, second = _MaxPool.apply(channels_last(x), numbers)
    return first, second


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, numbers: Numbers) -> tuple[torch.Tensor, torch.Tensor]:
        n, channels, *size = x.shape
        kernel, stride, padding = numbers
        out_size = [(side + 2 * padding - kernel) // stride + 1 for side in size]
        shape = (n, channels, *out_size)
        y = empty_image(x, shape)
        places = torch.empty_like(y, dtype=torch.uint8)
        grid, tile = _tiles(y)
        launch(
            code.pool_forward, grid, x, y, places, y.numel() // channels, *size, *out_size, *tile,
            *numbers,
        )  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.numbers, ctx.size = numbers, size
        ctx.save_for_backward(places)
        return y, y.detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        given = [channels_last(gradient) for gradient in gradients if gradient is not None]
        n, channels, *out_size = places.shape
        by_x = empty_image(given[0], (n, channels, *ctx.size))
        grid, tile = _tiles(by_x)
        launch(
            code.pool_backward, grid, given[0], given[-1], places, by_x, by_x.numel() // channels,
            *ctx.size, *out_size, *tile, *ctx.numbers, TWO=len(given) == 2,
        )  # fmt: skip
        return by_x, None


def _tiles(made: torch.Tensor) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return the programs that make an image, and the arguments `units`, UNIT, BR and BC."""
    channels = made.shape[1]
    width = min(_CHANNELS, power_of_two(channels))
    height = max(1, TILE // width)
    grid = (-(-(made.numel() // channels) // height), -(-channels // width))
    return grid, (*units(channels), height, width)
