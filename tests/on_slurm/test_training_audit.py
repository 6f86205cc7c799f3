"""The audit of the fault tests finds what it is there to find."""

import os
import subprocess
import sys

from fault_campaign import make_sweep, out_dirs, seeds
from slurm_queue import wait_until
from training_audit import Audit, read_starts

# A trainer without a lease, which may believe that it is alone.
CARELESS = """
import contextlib, pathlib, sys, time, types
from pycls.core import trainer
from pycls.core.config import load_cfg
pathlib.Path(sys.argv[2] + ".ready").touch()
held = types.SimpleNamespace(check=lambda: time.sleep(0.05))  # in every step
trainer.run_lease = lambda out_dir: contextlib.nullcontext(held)
while not pathlib.Path(sys.argv[2]).exists():
    time.sleep(0.01)
trainer.train_model(load_cfg(sys.argv[1], ["NUM_THREADS", 1]))
"""


NAMES = ("first", "second")


def is_out_of_order(out_dir):
    """Say whether an iteration's line is not the one after the line before."""
    try:
        read_starts(out_dir)
    except AssertionError as error:
        return "comes after" in str(error)
    return False


def test_two_processes_at_one_run_are_found(digits_dir, tmp_path):
    endless = {"OPTIM": {"MAX_EPOCH": 100_000}}
    work = make_sweep(tmp_path / "sweep", digits_dir, seeds(2), network=endless)
    (run,) = work.runs()
    log = out_dirs(work)[run.id] / "stdout.log"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with Audit(work.folder) as audit:
        # The second one begins when the first has ended an epoch.
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", CARELESS, str(run.cfg), str(tmp_path / name)],
                env=environment, stderr=subprocess.DEVNULL,
            )
            for name in NAMES
        ]  # fmt: skip
        try:
            wait_until(lambda: all((tmp_path / f"{name}.ready").exists() for name in NAMES))
            (tmp_path / "first").touch()
            wait_until(lambda: log.exists() and '"test_epoch"' in log.read_text())
            (tmp_path / "second").touch()
            wait_until(lambda: audit.double and is_out_of_order(log.parent))
        finally:
            for process in processes:
                process.kill()
                process.wait()
    assert audit.writers[str(log)] == {process.pid for process in processes}
    assert {name for name, _ in audit.double} == {str(log)}
