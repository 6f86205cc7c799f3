#!/usr/bin/env python3
"""How long it takes to collect a sweep's logs, against a plain way in the same run.

The logs are written by the project's own formatter, a few dozen different ones, each copied
many times; they lie in memory when they are read. The first collection reads everything, the
second nothing, the third after some of the logs have grown. Whole processes of
tools/sweep_collect.py are timed. The plain way parses every record of a log, in one process,
without writing anything; it is timed on fewer logs.

    python dev/bench_collect.py -n 7500 --kb 256        (2 GB of temporary files)
"""

import argparse
import json
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, dump_cfg
from pycls.core.runs.log import STATS_TAG, RunLog
from pycls.core.runs.record import write_record
from pycls.strict_yaml import dump_yaml
from pycls.sweep.folder import SweepFolder

TOOL = Path(__file__).resolve().parent.parent / "tools" / "sweep_collect.py"
EPOCHS = 20
DIFFERENT = 40
NETWORK = [
    "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 2, 6, 2], "ANYNET.WIDTHS", [24, 64, 160, 400],
    "ANYNET.STRIDES", [2, 2, 2, 2], "ANYNET.BOT_MULS", [1.0, 0.5, 1.0, 0.25],
    "ANYNET.GROUP_WS", [8, 8, 16, 20], "OPTIM.MAX_EPOCH", EPOCHS,
]  # fmt: skip


def write_log(path: Path, kilobytes: int, seed: int) -> None:
    """Write the log of a run of 20 epochs, of about the size that is asked for."""
    draw = random.Random(seed)
    cfg = load_cfg(None, NETWORK)
    records = max(1, (kilobytes * 1024 - 12_000) // EPOCHS // 245)  # bytes of an iteration record
    lowest = 100.0
    with RunLog(path) as log:
        log.config(cfg_to_dict(cfg))
        log.stats({"flops": 380_000_000 + seed, "params": 9_000_000, "acts": 4_000_000},
                  "complexity")  # fmt: skip
        for epoch in range(1, EPOCHS + 1):
            shared = {"epoch": f"{epoch}/{EPOCHS}", "mem": 1234, "lr": 0.05}
            for i in range(1, records + 1):
                log.stats({**shared, "iter": f"{10 * i}/{10 * records}", **_errors(draw),
                           "eta": "00,00:04:28", "loss": draw.uniform(1, 3),
                           "time_diff": draw.random()}, "train_iter")  # fmt: skip
            log.stats({**shared, **_errors(draw), "loss": draw.uniform(1, 3),
                       "eta": "00,00:04:28", "time_epoch": 98.8}, "train_epoch")  # fmt: skip
            for kind in ("test_epoch", "test_ema_epoch"):
                errors = _errors(draw)
                lowest = min(lowest, errors["top1_err"])
                log.stats({**shared, **errors, "min_top1_err": lowest, "min_top5_err": lowest / 2,
                           "time_epoch": 5.2}, kind)  # fmt: skip


def _errors(draw: random.Random) -> dict[str, float]:
    top1 = draw.uniform(20, 90)
    return {"top1_err": top1, "top5_err": top1 / 2, "time_avg": draw.random()}


def write_sweep(folder: SweepFolder, logs: int, kilobytes: int) -> float:
    """Write a sweep of finished runs; return the mean size of a log in KB."""
    texts = []
    for seed in range(DIFFERENT):
        path = folder.path.parent / "log"
        path.unlink(missing_ok=True)
        write_log(path, kilobytes, seed)
        texts.append(path.read_bytes())
    cfg_text = dump_cfg(load_cfg(None, NETWORK))
    (folder.path / "cfgs").mkdir(parents=True)
    folder.summary.write_text(dump_yaml({f"{run:06d}": _drawn(run) for run in range(logs)}))
    for run in range(logs):
        folder.cfg(run).write_text(cfg_text)
        out_dir = folder.out_dir(run)
        out_dir.mkdir(parents=True)
        (out_dir / "stdout.log").write_bytes(texts[run % DIFFERENT])
        (out_dir / "stderr.log").touch()
        epochs = [{"epoch": i + 1, "data": 0.1, "step": 98.2} for i in range(EPOCHS)]
        write_record(out_dir, {"status": "done", "epochs": epochs, "seconds": 2000.0})
    return statistics.fmean(map(len, texts)) / 1024


def _drawn(run: int) -> dict:
    """Return what was drawn for a run, as a sweep's summary has it."""
    lists = dict(zip(NETWORK[2:10:2], map(list, NETWORK[3:11:2]), strict=True))
    counts = {"flops": 380_000_000 + run, "params": 9_000_000, "acts": 4_000_000}
    return {**lists, "OPTIM.BASE_LR": 0.1 + run / 1e4, "complexity": counts}


def time_tool(folder: SweepFolder) -> float:
    """Return the seconds that the tool takes, from start to end."""
    command = [sys.executable, str(TOOL), "--folder", str(folder.path)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def peak_mib() -> float:
    """Return the most memory that one process of the tool, or one that it started, has had."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def time_plain(folder: SweepFolder, logs: int) -> float:
    """Return the seconds of parsing every record of some logs."""
    start = time.perf_counter()
    for run in range(logs):
        records = []
        with (folder.out_dir(run) / "stdout.log").open() as file:
            for line in file:
                if STATS_TAG in line:
                    records.append(json.loads(line[line.find(STATS_TAG) + len(STATS_TAG) :]))
    return time.perf_counter() - start


def grow(folder: SweepFolder, logs: int) -> None:
    """Let some logs have their last epoch once more, as a run that was started again would."""
    for run in range(logs):
        path = folder.out_dir(run) / "stdout.log"
        last = re.findall(rb"[^\n]*_epoch\", \"epoch\": \"20/20[^\n]*\n", path.read_bytes())
        with path.open("ab") as file:
            file.write(b"".join(last))


def forget(folder: SweepFolder) -> None:
    """Remove what a collection wrote."""
    for name in (".collect.cache", "sweep.json", "results.csv", "curves.csv"):
        (folder.path / name).unlink(missing_ok=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=500, help="logs (500)")
    parser.add_argument("--kb", type=int, default=256, help="size of a log in KB (256)")
    parser.add_argument("--plain", type=int, default=100, help="logs of the plain way (100)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each kind (3)")
    args = parser.parse_args()
    plain = min(args.plain, args.n)
    rows: dict[str, list[float]] = {"first": [], "unchanged": [], "1 in 100 grown": []}
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        folder = SweepFolder(Path(name) / "sweep")
        size = write_sweep(folder, args.n, args.kb)
        for _ in range(args.repeats):
            forget(folder)
            rows["first"].append(time_tool(folder))
            ratios.append(time_plain(folder, plain) / plain * args.n / rows["first"][-1])
            rows["unchanged"].append(time_tool(folder))
            grow(folder, max(1, args.n // 100))
            rows["1 in 100 grown"].append(time_tool(folder))
    print(f"{args.n:,} logs of {size:.0f} KB, {EPOCHS} epochs; seconds of a whole process")
    for label, times in rows.items():
        print(f"  {label}: {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})")
    print(
        f"plain way, one process: {statistics.median(ratios):.1f} times as long as the first "
        f"({min(ratios):.1f} to {max(ratios):.1f})"
    )
    print(f"memory of a process of the tool, at most: {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
