"""Sweeps whose runs only write their result, launched on Slurm, and what became of them."""

import contextlib
import json
import os
import re
import time
from collections import Counter
from pathlib import Path

from sweep_files import RATES, write

from pycls.launch.ledger import Ledger
from pycls.launch.submit import Launcher
from pycls.launch.work import sweep_work
from pycls.slurm.client import Slurm
from pycls.sweep.file import load_sweep_cfg

FOLDER = str(Path(__file__).resolve().parent)
SMALL = (
    "LAUNCH.NUM_GPUS", 0, "LAUNCH.CPUS_PER_GPU", 1, "LAUNCH.MEM_PER_GPU", 0.1,
    "LAUNCH.TIME_LIMIT", 30,
)  # fmt: skip
WRITE, WAIT, WAIT_FOR_THIRD, FAIL, STEPS = (
    f"launch_tasks:{name}"
    for name in ("write_result", "wait_for_leave", "wait_for_third", "fail_at_first", "take_steps")
)
HELD = ("LAUNCH.SBATCH", "{hold: True}")


def make_sweep(folder, runs, *overrides, name="rates"):
    """Return a sweep that is set up, its runs with the seeds 0, 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write(folder / "rates.yaml", RATES, {("NAME",): name})
    sweep = load_sweep_cfg(path, [*SMALL, *overrides], folder / "sweeps")
    (sweep.folder / "cfgs").mkdir(parents=True, exist_ok=True)
    for i in range(runs):
        text = f"OUT_DIR: {json.dumps(str(sweep.folder / 'logs' / f'{i:06d}'))}\nRNG_SEED: {i}\n"
        (sweep.folder / "cfgs" / f"{i:06d}.yaml").write_text(text)
    return sweep_work(sweep)


def launch(work, *, task=WRITE, again=None, confirm=lambda _: True, **given):
    """Launch a sweep; return the number of jobs and what was said."""
    said = []

    def ask(text):
        said.append(text)
        return confirm(text)

    # Jobs find the task, which is no part of the code that is copied for them.
    with python_path():
        launcher = Launcher(work, Slurm(), task=task, pause_s=0.0, say=said.append, **given)
        jobs = launcher.launch(ask, again=again)
    return jobs, "\n".join(said)


class python_path:  # noqa: N801  # used as a function
    """Have Python processes started meanwhile find the tests' modules."""

    def __enter__(self):
        self._before = os.environ.get("PYTHONPATH")
        places = [FOLDER, str(Path(FOLDER).parent), self._before or ""]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, places))

    def __exit__(self, *_):
        os.environ.pop("PYTHONPATH")
        if self._before is not None:
            os.environ["PYTHONPATH"] = self._before


def jobs_of_runs(work):
    """Return {run: how many jobs of Slurm's queue will train it}."""
    by_name = {s.name: s for s in Ledger(work.folder).submissions()}
    found = Counter()
    for job in Slurm().jobs():
        submission = by_name.get(job.name)
        if submission is not None and submission.kind == "runs" and not submission.void:
            found.update(run["id"] for run in submission.chunks[job.index])
    return found


def follow_ups(work):
    """Return the jobs in Slurm's queue that look after others."""
    names = {s.name for s in Ledger(work.folder).submissions() if s.kind == "follow-up"}
    return [job for job in Slurm().jobs() if job.name in names]


def times(work):
    """Return {run: how often its result was written}."""
    found = {}
    for run in work.runs():
        path = run.out_dir / "times"
        found[run.id] = len(path.read_text().splitlines()) if path.exists() else 0
    return found


def logs(work):
    """Return what all jobs have printed."""
    paths = sorted((work.folder / "launch").glob("[0-9]*/*.log"))
    return "\n".join(path.read_text() for path in paths)


def drivers(folder):
    """Return {index in its array: process} of the jobs of a sweep's folder that are at work."""
    found, name = {}, os.fsencode(Path(folder).resolve())
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"pycls.launch.job" in words and name in words:
                text = (process / "environ").read_bytes()
                found[int(re.search(rb"SLURM_ARRAY_TASK_ID=(\d+)", text)[1])] = int(process.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def fill(path):
    """Leave no room on a disk."""
    path.touch()
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def watch_queue(is_over, seconds=600):
    """Look at the queue until a condition on the jobs in it holds.

    Returns:
        (jobs, those of them that train) of each look.
    """
    seen, deadline = [], time.monotonic() + seconds
    slurm = Slurm()
    while not is_over(jobs := slurm.jobs()):
        assert time.monotonic() < deadline, "waited in vain"
        training = [j for j in jobs if j.state == "RUNNING" and "-follow-up-" not in j.name]
        seen.append((len(jobs), len(training)))
        time.sleep(0.1)  # looking takes the cores from the jobs
    return seen
