"""A Slurm job: trains its runs, saves when it is asked to stop, and goes back to the queue.

Started by a batch script as ``python -m pycls.launch.job FOLDER NUMBER``; which
element of the array it is, Slurm says in its environment. This process only looks after the
worker processes that train (see :mod:`pycls.pool.pool`) and imports no PyTorch. It does not speak
to Slurm, whose commands may not be there in a container: by its exit code the batch script knows
what to ask for (:mod:`pycls.slurm.job_shell`).

SIGUSR2, or SIGUSR1, means that the time limit is near or a preemption is announced: the runs are
saved and the job goes back to the queue. SIGTERM mostly means that Slurm ends the job: what
comes of it (nothing after scancel, the queue after a preemption) has been decided then. Where
Slurm knows nothing of an end, SIGTERM was all, and the job goes back too.
"""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycls.core.runs.interruption import STOP_SIGNALS
from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import is_unfinished, read_record, utc_now
from pycls.launch import ledger
from pycls.launch.job_exit import leave_with, tell_reason
from pycls.launch.ledger import JobState, Ledger, Submission
from pycls.pool.pool import Outcome, run_jobs
from pycls.pool.seats import Seat
from pycls.pool.signals import StopSwitch
from pycls.pool.worker_process import NODE, Job
from pycls.slurm import job_shell
from pycls.slurm.options import LaunchOptions

# Saving takes seconds; whoever tells a job to stop gives it a minute or two.
_GRACE_S = 60.0
# A job that reaches its time limit so often before a run could begin would go on like that.
_MOST_IDLE_STARTS = 3
_LATE_PART = 0.25  # Slurm may announce a limit of a minute or two this early


def main() -> int:
    """Be the job that the environment says.

    Returns:
        The exit code, of :mod:`pycls.slurm.job_shell`.
    """
    switch = _take_signals()
    folder, number = sys.argv[1:]
    submission = Ledger(folder).submission(int(number))
    if submission.void:
        print(f"nothing to do: {submission.void}", flush=True)
        return 0
    try:
        return SlurmJob(submission, os.environ, switch).run()
    except FileNotFoundError as error:
        # Others see it: the folder is not mounted here, or by what no more is there.
        return tell_reason(f"{error.filename} is not to be seen here", job_shell.NODE_FAULT)


def _take_signals() -> StopSwitch:
    """Take the signals to stop, which the batch script ignores, to the end of this process."""
    switch = StopSwitch()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda n, _: switch.press(signal.Signals(n).name))
    return switch


class SlurmJob:
    """One element of an array.

    Args:
        submission: the array.
        environ: the environment that Slurm made for the job.
        switch: what tells it to stop.
    """

    def __init__(
        self, submission: Submission, environ: Mapping[str, str], switch: StopSwitch
    ) -> None:
        self._submission = submission
        self._switch = switch
        self._began = time.monotonic()
        self._index = int(environ["SLURM_ARRAY_TASK_ID"])
        self._epochs: dict[str, int] = {}  # of each run when this start began
        before = submission.job_state(self._index)
        self._state = JobState(
            "running",
            job=f"{environ['SLURM_ARRAY_JOB_ID']}_{self._index}",
            host=socket.gethostname(),
            restarts=int(environ.get("SLURM_RESTART_COUNT", "0")),
            started=utc_now(),
            idle_starts=before.idle_starts if before else 0,
        )

    def run(self) -> int:
        """Train what is left of the job's runs; return the exit code."""
        chunk = self._submission.chunk(self._index)
        plan = self._submission.plan
        self._note("running")
        most = plan["options"]["MAX_RETRY"]
        records = {run["id"]: read_record(run["out_dir"]) or {} for run in chunk}
        pending = [run for run in chunk if is_unfinished(records[run["id"]], most)]
        self._epochs = {name: len(r.get("epochs") or []) for name, r in records.items()}
        print(
            f"job {self._state.job} on {self._state.host}, start {self._state.restarts + 1}: "
            f"{len(pending)} of {len(chunk)} runs to train, {plan['at_once']} at a time",
            flush=True,
        )
        outcome = run_jobs(
            [self._job(run) for run in pending],
            _seats(plan),
            max_retry=most,
            retry_here=False,
            task=plan["task"],
            done_before=len(chunk) - len(pending),
            stop=self._switch,
            note_at_work=self._note_at_work,
            note_imported=self._note_proved,
            grace_s=_GRACE_S,
            silence_s=60.0 * LaunchOptions.from_dict(plan["options"]).hang_minutes,
        )
        return self._end(outcome, pending)

    def _job(self, run: Mapping[str, str]) -> Job:
        plan = self._submission.plan
        return Job(
            run["id"], run["group"], Path(run["cfg"]), Path(run["out_dir"]),
            overrides=tuple(plan["overrides"]), srun=tuple(plan["srun"]),
            gpus=LaunchOptions.from_dict(plan["options"]).gpus_of_node,
        )  # fmt: skip

    def _end(self, outcome: Outcome, pending: list[dict[str, str]]) -> int:
        """Settle what became of the runs; return the exit code."""
        if outcome.fault:
            return self._wait_out(outcome, pending)
        if outcome.fatal:
            return self._give_up(outcome.fatal)
        if outcome.stopped_by:
            return self._stop(outcome.stopped_by, pending)
        if outcome.again:
            # Slurm may choose another node, should this one be at fault.
            self._state = replace(self._state, idle_starts=0)
            return self._requeue(f"{len(outcome.again)} runs failed and are tried again")
        if outcome.busy:
            return self._leave(outcome.busy, pending)
        self._note("ended")
        return job_shell.SOME_FAILED if outcome.failed else 0

    def _wait_out(self, outcome: Outcome, pending: Sequence[Mapping[str, str]]) -> int:
        """Leave a node, or a storage that is at fault, which costs no run a try."""
        if outcome.fault == NODE:
            self._note("requeued", outcome.fatal)
            return tell_reason(outcome.fatal, job_shell.NODE_FAULT)
        with contextlib.suppress(OSError):  # it is the storage that is at fault
            self._note("requeued", outcome.fatal)
        try:
            has_moved = bool(outcome.done) or any(map(self._has_moved, pending))
        except OSError:
            has_moved = False
        code = job_shell.STORAGE_FAULT_AFTER_PROGRESS if has_moved else job_shell.STORAGE_FAULT
        return tell_reason(outcome.fatal, code)

    def _has_moved(self, run: Mapping[str, str]) -> bool:
        """Say whether a run has ended an epoch in this start of the job."""
        record = read_record(run["out_dir"]) or {}
        return len(record.get("epochs") or []) > self._epochs.get(run["id"], 0)

    def _leave(self, busy: Sequence[str], pending: Sequence[Mapping[str, str]]) -> int:
        """Leave runs to the processes that have them."""
        owners = [find_owner(run["out_dir"]) for run in pending if run["id"] in busy]
        for owner in owners:
            # It is on a node that Slurm has lost, where no other job looks after it.
            if owner and owner.job == self._state.job and owner.restarts < self._state.restarts:
                return self._requeue(f"an earlier start of this job is still at work: {owner}")
        left = f"left to the processes that have them: {', '.join(busy)}"
        print(left, flush=True)
        self._note("ended", left)
        return 0

    def _stop(self, signal_name: str, pending: Sequence[Mapping[str, str]]) -> int:
        """Leave after a signal, the runs being saved."""
        idle = 0
        if self._is_late() and not any(self._has_begun(run) for run in pending):
            idle = self._state.idle_starts + 1
        self._state = replace(self._state, idle_starts=idle)
        if signal_name == "SIGTERM":
            # If Slurm knows of an end, this is what stays; else the job goes back to the queue.
            self._note("stopped", "ended by Slurm (SIGTERM)")
            return tell_reason("told to stop by SIGTERM", job_shell.AGAIN)
        if idle >= _MOST_IDLE_STARTS:
            return self._give_up(
                f"stopped {idle} times in a row before a run could begin; "
                "ask for more time (LAUNCH.TIME_LIMIT)"
            )
        return self._requeue(f"told to stop by {signal_name}")

    def _is_late(self) -> bool:
        """Say whether this start may have come near the job's time limit."""
        limit_s = 60.0 * self._submission.plan["options"]["TIME_LIMIT"]
        return time.monotonic() - self._began > _LATE_PART * limit_s

    def _has_begun(self, run: Mapping[str, str]) -> bool:
        """Say whether a run got to training in this start of the job."""
        record = read_record(run["out_dir"])
        return record is not None and str(record.get("started", "")) >= self._state.started

    def _requeue(self, reason: str) -> int:
        """Go back to the queue."""
        self._note("requeued", reason)
        return tell_reason(reason, job_shell.AGAIN)

    def _give_up(self, reason: str) -> int:
        """End, as another start, now or by the job that looks after this one, would not help."""
        self._state = replace(self._state, end=ledger.GAVE_UP)
        self._note("stopped", reason)
        print(f"error: {reason}", file=sys.stderr)
        return job_shell.GAVE_UP

    def _note_proved(self) -> None:
        if not self._state.proved:
            self._state = replace(self._state, proved=True)
            self._submission.write_job_state(self._index, self._state)

    def _note_at_work(self, runs: Sequence[str]) -> None:
        self._state = replace(self._state, at_work=tuple(runs))
        self._submission.write_job_state(self._index, self._state)

    def _note(self, state: str, reason: str = "") -> None:
        self._state = replace(self._state, state=state, reason=reason, at_work=())
        self._submission.write_job_state(self._index, self._state)


def _seats(plan: Mapping[str, Any]) -> list[Seat]:
    """Return the workers' shares of the job: runs on a GPU share a process, and its batches."""
    threads, at_once = plan["threads"], plan["at_once"]
    if plan["options"]["NUM_GPUS"] == 0:
        return [Seat(threads)] * at_once
    return [Seat(threads, runs_on_gpu=at_once, at_once=at_once)]


if __name__ == "__main__":
    leave_with(main)
