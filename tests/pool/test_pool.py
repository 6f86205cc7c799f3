"""The pool of worker processes: real workers, real trainings, real signals."""

import json
import os
import pty
import signal
import time
from dataclasses import replace
from pathlib import Path

import pool_tasks
import pytest
from pool_runs import (
    LONG,
    SEAT,
    Meanwhile,
    assert_same_weights,
    has_checkpoint,
    kill_worker,
    paced,
    training_job,
    workers,
)
from processes import is_alive

from pycls.core.runs.interruption import STOP_SIGNALS
from pycls.core.runs.record import failures_of, forget_failures, read_record, write_record
from pycls.pool import pool
from pycls.pool.pool import Outcome, run_jobs
from pycls.pool.seats import Seat
from pycls.pool.signals import StopSwitch
from pycls.pool.watch import Watch
from pycls.pool.worker_process import Job

pytestmark = pytest.mark.slow

HERE = {**os.environ, "PYTHONPATH": str(Path(pool_tasks.__file__).parent)}


def run_task(task, jobs, **options):
    return run_jobs(
        jobs, [SEAT], task=f"pool_tasks:{task}", environment=HERE, **options
    )  # fmt: skip


@pytest.fixture
def make_jobs(tmp_path):
    """Return a function (how many) -> jobs for tasks."""
    (tmp_path / "any.yaml").write_text("DESC: nothing to train\n")

    def make(count):
        return [
            Job(f"a/{i}", "a", tmp_path / "any.yaml", tmp_path / f"{i}",
                ("OUT_DIR", str(tmp_path / f"{i}"), "RNG_SEED", str(i)))
            for i in range(count)
        ]  # fmt: skip

    return make


@pytest.fixture
def training(digits_dir, tmp_path):
    """Return a function (name, *overrides) -> job that trains a small network."""

    def make(name, *overrides):
        return training_job(digits_dir, tmp_path / name, *overrides)

    return make


def notes(job):
    """Return what tasks noted of a job, the first first."""
    return [json.loads(line) for line in (job.out_dir / "notes").read_text().splitlines()]


@pytest.fixture
def own_handlers():
    """Return handlers of the stop signals: one that comes too late does not end the tests."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    yield {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in before.items():
        signal.signal(number, handler)


# ---------------------------------------------------------------- jobs


def test_two_workers_do_many_jobs_each_on_cores_of_its_own(make_jobs, capsys):
    jobs = make_jobs(60)
    cores = sorted(os.sched_getaffinity(0))
    seats = [Seat(1, (cores[0],), "0"), Seat(3, (cores[-1],), "1", 4)]
    outcome = run_jobs(jobs, seats, task="pool_tasks:note", environment=HERE, done_before=5)
    assert outcome.done == [job.id for job in jobs]
    assert outcome == Outcome(outcome.done, [], [], [], [])
    facts = [fact for job in jobs for fact in notes(job)]
    assert [fact["seed"] for fact in facts] == list(range(60))  # overrides, each once
    seen = {(fact["pid"], *fact["cores"], fact["threads"], fact["gpus"]) for fact in facts}
    assert {(fact["gpus"], fact["runs_on_gpu"]) for fact in facts} == {("0", 1), ("1", 4)}
    assert {place[1:] for place in seen} == {(cores[0], "1", "0"), (cores[-1], "3", "1")}
    assert len(seen) == 2
    assert not any(fact["torch"] for fact in facts)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("[65/65] a/")
    assert not any(is_alive(pid) for pid, *_ in seen)
    assert {path.name for path in jobs[0].out_dir.iterdir()} == {"notes"}


def test_runs_leave_the_terminal_to_the_study_s_progress(make_jobs):
    (job,), ours, (main, side) = make_jobs(1), os.dup(2), pty.openpty()
    os.dup2(side, 2)
    try:
        run_task("note", [job])
    finally:
        os.dup2(ours, 2)
        for each in (main, side, ours):
            os.close(each)
    (note,) = notes(job)
    assert note["at_terminal"]
    assert not note["watched"]


def test_nothing_to_do_starts_nothing():
    assert run_jobs([], [SEAT]).done == []


def test_failed_runs_are_tried_again_after_the_others(make_jobs, capsys):
    jobs = make_jobs(3)
    outcome = run_task("fail_once", jobs, max_retry=1)
    assert outcome.done == ["a/0", "a/1", "a/2"]
    moments = sorted((fact["at"], job.id) for job in jobs for fact in notes(job))
    assert [name for _, name in moments] == ["a/0", "a/1", "a/2"] * 2
    # An error of ours leaves the process as it was.
    assert len({fact["pid"] for job in jobs for fact in notes(job)}) == 1
    assert "a/0: the first time never works; trying again" in capsys.readouterr().out
    for job in jobs:
        (failure,) = failures_of(read_record(job.out_dir))
        assert failure["reason"] == "the first time never works"
        assert failure["host"] == os.uname().nodename
        assert failure["job"] == ""


def test_tries_are_counted_over_pools(make_jobs, monkeypatch, capsys):
    (job,) = make_jobs(1)
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    for tries in (1, 2):
        outcome = run_task("fail_always", [job], max_retry=2, retry_here=False)
        assert (outcome.again, outcome.failed) == (["a/0"], [])
        assert len(notes(job)) == tries
    outcome = run_task("fail_always", [job], max_retry=2, retry_here=False)
    assert (outcome.again, outcome.failed) == ([], ["a/0"])
    record = read_record(job.out_dir)
    assert [failure["job"] for failure in record["failures"]] == ["17"] * 3
    assert record["reason"] == "ValueError: no. 0 cannot work"
    capsys.readouterr()

    assert run_task("fail_always", [job], max_retry=2).failed == ["a/0"]
    assert len(notes(job)) == 3
    assert "FAILED 3 times before (ValueError: no. 0 cannot work)" in capsys.readouterr().out
    forget_failures(job.out_dir)
    assert run_task("fail_always", [job], max_retry=2).failed == ["a/0"]
    # Each time a new process: after a defect nobody knows what state the old one is in.
    assert len({fact["pid"] for fact in notes(job)}) == len(notes(job)) == 6


def test_a_mistake_in_a_configuration_is_not_tried_again(make_jobs):
    (job,) = make_jobs(1)
    for retry_here in (False, True):  # as in a job of Slurm, and on this machine
        outcome = run_task("fail_by_mistake", [job], max_retry=3, retry_here=retry_here)
        assert (outcome.again, outcome.failed) == ([], ["a/0"])
        assert len(notes(job)) == 1
    forget_failures(job.out_dir)
    assert run_task("fail_by_mistake", [job], max_retry=3).failed == ["a/0"]
    assert len(notes(job)) == 2


def test_tries_end_where_failures_cannot_be_recorded(make_jobs):
    (job,) = make_jobs(1)
    (job.out_dir / f".run.json.{os.getpid()}.partial").mkdir(parents=True)
    assert run_task("fail_always", [job], max_retry=1).failed == ["a/0"]
    assert len(notes(job)) == 2
    assert read_record(job.out_dir) is None


def test_a_record_that_cannot_be_read_ends_the_pool(make_jobs):
    jobs = make_jobs(2)
    (jobs[0].out_dir / "run.json").mkdir(parents=True)
    outcome = run_task("note", jobs)
    assert "run.json: is a folder where a file is needed" in outcome.fatal
    assert outcome.left == ["a/0", "a/1"]


def test_a_failed_run_is_recorded_with_its_newest_reason(tmp_path):
    write_record(tmp_path, {"status": "failed", "reason": "an old one"})
    job = Job("a/0", "a", tmp_path / "nowhere.yaml", tmp_path)
    assert run_jobs([job], [SEAT], max_retry=1).failed == ["a/0"]
    record = read_record(tmp_path)
    assert record["status"] == "failed"
    assert "nowhere.yaml: no such file" in record["reason"]
    assert len(record["failures"]) == 1


@pytest.mark.parametrize(
    ("task", "cause"),
    [("run_out_of_memory", "MemoryError"), ("exceed_memory", "can't allocate memory")],
)
def test_out_of_memory_is_said_with_what_to_do(make_jobs, task, cause):
    (job,) = make_jobs(1)
    assert run_task(task, [job]).failed == ["a/0"]
    reason = read_record(job.out_dir)["reason"]
    assert reason.startswith("out of memory: ")
    assert cause in reason
    for key in ("LAUNCH.MEM_PER_GPU", "LAUNCH.RUNS_PER_GPU", "TRAIN.BATCH_SIZE"):
        assert key in reason


def test_a_run_that_others_have_waits_and_is_no_failure(make_jobs, monkeypatch, capsys):
    monkeypatch.setattr(pool, "BUSY_RETRY_S", 0.1)
    jobs = make_jobs(3)
    outcome = run_task("busy_twice", jobs[:1])
    assert outcome.done == ["a/0"]
    assert len(notes(jobs[0])) == 3
    output = capsys.readouterr().out
    assert output.count("held by process 1 of elsewhere; it is tried again after the others") == 1

    # One whose other process finishes it, and one that is never let go; what is done before them
    # has the wait begin anew, however long the worker took to start.
    monkeypatch.setattr(pool, "BUSY_RETRY_S", 0.3)
    outcome = run_task("busy_or_finished_elsewhere", jobs, busy_wait_s=2.5)
    assert (outcome.done, outcome.busy, outcome.failed) == (["a/0", "a/1"], ["a/2"], [])
    assert "a/1 done by another process" in capsys.readouterr().out
    assert read_record(jobs[2].out_dir) is None


def test_a_killed_worker_costs_its_run_one_try(make_jobs):
    (job,) = make_jobs(1)
    assert run_task("die", [job], max_retry=1).failed == ["a/0"]
    assert len({fact["pid"] for fact in notes(job)}) == 2
    reasons = [failure["reason"] for failure in failures_of(read_record(job.out_dir))]
    assert reasons == ["its worker process was ended by SIGKILL (out of memory?)"] * 2


def test_what_all_runs_would_fail_of_ends_the_pool(make_jobs, tmp_path, capfd):
    jobs = make_jobs(4)
    outcome = run_task("full_disk", jobs, max_retry=5)
    assert outcome.fatal.startswith("somewhere: no space left on the device")
    assert outcome.fault == "storage"
    assert outcome.left == [job.id for job in jobs]
    assert sum((job.out_dir / "notes").exists() for job in jobs) == 1
    assert read_record(jobs[0].out_dir) is None

    (tmp_path / "broken" / "pycls").mkdir(parents=True)
    (tmp_path / "broken" / "pycls" / "__init__.py").write_text("raise ImportError('broken')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "broken")}
    outcome = run_jobs(jobs, [SEAT], environment=environment, max_retry=5)
    assert outcome.fatal == "worker processes do not start (exit code 1, see above)"
    assert outcome.fault == "node"
    assert "ImportError: broken" in capfd.readouterr().err
    assert outcome.left == [job.id for job in jobs]


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize(
    ("names", "grace_s"),
    [(["SIGTERM"], 0.5), (["SIGUSR1"], 0.5), (["SIGUSR2", "SIGTERM"], 1), (["SIGINT"] * 2, 60)],
)
def test_workers_that_do_not_leave_are_killed(make_jobs, own_handlers, names, grace_s):
    jobs = make_jobs(2)

    def send():
        for name in names:
            os.kill(os.getpid(), getattr(signal, name))
            time.sleep(0.3)

    sending = Meanwhile(lambda: (jobs[0].out_dir / "notes").exists(), send)
    begun = time.monotonic()
    outcome = run_task("sleep", jobs, max_retry=3, grace_s=grace_s)
    assert time.monotonic() - begun < 400  # the task takes 600
    sending.check()
    assert outcome == Outcome([], [], [], [], ["a/0", "a/1"], names[0])
    assert read_record(jobs[0].out_dir) is None
    assert not any(map(is_alive, sending.workers))


def test_a_switch_may_be_pressed_by_hand(make_jobs):
    jobs = make_jobs(2)
    stop = StopSwitch()
    stop.press("somebody")
    assert run_task("note", jobs, stop=stop).left == ["a/0", "a/1"]
    assert not jobs[0].out_dir.exists()


@pytest.mark.usefixtures("forked_python")
def test_ctrl_c_saves_all_runs_and_starting_again_ends_the_same(
    training, undisturbed, own_handlers, tmp_path, capsys
):
    jobs = [training("first", *LONG), training("second", *LONG)]
    stopping = Meanwhile(
        lambda: any(map(has_checkpoint, jobs)), lambda: os.kill(os.getpid(), signal.SIGINT)
    )
    outcome = run_jobs(jobs, [SEAT] * 2, environment=paced(tmp_path / "never"))
    stopping.check()
    assert outcome == Outcome([], [], [], [], ["first", "second"], "SIGINT")
    assert not any(map(is_alive, stopping.workers))
    assert "stopping (SIGINT): 2 runs save their state; Ctrl-C" in capsys.readouterr().out
    assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == own_handlers
    records = [read_record(job.out_dir) for job in jobs]
    assert {record["status"] for record in records if record} == {"interrupted"}
    assert run_jobs(jobs, [SEAT] * 2).done == ["first", "second"]
    for job in jobs:
        assert failures_of(read_record(job.out_dir)) == []
        assert_same_weights(job.out_dir, undisturbed)


@pytest.mark.usefixtures("forked_python")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_signal_to_a_worker_alone_leaves_its_run_to_another(
    training, undisturbed, tmp_path, name
):
    job = training("run", *LONG)

    def kill():
        kill_worker(getattr(signal, name))()
        (tmp_path / "killed").touch()

    killing = Meanwhile(lambda: has_checkpoint(job), kill)
    outcome = run_jobs([job], [SEAT], environment=paced(tmp_path / "killed"), max_retry=1)
    killing.check()
    assert outcome.done == ["run"]
    assert not outcome.stopped_by
    assert not any(map(is_alive, killing.workers))
    assert_same_weights(job.out_dir, undisturbed)
    # Who saved has not failed.
    assert len(failures_of(read_record(job.out_dir))) == (1 if name == "SIGKILL" else 0)


def test_a_signal_while_python_still_starts_is_no_failure(make_jobs, tmp_path):
    (job,) = make_jobs(1)
    # What Python runs before anything of ours.
    (tmp_path / "start").mkdir()
    files = [str(tmp_path / name) for name in ("started", "told")]
    (tmp_path / "start" / "sitecustomize.py").write_text(
        "import pathlib, time\n"
        f"started, told = map(pathlib.Path, {files})\n"
        "if not started.exists():\n"
        "    started.touch()\n"
        "    while not told.exists():\n        time.sleep(0.01)\n"
    )
    path = os.pathsep.join([str(tmp_path / "start"), HERE["PYTHONPATH"]])

    def tell():
        kill_worker(signal.SIGTERM)()
        (tmp_path / "told").touch()

    early = Meanwhile((tmp_path / "started").exists, tell)
    outcome = run_jobs(
        [job], [SEAT], task="pool_tasks:note", environment={**HERE, "PYTHONPATH": path}
    )
    early.check()
    assert outcome.done == ["a/0"]
    assert read_record(job.out_dir) is None
    (fact,) = notes(job)
    assert fact["pid"] not in early.workers


@pytest.mark.usefixtures("forked_python")
def test_a_signal_before_a_training_in_processes_begins_is_no_failure(training):
    job = training("run", "NUM_GPUS", 2, "OPTIM.MAX_EPOCH", 2)

    def stop():
        time.sleep(0.4)  # about when its processes are started
        kill_worker(signal.SIGTERM)()

    stopping = Meanwhile(workers, stop)
    outcome = run_jobs([job], [SEAT], max_retry=0)
    stopping.check()
    assert outcome.done == ["run"]
    record = read_record(job.out_dir)
    assert failures_of(record) == []
    assert record["processes"] == 2


# ---------------------------------------------------------------- several in one process


@pytest.mark.usefixtures("forked_python")
def test_runs_of_one_worker_fail_and_die_apart(training, digits_dir, tmp_path, undisturbed, capsys):
    """One diverges; then the worker is killed, for which no run pays."""
    keys = (*LONG, "LOG_PERIOD", 1)
    jobs = [training("fine", *keys), training("diverges", *keys, "OPTIM.BASE_LR", 1e30)]
    jobs.append(training("too", *keys))

    def kill():
        kill_worker(signal.SIGKILL)()
        (tmp_path / "killed").touch()

    killing = Meanwhile(lambda: has_checkpoint(jobs[0]), kill)
    outcome = run_jobs(
        jobs, [replace(SEAT, at_once=4)], environment=paced(tmp_path / "killed")
    )  # fmt: skip
    killing.check()
    assert (outcome.done, outcome.failed) == (["fine", "too"], ["diverges"])
    assert "loss is" in failures_of(read_record(jobs[1].out_dir))[0]["reason"]
    said = capsys.readouterr().out
    assert said.count("it goes on by itself") == 2
    for job in (jobs[0], jobs[2]):
        assert_same_weights(job.out_dir, undisturbed)
        assert not failures_of(read_record(job.out_dir))


# ---------------------------------------------------------------- hangs


def test_a_run_that_hangs_is_ended_and_has_failed(make_jobs):
    jobs = make_jobs(1)
    # Stopped or asleep, it gives no sign.
    outcome = run_task("sleep", jobs, silence_s=0.3)
    assert outcome.failed == ["a/0"]
    (failure,) = failures_of(read_record(jobs[0].out_dir))
    assert failure["reason"].startswith("stuck: no batch in ")
    assert "HANG_MINUTES" in failure["reason"]


def test_a_run_that_goes_on_gives_signs(make_jobs, monkeypatch, tmp_path):
    signs = []

    def note_sign(watch):
        signs.append(watch)
        if len(signs) == 2:
            (tmp_path / "go").touch()

    monkeypatch.setattr("pycls.pool.watch.Watch.note_sign", note_sign)
    assert run_task("train_until_told", make_jobs(1), silence_s=600).done == ["a/0"]


def test_a_worker_that_hangs_at_import_costs_no_run_a_try(make_jobs, monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("import time; time.sleep(600)")
    monkeypatch.setattr("pycls.pool.worker_process.LONGEST_IMPORT_S", 0.5)
    (job,) = make_jobs(1)
    places = os.pathsep.join([str(tmp_path), str(Path(pool.__file__).parents[2])])
    outcome = run_jobs(
        [job], [SEAT], silence_s=0.1, environment={**os.environ, "PYTHONPATH": places}
    )
    assert (outcome.left, outcome.fault) == (["a/0"], "node")
    assert "hang while Python starts or imports PyTorch" in outcome.fatal
    assert read_record(job.out_dir) is None


def test_time_in_which_the_watcher_is_suspended_does_not_count(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("pycls.pool.watch.time.monotonic", lambda: now[0])
    watch = Watch(600.0)

    def wait(seconds, step=1.0):
        over = []
        for _ in range(round(seconds / step)):
            now[0] += step
            over.append(watch.is_over())
        return any(over)

    assert not wait(590)
    assert not wait(3600, step=3600)  # as one look
    assert wait(20)
    watch = Watch(600.0)
    assert not wait(50)
    watch.note_sign()
    assert not wait(900)  # less than 20 times 50 s
    assert wait(110)
    watch = Watch(0.0)
    assert not wait(5000)
