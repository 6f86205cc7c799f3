#!/usr/bin/env python3
"""Times of launching on a real Slurm that is started for it: submitting, starting, running jobs.

Submitting is the whole command for a sweep of N runs, each a job of its own, against one sbatch
a job (which is timed on fewer jobs). Starting is that of a job's own process with nothing to do,
and of a worker process until it takes work, against Python alone. Jobs a minute is of jobs with one
run that only writes its result, as many at a time as the machine has cores: what launching costs.

    python dev/bench_launch.py -n 5000
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pycls.core.runs.record import write_record

DEV = Path(__file__).resolve().parent
TOOL = DEV.parent / "tools" / "sweep_launch.py"
SWEEP = """
NAME: trivial
SETUP: {{NUM_CONFIGS: 1, SAMPLERS: {{RNG_SEED: {{TYPE: int_sampler, RANGE: [1, 2]}}}}}}
LAUNCH:
  {{NUM_GPUS: 0, CPUS_PER_GPU: 1, MEM_PER_GPU: 0.1, TIME_LIMIT: 30, RUNS_PER_JOB: 1,
  PARALLEL_JOBS: {parallel}, MAX_JOBS: {most}}}
"""


def write_result(cfg) -> None:
    """Be done with a run; what jobs do here."""
    Path(cfg.OUT_DIR).mkdir(parents=True)
    write_record(cfg.OUT_DIR, {"status": "done", "started": "2026-01-01T00:00:00+00:00"})


def make_sweep(folder: Path, runs: int, parallel: int) -> list[str]:
    """Write a sweep of runs that differ in nothing; return the arguments that name it."""
    (folder / "trivial" / "cfgs").mkdir(parents=True)
    (folder / "sweep.yaml").write_text(SWEEP.format(parallel=parallel, most=runs + 2))
    for i in range(runs):
        text = f"OUT_DIR: {folder}/trivial/logs/{i:06d}\nRNG_SEED: {i}\n"
        (folder / "trivial" / "cfgs" / f"{i:06d}.yaml").write_text(text)
    return ["--sweep-cfg", str(folder / "sweep.yaml"), "--root-dir", str(folder)]


def timed(command: list[str], **given) -> tuple[float, str]:
    """Return the seconds of a command, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, **given)
    return time.perf_counter() - start, done.stdout


def time_submission(folder: Path, runs: int) -> float:
    """Return the seconds of the whole command, jobs being held."""
    words = make_sweep(folder, runs, parallel=128)
    held = ["LAUNCH.SBATCH", "{hold: True}"]
    seconds, printed = timed([sys.executable, str(TOOL), *words, "--yes", *held])
    print(printed)
    return seconds


def time_plain(folder: Path, jobs: int) -> float:
    """Return the seconds of one sbatch a job, for one."""
    script = folder / "plain.sh"
    script.write_text("#!/bin/sh\n")
    start = time.perf_counter()
    for _ in range(jobs):
        timed(["sbatch", "--hold", "--output=/dev/null", str(script)])
    return (time.perf_counter() - start) / jobs


def time_starts(folder: Path, repeats: int) -> dict[str, float]:
    """Return the median seconds until a job's processes are ready to work."""
    arguments = [str(folder / "trivial"), "1"]
    environment = {
        **os.environ, "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "1",
    }  # fmt: skip
    commands = {
        "Python alone": ["-c", "pass"],
        "a job's own process": ["-m", "pycls.launch.job", *arguments],
        "a worker process": ["-m", "pycls.pool.worker"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, words in commands.items():
            seconds, _ = timed([sys.executable, *words], stdin=subprocess.DEVNULL, env=environment)
            times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def time_jobs(folder: Path, runs: int) -> float:
    """Return the seconds of launching jobs and waiting for the end of all of them."""
    from pycls.launch.submit import Launcher
    from pycls.launch.work import sweep_work
    from pycls.slurm.client import Slurm
    from pycls.sweep.file import load_sweep_cfg

    make_sweep(folder, runs, parallel=os.cpu_count() or 1)
    sweep = load_sweep_cfg(folder / "sweep.yaml", ["LAUNCH.FOLLOW_UP", False], folder)
    os.environ["PYTHONPATH"] = str(DEV)
    launcher = Launcher(sweep_work(sweep), Slurm(), task="bench_launch:write_result")
    start = time.perf_counter()
    launcher.launch(lambda text: True)
    while Slurm().jobs():
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    done = len(list((folder / "trivial" / "logs").glob("*/run.json")))
    if done != runs:
        raise SystemExit(f"only {done} of {runs} runs are done")
    return seconds


def main() -> None:
    """Measure and print."""
    from slurm_cluster import ClusterOptions, SlurmCluster

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=5000, help="runs that are submitted (5000)")
    parser.add_argument("--jobs", type=int, default=100, help="jobs that are run (100)")
    parser.add_argument("--plain", type=int, default=50, help="jobs of the plain way (50)")
    parser.add_argument("--repeats", type=int, default=9, help="starts of each kind (9)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = SlurmCluster(folder / "slurm", ClusterOptions())
        cluster.start(stop_with_parent=True)
        try:
            os.environ.update(cluster.environment())
            submission = time_submission(folder / "many", args.n)
            plain = time_plain(folder, args.plain) * args.n
            cluster.clear()
            seconds = time_jobs(folder / "few", args.jobs)
            starts = time_starts(folder / "few", args.repeats)
        finally:
            cluster.stop(wipe=True)
    print(
        f"{args.n:,} runs, a job each: submitted in {submission:.1f} s; "
        f"one sbatch a job: {plain / submission:.1f} times as long"
    )
    print("start: " + ", ".join(f"{what} {each:.2f} s" for what, each in starts.items()))
    print(
        f"{args.jobs:,} jobs of one run that does nothing, {os.cpu_count()} at a time: "
        f"{60 * args.jobs / seconds:.0f} jobs a minute, {seconds / args.jobs:.2f} s each"
    )


if __name__ == "__main__":
    main()
