"""The submission to Slurm of what is missing of a study or sweep, exactly once."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pycls import files
from pycls.core.runs.anew import begin_anew
from pycls.core.runs.record import forget_failures
from pycls.errors import PyclsError
from pycls.launch.arrays import Arrays, free_places, rebalance
from pycls.launch.ledger import Ledger, Submission
from pycls.launch.live_jobs import LiveJob, find_live_jobs
from pycls.launch.plan import Request, describe, plan_request, why_nothing
from pycls.launch.settle import settle
from pycls.launch.snapshot import keep_files, pack_snapshot, snapshot_code
from pycls.launch.work import Work
from pycls.pool.seats import choose_threads
from pycls.pool.worker_process import TRAIN
from pycls.progress import count
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SlurmUnreachableError, SubmissionRefusedError
from pycls.slurm.options import LaunchOptions

REFERENCE = "target.json"


class Launcher:
    """Submits the runs of a study or sweep.

    Args:
        work: what to launch.
        slurm: Slurm.
        options: instead of those of its file.
        code: the snapshot that jobs run; None: a new one of the code that runs here.
        task: what a job does with a run's configuration, "module:function".
        own_number: the submission that this process is a job of, if it is one.
        lock_wait_s: how long to wait for another process that is launching, in seconds.
        pause_s: between two arrays, for the controller's sake, in seconds.
        say: where messages go.

    Attributes:
        unattended: after a launch, why no job looks after what there is; "" where one does, or is
            not to.
        has_others: whether, at the last launch, other jobs of the work were in Slurm.
    """

    def __init__(
        self,
        work: Work,
        slurm: Slurm,
        *,
        options: LaunchOptions | None = None,
        code: Path | None = None,
        task: str = TRAIN,
        own_number: int | None = None,
        lock_wait_s: float = 0.0,
        pause_s: float = 1.0,
        say: Callable[[str], None] = print,
    ) -> None:
        self._work, self._slurm = work, slurm
        self._options = options or work.options
        self._code, self._own_number = code, own_number
        self._lock_wait_s, self._pause_s, self._say = lock_wait_s, pause_s, say
        self._ledger = Ledger(work.folder)
        self._arrays = Arrays(work, self._ledger, slurm, task)
        self.unattended = ""
        self.has_others = False

    def launch(
        self,
        confirm: Callable[[str], bool],
        *,
        again: Sequence[str] | None = None,
        spare_cancelled: bool = False,
    ) -> int:
        """Submit what is missing and ready.

        Args:
            confirm: asked before anything is submitted, with a description.
            again: failed runs to try afresh; (): all of them; None: none.
            spare_cancelled: leave out runs whose jobs were cancelled.

        Returns:
            The number of jobs submitted.

        Raises:
            PyclsError: Slurm refuses, or somebody else is launching.
        """
        if self._own_number is None:  # else it was checked; a partition may be down for a while
            for options in self._requests():
                self._slurm.check_request(options)
        self.unattended = ""
        with self._work.hold():
            self._work.write()
        with self._ledger.lock(self._lock_wait_s):
            queue = self._slurm.jobs()
            settle(self._ledger, self._slurm, queue)
            request = plan_request(
                self._work, self._ledger, self._slurm, self._options, queue,
                again=again, spare_cancelled=spare_cancelled,
            )  # fmt: skip
            self.has_others = any(job.submission.number != self._own_number for job in request.live)
            if not request.arrays:
                self._say(why_nothing(self._work, self._options, request, self._own_number))
                self._look_after(request.live, [])
                return 0
            if not confirm(describe(self._work, self._options, request)):
                self._say("nothing was submitted")
                return 0
            return self._submit(request)

    def dry_run(self, *, again: Sequence[str] | None = None) -> str:
        """Return the batch scripts that :meth:`launch` would submit; nothing is written."""
        for options in self._requests():
            self._slurm.check_request(options)
        queue = self._slurm.jobs()
        request = plan_request(
            self._work, self._ledger, self._slurm, self._options, queue, again=again
        )
        if not request.arrays:
            return why_nothing(self._work, self._options, request)
        free, after = free_places(request.live, self._options.parallel_jobs)
        number = max((s.number for s in self._ledger.submissions()), default=0)
        texts = [describe(self._work, self._options, request)]
        for array in request.arrays:
            number += 1
            code = self._code or self._ledger.code / "SNAPSHOT"
            settings = self._arrays.settings(self._options, code, min(free, len(array)), 1)
            plan = {**settings, "name": self._work.title, "kind": "runs", "jobs": len(array)}
            submission = Submission(self._ledger.submission(number).path, plan)
            texts.append(f"# {submission.script}\n{self._arrays.script(submission, after)}")
        if len(request.arrays) > 1:
            texts.append("# each array begins when the one before it has ended")
        if self._options.follow_up:
            texts.append("# and a small job that looks after them when they have ended (JOBS)")
            settings = self._arrays.follow_up_settings(self._options, code)
            title = f"{self._work.title}-follow-up"
            plan = {**settings, "name": title, "kind": "follow-up", "jobs": 1}
            submission = Submission(self._ledger.submission(number + 1).path, plan)
            texts.append(f"# {submission.script}\n{self._arrays.script(submission, ['JOBS'])}")
        return "\n".join(texts)

    def _requests(self) -> list[LaunchOptions]:
        """Return the options of all kinds of jobs that a launch submits."""
        return [self._options, *([self._options.of_follow_up] if self._options.follow_up else [])]

    def _submit(self, request: Request) -> int:
        """Submit arrays one by one, and the job that looks after them; return their jobs."""
        code = self._code or snapshot_code(self._ledger.code)
        if self._options.environment:
            pack_snapshot(code)
        reference = dict(self._work.reference)
        if "copy" not in reference:
            reference["copy"] = str(keep_files(self._work.files, self._ledger.files).resolve())
        files.write_json(self._ledger.root / REFERENCE, reference)
        share = self._options.cpus_of_node // self._options.runs_per_gpu
        threads = choose_threads(self._work.folder, share, say=self._say)
        free, after = free_places(request.live, self._options.parallel_jobs)
        for run in request.again:
            forget_failures(run.out_dir)
        for run in request.to_begin_anew:
            begin_anew(run.out_dir)
        submitted: list[Submission] = []
        try:
            for array in request.arrays:
                if submitted:
                    time.sleep(self._pause_s)
                throttle = min(free, len(array))
                settings = self._arrays.settings(self._options, code, throttle, threads)
                # Arrays one after another: together they would run more jobs than asked.
                after = [s.job_id for s in submitted[-1:] if s.job_id is not None] or after
                submitted.append(self._arrays.submit(array, settings, after))
                self._say(
                    f"submitted {count(len(array), 'job')} with "
                    f"{count(sum(map(len, array)), 'run')}: Slurm job {submitted[-1].job_id}"
                )
        except SlurmUnreachableError:
            raise
        except PyclsError as error:
            # What was submitted is looked after all the same.
            self._look_after(request.live, submitted)
            is_full = isinstance(error, SubmissionRefusedError) and error.is_full
            if not (is_full and submitted and self._options.follow_up):
                raise
            self._say(f"  the rest follows when there is room in the queue ({error})")
        else:
            self._look_after(request.live, submitted)
        return sum(s.jobs for s in submitted)

    def _look_after(self, live: Sequence[LiveJob], submitted: Sequence[Submission]) -> None:
        """See to it that a job waits for the end of all jobs there are, to look after them."""
        arrays = {j.submission.job_id for j in live if j.submission.kind == "runs"}
        # One that runs already may be past looking.
        waits = any(
            job.submission.kind == "follow-up" and job.queued.state == "PENDING" for job in live
        )
        ids = {s.job_id for s in submitted} | (set() if waits else arrays)
        after = sorted(job_id for job_id in ids if job_id is not None)
        if not after or not self._options.follow_up:
            return
        code = Path(self._ledger.submissions()[-1].plan["code"])
        try:
            submission = self._arrays.submit_follow_up(self._options, code, after)
        except PyclsError as error:
            self.unattended = str(error)
            self._say(
                f"no job looks after them ({error}): give the same command again when they have "
                "ended, to submit what was lost or only then is ready; LAUNCH.FOLLOW_UP False "
                "does without"
            )
            return
        self._say(f"  and one that looks after them when they have ended: {submission.job_id}")

    def rebalance(self) -> None:
        """Let arrays that go on have the places of those that have ended."""
        with self._ledger.lock(self._lock_wait_s):
            live = find_live_jobs(self._ledger, self._slurm.jobs())
            rebalance(self._slurm, live, self._options.parallel_jobs)


def last_launch(ledger: Ledger) -> Submission:
    """Return the array that was submitted last.

    Raises:
        PyclsError: there is none.
    """
    arrays = [s for s in ledger.submissions() if s.kind == "runs" and s.job_id is not None]
    if not arrays:
        raise PyclsError(f"{ledger.folder}: nothing was launched here on Slurm")
    return arrays[-1]


def cancel(ledger: Ledger, slurm: Slurm) -> int:
    """Take all jobs out of the queue; what runs is saved first.

    Returns:
        The number of jobs.
    """
    with ledger.lock():
        queue = slurm.jobs()
        settle(ledger, slurm, queue)
        # By their names: void ones, too, which a killed `cancel` or `sbatch` may have left.
        known = {submission.name: submission for submission in ledger.submissions()}
        found = [job for job in queue if job.name in known]
        for name in {job.name for job in found}:
            # Before Slurm is told, so that a job that only now begins does nothing.
            if not known[name].void:
                known[name].mark_void("cancelled", cancelled=True)
        slurm.cancel(sorted({job.array_id for job in found}))
        return len(found)
