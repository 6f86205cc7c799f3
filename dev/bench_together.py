"""Several small networks of one process against the pool, in which each run has a worker to itself.

    python dev/bench_together.py [--runs 8] [--epochs 4] [--repeats 3]

Both ways use as many workers as there are cores. Together, each worker trains its part of the runs
in turns, on batches that are made once. Says what they take (wall clock, and processor time of all
workers), the ratio, and whether the weights are the same to the byte.
"""

import argparse
import os
import resource
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pycls.core.weights.resume_point import load_newest
from pycls.cores import usable_cores
from pycls.datasets.preparation.prepare import prepare
from pycls.pool.pool import run_jobs
from pycls.pool.seats import Seat
from pycls.pool.worker_process import Job

_CFG = Path(__file__).resolve().parents[1] / "configs/embedded/digits_anynet.yaml"


def main() -> None:
    """Measure both ways in turn and compare the weights."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=8, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="of each (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of each way (%(default)s)")
    args = parser.parse_args()
    workers = min(usable_cores(), args.runs)
    each = -(-args.runs // workers)
    ways = {"alone": 1, "together": each}
    spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare("digits", folder / "data")
        for repeat in range(args.repeats):
            for way, at_once in ways.items():
                jobs = [_job(folder, f"{way}{repeat}", i, args.epochs) for i in range(args.runs)]
                spent[way].append(_seconds(jobs, [Seat(1, at_once=at_once)] * workers))
        last = args.repeats - 1
        same = [
            _equal(folder / f"alone{last}_{i}", folder / f"together{last}_{i}")
            for i in range(args.runs)
        ]
    for way, times in spent.items():
        wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{way}: {wall:.2f} s, {processor:.2f} s of processors; medians of {args.repeats}")
    for place, what in enumerate(("wall clock", "processor time")):
        ratios = [b[place] / a[place] for a, b in zip(*spent.values(), strict=True)]
        print(f"ratio, {what}: {statistics.median(ratios):.3f} ({min(ratios):.3f} to "
              f"{max(ratios):.3f})")  # fmt: skip
    print(f"{sum(same)} of {args.runs} networks are the same to the byte")


def _job(folder: Path, name: str, number: int, epochs: int) -> Job:
    out_dir = folder / f"{name}_{number}"
    words = {
        "DATA.DIR": folder / "data", "OUT_DIR": out_dir, "DEVICE": "cpu", "NUM_THREADS": 1,
        "OPTIM.MAX_EPOCH": epochs, "PREC_TIME.NUM_ITER": 0, "LOG_DEST": "file",
        "ANYNET.STEM_W": 8 + 2 * number,
    }  # fmt: skip
    overrides = [str(word) for pair in words.items() for word in pair]
    return Job(f"{name}/{number}", name, _CFG, out_dir, tuple(overrides))


def _seconds(jobs: list[Job], seats: list[Seat]) -> tuple[float, float]:
    """Return wall-clock and processor seconds of doing all jobs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with Path(os.devnull).open("w") as quiet:
        outcome = run_jobs(jobs, seats, stream=quiet)
    wall = time.perf_counter() - start
    if len(outcome.done) < len(jobs):
        raise SystemExit(f"not all were trained: {outcome}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime"))


def _equal(first: Path, second: Path) -> bool:
    states = []
    for out_dir in (first, second):
        newest = load_newest(out_dir)
        if newest is None:
            return False
        states.append(newest[1]["model_state"])
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


if __name__ == "__main__":
    main()
