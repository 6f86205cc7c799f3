#!/usr/bin/env python3
"""How long a sweep's set-up takes as a whole process, against a plain way in the same run.

The plain way copies a configuration for each draw and counts the network by walking its
modules. It is timed on fewer draws, after its imports; the ratio is of draws a second, the
whole process (start, imports, checks, files, figure) against the plain loop alone.

    python dev/bench_sweep_setup.py
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pycls.core.config.load import layer_cfg
from pycls.models.counting import complexity
from pycls.strict_yaml import dump_yaml
from pycls.sweep.draw import fit_lists
from pycls.sweep.file import load_sweep_cfg
from pycls.sweep.samplers import build_samplers, draw_rows
from pycls.sweep.setup import plan_sweep

TOOL = Path(__file__).resolve().parent.parent / "tools" / "sweep_setup.py"


def stages_of(kind: str, rand_type: str, low: float, high: float, quantum: float = 1) -> dict:
    """Return a sampler of one number for each of four stages."""
    item = {"TYPE": kind, "RAND_TYPE": rand_type, "RANGE": [low, high], "QUANTIZE": quantum}
    return {"TYPE": "list_sampler", "LENGTH": 4, "ITEM_SAMPLER": item}


SWEEP = {
    "NAME": "bench",
    "SETUP": {
        "SAMPLERS": {
            "ANYNET.DEPTHS": stages_of("int_sampler", "log_uniform", 1, 16),
            "ANYNET.WIDTHS": stages_of("int_sampler", "log_uniform", 16, 1024, 8),
            "ANYNET.BOT_MULS": stages_of("float_sampler", "power2_uniform", 0.25, 1.0, 0.25),
            "ANYNET.GROUP_WS": stages_of("int_sampler", "power2_uniform", 1, 32),
        },
        "CONSTRAINTS": {"CX": {"FLOPS": [360e6, 400e6]}},
        "BASE_CFG": {
            "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 1000},
            "ANYNET": {"STEM_TYPE": "simple_stem_in", "STEM_W": 32, "STRIDES": [2, 2, 2, 2]},
            "TRAIN": {"DATASET": "imagenet", "IM_SIZE": 224},
            "TEST": {"DATASET": "imagenet"},
        },
    },
}
LISTS = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")


def time_process(path: Path, folder: Path) -> float:
    """Return the seconds that the tool takes, from start to end."""
    command = [sys.executable, str(TOOL), "--sweep-cfg", str(path), "--root-dir", str(folder)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def time_plain(path: Path, draws: int) -> float:
    """Return the seconds of `draws` draws, each a copied configuration and a counted network."""
    sweep = load_sweep_cfg(path)
    columns = draw_rows(list(build_samplers(sweep).values()), 0, 0, draws)
    columns |= fit_lists(*(columns[key] for key in LISTS[1:]))
    rows = list(zip(*(columns[key].tolist() for key in LISTS), strict=True))
    first = [item for pair in zip(LISTS, rows[0], strict=True) for item in pair]
    base = layer_cfg([("base", sweep.setup["BASE_CFG"])], first)
    start = time.perf_counter()
    for row in rows:
        cfg = base.clone()
        cfg.defrost()
        cfg.merge_from_list([item for pair in zip(LISTS, row, strict=True) for item in pair])
        complexity(cfg)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="configurations (500)")
    parser.add_argument("--draws", type=int, default=200, help="draws of the plain way (200)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each kind (5)")
    args = parser.parse_args()
    SWEEP["SETUP"]["NUM_CONFIGS"] = args.n
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sweep.yaml"
        path.write_text(dump_yaml(SWEEP))
        drawn = plan_sweep(load_sweep_cfg(path)).draws.drawn
        time_plain(path, 20)  # imports
        processes, ratios = [], []
        for repeat in range(args.repeats):
            processes.append(time_process(path, Path(name) / str(repeat)))
            ratios.append(time_plain(path, args.draws) / args.draws * drawn / processes[-1])
    print(
        f"{args.n} AnyNetX configurations in 360 to 400 MF, {drawn:,} draws, whole process, files "
        f"written: {statistics.median(processes):.2f} s "
        f"({min(processes):.2f} to {max(processes):.2f})\n"
        f"plain way for as many draws: {statistics.median(ratios):.0f} times as long "
        f"({min(ratios):.0f} to {max(ratios):.0f})"
    )


if __name__ == "__main__":
    main()
