"""Chooses the form in which a layer is computed, by a table that was measured.

The forms of a convolution: `library`, PyTorch's own; `contiguous`, the library with the image
turned to channels first and back; `matrices`, a product of matrices (1 x 1); `direct`, kernels of
our own; on a GPU `packed`, kernels that join narrow groups (3 x 3). Of a batch normalisation:
`library`, and `fused`, kernels that add and activate in the same pass. Of max pooling: `library`,
and `bytes`, kernels that keep a byte where the library keeps eight (GPU).

The table is `forms.csv`, written by `dev/bench_layers.py`. It is keyed by the kind of device and
its instruction set, of a GPU its compute capability; a shape takes the form of the nearest one
measured. Nothing is timed in a run, so that the same machine always gives the same bits. No GPU has
been measured yet, so that layers are the library's there.
"""

import csv
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pycls.gpu_devices import is_gpu
from pycls.kernels.gpu_launch import has_triton, interprets
from pycls.kernels.layout import LANES

TABLE = Path(__file__).with_name("forms.csv")
LIBRARY = "library"
# In place of an instruction set: our own kernels wherever there is one, measured or not.
OWN = "own"

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class FormTable:
    """The measured choices for one kind of processor.

    Attributes:
        device: its type: "cpu", "cuda".
        instruction_set: see :func:`pycls.kernels.machine.instruction_set`; of a GPU "sm_90" and the
            like; or :data:`OWN`.
        convolutions: (taps, groups, input and output channels of a group, stride, side of the
            result in pixels) -> form.
        norms: (channels, side) -> form.
        pools: (channels, side of the result) -> form.
    """

    device: str
    instruction_set: str
    convolutions: tuple[tuple[Shape, str], ...]
    norms: tuple[tuple[Shape, str], ...]
    pools: tuple[tuple[Shape, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not (self.convolutions or self.norms or self.pools)

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
        # Of one row there is no variance; on the CPU a vector must be filled by whole rows.
        if rows < 2 or (self.device == "cpu" and rows % (LANES // math.gcd(channels, LANES))):
            return LIBRARY
        return _nearest(self.norms, (channels, math.isqrt(height * width)))

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - a table lives as long as the process
    def of_pool(self, channels: int, pixels: int) -> str:
        """Return the form of a max pooling whose result has so many channels and pixels."""
        return _nearest(self.pools, (channels, math.isqrt(pixels)))


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
    if (why_unavailable() is not None) if device == "cpu" else not has_triton():
        return FormTable(device, "none", (), ())
    if instruction_set == OWN:
        return _own_forms(device)
    found: dict[str, list[tuple[Shape, str]]] = {"convolution": [], "norm": [], "pool": []}
    with TABLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if (row["device"], row["instruction_set"]) != (device, instruction_set):
                continue
            names = ("taps", "groups", "w_in", "w_out", "stride", "side")
            shape = tuple(int(row[n]) for n in (names if row["layer"] == "convolution" else _SIDES))
            found[row["layer"]].append((shape, row["form"]))
    return FormTable(device, instruction_set, *map(tuple, found.values()))


_SIDES = ("w_out", "side")


def _own_forms(device: str) -> FormTable:
    """Return a table by which every layer takes a form of our own, where there is one for it."""
    form = "direct" if device == "cpu" else "packed"
    # One of each kind that :func:`_kind` tells apart.
    shapes = [
        (taps, groups, 8, 8, stride, 8) for taps in (1, 9) for groups in (1, 8) for stride in (1, 2)
    ]
    pools = () if device == "cpu" else (((8, 8), "bytes"),)
    convolutions = tuple((shape, form) for shape in shapes)
    return FormTable(device, OWN, convolutions, (((8, 8), "fused"),), pools)


def own_table(device: torch.device | None = None) -> FormTable:
    """Return the choices for a device of this machine; empty where kernels cannot be compiled.

    Args:
        device: a GPU; None: the CPU.
    """
    if device is not None and is_gpu(device):
        major, minor = torch.cuda.get_device_capability(device)
        return find_table(device.type, f"sm_{major}{minor}")
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


def suits(x: torch.Tensor, device: str) -> bool:
    """Say whether a batch may be computed by kernels of our own.

    On the CPU it must be float32 or float64, on a GPU float32, bfloat16 or float16.

    Args:
        x: the batch.
        device: the type of device that the kernels are for.
    """
    if x.dim() != 4 or x.numel() == 0:
        return False
    if device == "cpu":
        is_kind = x.dtype in (torch.float32, torch.float64)
        return x.device.type == "cpu" and is_kind and not torch.is_autocast_enabled("cpu")
    is_there = x.device.type == device or (x.device.type == "cpu" and interprets())
    return is_there and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
