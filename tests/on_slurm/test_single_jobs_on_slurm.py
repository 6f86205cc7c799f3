"""One training as a job of its own: on a real Slurm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_queue import run, squeue, wait_for_empty_queue, wait_until

from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import read_record

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def submitting(digits_dir, tmp_path):
    """Return a function (*overrides) -> the tool that submits a training that takes its time."""
    paced = ROOT / "tests" / "pool" / "paced"
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(paced), os.environ.get("PYTHONPATH")))),
        "PACE_S": "0.1",
        "PACE_UNTIL": str(tmp_path / "over"),
    }

    def start(*overrides):
        return subprocess.Popen(
            [
                sys.executable, ROOT / "tools" / "train_net.py",
                "--cfg", ROOT / "configs" / "embedded" / "digits_anynet.yaml",
                "OUT_DIR", tmp_path / "run", "LAUNCH.MODE", "slurm", "DEVICE", "cpu",
                "LAUNCH.CPUS_PER_GPU", "1", "LAUNCH.MEM_PER_GPU", "1", "LAUNCH.TIME_LIMIT", "30",
                "OPTIM.MAX_EPOCH", "1", "DATA.DIR", digits_dir, *overrides,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, **variables},
        )  # fmt: skip

    return start


def test_a_training_is_submitted_requeued_cancelled_and_waited_for(slurm, submitting, tmp_path):
    out_dir, log = tmp_path / "run", tmp_path / "run" / "stdout.log"
    refused = submitting("LAUNCH.PARTITION", "none")
    _, said = refused.communicate(timeout=300)
    assert (refused.returncode, "there is no partition 'none'" in said) == (2, True)

    first = submitting("LAUNCH.WAIT", "True")
    # Before that, a signal would end it with nothing to go on from.
    wait_until(lambda: log.is_file() and "Environment" in log.read_text(), what="the beginning")
    assert find_owner(out_dir)
    ((job, _),) = squeue().items()
    assert f"submitit/{job}/" in str(next((out_dir / "submitit").glob("*/*.sh")))
    second = submitting()
    _, said = second.communicate(timeout=300)
    assert (second.returncode, f"job {job} has OUT_DIR" in said) == (2, True)
    # As at its time limit: to the step.
    run("scancel", "--signal=USR2", job)
    wait_until(lambda: "Resumed" in log.read_text(), what="the second start")
    # A job that is taken out of the queue stays out.
    run("scancel", job)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 1
    assert f"job {job} is gone before its run was done (stopped by SIGTERM, state saved" in said
    assert read_record(out_dir)["status"] == "interrupted"
    wait_for_empty_queue()

    (tmp_path / "over").touch()
    last = submitting("LAUNCH.WAIT", "True")
    told, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    assert "done: test error" in told
    assert log.read_text().count("Resumed") == 2
    wait_for_empty_queue()
