"""Launches kernels written in Triton, which compiles them for the GPU at hand."""

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import torch

# Partial sums of a layer, at most. Not by the GPU's size: the same sums on all of them.
PARTS = 528
_UNIT = 8


def has_triton() -> bool:
    """Say whether Triton is installed; PyTorch's builds for GPUs bring it."""
    return importlib.util.find_spec("triton") is not None


def interprets() -> bool:
    """Say whether Triton computes on the CPU in place of a GPU (TRITON_INTERPRET=1)."""
    if not has_triton():
        return False
    from triton import knobs

    return bool(knobs.runtime.interpret)


def launch(kernel: Any, grid: Sequence[int], *args: Any, **options: Any) -> None:
    """Queue a kernel's work on the GPU that its first argument is on.

    Args:
        kernel: a function of Triton's.
        grid: how many programs, along up to three axes.
        *args: its arguments; tensors, numbers and what is fixed at compilation.
        **options: of the compilation.
    """
    device = args[0].device
    if device.type == "cpu":  # Triton's interpreter
        kernel[tuple(grid)](*args, **options)
        return
    with torch.cuda.device(device):
        kernel[tuple(grid)](*args, **options)


def units(channels: int) -> tuple[int, int]:
    """Return two factors of a number of channels, the second one known at compilation.

    It tells the compiler how many channels it may load at once, without a kernel for each width.
    """
    unit = math.gcd(channels, _UNIT)
    return channels // unit, unit


def power_of_two(number: int) -> int:
    """Return the least power of two that is not below a number (of at least 1)."""
    return 1 << (number - 1).bit_length()


def empty_image(like: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return an N x C x H x W image, channels last, of another's type and device."""
    return torch.empty(
        tuple(shape), dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )
