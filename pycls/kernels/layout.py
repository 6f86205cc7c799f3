"""The order of a tensor's numbers in memory, as the kernels want it."""

import torch

LANES = 8  # numbers of a vector


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Return an N x C x H x W tensor with the channels of a pixel side by side, a copy if need be.

    Its strides are those of the layout even where PyTorch leaves them open (one pixel, one image).
    """
    _, c, h, w = x.shape
    wanted = (h * w * c, 1, w * c, c)
    if x.stride() == wanted:
        return x
    if not x.is_contiguous(memory_format=torch.channels_last):
        x = torch.empty_like(x, memory_format=torch.channels_last).copy_(x)
    return x.as_strided(x.shape, wanted)


def dense_taps(weight: torch.Tensor) -> torch.Tensor:
    """Return a convolution's weights with taps at equal distances, a copy if need be."""
    rows, columns = weight.stride()[2:]
    return weight if rows == columns * weight.shape[3] else weight.contiguous()


def weight_strides(weight: torch.Tensor) -> tuple[int, int, int]:
    """Return the distances between output channels, input channels and taps."""
    return weight.stride(0), weight.stride(1), weight.stride(3)
