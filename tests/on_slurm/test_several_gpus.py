"""Runs on several GPUs of a node, and of two nodes: fake GPUs, so that the CPU computes."""

import os
import subprocess
from pathlib import Path

import forked_tools
from fault_campaign import (
    job_logs,
    launch,
    make_sweep,
    out_dirs,
    paced,
    result_of,
    seeds,
)
from slurm_queue import run, squeue, wait_for_empty_queue, wait_until
from training_audit import Audit, read_starts

from pycls.core.runs.record import failures_of, read_record

TOOL = Path(__file__).resolve().parents[2] / "tools" / "train_net.py"
EPOCHS = 6
NETWORK = {"OPTIM": {"MAX_EPOCH": EPOCHS}}
LAUNCH = {
    "GPUS_PER_NODE": 2, "MEM_PER_GPU": 0.5, "PARALLEL_JOBS": 1, "RUNS_PER_JOB": 1,
}  # fmt: skip


def make_paced_sweep(tmp_path, data_dir, *numbers, num_gpus):
    """Set up a sweep of runs with these seeds, in no hurry until there is the file `told`."""
    setup = ["export GLOO_SOCKET_IFNAME=lo", *paced(tmp_path / "told")]
    return make_sweep(
        tmp_path / "sweep", data_dir, seeds(*numbers), network=NETWORK, **LAUNCH, SETUP=setup,
        NUM_GPUS=num_gpus,
    )  # fmt: skip


def train_here(run, folder, num_gpus):
    """Train a run of a sweep with the tool; return its result."""
    words = ["NUM_GPUS", str(num_gpus), "OUT_DIR", str(folder)]
    process = subprocess.run(
        forked_tools.command(TOOL, "--cfg", run.cfg, *words),
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return result_of(folder)


def assert_same(out_dir, expected):
    result, weights = result_of(out_dir)
    assert result == expected[0]
    assert all(weights[name].equal(value) for name, value in expected[1].items())


def launch_and_tell(work, told, nodes, num_gpus):
    """Launch a sweep, tell its first job to stop in the middle of its run, and await the end.

    Args:
        work: the sweep.
        told: is made when the job has been told.
        nodes: how many nodes the job shall have.
        num_gpus: how many processes its run.
    """
    folder = next(iter(out_dirs(work).values()))
    log = folder / "stdout.log"
    with Audit(work.folder) as audit:
        launch(work)
        wait_until(lambda: log.exists() and f'"epoch": "1/{EPOCHS}", "eta"' in log.read_text())
        (job,) = (job for job, state in squeue().items() if state == "RUNNING")
        assert run("squeue", "--noheader", f"--job={job}", "--format=%D") == str(nodes)
        run("scancel", "--signal=USR2", "--batch", job)
        wait_until(lambda: "told to stop by SIGUSR2" in job_logs(work)[job])
        told.touch()
        wait_for_empty_queue()
    record = read_record(folder)
    assert (record["status"], record["processes"]) == ("done", num_gpus)
    assert failures_of(record) == []
    first, second = read_starts(folder)
    assert repr(second[0]) != repr(first[0]), "it went on where it was"
    assert audit.double == []


def test_a_run_on_two_gpus_is_told_saves_and_goes_on(slurm, digits_dir, tmp_path):
    work = make_paced_sweep(tmp_path, digits_dir, 2, num_gpus=2)
    (only,) = work.runs()
    expected = train_here(only, tmp_path / "undisturbed", 2)
    launch_and_tell(work, tmp_path / "told", nodes=1, num_gpus=2)
    assert_same(only.out_dir, expected)


def test_runs_on_four_gpus_of_two_nodes(slurm, digits_dir, tmp_path):
    work = make_paced_sweep(tmp_path, digits_dir, 3, 2, num_gpus=4)
    told, whole = work.runs()
    expected = train_here(whole, tmp_path / "undisturbed", 4)
    launch_and_tell(work, tmp_path / "told", nodes=2, num_gpus=4)
    assert_same(whole.out_dir, expected)
    # Sums over more than two processes are rounded anew where training goes on: the same errors
    # but for that.
    assert result_of(told.out_dir)[0]["final_top1_err"] < 30
