"""The jobs that Slurm has of a launch, and what they add to the states of its runs."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from pycls.core.runs.record import read_record
from pycls.launch.ledger import Ledger, Submission
from pycls.launch.work import WorkRun
from pycls.results.run_states import RunState, find_state
from pycls.slurm.records import QueuedJob

# In the order in which tables show them.
STATES = ("planned", "queued", "running", "stopped", "failed", "done")

# Looking at files of a network file system is mostly waiting for it.
_LOOKERS = 8
_FEW = 500


@dataclass(frozen=True, kw_only=True)
class LaunchState(RunState):
    """The state of a run of a launch.

    Beside those of :class:`RunState` there are "queued" (a job that has the run waits, or is at
    other runs) and "planned" in place of "missing": it has not begun or cannot be continued, and
    no job has it.

    Attributes:
        run: the run.
        job: the job that has it, as Slurm names it.
        ready: whether its first weights are there.
    """

    run: WorkRun
    job: str = ""
    ready: bool = True


@dataclass(frozen=True)
class LiveJob:
    """A job that Slurm has.

    Attributes:
        submission: the array it is of.
        index: its number there.
        queued: what Slurm says of it.
    """

    submission: Submission
    index: int
    queued: QueuedJob


def find_live_jobs(ledger: Ledger, queue: Iterable[QueuedJob]) -> list[LiveJob]:
    """Return the jobs of a ledger that Slurm has."""
    by_id = {s.job_id: s for s in ledger.submissions() if not s.void}
    found = []
    for job in queue:
        submission = by_id.get(job.array_id)
        if submission is not None and job.name == submission.name:
            found.append(LiveJob(submission, job.index or 0, job))
    return found


def jobs_by_run(live: Iterable[LiveJob]) -> dict[str, LiveJob]:
    """Return {run: the job that has it}."""
    found: dict[str, LiveJob] = {}
    for job in live:
        if job.submission.kind == "runs":
            for run in job.submission.chunks[job.index]:
                found[run["id"]] = job
    return found


def find_states(
    runs: Sequence[WorkRun], live: Mapping[str, LiveJob], max_retry: int
) -> list[LaunchState]:
    """Return the state of each run; `live` is of :func:`jobs_by_run`."""
    look = partial(_find_state, live=live, max_retry=max_retry)
    if len(runs) < _FEW:
        return [look(run) for run in runs]
    size = -(-len(runs) // _LOOKERS)
    parts = [runs[i : i + size] for i in range(0, len(runs), size)]
    with ThreadPoolExecutor(_LOOKERS) as pool:
        return [state for part in pool.map(lambda p: [look(r) for r in p], parts) for state in part]


def _find_state(run: WorkRun, live: Mapping[str, LiveJob], max_retry: int) -> LaunchState:
    found = find_state(run.out_dir, read_record(run.out_dir), max_retry=max_retry)
    state, job = LaunchState(**vars(found), run=run), live.get(run.id)
    if state.state in ("done", "failed"):
        return state
    if job is not None:
        state = replace(state, job=job.queued.job_name)
    if state.state == "running":
        return state
    if job is not None:
        return replace(state, state="queued", reason=str(state.record.get("reason") or ""))
    if run.weights is not None and not run.weights.is_file():
        reason = f"its first weights, {run.weights}, are not there yet"
        return replace(state, state="planned", reason=reason, ready=False)
    return replace(state, state="planned") if state.state == "missing" else state
