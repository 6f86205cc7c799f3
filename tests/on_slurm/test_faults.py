"""Nothing is lost and nothing is done twice, whatever a cluster does: on a real Slurm.

PYCLS_SOAK_FAULTS=N makes N faults more, on more and longer runs. PYCLS_FAULT_SEED repeats a
campaign's choices; a failed one names its seed. Without either the choices are always the same.
"""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import forked_tools
import pytest
import torch
from clusters import PATIENT
from fault_campaign import (
    DIVERGES,
    TOO_LARGE,
    TOO_WIDE,
    Campaign,
    job_logs,
    launch,
    make_sweep,
    out_dirs,
    paced,
    parent_of,
    result_of,
    seeds,
    stops,
)
from slurm_cluster import processes
from slurm_queue import run, squeue, wait_for_empty_queue, wait_until
from training_audit import Audit, read_starts

from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import failures_of, read_record
from pycls.launch.here import train_here
from pycls.launch.ledger import GAVE_UP, Ledger
from pycls.launch.status import find_status
from pycls.slurm.client import Slurm

SOAK = int(os.environ.get("PYCLS_SOAK_FAULTS", "0"))
ALWAYS = (
    "usr2", "requeue", "preempt", "kill_node", "restart_controller", "kill_worker", "kill_driver",
)  # fmt: skip
MORE = ("usr1", "term", "usr2_to_steps", "cut_off", "time_limit")
# What the batch process notes of them.
SIGNALS = {"SIGUSR2": ("usr2", "preempt"), "SIGUSR1": ("usr1",), "SIGTERM": ("term",)}
REASONS = {
    "diverged": "training diverged",
    "too wide": "out of memory",
    "too large": "ended without a word; Slurm says FAILED",
}


GOOD = range(1, 7 if not SOAK else 15 + SOAK // 2)  # seeds
LENGTH = {"OPTIM": {"MAX_EPOCH": 40}} if SOAK else {}
PACE_S = 0.01 if SOAK else 0.05  # there, runs end meanwhile too
SEED = os.environ.get("PYCLS_FAULT_SEED", random.SystemRandom().randrange(1 << 30) if SOAK else 1)


@pytest.fixture
def lend(own_cluster, monkeypatch):
    """Return a function (**options) -> a cluster of this test's own that Slurm's commands find."""

    def start(**options):
        cluster = own_cluster(**options)
        for name in [name for name in os.environ if name.startswith(("SLURM", "SBATCH"))]:
            monkeypatch.delenv(name)
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        return cluster

    return start


def assert_same(out_dir, expected):
    """Assert that a run has these errors and these bytes of weights."""
    result, weights = result_of(out_dir)
    assert result == expected[0], out_dir
    assert weights.keys() == expected[1].keys()
    for name, value in weights.items():
        assert torch.equal(value, expected[1][name]), f"{out_dir}: {name}"


def assert_trained_once(out_dirs, audit):
    """Assert that no two processes trained a run at once, and no step was skipped."""
    assert audit.double == []
    for out_dir in out_dirs:
        assert read_starts(out_dir)


def owner_here(out_dir):
    """Return the process of this machine that is at a run; that of a lease just made is unknown."""
    owner = find_owner(out_dir)
    return owner if owner is not None and owner.is_here else None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits_dir):
    """Return {seed: result} of the good runs, trained here without faults."""
    folder = tmp_path_factory.mktemp("undisturbed") / "sweep"
    work = make_sweep(folder, digits_dir, seeds(*GOOD), network=LENGTH)
    with forked_tools.in_place_of_python():
        assert train_here(work, workers=2, threads=1) == []
    results = [result_of(out_dir) for out_dir in out_dirs(work).values()]
    return dict(zip(GOOD, results, strict=True))


def choose_faults(rng):
    """Return the faults of a campaign in their order, each kind at least once."""
    faults = [*ALWAYS, *(MORE if SOAK else ())]
    rng.shuffle(faults)
    # These use up tries, of which there are few.
    cheap = [fault for fault in (*ALWAYS, *MORE) if not fault.startswith("kill_")]
    return [*faults, *rng.choices([*cheap, "kill_node"], k=SOAK)]


def make_campaign(tmp_path, digits_dir):
    """Set up good and bad runs, to end after the faults; return (work, {run: reason})."""
    bad = {"diverged": DIVERGES, "too wide": TOO_WIDE}
    options = {"MAX_RETRY": 1}
    if SOAK:
        bad["too large"] = TOO_LARGE
        options = {"MAX_RETRY": 2, "RUNS_PER_JOB": 3}
    configs = seeds(*GOOD)
    for place, config in zip((1, 4, 8), bad.values(), strict=False):
        configs.insert(place, config)
    work = make_sweep(
        tmp_path / "disturbed", digits_dir, configs, network=LENGTH,
        SETUP=paced(tmp_path / "faults_over", PACE_S), **options,
    )  # fmt: skip
    names = {kind: f"{configs.index(config):06d}" for kind, config in bad.items()}
    return work, {names[kind]: REASONS[kind] for kind in bad}


def test_every_run_ends_as_it_should_whatever_happens(lend, undisturbed, digits_dir, tmp_path):
    cluster = lend(nodes=4, cpus=2, memory_limits=SOAK > 0, **PATIENT)
    work, bad = make_campaign(tmp_path, digits_dir)
    campaign = Campaign(cluster, work, bad, int(SEED))
    faults = choose_faults(campaign.rng)
    try:
        with Audit(work.folder) as audit:
            assert launch(work)
            for fault in faults:
                campaign.apply(fault)
            (tmp_path / "faults_over").touch()
            wait_for_empty_queue(600 + 20 * SOAK)
        check(work, campaign, audit, bad, undisturbed)
    except BaseException:
        print(f"PYCLS_FAULT_SEED={SEED}", *campaign.diary, sep="\n")
        for job, text in job_logs(work).items():
            print(f"--- {job}\n{text}")
        raise
    if SOAK:
        print(SEED, dict(campaign.count), dict(Counter(stops(work).values())))
    assert processes.job_processes(cluster.conf) == []


def check(work, campaign, audit, bad, expected):
    """Check what a campaign left."""
    folders = out_dirs(work)
    status = {run.run: run for run in find_status(work, Slurm()).runs}
    assert {name for name, run in status.items() if run.state == "failed"} == set(bad)
    assert {name for name, run in status.items() if run.state == "done"} == set(folders) - set(bad)
    good = [name for name in folders if name not in bad]
    for name, result in zip(good, expected.values(), strict=True):
        assert_same(folders[name], result)
    tries = 1 + work.options.max_retry
    for name, reason in bad.items():
        failures = failures_of(read_record(folders[name]))
        assert [reason in failure["reason"] for failure in failures] == [True] * tries, name
        assert reason in status[name].reason
    assert_trained_once([folders[name] for name in good], audit)
    states = [s.job_states() for s in Ledger(work.folder).submissions() if s.kind == "runs"]
    assert {state.state for jobs in states for state in jobs.values()} <= {"ended", "lost"}
    check_that_faults_happened(work, campaign, folders)


def check_that_faults_happened(work, campaign, folders):
    """Check that there really was what the campaign meant to do, by what others noted of it."""
    wanted = {*ALWAYS, *(MORE if SOAK else ())}
    assert {fault for fault, count in campaign.count.items() if count} == wanted
    told = stops(work)
    for name, faults in SIGNALS.items():
        for fault in faults:
            found = [key for key, signal_name in told.items()
                     if campaign.told.get(key) == fault and signal_name == name]  # fmt: skip
            assert found or not campaign.count[fault], f"{fault}: {told}, {campaign.told}"
    assert {told[key] for key in campaign.limited} <= {"SIGUSR2"}
    failures = [f for d in folders.values() for f in failures_of(read_record(d))]
    for what in ("its worker process was ended by SIGKILL", "ended without a word"):
        assert any(what in failure["reason"] for failure in failures), what


def test_a_second_driver_of_a_job_leaves_its_runs_alone(slurm, undisturbed, digits_dir, tmp_path):
    work = make_sweep(
        tmp_path / "disturbed", digits_dir, seeds(2, 3), network=LENGTH,
        SETUP=paced(tmp_path / "both_there"),
    )  # fmt: skip
    folders, output = out_dirs(work), tmp_path / "output"
    with Audit(work.folder) as audit:
        launch(work)
        owner = wait_until(lambda: owner_here(folders["000000"]), what="the first run's beginning")
        # For as long as the second one takes to begin, and no longer than a lease lasts.
        os.kill(owner.pid, signal.SIGSTOP)
        variables = Path(f"/proc/{parent_of(owner.pid)}/environ").read_text().split("\0")
        with output.open("w") as file:
            second = subprocess.Popen(
                [sys.executable, "-m", "pycls.launch.job", str(work.folder), "1"],
                env=dict(text.split("=", 1) for text in variables if text), stdout=file,
            )  # fmt: skip
        wait_until(lambda: "another process is training in" in output.read_text())
        os.kill(owner.pid, signal.SIGCONT)
        (tmp_path / "both_there").touch()
        assert second.wait(600) == 0
        wait_for_empty_queue()
    for name, seed in zip(folders, (2, 3), strict=True):
        assert_same(folders[name], undisturbed[seed])
    assert_trained_once(folders.values(), audit)
    # Each start of each run went all the way: neither was disturbed by the other.
    assert [len(read_starts(folder)) for folder in folders.values()] == [1, 1]
    assert [len(audit.writers[f"{folder}/stdout.log"]) for folder in folders.values()] == [1, 1]
    # It was the first driver's job, all the time.
    assert "start 2" not in "".join(job_logs(work).values())


def test_only_the_run_that_exceeds_memory_pays_for_it(lend, digits_dir, tmp_path):
    lend(nodes=1, memory_limits=True)
    short = {"OPTIM": {"MAX_EPOCH": 1}}
    work = make_sweep(
        tmp_path / "sweep", digits_dir, [TOO_LARGE, *seeds(2, 3)], network=short, RUNS_PER_JOB=3
    )
    launch(work)
    wait_for_empty_queue()
    records = [read_record(folder) for folder in out_dirs(work).values()]
    assert [record["status"] for record in records] == ["failed", "done", "done"]
    assert [len(failures_of(record)) for record in records] == [2, 0, 0]
    assert REASONS["too large"] in records[0]["reason"]


def test_a_signal_that_comes_before_python_costs_nothing(slurm, digits_dir, tmp_path):
    short = {"OPTIM": {"MAX_EPOCH": 1}}
    begun = tmp_path / "begun"
    # What comes of the signals is told by one that follows them.
    setup = ["trap told=1 HUP", f"echo >> {begun}", 'until [ "${told:-}" ]; do sleep 0.05; done']
    stage = tmp_path / "node's disk"
    stage.mkdir()
    work = make_sweep(
        tmp_path / "sweep", digits_dir, seeds(2), network=short, MAX_RETRY=0,
        SETUP=setup, FOLLOW_UP=False, STAGE=str(stage),
    )  # fmt: skip
    launch(work)
    wait_until(begun.exists, what="the batch script's beginning")
    (job,) = (job for job, state in squeue().items() if state == "RUNNING")
    for name in ("USR2", "USR1", "HUP"):
        run("scancel", f"--signal={name}", "--batch", job)
    wait_for_empty_queue()
    record = read_record(out_dirs(work)["000000"])
    assert record["status"] == "done"
    assert failures_of(record) == []
    assert begun.read_text() == "\n"
    assert [path.parent.name[:7] for path in stage.glob("*/*/images.npy")] == ["digits-"]


def test_going_back_to_the_queue_leaves_the_other_jobs_of_the_array(slurm, digits_dir, tmp_path):
    # The last element of an array has the array's own number.
    work = make_sweep(
        tmp_path / "sweep", digits_dir, seeds(2, 3), RUNS_PER_JOB=1, SETUP=paced(tmp_path / "told")
    )
    folders = out_dirs(work)
    launch(work)
    wait_until(lambda: all(map(owner_here, folders.values())), what="both runs")
    (last,) = (job for job, state in squeue().items() if state == "RUNNING" and job.endswith("_1"))
    run("scancel", "--signal=USR2", "--batch", last)
    wait_until(lambda: "told to stop by SIGUSR2" in job_logs(work)[last])
    (tmp_path / "told").touch()
    wait_for_empty_queue()
    assert {read_record(folder)["status"] for folder in folders.values()} == {"done"}
    logs = job_logs(work)
    assert "start 2" in logs[last]
    assert "start 2" not in logs[last.replace("_1", "_0")]
    assert [len(read_starts(folder)) for folder in folders.values()] == [1, 2]


def test_what_concerns_all_runs_ends_a_launch_instead_of_repeating_it(slurm, digits_dir, tmp_path):
    short = {"OPTIM": {"MAX_EPOCH": 1}}
    work = make_sweep(tmp_path / "sweep", digits_dir, seeds(2), network=short)
    folder = out_dirs(work)["000000"]
    folder.mkdir(parents=True)
    (folder / "checkpoints").touch()  # no folder, for whoever writes there
    launch(work)
    wait_for_empty_queue()
    (job,) = (s for s in Ledger(work.folder).submissions() if s.kind == "runs")
    state = job.job_state(0)
    assert (state.state, state.end) == ("stopped", GAVE_UP)
    assert "checkpoints" in state.reason
    assert failures_of(read_record(folder)) == []
    (folder / "checkpoints").unlink()
    assert launch(work) == 1
    wait_for_empty_queue()
    assert read_record(folder)["status"] == "done"
