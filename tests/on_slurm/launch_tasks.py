"""What jobs of the launching tests do in place of training; their start imports little."""

import os
import time
from pathlib import Path

from pycls.core.runs.interruption import stop_requests
from pycls.core.runs.record import write_record
from pycls.errors import PyclsError
from pycls.pulse import beat


def write_result(cfg):
    """Write the result of a run, and a line for each time that this is done."""
    folder = Path(cfg.OUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "times").open("a") as file:
        file.write(f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}\n")
    (folder / "result").write_text(f"{cfg.RNG_SEED}\n")
    (folder / "stdout.log").write_text("trained\n")
    write_record(folder, {"status": "done", "started": "2026-01-01T00:00:00+00:00"})


def wait_for_leave(cfg):
    """Write the result as soon as there is a file `go` in the sweep's folder."""
    _wait_for(cfg, "go")
    write_result(cfg)


def wait_for_third(cfg):
    """Write the result as soon as there is a file `third` in the sweep's folder."""
    _wait_for(cfg, "third")
    write_result(cfg)


def take_steps(cfg):
    """Write the result after some two seconds of steps; but that of seed 1 fails."""
    with stop_requests() as stop:
        for _ in range(40):
            beat()
            time.sleep(0.05)
            if stop:
                raise stop.to_error()
    fail_at_first(cfg)


def _wait_for(cfg, name):
    """Wait for a file in the sweep's folder, or leave at a signal as trainings do."""
    with stop_requests() as stop:
        while not (Path(cfg.OUT_DIR).parents[1] / name).exists():
            if stop:
                raise stop.to_error()
            time.sleep(0.05)


def fail_at_first(cfg):
    """Write the result; but that of seed 1 only with a file `good` in the sweep's folder."""
    if cfg.RNG_SEED == 1 and not (Path(cfg.OUT_DIR).parents[1] / "good").exists():
        raise PyclsError("not good yet")
    write_result(cfg)
