#!/usr/bin/env python3
"""Time of `status` of a large study, as a whole process, against plainly reading everything.

A study of 500 architectures under some seeds in a temporary folder: most of its runs are
finished, some go on (this process holds their leases), some failed or stopped, the rest is in a
queue that a stand-in for squeue prints. Records and logs are as long as those of real runs. The
plain way reads the record and the whole log of every run, in one process, and parses what it
reads; it is timed on fewer runs.

    python dev/bench_status.py -n 7500
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, dump_cfg
from pycls.core.runs.lease import run_lease
from pycls.core.runs.log import STATS_TAG, RunLog
from pycls.core.runs.record import write_record
from pycls.launch.ledger import Ledger
from pycls.slurm.records import QUEUE_FORMAT

TOOL = Path(__file__).resolve().parent.parent / "tools" / "study.py"
ARCHS = 500
EPOCHS = 100
LOGS = 20  # different ones, which the runs share
JOB = 1000
STUDY = """
name: large
population: {{space: {{}}, size: {size}, flops: [360.0e+6, 400.0e+6]}}
datasets:
  cifar10: {{}}
  seeds: {{of: cifar10, control: repeats, seeds: {{count: {seeds}}}}}
"""


def write_log(path: Path, iterations: int, epochs: int = EPOCHS) -> None:
    """Write the log of a run that has come to some epoch, with iteration records in each."""
    with RunLog(path) as log:
        log.config(cfg_to_dict(load_cfg(None, ["OPTIM.MAX_EPOCH", EPOCHS])))
        for epoch in range(1, epochs + 1):
            shared = {
                "epoch": f"{epoch}/{EPOCHS}", "mem": 1234, "lr": 0.05, "time_avg": 0.05,
                "eta": "00,01:04:28", "loss": 1.5, "top1_err": 50.0, "top5_err": 20.0,
            }  # fmt: skip
            for i in range(iterations):
                log.stats({**shared, "iter": f"{i + 1}/{iterations}"}, "train_iter")
            log.stats({**shared, "time_epoch": 20.0}, "train_epoch")
            log.stats({**shared, "time_epoch": 2.0, "min_top1_err": 50.0}, "test_epoch")


def describe(status: str) -> dict:
    """Return a record as long as that of a real run."""
    each = {"data": 0.123, "step": 19.456, "evaluation": 2.345, "checkpoint": 0.123}
    count = EPOCHS if status == "done" else EPOCHS // 2
    return {
        "status": status, "started": "2026-01-02T03:04:05+00:00", "config_hash": "c" * 64,
        "environment": {"host": "node", "device": "x" * 300}, "seconds": 2200.0,
        "epochs": [{"epoch": i + 1, **each} for i in range(count)],
    }  # fmt: skip


def fill(folder: Path, args: argparse.Namespace, logs: list[Path], stack: ExitStack) -> None:
    """Leave what the runs of a study leave that is four fifths done."""
    cfg = dump_cfg(load_cfg(None, ["OPTIM.MAX_EPOCH", EPOCHS]))
    paths = sorted(folder.glob("*/cfgs/*.yaml"))
    begun = len(paths) * 4 // 5
    for i, path in enumerate(paths[: begun + args.running]):
        status = "running" if i >= begun else "failed" if i % 100 == 0 else "done"
        out_dir = path.parents[1] / "logs" / path.stem
        out_dir.mkdir(parents=True)
        record = describe(status)
        if status == "failed":
            failure = {"reason": "the loss is nan", "ended": "", "host": "node1", "job": "1_2"}
            record.update(reason="the loss is nan", failures=[failure] * 4)
        write_record(out_dir, record)
        (out_dir / "config.yaml").write_text(cfg)
        if status == "running":
            write_log(out_dir / "stdout.log", args.iterations, EPOCHS // 2)
            stack.enter_context(run_lease(out_dir))
        else:
            os.link(logs[i % len(logs)], out_dir / "stdout.log")
    chunks = [
        [{"id": f"{p.parents[1].name}/{p.stem}", "out_dir": str(p.parents[1] / "logs" / p.stem)}]
        for p in paths[begun:]
    ]
    ledger = Ledger(folder)
    ledger.root.mkdir()
    ledger.add("large", chunks, {"throttle": args.running}).mark_submitted(JOB)


def write_squeue(folder: Path, name: str, jobs: int, running: int) -> None:
    """Write stand-ins for Slurm's commands; squeue prints a queue."""
    fields = {"%F": str(JOB), "%j": name, "%r": "Priority", "%P": "debug"}
    text = ""
    for i in range(jobs):
        values = {**fields, "%K": str(i), "%A": str(JOB + i)}
        values["%T"] = "RUNNING" if i < running else "PENDING"
        line = QUEUE_FORMAT
        for key in ("%F", "%K", "%A", "%T", "%r", "%N", "%S", "%P", "%j"):
            line = line.replace(key, values.get(key, ""))
        text += f"{line}\n"
    (folder / "queue").write_text(text)
    scripts = {
        "squeue": f"cat {folder}/queue", "sbatch": "exit 1", "sacct": "exit 1",
        "scontrol": "echo 'Slurmctld(primary) at here is UP'",
    }  # fmt: skip
    for command, line in scripts.items():
        (folder / command).write_text(f"#!/bin/sh\n{line}\n")
        (folder / command).chmod(0o755)


def time_status(study: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Return the seconds of the whole process, and what it printed."""
    words = [sys.executable, str(TOOL), "status", str(study)]
    start = time.perf_counter()
    done = subprocess.run(
        words, cwd=study.parent, env=environment, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, done.stdout


def time_plain(out_dirs: list[Path]) -> float:
    """Return the seconds of reading every record and every line of every log of some runs."""
    start = time.perf_counter()
    for out_dir in out_dirs:
        json.loads((out_dir / "run.json").read_text())
        for line in (out_dir / "stdout.log").read_text().splitlines():
            if STATS_TAG in line:
                json.loads(line.partition(STATS_TAG)[2])
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=7500, help=f"runs, a multiple of {ARCHS} (7500)")
    parser.add_argument("--running", type=int, default=128, help="runs that go on (128)")
    parser.add_argument("--iterations", type=int, default=4, help="records an epoch (4)")
    parser.add_argument("--plain", type=int, default=300, help="runs of the plain way (300)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each kind (5)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        study = Path(name) / "large.yaml"
        study.write_text(STUDY.format(size=ARCHS, seeds=args.n // ARCHS - 1))
        words = [sys.executable, str(TOOL), "setup", str(study)]
        subprocess.run(words, cwd=name, check=True, capture_output=True)
        folder = Path(name) / "studies" / "large"
        logs = [Path(name) / f"log{i}" for i in range(LOGS)]
        for log in logs:
            write_log(log, args.iterations)
        fill(folder, args, logs, stack)
        (submission,) = Ledger(folder).submissions()
        bin_folder = Path(name) / "bin"
        bin_folder.mkdir()
        write_squeue(bin_folder, submission.name, submission.jobs, args.running)
        environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        out_dirs = sorted(path.parent for path in folder.glob("*/logs/*/run.json"))[: args.plain]
        times, ratios = [], []
        for _ in range(args.repeats):
            plain = time_plain(out_dirs) / len(out_dirs) * args.n
            seconds, text = time_status(study, environment)
            times.append(seconds)
            ratios.append(plain / seconds)
        print(text)
        size = logs[0].stat().st_size / 1024
    print(
        f"{args.n:,} runs, {args.running} of them going on, records of {EPOCHS} epochs, logs of "
        f"{size:.0f} KB\n"
        f"status, a whole process: {statistics.median(times):.2f} s "
        f"({min(times):.2f} to {max(times):.2f})\n"
        f"plain way: {statistics.median(ratios):.1f} times as long "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )


if __name__ == "__main__":
    main()
