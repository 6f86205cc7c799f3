"""What a layer takes in each of its forms, forward and backward; writes the table of forms.

Batches of 128, channels last, float32, ReLU behind a normalisation. Without options: the shapes
that set this going, with two forms that were tried and are not in the package. "Packed" joins
narrow groups to groups of 8 channels, their kernels filled up with zeros; "small matrices" makes
one matrix a channel of its 9 weights, which takes all pixels of an image to all.

    python dev/bench_layers.py [--threads N]
    python dev/bench_layers.py --write     # the whole grid, into pycls/kernels/forms.csv
"""

import argparse
import csv
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from pycls.core.allocator import keep_freed_memory
from pycls.files import csv_text, write_text
from pycls.kernels.forms import LIBRARY, TABLE, FormTable
from pycls.kernels.machine import instruction_set
from pycls.models.layers import BatchNorm2d, Conv2d, conv2d

BATCH = 128
SIDES = (1, 2, 4, 8, 16)
LARGEST = 3e9  # multiply-adds of a step; larger ones are not measured
# Another form must win by this much, so that chance does not choose.
MARGIN = 0.9
FORMS = ("library", "contiguous", "matrices", "direct", "fused")
KEYS = ("device", "instruction_set", "layer", "taps", "groups", "w_in", "w_out", "stride", "side")
COLUMNS = (*KEYS, *(f"{form}_ms" for form in FORMS), "form")
# (channels, group width, side of the image, stride)
SHOWN = (
    (120, 1, 2, 1), (104, 2, 8, 1), (104, 2, 16, 2), (60, 3, 8, 1), (144, 4, 8, 1),
    (64, 4, 16, 1), (64, 16, 16, 1), (120, 1, 8, 1), (190, 2, 1, 1), (376, 4, 4, 1),
    (40, 8, 4, 1), (64, 32, 8, 1),
)  # fmt: skip

Step = Callable[[], None]
Key = tuple[str, int, int, int, int, int, int]


def main() -> None:
    """Measure the shapes of the table's head, or all of the grid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--write", action="store_true", help="measure the grid, write the table")
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    if args.write:
        _write()
    else:
        _show()


# -------------------------------------------------------------------- the grid


def _write() -> None:
    kind = ("cpu", instruction_set())
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.reader(file) if r[:2] != list(kind)][1:]
    for key in _grid():
        times = _measure(key)
        rows.append([*kind, *map(str, key), *(_ms(times.get(f)) for f in FORMS), _best(times)])
        print("  ".join(rows[-1]), file=sys.stderr)
    write_text(TABLE, csv_text([COLUMNS, *rows]))


def _grid() -> Iterator[Key]:
    """Return (layer, taps, groups, w_in, w_out, stride, side) of all that is measured."""
    widths = (4, 16, 64, 256, 1024)
    shapes = [
        *((9, groups, w, w, 1) for groups in (4, 16, 64, 256) for w in (1, 2, 4, 8, 16, 32)),
        *((9, groups, w, w, 2) for groups in (8, 64) for w in (1, 2, 4, 8, 16)),
        *((9, 1, w, w, stride) for w in (4, 8, 16, 32, 64) for stride in (1, 2)),
        *((1, 1, w_in, w_out, s) for w_in in widths for w_out in widths for s in (1, 2)),
    ]
    for (taps, groups, w_in, w_out, stride), side in itertools.product(shapes, SIDES):
        products = 3 * BATCH * side**2 * taps * groups * w_in * w_out
        numbers = groups * max(w_in * stride**2, w_out) * side**2
        if products <= LARGEST and groups * max(w_in, w_out) <= 1024 and numbers <= 2**17:
            yield "convolution", taps, groups, w_in, w_out, stride, side
    for channels, side in itertools.product((4, 16, 64, 256, 1024), SIDES):
        if channels * side**2 <= 2**17:
            yield "norm", 0, 0, 0, channels, 1, side


def _measure(key: Key) -> dict[str, float]:
    """Return the milliseconds of each form that there is for a layer."""
    layer, taps, groups, w_in, w_out, stride, side = key
    if layer == "norm":
        return _time_all({f: _norm_step(w_out, side, f) for f in ("library", "fused")})
    forms = ["library", "contiguous", "direct", *(["matrices"] if taps == 1 else [])]
    if taps == 1 and stride > 1 and w_in < 8:
        # PyTorch 2.13 crashes in the gradient of such a layer from 32 x 32 pixels on (AVX2).
        forms = ["direct", "matrices"]
    shape = (groups * w_in, groups * w_out, groups, 3 if taps == 9 else 1)
    return _time_all(
        {form: _convolution_step(*shape, side * stride, stride, form) for form in forms}
    )


def _best(times: dict[str, float]) -> str:
    form = min(times, key=lambda name: times[name])
    return LIBRARY if MARGIN * times.get(LIBRARY, math.inf) <= times[form] else form


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


# ----------------------------------------------------------- the shapes shown


def _show() -> None:
    print(f"cpu, {instruction_set()}, {torch.get_num_threads()} threads; milliseconds, * is chosen")
    columns = ("library", "contiguous", "packed", "small matrices", "direct")
    print(f"{'3 x 3 layer':32}" + "".join(f"{name:>16}" for name in columns))
    for channels, width, side, stride in SHOWN:
        groups = channels // width
        shape = (channels, channels, groups, 3)
        steps: dict[str, Step | None] = {
            form: _convolution_step(*shape, side, stride, form)
            for form in ("library", "contiguous", "direct")
        }
        steps["packed"] = _packed_step(channels, width, side, stride)
        if width == 1 and side <= 4 and stride == 1:
            steps["small matrices"] = _small_matrices_step(channels, side)
        chosen = _chosen(channels, groups, stride, side // stride)
        times = _time_all({name: step for name, step in steps.items() if step is not None})
        cells = []
        for name in columns:
            cell = f"{times[name]:.2f}" if name in times else "-"
            cells.append(cell + ("*" if name == chosen else " "))
        label = f"{channels}, width {width}, {side} x {side}" + (
            ", stride 2" if stride == 2 else ""
        )
        print(f"{label:32}" + "".join(f"{cell:>16}" for cell in cells))


def _chosen(channels: int, groups: int, stride: int, side: int) -> str:
    from pycls.kernels.forms import own_table

    width = channels // groups
    return own_table().of_convolution(9, groups, width, width, stride, side * side)


# ---------------------------------------------------------------- single steps


def _time_all(steps: dict[str, Step]) -> dict[str, float]:
    """Return the times of several steps, in turns, the shorter of two each."""
    rounds = [{name: _time(step) for name, step in steps.items()} for _ in range(2)]
    return {name: min(times[name] for times in rounds) for name in steps}


def _time(step: Step) -> float:
    """Return the median of several steps, in milliseconds."""
    step()
    start = time.perf_counter()
    step()
    once = time.perf_counter() - start
    times = []
    for _ in range(max(4, min(30, int(0.04 / max(once, 1e-6))))):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def _images(channels: int, side: int) -> torch.Tensor:
    x = torch.randn(BATCH, channels, side, side)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def _backward(outputs: Callable[[], torch.Tensor], inputs: list[torch.Tensor]) -> Step:
    gradient = torch.randn_like(outputs())

    def step() -> None:
        torch.autograd.grad(outputs(), inputs, gradient)

    return step


def _only(form: str) -> FormTable:
    """Return a table that knows one form."""
    kinds = itertools.product((1, 9), (1, 2), (1, 2))
    shapes = tuple(((taps, groups, 1, 1, stride, 1), form) for taps, groups, stride in kinds)
    return FormTable("cpu", "any", shapes, (((1, 1), form),))


def _convolution_step(
    w_in: int, w_out: int, groups: int, kernel: int, side: int, stride: int, form: str
) -> Step:
    layer: Conv2d = conv2d(w_in, w_out, kernel, stride=stride, groups=groups)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layer.forms = _only(form)
    x = _images(w_in, side)
    return _backward(lambda: layer(x), [x, layer.weight])


def _norm_step(channels: int, side: int, form: str) -> Step:
    layer, activation, x = (
        BatchNorm2d(channels),
        torch.nn.ReLU(inplace=True),
        _images(channels, side),
    )
    layer.forms = _only(form)
    return _backward(lambda: layer.then(x, activation), [x, layer.weight, layer.bias])


def _packed_step(channels: int, width: int, side: int, stride: int) -> Step | None:
    """Return the step with groups of 8 channels, contiguous; None where that is not possible."""
    if 8 % width or channels % 8 or width == 8:
        return None
    x = _images(channels, side)
    weight = torch.randn(channels, width, 3, 3, requires_grad=True)
    mask = torch.kron(torch.eye(8 // width), torch.ones(width, width))

    def outputs() -> torch.Tensor:
        packed = weight.view(-1, 8, 1, width, 3, 3).expand(-1, -1, 8 // width, -1, -1, -1)
        packed = packed.reshape(channels, 8, 3, 3) * mask.repeat(channels // 8, 1)[:, :, None, None]
        y = F.conv2d(x.contiguous(), packed, stride=stride, padding=1, groups=channels // 8)
        return y.contiguous(memory_format=torch.channels_last)

    return _backward(outputs, [x, weight])


def _small_matrices_step(channels: int, side: int) -> Step:
    """Return the step of a depthwise layer as one matrix a channel, of pixels by pixels."""
    x = _images(channels, side)
    weight = torch.randn(channels, 1, 3, 3, requires_grad=True)
    pixels = list(itertools.product(range(side), repeat=2))
    taps = torch.tensor(
        [
            [
                3 * (y - v + 1) + x - u + 1 if abs(y - v) < 2 and abs(x - u) < 2 else 9
                for v, u in pixels
            ]
            for y, x in pixels
        ]
    )

    def outputs() -> torch.Tensor:
        nine = F.pad(weight.flatten(1), (0, 1))
        matrices = nine[:, taps]  # channel x pixel of the image x pixel of the result
        y = torch.bmm(x.permute(1, 0, 2, 3).reshape(channels, BATCH, -1), matrices)
        y = y.view(channels, BATCH, side, side).permute(1, 0, 2, 3)
        return y.contiguous(memory_format=torch.channels_last)

    return _backward(outputs, [x, weight])


if __name__ == "__main__":
    main()
