"""What a layer takes in each of its forms, forward and backward; writes the table of forms.

Batches of 128, channels last, ReLU behind a normalisation; float32 on the CPU. On a GPU bfloat16,
and replayed as a graph, as in training, so that the host's launches are not what is measured.
Without options: the shapes that set this going. On the CPU there are two forms more that were tried
and are not in the package: "packed" joins narrow groups to groups of 8 channels, their kernels
filled up with zeros; "small matrices" makes one matrix a channel of its 9 weights, which takes all
pixels of an image to all.

    python dev/bench_layers.py [--threads N] [--device cuda]
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
from pycls.core.env import select_device
from pycls.errors import ConfigError
from pycls.files import csv_text, write_text
from pycls.gpu_devices import is_gpu
from pycls.kernels import gpu_graph
from pycls.kernels.forms import LIBRARY, TABLE, FormTable, own_table
from pycls.models.layers import BatchNorm2d, Conv2d, MaxPool2d, conv2d

BATCH = 128
SIDES = (1, 2, 4, 8, 16)
LARGEST = 3e9  # multiply-adds of a step; larger ones are not measured
GPU_SIDES = (2, 4, 7, 14, 28, 56, 112)
GPU_NUMBERS = 2**20  # of an image of a batch; larger ones are not measured
STEPS_A_GRAPH = 10
# Another form must win by this much, so that chance does not choose.
MARGIN = 0.9
FORMS = ("library", "contiguous", "matrices", "direct", "fused", "packed", "bytes")
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
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--write", action="store_true", help="measure the grid, write the table")
    args = parser.parse_args()
    try:
        device = select_device(args.device)
    except ConfigError as error:
        parser.error(str(error))
    if own_table(device).instruction_set == "none":
        parser.error(f"no kernels of our own can be compiled here for {device}")
    torch.backends.cudnn.benchmark = True  # as in training, by default
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    if args.write:
        write_table(device)
    else:
        _show(device)


# -------------------------------------------------------------------- the grid


def write_table(device: torch.device) -> None:
    """Measure the grid of a device, and put it in the place of what the table has of its kind."""
    kind = [device.type, own_table(device).instruction_set]
    with TABLE.open(newline="", encoding="utf-8") as file:
        read = [[row.get(name, "") for name in COLUMNS] for row in csv.DictReader(file)]
    rows = [row for row in read if row[:2] != kind]
    for key in _gpu_grid() if is_gpu(device) else _grid():
        times = _measure(key, device)
        rows.append([*kind, *map(str, key), *(_ms(times.get(f)) for f in FORMS), _best(times)])
        print("  ".join(rows[-1]), file=sys.stderr)
    write_text(TABLE, csv_text([COLUMNS, *rows]))


def _gpu_grid() -> Iterator[Key]:
    """Return, as :func:`_grid`, the layers that a GPU has a form of our own for."""
    widths = itertools.product((1, 2, 4, 8, 16, 24, 32), (2, 4, 8, 16, 32, 64), (1, 2))
    for (width, groups, stride), side in itertools.product(widths, GPU_SIDES):
        if groups * width * (side * stride) ** 2 <= GPU_NUMBERS:
            yield "convolution", 9, groups, width, width, stride, side
    for channels, side in itertools.product((16, 64, 256, 1024), GPU_SIDES):
        if channels * side**2 <= GPU_NUMBERS:
            yield "norm", 0, 0, 0, channels, 1, side
    for channels, side in itertools.product((16, 32, 64), (16, 56)):
        yield "pool", 0, 0, 0, channels, 2, side


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


def _measure(key: Key, device: torch.device) -> dict[str, float]:
    """Return the milliseconds of each form that there is for a layer."""
    layer, taps, groups, w_in, w_out, stride, side = key
    if layer == "norm":
        forms = ["library", "fused"]
        return _time_all({f: _norm_step(w_out, side, f, device) for f in forms}, device)
    if layer == "pool":
        forms = ["library", "bytes"]
        return _time_all({f: _pool_step(w_out, side * stride, f, device) for f in forms}, device)
    forms = ["library", "contiguous", "direct", *(["matrices"] if taps == 1 else [])]
    if is_gpu(device):
        forms = ["library", "contiguous", "packed"]
    elif taps == 1 and stride > 1 and w_in < 8:
        # PyTorch 2.13 crashes in the gradient of such a layer from 32 x 32 pixels on.
        forms = ["direct", "matrices"]
    shape = (groups * w_in, groups * w_out, groups, 3 if taps == 9 else 1)
    steps = {form: _convolution_step(*shape, side * stride, stride, form, device) for form in forms}
    return _time_all(steps, device)


def _best(times: dict[str, float]) -> str:
    form = min(times, key=lambda name: times[name])
    return LIBRARY if MARGIN * times.get(LIBRARY, math.inf) <= times[form] else form


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


# ----------------------------------------------------------- the shapes shown


def _show(device: torch.device) -> None:
    on_gpu = is_gpu(device)
    threads = "" if on_gpu else f", {torch.get_num_threads()} threads"
    table = own_table(device)
    print(f"{device}, {table.instruction_set}{threads}; milliseconds, * is chosen")
    forms = ("library", "contiguous", "packed" if on_gpu else "direct")
    columns = forms if on_gpu else (*forms, "packed", "small matrices")
    print(f"{'3 x 3 layer':32}" + "".join(f"{name:>16}" for name in columns))
    for channels, width, side, stride in SHOWN:
        groups = channels // width
        shape = (channels, channels, groups, 3)
        steps: dict[str, Step | None] = {
            form: _convolution_step(*shape, side, stride, form, device) for form in forms
        }
        if not on_gpu:
            steps["packed"] = _packed_step(channels, width, side, stride)
            if width == 1 and side <= 4 and stride == 1:
                steps["small matrices"] = _small_matrices_step(channels, side)
        chosen = table.of_convolution(9, groups, width, width, stride, (side // stride) ** 2)
        times = _time_all({name: step for name, step in steps.items() if step is not None}, device)
        cells = []
        for name in columns:
            cell = f"{times[name]:.2f}" if name in times else "-"
            cells.append(cell + ("*" if name == chosen else " "))
        label = f"{channels}, width {width}, {side} x {side}" + (
            ", stride 2" if stride == 2 else ""
        )
        print(f"{label:32}" + "".join(f"{cell:>16}" for cell in cells))


# ---------------------------------------------------------------- single steps


def _time_all(steps: dict[str, Step], device: torch.device) -> dict[str, float]:
    """Return the times of several steps, in turns, the shorter of two each."""
    rounds = [{name: time_step(step, device) for name, step in steps.items()} for _ in range(2)]
    return {name: min(times[name] for times in rounds) for name in steps}


def time_step(step: Step, device: torch.device) -> float:
    """Return what a step takes on its device, in milliseconds; the median of several."""
    timed, at_once = step, 1
    if is_gpu(device):
        graph, _ = gpu_graph.capture(lambda: [step() for _ in range(STEPS_A_GRAPH)])
        timed, at_once = graph.replay, STEPS_A_GRAPH
    _times(timed, device, 1)
    (once,) = _times(timed, device, 1)
    count = max(4, min(30, int(40 / max(once, 1e-3))))
    return statistics.median(_times(timed, device, count)) / at_once


def _times(step: Step, device: torch.device, count: int) -> list[float]:
    """Return how long each of several steps takes, in milliseconds, by the device's own clock."""
    if not is_gpu(device):
        marks = [time.perf_counter()]
        for _ in range(count):
            step()
            marks.append(time.perf_counter())
        return [1e3 * (end - start) for start, end in itertools.pairwise(marks)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        step()
        event.record()
    torch.cuda.synchronize(device)
    return [start.elapsed_time(end) for start, end in itertools.pairwise(events)]


def _images(channels: int, side: int, device: torch.device | None = None) -> torch.Tensor:
    x = torch.randn(BATCH, channels, side, side, device=device, dtype=_dtype(device))
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def _dtype(device: torch.device | None) -> torch.dtype:
    return torch.float32 if device is None or not is_gpu(device) else torch.bfloat16


def _backward(outputs: Callable[[], torch.Tensor], inputs: list[torch.Tensor]) -> Step:
    gradient = torch.randn_like(outputs())

    def step() -> None:
        torch.autograd.grad(outputs(), inputs, gradient)

    return step


def _only(form: str, device: torch.device) -> FormTable:
    """Return a table that knows one form."""
    kinds = itertools.product((1, 9), (1, 2), (1, 2))
    shapes = tuple(((taps, groups, 1, 1, stride, 1), form) for taps, groups, stride in kinds)
    sides = (((1, 1), form),)
    return FormTable(device.type, "any", shapes, sides, sides)


def _convolution_step(
    w_in: int, w_out: int, groups: int, kernel: int, side: int, stride: int, form: str,
    device: torch.device,
) -> Step:  # fmt: skip
    layer: Conv2d = conv2d(w_in, w_out, kernel, stride=stride, groups=groups)
    layer.to(device, _dtype(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    layer.forms = _only(form, device)
    x = _images(w_in, side, device)
    return _backward(lambda: layer(x), [x, layer.weight])


def _norm_step(channels: int, side: int, form: str, device: torch.device) -> Step:
    layer, activation = BatchNorm2d(channels).to(device), torch.nn.ReLU(inplace=True)
    layer.forms = _only(form, device)
    x = _images(channels, side, device)
    return _backward(lambda: layer.then(x, activation), [x, layer.weight, layer.bias])


def _pool_step(channels: int, side: int, form: str, device: torch.device) -> Step:
    layer = MaxPool2d(3, stride=2, padding=1)
    layer.forms = _only(form, device)
    x = _images(channels, side, device)
    return _backward(lambda: layer(x), [x])


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
