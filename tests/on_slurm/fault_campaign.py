"""A sweep of short runs on a cluster, and what can happen to it there."""

import contextlib
import copy
import os
import random
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import yaml
from run_checkpoints import last_checkpoint
from slurm_cluster import processes
from slurm_queue import job_record, run, wait_until

from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import failures_of, read_record
from pycls.core.weights import checkpoint
from pycls.launch.ledger import Ledger
from pycls.launch.live_jobs import find_live_jobs
from pycls.launch.submit import Launcher
from pycls.launch.work import sweep_work
from pycls.slurm.client import Slurm
from pycls.sweep.file import load_sweep_cfg
from pycls.sweep.setup import plan_sweep, write_sweep

NETWORK = {
    "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 10},
    "ANYNET": {
        "STEM_TYPE": "res_stem_cifar", "STEM_W": 8, "BLOCK_TYPE": "res_basic_block",
        "DEPTHS": [1], "WIDTHS": [16], "STRIDES": [1],
    },
    "BN": {"USE_PRECISE_STATS": False},
    "OPTIM": {"MAX_EPOCH": 8, "EMA_UPDATE_PERIOD": 0},
    "TRAIN": {"DATASET": "digits", "IM_SIZE": 8, "BATCH_SIZE": 32},
    "TEST": {"DATASET": "digits", "IM_SIZE": 8, "BATCH_SIZE": 1000},
    "DATA": {"PAD": 1},
    "PREC_TIME": {"NUM_ITER": 0},
    "CHECKPOINT": {"KEEP": "last", "PERIOD": 0.0},  # there is no run of a minute
    "DEVICE": "cpu",
    "LOG_DEST": "file",
    "LOG_PERIOD": 1,  # for training_audit
}  # fmt: skip
LAUNCH = {
    "NUM_GPUS": 0, "CPUS_PER_GPU": 1, "MEM_PER_GPU": 0.75, "TIME_LIMIT": 60, "RUNS_PER_JOB": 2,
    "PARALLEL_JOBS": 3, "MAX_RETRY": 1,
}  # fmt: skip

PACED = Path(__file__).resolve().parents[1] / "pool" / "paced"

DIVERGES = {"OPTIM": {"BASE_LR": 1e30}}
# 200 TB and more, beyond any machine's address space: refused whatever the system promises.
TOO_WIDE = {"ANYNET": {"WIDTHS": [3_000_000]}}
# Some 2 GB, in jobs of 0.75: trains, where nobody minds.
TOO_LARGE = {"ANYNET": {"WIDTHS": [3072]}, "RNG_SEED": 99}


def make_sweep(folder, data_dir, configs, *, network=(), **launch):
    """Set up a sweep of these configurations over NETWORK; return its work."""
    folder.mkdir()
    base = copy.deepcopy(NETWORK)
    for section, keys in dict(network).items():
        base[section] |= keys
    base["DATA"]["DIR"] = str(data_dir)
    values = {
        "NAME": "nets",
        "SETUP": {"BASE_CFG": base, "CONFIGS": configs},
        "LAUNCH": {**LAUNCH, **launch},
    }
    (folder / "nets.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    sweep = load_sweep_cfg(folder / "nets.yaml", (), folder)
    write_sweep(plan_sweep(sweep))
    return sweep_work(sweep)


def paced(until, seconds=0.05):
    """Return lines of a job's setup: its trainings take their time until there is a file.

    At the default a run of NETWORK takes half a minute at least, on any processor.
    """
    return [
        f'export PYTHONPATH={shlex.quote(str(PACED))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        f"export PACE_S={seconds} PACE_UNTIL={shlex.quote(str(until))}",
    ]


def launch(work):
    """Submit what is missing; return the number of jobs."""
    return Launcher(work, Slurm()).launch(lambda text: True)


def seeds(*numbers):
    """Return configurations that differ by their seeds."""
    return [{"RNG_SEED": number} for number in numbers]


def out_dirs(work):
    return {run.id: run.out_dir for run in work.runs()}


def result_of(out_dir):
    """Return a run's errors and final weights."""
    path = last_checkpoint(out_dir)
    assert path is not None, f"{out_dir}: no checkpoint"
    return read_record(out_dir)["result"], checkpoint.load_checkpoint(path)["model_state"]


def job_logs(work):
    """Return {job: what it printed}."""
    paths = (work.folder / "launch").glob("[0-9]*/*.log")
    return {path.stem: path.read_text(errors="replace") for path in sorted(paths)}


class Victim:
    """A job at work.

    Attributes:
        name: "123_4".
        node: where it runs.
        runs: {run of it that is being trained: the process at it}.
        all_runs: names of all runs of the job.
        restarts: how often Slurm has started it again.
    """

    def __init__(self, live, out_dirs):
        self.name = live.queued.job_name
        self.node = live.queued.nodes
        self.all_runs = [run["id"] for run in live.submission.chunks[live.index]]
        state = live.submission.job_state(live.index)
        self.restarts = state.restarts if state else 0
        owners = {run: find_owner(out_dirs[run]) for run in self.all_runs}
        # An earlier start may still be at a run (fault `cut_off`): that is not this job's.
        self.runs = {
            run: owner.pid
            for run, owner in owners.items()
            if owner is not None and owner.is_here and (owner.job, owner.restarts)
            == (self.name, self.restarts)
        }  # fmt: skip


class Campaign:
    """Applies faults to what was launched.

    Args:
        cluster: where it runs.
        work: what was launched.
        spared: runs that no fault may cost a try.
        seed: of all that is random.

    Attributes:
        count: how often each fault had an effect.
        told: {(job, restarts): what befell this start of it}.
        diary: what was done when.
    """

    def __init__(self, cluster, work, spared, seed):
        self.cluster, self.work = cluster, work
        self.rng = random.Random(seed)
        self.count = Counter()
        self.told = {}
        self.limited = set()  # keys as of `told`: starts that came to their time limit
        self.diary = []
        self._began = time.monotonic()
        self._out_dirs = out_dirs(work)
        self._ledger = Ledger(work.folder)
        self._slurm = Slurm(patience_s=120.0)
        self._max_retry = work.options.max_retry
        self._harmed = Counter(dict.fromkeys(spared, self._max_retry))

    def apply(self, fault, seconds=600):
        """Apply a fault to a job at some moment of its work, until it had an effect."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(1.0, deadline - time.monotonic())
            wait_until(lambda: self._find(fault), left, f"a job for {fault}")
            time.sleep(self.rng.uniform(0, 0.7))
            victim = self._find(fault)
            if victim is None:
                continue
            self._note(f"{fault}: {victim.name} on {victim.node}, at {sorted(victim.runs)}")
            getattr(self, f"_{fault}")(victim)
            if _EFFECTS.get(fault, Campaign._always)(self, victim):
                self.count[fault] += 1
                return
            self._note(f"{fault}: too late")

    def _note(self, text):
        self.diary.append(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def _find(self, fault):
        victims = [victim for victim in self._at_work() if self._may(fault, victim)]
        return self.rng.choice(victims) if victims else None

    def _at_work(self):
        live = find_live_jobs(self._ledger, self._slurm.jobs())
        victims = [
            Victim(job, self._out_dirs)
            for job in live
            if job.queued.state == "RUNNING" and job.submission.kind == "runs"
        ]
        return [victim for victim in victims if victim.runs]

    def _may(self, fault, victim):
        """Say whether a fault leaves each run of a job a try."""
        if (victim.name, victim.restarts) in self.told:
            return False  # it is leaving
        if not fault.startswith("kill_") or fault == "kill_node":
            return True
        statuses = {(read_record(self._out_dirs[run]) or {}).get("status") for run in victim.runs}
        return statuses == {"running"} and all(
            self._harmed[run] < self._max_retry for run in victim.runs
        )

    def _signal(self, victim, name, *options):
        # Where the job's node is just lost, it tries for long.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["scancel", f"--signal={name}", *options, victim.name], check=False, timeout=15
            )

    def _tell(self, victim, fault, name):
        self.told[victim.name, victim.restarts] = fault
        self._signal(victim, name, "--batch")

    # ------------------------------------------------------------ faults

    def _usr2(self, victim):
        self._tell(victim, "usr2", "USR2")

    def _usr1(self, victim):
        self._tell(victim, "usr1", "USR1")

    def _term(self, victim):
        self._tell(victim, "term", "TERM")

    def _usr2_to_steps(self, victim):
        """Send a signal to steps, of which the job has none: to be survived."""
        self._signal(victim, "USR2")

    def _requeue(self, victim):
        self.told[victim.name, victim.restarts] = "requeue"
        run("scontrol", "requeue", victim.name, check=False)

    def _preempt(self, victim):
        self._tell_node(victim.node, "preempt")
        run(
            "sbatch", "--partition=high", f"--nodelist={victim.node}", "--exclusive",
            "--output=/dev/null", "--wrap=sleep 0.5",
        )  # fmt: skip

    def _kill_node(self, victim):
        """Lose a node, and all that runs there, as by a power cut."""
        self._tell_node(victim.node, "kill_node")
        self.cluster.kill_node(victim.node)
        self.cluster.node_down(victim.node)
        time.sleep(self.rng.uniform(0, 2))
        self.cluster.node_up(victim.node)

    def _cut_off(self, victim):
        """Lose contact to a node: what runs there goes on, and Slurm starts it elsewhere, too."""
        self._tell_node(victim.node, "cut_off")
        daemons = processes.daemons(self.cluster.folder, f"{victim.node}.")
        processes.end(pid for pid, program in daemons.items() if program == "slurmd")
        self.cluster.node_down(victim.node)
        wait_until(lambda: self._start(victim) != victim.restarts, what="its second start")
        time.sleep(self.rng.uniform(0, 3))
        self.cluster.node_up(victim.node)

    def _tell_node(self, node, fault):
        for job in self._slurm.jobs():
            if job.nodes == node and job.index is not None:
                state = self._state(job.job_name)
                self.told[job.job_name, state.restarts if state else 0] = fault

    def _state(self, name):
        for submission in self._ledger.submissions():
            if str(submission.job_id) == name.split("_")[0]:
                return submission.job_state(int(name.split("_")[1]))
        return None

    def _start(self, victim):
        """Return how often Slurm has started a job again; None: it has ended."""
        state = self._state(victim.name)
        return None if state is None or state.state == "ended" else state.restarts

    def _restart_controller(self, victim):
        self.cluster.restart_controller()

    def _kill_worker(self, victim):
        for name, pid in victim.runs.items():
            self._harmed[name] += 1
            os.kill(pid, signal.SIGKILL)

    def _kill_driver(self, victim):
        for name in victim.runs:
            self._harmed[name] += 1
        self.told[victim.name, victim.restarts] = "kill_driver"
        os.kill(parent_of(next(iter(victim.runs.values()))), signal.SIGKILL)

    def _time_limit(self, victim):
        """Have the job's time end within a minute or so, which Slurm announces."""
        minutes = int(elapsed_minutes(victim.name)) + 1
        run("scontrol", "update", f"JobId={victim.name}", f"TimeLimit={minutes}")

    # ------------------------------------------------------------ what came of them

    def _always(self, victim):
        return True

    def _goes_back(self, victim):
        """Say whether this start of a job ended by going back to the queue."""

        def what():
            queue = {job.job_name: job.state for job in self._slurm.jobs()}
            if queue.get(victim.name) == "PENDING" or self._start(victim) != victim.restarts:
                return "back"
            return "" if victim.name in queue else "gone"

        wait_until(what, 600, f"the end of {victim.name}")
        return self._start(victim) is not None

    def _started_again(self, victim):
        """Say whether there was another start of a job, which the first one may have outlived."""
        starts = STARTED.findall(job_logs(self.work)[victim.name])
        return any(int(start) > victim.restarts + 1 for _, start in starts)

    def _is_limited(self, victim):
        goes_back = self._goes_back(victim)
        key = (victim.name, victim.restarts)
        self.limited |= {key} if goes_back and key not in self.told else set()
        return key in self.limited

    def _has_failures(self, victim):
        def failed_or_done():
            records = [read_record(self._out_dirs[run]) or {} for run in victim.runs]
            return all(r.get("status") == "done" or failures_of(r) for r in records)

        wait_until(failed_or_done, what="the failures of killed runs")
        return all(failures_of(read_record(self._out_dirs[run])) for run in victim.runs)

    def _is_lost(self, victim):
        wait_until(lambda: victim.name not in {job.job_name for job in self._slurm.jobs()})
        state = self._state(victim.name)
        return state is None or state.state == "running"


_EFFECTS = {
    **dict.fromkeys(
        ("usr2", "usr1", "term", "requeue", "preempt", "kill_node"), Campaign._goes_back
    ),
    "cut_off": Campaign._started_again,
    "time_limit": Campaign._is_limited,
    "kill_worker": Campaign._has_failures,
    "kill_driver": Campaign._is_lost,
}  # fmt: skip


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def elapsed_minutes(job):
    """Return how long a job has been running."""
    *days, clock = job_record(job)["RunTime"].split("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return 1440 * sum(map(int, days)) + 60 * hours + minutes + seconds / 60


STARTED = re.compile(r"^job (\S+) on \S+, start (\d+):", re.MULTILINE)
TOLD = re.compile(r"told to stop by (SIG\w+)")


def stops(work):
    """Return {(job, restarts): the signal that this start of the job was told to stop by}."""
    found = {}
    for text in job_logs(work).values():
        pieces = STARTED.split(text)
        for job, start, output in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            if told := TOLD.search(output):
                found[job, int(start) - 1] = told[1]
    return found
