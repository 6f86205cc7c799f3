#!/usr/bin/env python3
"""How fast populations are drawn, against a plain implementation in the same run.

The plain one draws, adjusts and counts one architecture at a time with Python numbers, as
the definitions read. It is also what the tests compare the vectorised one with.

    python dev/bench_sampling.py
"""

import argparse
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycls.models.widths import regnet_layout
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.design_space import DesignSpace
from pycls.spaces.regnet import RegNetX

TOOL = Path(__file__).resolve().parent.parent / "tools" / "sample_population.py"
FLOPS = (360e6, 400e6)
PYCLS: dict[str, Any] = {"stem_type": "simple_stem_in", "stem_w": 32, "strides": (2, 2, 2, 2)}
SPACES: dict[str, DesignSpace] = {
    "AnyNetX of the paper (res_stem_in, width 64, strides 1-2-2-2)": AnyNetX(),
    "AnyNetX of pycls (simple_stem_in, width 32, strides 2-2-2-2)": AnyNetX(**PYCLS),
    **{f"AnyNetX{letter}, stem of pycls": AnyNetX(**PYCLS, space=letter) for letter in "BCDE"},
    "RegNetX, stem of pycls": RegNetX(),
}
STEMS = {"res_stem_cifar": [(3, 1)], "res_stem_in": [(7, 2), "pool"], "simple_stem_in": [(3, 2)]}


def log_uniform(rng: random.Random, low: float, high: float, quantum: float) -> float:
    """Draw a multiple of the quantum, log-uniform, as defined."""
    log_low = math.log(low - min(quantum, low / 2))
    return math.ceil(math.exp(rng.uniform(log_low, math.log(high))) / quantum) * quantum


def power2_uniform(rng: random.Random, low: float, high: float) -> float:
    """Draw a power of two, as defined."""
    return 2 ** math.floor(rng.uniform(math.log2(low), math.log2(high) + 1))


def draw_plain(space: AnyNetX, rng: random.Random) -> tuple[list, list, list, list]:
    """Draw depths, widths, multipliers and group widths of one architecture, as defined.

    Ordered spaces by drawing again until the order is right.
    """
    stages = range(space.num_stages)

    def lists(name: str, draw: Callable[[], float]) -> list:
        while True:
            drawn = [draw() for _ in stages]
            if name in space.ranges.shared:
                return drawn[:1] * len(drawn)
            if name not in space.ranges.ordered or drawn == sorted(drawn):
                return drawn

    return (
        lists("depth", lambda: log_uniform(rng, *space.depth, 1)),
        lists("width", lambda: log_uniform(rng, *space.width, space.width_quantum)),
        lists("bot_mul", lambda: power2_uniform(rng, *space.bot_mul)),
        lists("group_w", lambda: power2_uniform(rng, *space.group_w)),
    )


def draw_plain_regnet(space: RegNetX, rng: random.Random) -> tuple[list, list, list, list]:
    """Draw the stages of one RegNet, as defined."""
    parameters = (
        round(log_uniform(rng, *space.w_a, 0.1), 1),
        int(log_uniform(rng, *space.w_0, 8)),
        round(log_uniform(rng, *space.w_m, 0.001), 3),
        rng.randint(*space.depth),
    )
    bot_mul = power2_uniform(rng, *space.bot_mul)
    group_w = power2_uniform(rng, *space.group_w)
    if group_w >= 8:
        group_w = log_uniform(rng, max(space.group_w[0], 8), space.group_w[1], 8)
    widths, depths, group_ws = regnet_layout(*parameters, bot_mul, int(group_w))
    return depths, widths, [bot_mul] * len(depths), group_ws


def adjust_plain(w: int, b: float, g: int) -> tuple[int, int]:
    """Make one stage's width and group width fit each other."""
    v = int(max(1, w * b))
    g = int(min(g, v))
    multiple = math.lcm(g, int(b)) if b > 1 else g
    v = max(multiple, round(v / multiple) * multiple)
    return int(v / b), g


class PlainCounter:
    """Counts a network layer by layer, in the order it computes."""

    def __init__(self, side: int) -> None:
        self.side, self.flops, self.params, self.acts = side, 0, 0, 0

    def shrink(self, stride: int) -> None:
        """Take the side of the image after a layer of this stride."""
        self.side = (self.side - 1) // stride + 1

    def conv(self, w_in: int, w_out: int, k: int = 1, stride: int = 1, groups: int = 1) -> None:
        """Count a convolution and the batch normalisation after it."""
        self.shrink(stride)
        weights = k * k * w_in * w_out // groups
        self.flops += weights * self.side**2
        self.params += weights + 2 * w_out
        self.acts += w_out * self.side**2

    def block(self, kind: str, w_in: int, w: int, stride: int, b: float, g: int) -> None:
        """Count a residual or plain block, its projection included."""
        side = self.side
        if kind in ("res_basic_block", "res_bottleneck_block") and (w_in != w or stride != 1):
            self.conv(w_in, w, stride=stride)
            self.side = side
        if "bottleneck" in kind:
            inner = round(w * b)
            self.conv(w_in, inner)
            self.conv(inner, inner, 3, stride, inner // g)
            self.conv(inner, w)
        else:
            self.conv(w_in, w, 3, stride)
            self.conv(w, w, 3)


def count_plain(space: DesignSpace, ds: list, ws: list, bs: list, gs: list) -> tuple[int, int, int]:
    """Return flops, params and acts of one architecture."""
    strides = space.strides if isinstance(space, AnyNetX) else [space.stride] * len(ds)
    counter = PlainCounter(space.resolution)
    w_in = space.stem_w
    for part in STEMS[space.stem_type]:
        if part == "pool":
            counter.shrink(2)
            counter.acts += w_in * counter.side**2
        else:
            counter.conv(3, w_in, *part)
    for d, w, b, g, stride in zip(ds, ws, bs, gs, strides, strict=True):
        for i in range(d):
            counter.block(space.block_type, w_in, w, stride if i == 0 else 1, b, g)
            w_in = w
    if space.head_w:
        counter.conv(w_in, space.head_w)
        w_in = space.head_w
    linear = (w_in + 1) * space.num_classes
    return counter.flops + linear, counter.params + linear, counter.acts + space.num_classes


def sample_plain(
    space: DesignSpace, rng: random.Random
) -> tuple[list, list, list, list, int, int, int]:
    """Draw, adjust and count one architecture."""
    if isinstance(space, RegNetX):
        drawn = draw_plain_regnet(space, rng)
        return *drawn, *count_plain(space, *drawn)
    ds, ws, bs, gs = draw_plain(space, rng)
    fitted = [adjust_plain(w, b, g) for w, b, g in zip(ws, bs, gs, strict=True)]
    ws, gs = [w for w, _ in fitted], [g for _, g in fitted]
    return ds, ws, bs, gs, *count_plain(space, ds, ws, bs, gs)


def _time_plain(space: DesignSpace, count: int, seed: int) -> float:
    rng = random.Random(seed)
    start = time.perf_counter()
    for _ in range(count):
        sample_plain(space, rng)
    return count / (time.perf_counter() - start)


def _time_ours(space: DesignSpace, count: int, seed: int) -> float:
    chunk = 4096
    start = time.perf_counter()
    for first in range(0, count, chunk):
        space.draw(seed, first, min(chunk, count - first))
    return count / (time.perf_counter() - start)


def _time_process(space: DesignSpace, n: int) -> float:
    """Return the seconds of the tool as a whole process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(TOOL), "--out", f"{folder}/population.csv", "-n", str(n)]
        command += ["--flops", *map(str, FLOPS), "--stem-type", space.stem_type]
        command += ["--stem-w", str(space.stem_w)]
        if isinstance(space, AnyNetX):
            command += ["--space", space.space, "--strides", *map(str, space.strides)]
        else:
            command += ["--space", "RegNetX"]
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure all spaces and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="size of the population (500)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each kind (5)")
    parser.add_argument("--draws", type=int, default=1_000_000, help="draws of each (1000000)")
    args = parser.parse_args()
    for name, space in SPACES.items():
        drawn = space.sample(args.n, 0, flops=FLOPS).provenance
        assert drawn is not None
        ours, plain, processes = [], [], []
        for repeat in range(args.repeats):
            ours.append(_time_ours(space, args.draws, repeat))
            plain.append(_time_plain(space, max(1, args.draws // 500), repeat))
            processes.append(_time_process(space, args.n))
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        print(
            f"{name}\n"
            f"  drawn and counted a second, one process: {statistics.median(ours):,.0f} "
            f"({min(ours):,.0f} to {max(ours):,.0f})\n"
            f"  plain implementation: {statistics.median(plain):,.0f} a second; "
            f"ratio {ratio:.0f}\n"
            f"  in 360 to 400 MF: {100 * drawn.accepted / drawn.drawn:.2f} % of "
            f"{drawn.drawn:,} draws\n"
            f"  {args.n} architectures, whole process: {statistics.median(processes):.2f} s "
            f"({min(processes):.2f} to {max(processes):.2f})"
        )


if __name__ == "__main__":
    main()
