"""Runs on several GPUs of a node, and of two nodes: fake GPUs, so that the CPU computes."""

import os
import subprocess
import sys
from pathlib import Path

from fault_campaign import (
    job_logs,
    launch,
    make_sweep,
    out_dirs,
    result_of,
    seeds,
)
from slurm_queue import run, squeue, wait_for_empty_queue, wait_until
from training_audit import Audit, read_starts

from pycls.core.run_record import failures_of, read_record

TOOL = Path(__file__).resolve().parents[2] / "tools" / "train_net.py"
EPOCHS = 10
NETWORK = {"OPTIM": {"MAX_EPOCH": EPOCHS}}
LAUNCH = {
    "GPUS_PER_NODE": 2, "MEM_PER_GPU": 0.5, "SETUP": ["export GLOO_SOCKET_IFNAME=lo"],
    "PARALLEL_JOBS": 1, "RUNS_PER_JOB": 1,
}  # fmt: skip


def train_here(target, folder, num_gpus):
    """Train the first run of a sweep with the tool; return its result."""
    words = ["NUM_GPUS", str(num_gpus), "OUT_DIR", str(folder)]
    process = subprocess.run(
        [sys.executable, str(TOOL), "--cfg", str(target.runs()[0].cfg), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return result_of(folder)


def assert_same(out_dir, expected):
    result, weights = result_of(out_dir)
    assert result == expected[0]
    assert all(weights[name].equal(value) for name, value in expected[1].items())


def launch_and_tell(target, folder, nodes, num_gpus):
    """Launch a sweep, tell the job of a run to stop in the middle of it, and wait for the end."""
    log = folder / "stdout.log"
    with Audit(target.folder) as audit:
        launch(target)
        wait_until(lambda: log.exists() and f'"epoch": "1/{EPOCHS}", "eta"' in log.read_text(), 180)
        (job,) = (job for job, state in squeue().items() if state == "RUNNING")
        assert run("squeue", "--noheader", f"--job={job}", "--format=%D") == str(nodes)
        run("scancel", "--signal=USR2", "--batch", job)
        wait_for_empty_queue(300)
    assert "told to stop by SIGUSR2" in job_logs(target)[job]
    record = read_record(folder)
    assert (record["status"], record["processes"]) == ("done", num_gpus)
    assert failures_of(record) == []
    first, second = read_starts(folder)
    assert repr(second[0]) != repr(first[0]), "it went on where it was"
    assert audit.double == []


def test_a_run_on_two_gpus_is_told_saves_and_goes_on(slurm, digits_dir, tmp_path):
    target = make_sweep(
        tmp_path / "sweep", digits_dir, seeds(2), network=NETWORK, **LAUNCH, NUM_GPUS=2
    )
    expected = train_here(target, tmp_path / "undisturbed", 2)
    folder = out_dirs(target)["000000"]
    launch_and_tell(target, folder, nodes=1, num_gpus=2)
    assert_same(folder, expected)


def test_runs_on_four_gpus_of_two_nodes(slurm, digits_dir, tmp_path):
    target = make_sweep(
        tmp_path / "sweep", digits_dir, seeds(2, 3), network=NETWORK, **LAUNCH, NUM_GPUS=4
    )
    expected = train_here(target, tmp_path / "undisturbed", 4)
    whole, told = out_dirs(target).values()
    launch_and_tell(target, told, nodes=2, num_gpus=4)
    assert_same(whole, expected)
    # Sums over more than two processes are rounded anew where training goes on: the same errors
    # but for that.
    assert result_of(told)[0]["final_top1_err"] < 30
