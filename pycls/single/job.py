"""What a job of submitit's does: trains or tests one network, and goes back to the queue.

An instance of :class:`SingleJob` is what submitit pickles, so its attributes are texts and numbers.
While it trains, the training takes the signals and saves itself within the epoch; only then
submitit is given its own one, by which it calls :meth:`SingleJob.checkpoint` and requeues the job.
"""

import os
import signal
import time
from typing import Any

import submitit

from pycls.core.config.load import parse_cfg
from pycls.core.runs.record import add_failure, read_record, utc_now
from pycls.core.training_launch import started_as_one_of, train
from pycls.errors import PyclsError, RunInterruptedError
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SlurmError

# A job that comes to its time limit so often before a training began would go on like that.
_MOST_IDLE_STARTS = 3
_LATE_PART = 0.25  # Slurm may announce a limit of a minute or two this early


def _train(text: str) -> dict[str, Any] | None:
    cfg = parse_cfg(text, "configuration")
    world = started_as_one_of(cfg)
    result: dict[str, Any] = train(cfg, world)["result"]
    return result if world is None or world.is_main else None


def _test(text: str) -> dict[str, float]:
    from pycls.core.tester import describe_errors, test_model

    cfg = parse_cfg(text, "configuration")
    errors = test_model(cfg)
    print(describe_errors(cfg, errors), flush=True)
    return errors


_TASKS = {"train": _train, "test": _test}


class SingleJob:
    """A task on one configuration, which submitit calls in the job.

    Args:
        task: "train" or "test".
        text: the configuration.
        out_dir: the folder whose record tells how it ended; "" for a task without one.
        cluster: submitit's name of where it runs: "slurm", "local" or "debug".
        limit_s: the job's time limit, in seconds.
    """

    def __init__(self, task: str, text: str, out_dir: str, cluster: str, limit_s: float) -> None:
        self._task, self._text, self._out_dir = task, text, out_dir
        self._cluster, self._limit_s = cluster, limit_s
        self._began, self._clock, self._idle = "", 0.0, 0

    def __call__(self) -> Any:
        """Do it; return what comes of it.

        Raises:
            PyclsError: it cannot be done, or was stopped; a run's record says so, too.
        """
        self._began, self._clock = utc_now(), time.monotonic()
        try:
            return _TASKS[self._task](self._text)
        except PyclsError as error:
            if error.exit_code == RunInterruptedError.exit_code:
                if self._goes_back(error):
                    signal.raise_signal(_signal_of_submitit())  # ends the process if it requeues
            elif not self._has_noted_failure():
                self._note_failure(str(error))
            raise

    def checkpoint(self) -> submitit.helpers.DelayedSubmission | None:
        """Return what the next start of the job is to do: the same, which goes on where this was.

        None, so that the job ends, where start after start is over before a training begins.
        """
        if self._has_begun():
            self._idle = 0
        elif time.monotonic() - self._clock > _LATE_PART * self._limit_s:
            self._idle += 1
        if self._idle >= _MOST_IDLE_STARTS:
            self._note_failure(
                f"stopped {self._idle} times in a row before it could begin; ask for more time "
                "(LAUNCH.TIME_LIMIT)"
            )
            return None
        return submitit.helpers.DelayedSubmission(self)

    def _goes_back(self, error: PyclsError) -> bool:
        """Say whether a job that was stopped is to start again, and nobody else sees to that."""
        if self._cluster != "slurm":
            return self._cluster == "local" and _signal_of_submitit().name in str(error)
        # After scancel, or a preemption that ends jobs, it would come back from the dead.
        try:
            states = {job.job_name: job.state for job in Slurm(patience_s=60.0).jobs()}
        except SlurmError as unknown:
            print(f"not requeued: {unknown}", flush=True)
            return False
        return states.get(submitit.JobEnvironment().job_id) == "RUNNING"

    def _has_begun(self) -> bool:
        return bool(self._out_dir) and str(self._record().get("started", "")) >= self._began

    def _has_noted_failure(self) -> bool:
        return self._record().get("status") == "failed" and self._has_begun()

    def _note_failure(self, reason: str) -> None:
        if self._out_dir:
            add_failure(self._out_dir, reason, os.environ.get("SLURM_JOB_ID", ""))

    def _record(self) -> dict[str, Any]:
        return read_record(self._out_dir) or {}


def _signal_of_submitit() -> signal.Signals:
    return signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
