"""How far each run of a launched study or sweep is, from the runs' own files and from Slurm."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from pycls.core.runs.lease import Owner, find_owner
from pycls.core.runs.record import has_failed_for_good, read_record
from pycls.launch.ledger import Ledger, Submission
from pycls.launch.target import TargetRun
from pycls.slurm.records import QueuedJob

STATES = ("planned", "queued", "running", "stopped", "failed", "done")

# Looking at files of a network file system is mostly waiting for it.
_LOOKERS = 8
_FEW = 500


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        run: the run.
        state: "done"; "failed" (for good); "running" (a process is at it); "queued" (a job that
            has it waits, or is at other runs); "stopped" (begun, and nobody has it); "planned"
            (not begun, and nobody has it).
        reason: why it is failed, stopped, or not to be submitted yet.
        record: its own record; empty before it begins.
        owner: the process at it.
        job: the job that has it, as Slurm names it.
        ready: whether its first weights are there.
    """

    run: TargetRun
    state: str
    reason: str
    record: Mapping[str, Any]
    owner: Owner | None = None
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
    chunks: dict[int, list[list[dict[str, str]]]] = {}
    found: dict[str, LiveJob] = {}
    for job in live:
        if job.submission.kind == "runs":
            chunk = chunks.setdefault(job.submission.number, job.submission.chunks)[job.index]
            found |= dict.fromkeys((run["id"] for run in chunk), job)
    return found


def find_states(
    runs: Sequence[TargetRun], live: Mapping[str, LiveJob], max_retry: int
) -> list[RunState]:
    """Return how far each run is.

    Args:
        runs: the runs.
        live: of :func:`jobs_by_run`.
        max_retry: how often a failed run is tried again.
    """
    look = partial(_find_state, live=live, max_retry=max_retry)
    if len(runs) < _FEW:
        return [look(run) for run in runs]
    size = -(-len(runs) // _LOOKERS)
    parts = [runs[i : i + size] for i in range(0, len(runs), size)]
    with ThreadPoolExecutor(_LOOKERS) as pool:
        return [state for part in pool.map(lambda p: [look(r) for r in p], parts) for state in part]


def _find_state(run: TargetRun, live: Mapping[str, LiveJob], max_retry: int) -> RunState:
    record = read_record(run.out_dir) or {}
    status, reason = record.get("status"), str(record.get("reason") or "")
    if status == "done":
        return RunState(run, "done", "", record)
    job = live.get(run.id)
    name = job.queued.job_name if job is not None else ""
    owner = find_owner(run.out_dir) if record else None
    if owner is not None:
        return RunState(run, "running", "", record, owner, name)
    if has_failed_for_good(record, max_retry):
        return RunState(run, "failed", reason or "no reason was recorded", record)
    if job is not None:
        return RunState(run, "queued", reason, record, None, name)
    if run.weights is not None and not run.weights.is_file():
        reason = f"its first weights, {run.weights}, are not there yet"
        return RunState(run, "planned", reason, record, ready=False)
    if not record:
        return RunState(run, "planned", "", record)
    return RunState(run, "stopped", reason or "its process is gone", record)
