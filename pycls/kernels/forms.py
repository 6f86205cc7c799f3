"""Chooses the form in which a layer is computed, by a table that was measured.

The forms of a convolution: `library`, PyTorch's own; `contiguous`, the library with the image
turned to channels first and back; `matrices`, a product of matrices (1 x 1); `direct`, kernels of
our own. Of a batch normalisation: `library`, and `fused`, kernels that add and activate in the
same pass.

The table is `forms.csv`, written by `dev/bench_layers.py`. It is keyed by the kind of device and
its instruction set; a shape takes the form of the nearest one measured. Nothing is timed in a
run, so that the same machine always gives the same bits.
"""

import csv
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pycls.kernels.layout import LANES

TABLE = Path(__file__).with_name("forms.csv")
LIBRARY = "library"
# Kinds that were not measured take the choices of another; what they gain is not known.
_STANDS_FOR = {("cpu", "avx512"): ("cpu", "avx2")}

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FormTable:
    """The measured choices for one kind of processor.

    Attributes:
        device: "cpu".
        instruction_set: see :func:`pycls.kernels.machine.instruction_set`.
        convolutions: (taps, groups, input and output channels of a group, stride, side of the
            result in pixels) -> form.
        norms: (channels, side) -> form.
    """

    device: str
    instruction_set: str
    convolutions: tuple[tuple[Shape, str], ...]
    norms: tuple[tuple[Shape, str], ...]

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a table lives as long as the process
    def of_convolution(
        self, taps: int, groups: int, w_in: int, w_out: int, stride: int, pixels: int
    ) -> str:
        """Return the form of a convolution.

        Args:
            taps: of its kernel.
            groups: of the channels.
            w_in: input channels of a group.
            w_out: output channels of a group.
            stride: of the kernel.
            pixels: of the result.
        """
        shape = (taps, groups, w_in, w_out, stride, math.isqrt(pixels))
        # One tap is another kind of computation, and so are one group and no stride.
        alike = [row for row in self.convolutions if _kind(row[0]) == _kind(shape)]
        return _nearest(alike, shape)

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a table lives as long as the process
    def of_norm(self, images: int, channels: int, height: int, width: int) -> str:
        """Return the form of a batch normalisation of images of that shape."""
        rows = images * height * width
        # A vector must be filled by whole rows; of one row there is no variance.
        if rows < 2 or rows % (LANES // math.gcd(channels, LANES)):
            return LIBRARY
        return _nearest(self.norms, (channels, math.isqrt(height * width)))


def _kind(shape: Shape) -> tuple[bool, bool, bool]:
    taps, groups, _, _, stride, _ = shape
    return taps == 1, groups == 1, stride == 1


def _nearest(rows: Sequence[tuple[Shape, str]], shape: Shape) -> str:
    """Return the form of the nearest shape, by ratios; LIBRARY where none was measured."""

    def distance(row: tuple[Shape, str]) -> float:
        return sum(math.log2(a / b) ** 2 for a, b in zip(row[0], shape, strict=True))

    return min(rows, key=distance)[1] if rows else LIBRARY


@functools.cache
def find_table(device: str, instruction_set: str) -> FormTable:
    """Return the choices for a kind of processor; an empty table where nothing is known."""
    if why_unavailable() is not None:
        return FormTable(device, "none", (), ())
    measured = _STANDS_FOR.get((device, instruction_set), (device, instruction_set))
    convolutions, norms = [], []
    with TABLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["device"], row["instruction_set"]) != measured:
                continue
            if row["layer"] == "norm":
                norms.append(((int(row["w_out"]), int(row["side"])), row["form"]))
            else:
                names = ("taps", "groups", "w_in", "w_out", "stride", "side")
                convolutions.append((tuple(int(row[name]) for name in names), row["form"]))
    return FormTable(device, instruction_set, tuple(convolutions), tuple(norms))


def own_table() -> FormTable:
    """Return the choices for the CPU of this machine; empty where kernels cannot be compiled."""
    if why_unavailable() is not None:
        return find_table("cpu", "none")
    from pycls.kernels.machine import instruction_set

    return find_table("cpu", instruction_set())


@functools.cache
def why_unavailable() -> str | None:
    """Return why kernels cannot be compiled and run here; None where they can."""
    try:
        from pycls.kernels.machine import try_kernel

        try_kernel()
    except (ImportError, OSError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return None


def suits(x: torch.Tensor) -> bool:
    """Say whether a batch may be computed by kernels of our own: float32 or float64, on the CPU."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.dim() == 4
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )
