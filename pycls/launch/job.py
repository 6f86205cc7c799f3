"""A Slurm job: trains its runs, saves when it is asked to stop, and goes back to the queue.

Started by a batch script as ``python -m pycls.launch.job FOLDER NUMBER``; which
element of the array it is, Slurm says in its environment. This process only looks after the
worker processes that train (see :mod:`pycls.pool.pool`) and imports no PyTorch.

SIGUSR2, or SIGUSR1, means that the time limit is near or a preemption is announced: the runs are
saved and the job asks for its own requeueing. SIGTERM mostly means that Slurm ends the job: what
comes of it (nothing after scancel, the queue after a preemption) has been decided then. Where
Slurm knows nothing of an end, SIGTERM was all, and the job asks for its requeueing too.
"""

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
from pycls.errors import PyclsError, RunInterruptedError, run_tool
from pycls.launch.ledger import GAVE_UP, JobState, Ledger, Submission
from pycls.pool.pool import Outcome, run_jobs
from pycls.pool.seats import Seat
from pycls.pool.signals import StopSwitch
from pycls.pool.worker_process import Job
from pycls.slurm.client import Slurm

STOPPED = RunInterruptedError.exit_code
# For how long a job that is to leave waits for a controller that does not answer, in seconds.
_PATIENCE_S = 90.0
# Saving takes seconds; whoever tells a job to stop gives it a minute or two.
_GRACE_S = 60.0
# A job that reaches its time limit so often before a run could begin would go on like that.
_MOST_IDLE_STARTS = 3
_LATE_PART = 0.25  # Slurm may announce a limit of a minute or two this early


def main() -> int:
    """Be the job that the environment says.

    Returns:
        The exit code: 0 all of its runs are done, 1 some failed, 75 stopped.
    """
    switch = _take_signals()
    folder, number = sys.argv[1:]
    submission = Ledger(folder).submission(int(number))
    if submission.void:
        print(f"nothing to do: {submission.void}", flush=True)
        return 0
    return SlurmJob(submission, os.environ, switch).run()


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
        chunk = self._submission.chunks[self._index]
        plan = self._submission.plan
        self._note("running")
        most = plan["options"]["MAX_RETRY"]
        pending = [run for run in chunk if is_unfinished(read_record(run["out_dir"]), most)]
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
            grace_s=_GRACE_S,
        )
        return self._end(outcome, pending)

    def _job(self, run: Mapping[str, str]) -> Job:
        plan = self._submission.plan
        return Job(
            run["id"], run["group"], Path(run["cfg"]), Path(run["out_dir"]),
            overrides=tuple(plan["overrides"]), srun=tuple(plan["srun"]),
        )  # fmt: skip

    def _end(self, outcome: Outcome, pending: list[dict[str, str]]) -> int:
        """Settle what became of the runs; return the exit code."""
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
        return 1 if outcome.failed else 0

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
            self._note("stopped", "ended by Slurm (SIGTERM)")
            if self._is_being_ended():
                print("ended by Slurm (SIGTERM); the runs are saved", flush=True)
                return STOPPED
        if idle >= _MOST_IDLE_STARTS:
            return self._give_up(
                f"stopped {idle} times in a row before a run could begin; "
                "ask for more time (LAUNCH.TIME_LIMIT)"
            )
        return self._requeue(f"told to stop by {signal_name}")

    def _is_being_ended(self) -> bool:
        """Say whether Slurm is ending this job, or has ended it already."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            try:
                jobs = Slurm(connect=False).jobs()
            except PyclsError:
                time.sleep(1.0)  # an end that Slurm has decided comes without its answer
                continue
            states = {job.job_name: job.state for job in jobs}
            return states.get(self._state.job) != "RUNNING"
        return False

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
        print(f"{reason}; going back to the queue", flush=True)
        try:
            # Not by the job's own number, which may be that of the whole array.
            Slurm(patience_s=_PATIENCE_S).requeue(self._state.job)
        except PyclsError as error:
            if not self._submission.void:
                self._note("stopped", f"{reason}, and could not be requeued: {error}")
            print(f"not requeued: {error}", flush=True)
        return STOPPED

    def _give_up(self, reason: str) -> int:
        """End, as another start, now or by the job that looks after this one, would not help."""
        self._state = replace(self._state, end=GAVE_UP)
        self._note("stopped", reason)
        raise PyclsError(reason)

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
    run_tool(main)
