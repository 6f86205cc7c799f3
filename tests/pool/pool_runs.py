"""Trainings for the pool's tests, and what may happen to them meanwhile."""

import contextlib
import os
import threading
from pathlib import Path

import torch
from processes import HANG_S, children_of, wait_until
from run_checkpoints import last_checkpoint

from pycls.core.weights import checkpoint
from pycls.pool.seats import Seat
from pycls.pool.worker_process import Job

SEAT = Seat(threads=1)
DIGITS = Path(__file__).parents[2] / "configs" / "embedded" / "digits_anynet.yaml"
LONG = ("OPTIM.MAX_EPOCH", 5, "CHECKPOINT.KEEP", "last", "CHECKPOINT.PERIOD", 0.0)
PACED = Path(__file__).parent / "paced"


def where(digits_dir, out_dir):
    """Return the keys of a training of the digits on one core."""
    return ["DATA.DIR", str(digits_dir), "OUT_DIR", str(out_dir), "DEVICE", "cpu", "NUM_THREADS", 1]


def paced(until):
    """Return an environment in which trainings take their time until there is a file.

    On any processor, a LONG one takes some seconds from its first checkpoint to its end.
    """
    path = os.pathsep.join(filter(None, [str(PACED), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PACE_S": "0.1", "PACE_UNTIL": str(until)}


def training_job(digits_dir, out_dir, *overrides, srun=()):
    """Return a job that trains a small network."""
    words = (*where(digits_dir, out_dir), *overrides)
    return Job(out_dir.name, "digits", DIGITS, out_dir, tuple(map(str, words)), srun)


def last_weights(out_dir):
    return checkpoint.load_checkpoint(last_checkpoint(out_dir))["model_state"]


def assert_same_weights(out_dir, expected):
    for name, value in last_weights(out_dir).items():
        assert torch.equal(value, expected[name]), name


def has_checkpoint(job):
    return last_checkpoint(job.out_dir) is not None


def workers():
    """Return the worker processes; the test session may have other children."""
    found = []
    for pid in children_of(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"pycls.pool.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def kill_worker(number):
    """Return an action that sends a signal to the only worker."""
    return lambda: os.kill(*workers(), number)


class Meanwhile(threading.Thread):
    """Does something when a condition holds, while the main thread runs a pool."""

    def __init__(self, condition, action):
        super().__init__(daemon=True)
        self.condition, self.action, self.error = condition, action, None
        self.workers = []
        self.start()

    def run(self):
        try:
            wait_until(self.condition)
            self.workers = workers()
            self.action()
        except BaseException as error:
            self.error = error

    def check(self):
        """Fail as it failed."""
        self.join(HANG_S)
        if self.error is not None:
            raise self.error
