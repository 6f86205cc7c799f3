"""The job that looks after a launch: when its arrays have ended, it submits what is left.

Started by a batch script as ``python -m pycls.launch.follow_up FOLDER NUMBER``. What is
left: runs of jobs that Slurm lost, runs that found no room in the queue, and runs that only now
can begin, as others gave them weights or were to decide which architectures they train. Where
nothing is left, it is the last one, and leaves a report. What somebody cancelled stays so.

It submits before it collects, which takes longer and can fail, and tries again where Slurm does not
take what it submits. What the study is, its copies say that were made at the launch.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pycls.core.runs.interruption import STOP_SIGNALS
from pycls.core.runs.record import utc_now
from pycls.errors import ConfigError, PyclsError
from pycls.launch.job_exit import leave_with, tell_reason
from pycls.launch.ledger import GAVE_UP, JobState, Ledger, Submission
from pycls.launch.report import leave_report
from pycls.launch.submit import REFERENCE, Launcher
from pycls.launch.work import Work, load_work
from pycls.progress import count, format_duration
from pycls.slurm import job_shell
from pycls.slurm.client import Slurm
from pycls.slurm.options import LaunchOptions

# Before it submits again what Slurm has not taken, in seconds.
PAUSES_S = (15.0, 60.0, 240.0, 900.0)
# A follow-up that reaches its time limit so often in a row would go on like that.
_MOST_STOPS = 3

_say = partial(print, flush=True)


class _ToldToStop(BaseException):
    """The job's time limit is near, or Slurm ends it."""


def main() -> int:
    """Look after the launch that the command line names."""
    folder, number = sys.argv[1:]
    submission = Ledger(folder).submission(int(number))
    if submission.void:
        _say(f"nothing to do: {submission.void}")
        return 0
    for stop in STOP_SIGNALS:
        signal.signal(stop, _stop)
    return FollowUp(submission).run()


def _stop(number: int, _: object) -> None:
    raise _ToldToStop(signal.Signals(number).name)


class FollowUp:
    """The job; its state in the ledger says what became of it.

    Args:
        submission: that this process is the job of.
        pauses_s: see :data:`PAUSES_S`.
    """

    def __init__(self, submission: Submission, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._submission, self._pauses_s = submission, pauses_s
        before = submission.job_state(0)
        self._state = JobState(
            "running",
            job=f"{os.environ.get('SLURM_ARRAY_JOB_ID', submission.job_id)}_0",
            host=socket.gethostname(),
            restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            started=utc_now(),
            idle_starts=before.idle_starts if before else 0,
        )

    def run(self) -> int:
        """Submit what is left, collect, and in the end leave a report; return the exit code."""
        self._note("running")
        try:
            done = self._look_after()
        except _ToldToStop as told:
            stops = self._state.idle_starts + 1
            self._state = replace(self._state, idle_starts=stops)
            if stops < _MOST_STOPS:
                self._note("requeued", f"told to stop by {told}")
                return tell_reason(f"told to stop by {told}", job_shell.AGAIN)
            self._give_up(
                f"stopped {stops} times in a row before all was collected; ask for more time "
                "(LAUNCH.FOLLOW_UP_TIME)"
            )
            return job_shell.GAVE_UP
        except PyclsError as error:
            self._give_up(str(error))
            raise
        self._note("ended", done)
        return 0

    def _look_after(self) -> str:
        """Return what was done, in words."""
        plan = self._submission.plan
        ledger = Ledger(self._submission.path.parents[1])
        work = load_work(ledger.root / REFERENCE)
        launcher = Launcher(
            work,
            Slurm(patience_s=60.0),
            options=LaunchOptions.from_dict(plan["launch_options"]),
            code=Path(plan["code"]),
            task=plan["task"],
            own_number=self._submission.number,
            lock_wait_s=600.0,
            say=_say,
        )
        jobs = self._launch(launcher)
        problem = _collect(work)
        if work.look_again():
            jobs += self._launch(launcher)
        launcher.rebalance()
        if jobs:
            return "; ".join(filter(None, [f"submitted {count(jobs, 'job')}", problem]))
        if launcher.has_others:
            return "; ".join(filter(None, ["nothing to submit, others go on", problem]))
        is_there = leave_report(work, _say)
        return problem or ("nothing was left; the report is there" if is_there else "nothing left")

    def _launch(self, launcher: Launcher) -> int:
        """Submit what is left, again and again until Slurm takes it; return its jobs."""
        jobs = 0
        for pause_s in (*self._pauses_s, None):
            try:
                jobs += launcher.launch(_agree, spare_cancelled=True)
                problem = launcher.unattended
                if not problem:
                    return jobs
            except ConfigError:
                raise
            except PyclsError as error:
                problem = str(error)
                if pause_s is None:
                    raise
            if pause_s is not None:
                said = f"{problem}; tried again in {format_duration(pause_s)}"
                _say(said)
                self._note("running", said)
                time.sleep(pause_s)
        raise PyclsError(f"no job looks after what was submitted: {problem}")

    def _give_up(self, reason: str) -> None:
        self._state = replace(self._state, end=GAVE_UP)
        self._note("stopped", reason)

    def _note(self, state: str, reason: str = "") -> None:
        self._state = replace(self._state, state=state, reason=reason)
        self._submission.write_job_state(0, self._state)


def _collect(work: Work) -> str:
    """Write the table of results; return why that was not possible, in words."""
    try:
        work.collect()
    except (PyclsError, MemoryError) as error:
        said = f"the results were not collected: {error or 'out of memory'}"
        _say(said)
        return said
    return ""


def _agree(description: str) -> bool:
    _say(description)
    return True


if __name__ == "__main__":
    leave_with(main)
