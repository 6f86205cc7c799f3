"""What `status` says of a sweep on a real Slurm, as a user sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_queue import run, squeue, wait_until
from sweep_files import RATES, write

from pycls.core.config import load_cfg
from pycls.core.config.load import dump_cfg

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = {
    "LAUNCH.NUM_GPUS": 0, "LAUNCH.CPUS_PER_GPU": 1, "LAUNCH.MEM_PER_GPU": 0.5,
    "LAUNCH.RUNS_PER_JOB": 2, "LAUNCH.PARALLEL_JOBS": 1, "LAUNCH.TIME_LIMIT": 20,
}  # fmt: skip


@pytest.fixture
def sweep(tmp_path, digits_dir):
    """Return a function (command, options) -> sweep_launch.py's process, on four long runs."""
    path = write(tmp_path / "rates.yaml", RATES)
    cfgs = tmp_path / "sweeps" / RATES["NAME"] / "cfgs"
    cfgs.mkdir(parents=True)
    for i in range(4):
        out_dir = cfgs.parent / "logs" / f"{i:06d}"
        where = ["DATA.DIR", str(digits_dir), "OUT_DIR", str(out_dir), "DEVICE", "cpu"]
        base = ROOT / "configs" / "embedded" / "digits_anynet.yaml"
        cfg = load_cfg(base, [*where, "OPTIM.MAX_EPOCH", 2000, "LOG_DEST", "file"])
        (cfgs / f"{i:06d}.yaml").write_text(dump_cfg(cfg))

    def start(command, *options):
        words = [sys.executable, str(ROOT / "tools" / "sweep_launch.py"), command]
        words += ["--sweep-cfg", str(path), "--root-dir", str(tmp_path / "sweeps"), *options]
        words += [str(word) for pair in LAUNCH.items() for word in pair]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip

    return start


def look(sweep):
    """Return what status says as JSON."""
    done = sweep("status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def wait_for(sweep, condition):
    """Look until a condition on the status holds; return that status."""
    seen = []

    def holds():
        seen.append(look(sweep))
        return condition(seen[-1])

    # Each look is a process, which takes the cores from the job looked at.
    wait_until(holds, what="the state looked for", pause_s=1.0)
    return seen[-1]


def test_from_the_queue_to_the_node_and_out_of_it(slurm, sweep):
    assert look(sweep)["counts"]["planned"] == 4
    launched = sweep("launch", "--yes")
    assert launched.returncode == 0, launched.stderr
    status = wait_for(sweep, lambda s: s["counts"]["running"] and s["runs"][0]["epoch"])
    assert status["slurm"]["asked"]
    assert status["slurm"]["problem"] == ""
    # Of two jobs of two runs, one may run; a third looks after them.
    assert status["slurm"]["jobs"] == {"RUNNING": 1, "PENDING": 2}
    assert {each["reason"] for each in status["slurm"]["pending"]} == {
        "JobArrayTaskLimit", "Dependency",
    }  # fmt: skip
    running, *others = status["runs"]
    assert (running["state"], [run["state"] for run in others]) == ("running", ["queued"] * 3)
    assert running["job"] == others[0]["job"]
    assert running["job"].endswith("_0")
    assert running["host"] == os.uname().nodename
    assert running["epochs"] == 2000

    text = sweep("status").stdout
    assert f"{running['run']}   {running['job']}" in text.replace("\t", " ")
    assert "1 as LAUNCH.PARALLEL_JOBS says" in text

    # A job that somebody holds is named, with what to do.
    waiting = others[-1]["job"]
    run("scontrol", "uhold", waiting)  # as its owner would, where that is not root
    text = sweep("status").stdout
    assert "attention" in text
    assert f"scontrol release {waiting}" in text

    assert sweep("cancel", "--yes").returncode == 0
    wait_until(lambda: not squeue(), what="an empty queue")
    status = wait_for(sweep, lambda s: not s["counts"]["running"])
    assert status["counts"] == {
        "planned": 3, "queued": 0, "running": 0, "stopped": 1, "failed": 0, "done": 0,
    }  # fmt: skip
    assert all("cancelled" in each["reason"] for each in status["runs"])


def test_a_controller_that_is_gone(own_cluster, sweep, monkeypatch):
    cluster = own_cluster()
    for name, value in cluster.environment().items():
        monkeypatch.setenv(name, value)
    assert sweep("launch", "--yes").returncode == 0
    wait_for(sweep, lambda s: s["counts"]["running"])
    cluster.stop()
    done = sweep("status")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "could not be asked" in line]
    assert "counted as planned or stopped" in line
    assert "Traceback" not in done.stderr
