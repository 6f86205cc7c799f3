"""Runs that a worker trains under srun: a stand-in for it starts one task."""

import json
import os

import pytest
from pool_runs import (
    LONG,
    SEAT,
    Meanwhile,
    assert_same_weights,
    has_checkpoint,
    paced,
    training_job,
)

from pycls.core.runs.lease import run_lease
from pycls.core.runs.record import failures_of, read_record
from pycls.pool.failure_reason import explain_output
from pycls.pool.pool import Outcome, run_jobs
from pycls.pool.signals import StopSwitch

pytestmark = pytest.mark.slow


@pytest.fixture
def training(digits_dir, tmp_path):
    """Return a function (name, *overrides) -> job that trains a small network."""

    def make(name, *overrides, srun=()):
        return training_job(digits_dir, tmp_path / name, *overrides, srun=srun)

    return make


@pytest.fixture
def srun(tmp_path):
    """Return a command in srun's place: it becomes the one task that it is given."""
    path = tmp_path / "srun"
    path.write_text('#!/bin/sh\n[ "$1" = --ntasks=1 ] && shift\nexec "$@"\n')
    path.chmod(0o755)
    return (str(path), "--ntasks=1")


@pytest.mark.usefixtures("forked_python")
def test_a_run_under_srun_is_saved_and_goes_on(training, undisturbed, srun, tmp_path):
    job = training("run", *LONG, srun=srun)
    stop = StopSwitch()
    stopping = Meanwhile(lambda: has_checkpoint(job), lambda: stop.press("somebody"))
    outcome = run_jobs([job], [SEAT], environment=paced(tmp_path / "never"), stop=stop)
    stopping.check()
    assert outcome.left == ["run"]
    record = read_record(job.out_dir)
    assert (record["status"], failures_of(record)) == ("interrupted", [])
    assert "SIGUSR2" in record["reason"]  # which srun passes on to its tasks
    assert run_jobs([job], [SEAT]).done == ["run"]
    assert_same_weights(job.out_dir, undisturbed)


@pytest.mark.usefixtures("forked_python")
def test_a_run_under_srun_fails_with_its_own_reason(training, srun, tmp_path):
    diverging = training("run", "OPTIM.BASE_LR", 1e20, "OPTIM.MAX_EPOCH", 1, srun=srun)
    assert run_jobs([diverging], [SEAT]).failed == ["run"]
    assert read_record(diverging.out_dir)["reason"].startswith("the loss is nan")
    mistaken = training("other", "MODEL.NUM_CLASSES", 7, srun=srun)
    mistaken.out_dir.mkdir()
    (mistaken.out_dir / "stderr.log").write_text("error: of another time\n")
    assert run_jobs([mistaken], [SEAT]).failed == ["other"]
    reason = read_record(mistaken.out_dir)["reason"]
    assert reason.startswith("srun ended with exit code 2: ")
    assert "NUM_CLASSES is 7" in reason
    missing = training("third", srun=(str(tmp_path / "no_srun"),))
    assert run_jobs([missing], [SEAT]).failed == ["third"]
    assert "no such program" in read_record(missing.out_dir)["reason"]


def test_a_killed_task_is_named_beside_what_its_peers_record(training, tmp_path):
    job = training("run", srun=(str(tmp_path / "srun"),))
    (tmp_path / "srun").write_text(
        f"#!/bin/sh\necho '{json.dumps({'status': 'failed', 'reason': 'a peer is gone'})}' > "
        f"{job.out_dir}/run.json\necho 'srun: error: n1: tasks 0-2: Exited with exit code 1'\n"
        "echo 'srun: error: n1: task 3: Killed'\nexit 137\n"
    )
    (tmp_path / "srun").chmod(0o755)
    assert run_jobs([job], [SEAT]).failed == ["run"]
    reason = read_record(job.out_dir)["reason"]
    assert reason == "a peer is gone; srun: error: n1: task 3: Killed"


@pytest.mark.usefixtures("forked_python")
@pytest.mark.parametrize("is_under_srun", [False, True])
def test_a_run_that_another_process_trains_is_left_to_it(training, srun, is_under_srun):
    job = training("run", srun=srun if is_under_srun else ())
    job.out_dir.mkdir()
    environment = {**os.environ, "SLURM_JOB_ID": "17"}
    with run_lease(job.out_dir):
        outcome = run_jobs([job], [SEAT], environment=environment, max_retry=1, busy_wait_s=0.5)
    assert outcome == Outcome([], [], [], ["run"], [])
    assert read_record(job.out_dir) is None


@pytest.mark.parametrize(
    "words",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=1.0",
        "MemoryError",
    ],
)
def test_out_of_memory_is_known_by_the_words_of_a_process(words):
    assert explain_output(words).startswith(f"out of memory: {words}; nothing was made smaller")
    assert explain_output("no room left") == "no room left"
