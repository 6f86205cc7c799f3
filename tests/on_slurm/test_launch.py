"""Launching on a real Slurm: each run in exactly one job, within the limits, nothing lost."""

import os
import re
import signal

import pytest
from clusters import lent, shared
from launch_sweeps import (
    FAIL,
    HELD,
    WAIT,
    WAIT_FOR_THIRD,
    drivers,
    follow_ups,
    jobs_of_runs,
    launch,
    logs,
    make_sweep,
    times,
    watch_queue,
)
from slurm_cluster import ClusterOptions
from slurm_queue import run, wait_for_empty_queue, wait_until

from pycls import files
from pycls.core.runs.record import failures_of, read_record
from pycls.errors import ConfigError, PyclsError
from pycls.launch.ledger import Ledger
from pycls.launch.submit import cancel
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SubmissionRefusedError

RUNS = 10
ONE_BY_ONE = ("LAUNCH.RUNS_PER_JOB", 1)


@pytest.fixture(scope="module")
def small_arrays_module(tmp_path_factory):
    """A cluster whose arrays hold four jobs."""
    options = ClusterOptions(nodes=2, settings={"MaxArraySize": "4"})
    yield from shared(tmp_path_factory, options)


@pytest.fixture
def small_arrays(small_arrays_module, monkeypatch):
    """The cluster whose arrays hold four jobs, and Slurm's commands find it."""
    yield from lent(small_arrays_module, monkeypatch)


def once(work):
    """Return what :func:`times` and :func:`jobs_of_runs` say where each run is there once."""
    return {run.id: 1 for run in work.runs()}


# ---------------------------------------------------------------- exactly once


def test_a_second_launch_submits_nothing_and_says_why(slurm, tmp_path):
    work = make_sweep(tmp_path, 6, "LAUNCH.PARALLEL_JOBS", 2, "LAUNCH.RUNS_PER_JOB", 2)
    jobs, said = launch(work, task=WAIT)
    assert jobs == 3
    assert "6 runs in 3 jobs of up to 2 runs, at most 2 at a time" in said
    wait_until(lambda: sum(job.state == "RUNNING" for job in Slurm().jobs()) == 2)
    jobs, said = launch(work, task=WAIT)
    assert jobs == 0
    assert "nothing to submit; runs: 6 queued" in said
    assert re.search(r"in Slurm: job \d+, 1 pending, 2 running$", said, re.MULTILINE)
    assert re.search(
        r"in Slurm: job \d+ \(looks after the others\), 1 pending$", said, re.MULTILINE
    )
    (work.folder / "go").touch()
    wait_for_empty_queue()
    assert times(work) == once(work)
    assert launch(work)[1].endswith("nothing to submit; runs: 6 done")
    assert "nothing to submit; runs: 6 done\n" in logs(work)  # the follow-up, not of itself
    assert len(Ledger(work.folder).submissions()) == 2


def test_while_one_submits_another_does_not(slurm, tmp_path):
    work = make_sweep(tmp_path, 2, *HELD)
    seen = []

    def confirm(_):
        with pytest.raises(PyclsError, match="another process is submitting or cancelling jobs"):
            launch(work)
        with pytest.raises(PyclsError, match="another process is submitting or cancelling jobs"):
            cancel(Ledger(work.folder), Slurm())
        seen.append(1)
        return False

    jobs, said = launch(work, confirm=confirm)
    assert (jobs, seen) == (0, [1])
    assert said.endswith("nothing was submitted")
    assert not Slurm().jobs()
    assert launch(work)[0] == 2


def launch_until(work, step):
    """Launch in a process of its own, killed before its nth step; say whether it got to an end.

    Steps are: making the snapshot, each file that is written, and each call of sbatch.
    """
    steps = iter(range(1_000_000))

    def counted(function):
        def call(*args, **given):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **given)

        return call

    child = os.fork()
    if child == 0:
        try:
            files.write_bytes = counted(files.write_bytes)
            Slurm.submit = counted(Slurm.submit)
            launch(work)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code == 0


def test_killed_at_any_step_the_next_launch_submits_what_is_missing(small_arrays, tmp_path):
    """Two arrays and the job that looks after them: some dozen files and three calls of sbatch."""
    step, over = 0, False
    while not over:
        work = make_sweep(tmp_path / str(step), 6, *ONE_BY_ONE, *HELD)
        over = launch_until(work, step)
        before = sum(jobs_of_runs(work).values())
        assert over or before in (0, 4, 6), step
        assert launch(work)[0] == 6 - before, step
        assert jobs_of_runs(work) == once(work), step
        assert len(follow_ups(work)) == 1, step
        assert launch(work)[0] == 0, step
        jobs = 6 + 1
        assert cancel(Ledger(work.folder), Slurm()) == jobs, step
        wait_for_empty_queue()
        step += 1
    assert step > 14


def test_an_sbatch_that_outlives_its_launcher_comes_too_late(slurm, tmp_path):
    """It commits after the next launch has given it up: its jobs do nothing."""
    work = make_sweep(tmp_path, 4, "LAUNCH.RUNS_PER_JOB", 2)
    real = run("which", "sbatch")
    slow = tmp_path / "bin" / "sbatch"
    slow.parent.mkdir()
    slow.write_text(
        f'#!/bin/bash\ntouch "{tmp_path}/asked"\nwhile [ ! -e "{tmp_path}/go" ]; do sleep 0.05; '
        f'done\n{real} "$@" > "{tmp_path}/answer" 2>&1\n'
    )
    slow.chmod(0o755)
    child = os.fork()
    if child == 0:
        os.environ["PATH"] = f"{slow.parent}:{os.environ['PATH']}"
        try:
            launch(work)
        finally:
            os._exit(1)
    wait_until((tmp_path / "asked").exists)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert launch(work)[0] == 2
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "answer").exists() and (tmp_path / "answer").read_text())
    wait_for_empty_queue()
    late = (tmp_path / "answer").read_text().strip()
    printed = [path.read_text() for path in work.folder.glob(f"launch/*/{late}_*.log")]
    assert printed == ["nothing to do: its submission was interrupted\n"] * 2
    assert times(work) == once(work)


# ---------------------------------------------------------------- within limits


def test_arrays_beyond_the_largest_run_one_after_another(small_arrays, tmp_path):
    work = make_sweep(tmp_path, RUNS, *ONE_BY_ONE, "LAUNCH.PARALLEL_JOBS", 3)
    jobs, said = launch(work)
    assert jobs == RUNS
    assert "10 runs in 10 jobs (3 arrays), at most 3 at a time" in said
    seen = watch_queue(lambda jobs: not jobs)
    assert max(running for _, running in seen) <= 3
    assert [s.jobs for s in Ledger(work.folder).submissions()] == [4, 4, 2, 1]
    assert times(work) == once(work)


def test_more_jobs_than_allowed_follow_when_there_is_room(slurm, tmp_path):
    work = make_sweep(tmp_path, RUNS, *ONE_BY_ONE, "LAUNCH.MAX_JOBS", 6)
    jobs, said = launch(work)
    assert jobs == 5
    assert "5 more runs do not fit into the queue (LAUNCH.MAX_JOBS)" in said
    seen = watch_queue(lambda jobs: not jobs)
    assert max(jobs for jobs, _ in seen) <= 6
    assert times(work) == once(work)


def test_jobs_grow_where_their_size_is_free_to_choose(slurm, tmp_path):
    work = make_sweep(tmp_path, RUNS, "LAUNCH.MAX_JOBS", 4, *HELD)
    assert launch(work)[0] == 3
    (submission, _) = Ledger(work.folder).submissions()
    assert [len(chunk) for chunk in submission.chunks] == [4, 4, 2]


def test_a_queue_without_room_for_the_job_that_looks_after_others_is_refused(slurm, tmp_path):
    work = make_sweep(tmp_path, 4, "LAUNCH.MAX_JOBS", 2, *HELD)
    with pytest.raises(ConfigError, match=r"MAX_JOBS is 2.*3 or more.*FOLLOW_UP False"):
        launch(work)
    work = make_sweep(tmp_path, 4, "LAUNCH.MAX_JOBS", 2, "LAUNCH.FOLLOW_UP", False, *HELD)
    assert launch(work)[0] == 2
    assert not follow_ups(work)


def test_a_queue_that_is_full_halfway(small_arrays, tmp_path, monkeypatch):
    """An account's own limit is known to sbatch only."""
    work = make_sweep(tmp_path, RUNS, *ONE_BY_ONE)
    real, calls = Slurm.submit, []

    def submit(slurm, script):
        calls.append(script)
        if len(calls) == 2:
            raise SubmissionRefusedError("sbatch refused: QOSMaxSubmitJob", "QOSMaxSubmitJob")
        return real(slurm, script)

    monkeypatch.setattr(Slurm, "submit", submit)
    jobs, said = launch(work)
    assert jobs == 4
    assert "the rest follows when there is room in the queue (sbatch refused" in said
    wait_for_empty_queue()
    assert times(work) == once(work)


def test_a_later_launch_shares_the_places(slurm, tmp_path):
    options = (*ONE_BY_ONE, "LAUNCH.PARALLEL_JOBS", 3)
    launch(make_sweep(tmp_path, 2, *options), task=WAIT)
    work = make_sweep(tmp_path, 6, *options)
    assert launch(work, task=WAIT_FOR_THIRD)[0] == 4
    work = make_sweep(tmp_path, 8, *options)
    assert launch(work, task=WAIT)[0] == 2
    arrays = [s for s in Ledger(work.folder).submissions() if s.kind == "runs"]
    assert [array.throttle for array in arrays] == [2, 1, 2]
    watch_queue(lambda jobs: sum(job.state == "RUNNING" for job in jobs) == 3)
    (work.folder / "third").touch()
    assert max(r for _, r in watch_queue(lambda _: sum(times(work).values()) == 4)) <= 3
    assert all(job.state == "PENDING" for job in Slurm().jobs() if job.array_id == arrays[2].job_id)
    (work.folder / "go").touch()
    wait_for_empty_queue()
    assert times(work) == once(work)


def test_places_of_arrays_that_ended_go_to_others(slurm, tmp_path):
    options = (*ONE_BY_ONE, "LAUNCH.PARALLEL_JOBS", 3)
    launch(make_sweep(tmp_path, 2, *options), task=WAIT)
    work = make_sweep(tmp_path, 6, *options)
    launch(work, task=WAIT)
    first, second = (s for s in Ledger(work.folder).submissions() if s.kind == "runs")
    assert (first.throttle, second.throttle) == (2, 1)
    run("scancel", str(first.job_id))

    def running():
        jobs = [job for job in Slurm().jobs() if job.array_id == second.job_id]
        return sum(job.state == "RUNNING" for job in jobs)

    wait_until(lambda: running() == 3, what="the places of the first array")
    (work.folder / "go").touch()
    wait_for_empty_queue()
    assert times(work) == {f"{i:06d}": int(i > 1) for i in range(6)}


# ---------------------------------------------------------------- looking after


def test_lost_jobs_are_submitted_again_and_cancelled_ones_are_not(slurm, tmp_path):
    work = make_sweep(tmp_path, 5, *ONE_BY_ONE, "LAUNCH.PARALLEL_JOBS", 4)
    launch(work, task=WAIT)
    (array, _) = Ledger(work.folder).submissions()
    found = wait_until(lambda: (d := drivers(work.folder)) and len(d) == 4 and d)
    wait_until(lambda: len(array.job_states()) == 4)
    os.kill(found[0], signal.SIGKILL)
    run("scancel", f"{array.job_id}_1", f"{array.job_id}_4")
    wait_until(lambda: len(drivers(work.folder)) == 2)
    (work.folder / "go").touch()
    wait_for_empty_queue()
    assert times(work) == {f"{i:06d}": int(i not in (1, 4)) for i in range(5)}
    reasons = [each["reason"] for each in failures_of(read_record(work.runs()[0].out_dir))]
    assert not reasons  # the task's own record took its place
    assert (work.folder / "results.csv").is_file()
    assert launch(work)[0] == 2
    wait_for_empty_queue()
    assert times(work) == once(work)


def test_what_a_killed_cancel_left_is_cancelled_by_the_next(slurm, tmp_path, monkeypatch):
    work = make_sweep(tmp_path, 3, *ONE_BY_ONE, *HELD)
    launch(work)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Slurm, "cancel", die)
        with pytest.raises(KeyboardInterrupt):
            cancel(Ledger(work.folder), Slurm())
    assert cancel(Ledger(work.folder), Slurm()) == 4
    wait_for_empty_queue()
    assert launch(work)[0] == 3


# ---------------------------------------------------------------- failed runs


@pytest.fixture
def failed(slurm, tmp_path):
    """A launched sweep of three runs, of which the second failed for good."""
    work = make_sweep(tmp_path, 3, "LAUNCH.RUNS_PER_JOB", 3, "LAUNCH.MAX_RETRY", 0)
    launch(work, task=FAIL)
    wait_for_empty_queue()
    return work


def test_failed_runs_are_tried_again_when_asked_to(failed):
    jobs, said = launch(failed, task=FAIL)
    assert jobs == 0
    assert "2 done, 1 failed" in said
    assert f"1 failed run: '{failed.command('retry')}' tries again" in said
    for name, message in {"000007": "no run is called 000007", "000002": "it is done"}.items():
        with pytest.raises(ConfigError, match=message):
            launch(failed, task=FAIL, again=[name])
    out_dir = failed.runs()[1].out_dir
    record = read_record(out_dir)
    assert launch(failed, again=(), confirm=lambda _: False)[0] == 0
    assert read_record(out_dir) == record
    launch(failed, task=FAIL, again=())
    wait_for_empty_queue()
    reasons = [failure["reason"] for failure in failures_of(read_record(out_dir))]
    assert reasons == ["not good yet"]  # as many tries as at first
    (failed.folder / "good").touch()
    jobs, said = launch(failed, task=FAIL, again=["000001"])
    assert jobs == 1
    assert "1 failed run among them, tried afresh" in said
    wait_for_empty_queue()
    assert times(failed) == once(failed)
