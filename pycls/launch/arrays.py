"""Arrays of jobs: planned in the ledger, written as batch scripts, submitted once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pycls import files
from pycls.errors import PyclsError
from pycls.launch.ledger import Ledger, Submission
from pycls.launch.live_jobs import LiveJob
from pycls.launch.work import Work, WorkRun
from pycls.slurm.batch_script import script_text
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SubmissionUnknownError
from pycls.slurm.options import LaunchOptions


class Arrays:
    """Makes and submits arrays of jobs of one work; for the holder of its ledger.

    Args:
        work: the study or sweep.
        ledger: its ledger.
        slurm: Slurm.
        task: what a job does with a run's configuration, "module:function".
    """

    def __init__(self, work: Work, ledger: Ledger, slurm: Slurm, task: str) -> None:
        self._work, self._ledger, self._slurm, self._task = work, ledger, slurm, task

    def settings(
        self, options: LaunchOptions, code: Path, throttle: int, threads: int
    ) -> dict[str, Any]:
        """Return what the jobs of an array need to know, and what the next launch wants to.

        Args:
            options: what a job is given.
            code: the snapshot that jobs run.
            throttle: jobs of the array that run at a time.
            threads: CPU threads of a run.
        """
        return {
            "throttle": throttle,
            "code": str(code.resolve()),
            "options": options.to_dict(),
            "at_once": options.runs_per_gpu,
            "overrides": options.run_overrides,
            "srun": _srun_command(options),
            "task": self._task,
            "threads": threads,
        }

    def script(self, submission: Submission, after: Sequence[int | str] = ()) -> str:
        """Return the batch script of a planned array, which begins when all in `after` ended."""
        plan = submission.plan
        module = "job" if submission.kind == "runs" else "follow_up"
        return script_text(
            LaunchOptions.from_dict(plan["options"]),
            folder=submission.path.resolve(),
            job_name=submission.name,
            module=f"pycls.launch.{module}",
            arguments=[str(self._work.folder.resolve()), str(submission.number)],
            count=submission.jobs,
            throttle=plan["throttle"],
            dependency=f"afterany:{':'.join(map(str, after))}" if after else None,
            code=Path(plan["code"]),
            faults=self._ledger.faults.resolve(),
            left_out=sorted(self._ledger.bad_nodes()),
        )

    def submit(
        self,
        chunks: Sequence[Sequence[WorkRun]],
        settings: Mapping[str, Any],
        after: Sequence[int] = (),
    ) -> Submission:
        """Submit an array of jobs that train.

        Args:
            chunks: the runs of each job.
            settings: of :meth:`settings`.
            after: see :meth:`script`.

        Raises:
            PyclsError: it was not submitted, or nobody knows if it was.
        """
        planned = [[run.planned() for run in chunk] for chunk in chunks]
        return self._submit(self._ledger.add(self._work.title, planned, settings), after)

    def submit_follow_up(
        self, options: LaunchOptions, code: Path, after: Sequence[int]
    ) -> Submission:
        """Submit the job that looks after others when they have ended.

        Args:
            options: of the launch; the job itself is given little.
            code: the snapshot that it, and what it submits, runs.
            after: the others.

        Raises:
            PyclsError: it was not submitted, or nobody knows if it was.
        """
        settings = self.follow_up_settings(options, code)
        title = f"{self._work.title}-follow-up"
        return self._submit(self._ledger.add(title, [[]], settings, kind="follow-up"), after)

    def follow_up_settings(self, options: LaunchOptions, code: Path) -> dict[str, Any]:
        """Return :meth:`settings` of the job that looks after others, by those of the launch."""
        settings = self.settings(options.of_follow_up, code, throttle=1, threads=1)
        return {**settings, "launch_options": options.to_dict()}

    def _submit(self, submission: Submission, after: Sequence[int]) -> Submission:
        files.write_text(submission.script, self.script(submission, after))
        try:
            job_id = self._slurm.submit(submission.script)
        except SubmissionUnknownError:
            raise  # the next launch asks Slurm whether it has the array
        except PyclsError as error:
            submission.mark_void(str(error))
            raise
        submission.mark_submitted(job_id)
        return submission


def _srun_command(options: LaunchOptions) -> list[str]:
    """Return what starts the processes of a run that takes several nodes; [] for one node."""
    if options.nodes == 1:
        return []
    return [
        "srun", f"--nodes={options.nodes}", f"--ntasks={options.num_gpus}",
        f"--ntasks-per-node={options.gpus_of_node}", f"--cpus-per-task={options.cpus_per_gpu}",
        # Who is told to stop first must not end those that still save; but one that waits on its
        # GPU for a task that is gone would wait for NCCL's ten minutes.
        "--kill-on-bad-exit=0", "--wait=30",
    ]  # fmt: skip


def free_places(live: Sequence[LiveJob], parallel_jobs: int) -> tuple[int, list[int]]:
    """Return how many jobs of a new array may run, and the arrays it has to wait for.

    What earlier arrays leave free of `parallel_jobs`, those of all arrays that may run at a time,
    is for the new one, which waits for their end where they leave nothing.
    """
    arrays, _, free = _places(live, parallel_jobs)
    if free > 0:
        return free, []
    return parallel_jobs, [s.job_id for s in arrays.values() if s.job_id is not None]


def rebalance(slurm: Slurm, live: Sequence[LiveJob], parallel_jobs: int) -> None:
    """Let arrays that go on have the places of those that have ended; see :func:`free_places`."""
    arrays, counts, free = _places(live, parallel_jobs)
    for number, submission in arrays.items():
        more = min(free, counts[number] - submission.throttle)
        if more > 0 and submission.job_id is not None:
            throttle = submission.throttle + more
            if slurm.set_throttle(submission.job_id, throttle):
                submission.mark_submitted(submission.job_id, throttle)
                free -= more


def _places(
    live: Sequence[LiveJob], parallel_jobs: int
) -> tuple[dict[int, Submission], Counter[int], int]:
    """Return arrays that train, by number, how many of their jobs there are, and free places."""
    jobs = [job for job in live if job.submission.kind == "runs"]
    arrays = {job.submission.number: job.submission for job in jobs}
    counts = Counter(job.submission.number for job in jobs)
    taken = sum(min(s.throttle, counts[number]) for number, s in arrays.items())
    return arrays, counts, parallel_jobs - taken
