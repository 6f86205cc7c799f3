"""The jobs that Slurm has of a launch, and what they add to the states of its runs."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pycls.core.runs.packed import begun_in, file_stat
from pycls.core.runs.record import read_outline, record_path, trained_seconds
from pycls.launch.ledger import Ledger, Submission
from pycls.launch.work import WorkRun
from pycls.results.run_progress import EPOCHS_LOOKED_AT
from pycls.results.run_states import RunState, find_state
from pycls.slurm.records import QueuedJob

# In the order in which tables show them.
STATES = ("planned", "queued", "running", "stopped", "failed", "done")

# Looking at files of a network file system is mostly waiting for it.
_LOOKERS = 8
_FEW = 500
_QUICK_S = 0.0005  # a run, of a file system that answers at once
# Of a record; all of it, of thousands of runs, would fill the memory.
_KEPT = ("status", "reason", "started", "ended", "failures", "stopped_after", "log_bytes")

_Signature = tuple[int, int, int]


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
        seconds: what its epochs took so far; the record has only the last ones, and only what is
            asked of many runs.
    """

    run: WorkRun
    job: str = ""
    ready: bool = True
    seconds: float = 0.0


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
    return StateFinder(max_retry).find(runs, live)


class StateFinder:
    """Finds the states of many runs, again and again, and looks only at what can have changed.

    A run that is done stays so. One that nobody has begun has no folder, which one listing for all
    tells; of one that failed, the record's signature is looked at.

    Args:
        max_retry: how often a failed run is tried again.
    """

    def __init__(self, max_retry: int) -> None:
        self._max_retry = max_retry
        self._known: dict[str, LaunchState] = {}
        self._records: dict[str, tuple[_Signature, float, Mapping[str, Any]]] = {}

    def find(self, runs: Sequence[WorkRun], live: Mapping[str, LiveJob]) -> list[LaunchState]:
        """Return the state of each run; one that is as before is the same object."""
        todo = [run for run in runs if not self._is_done(run)]
        # By texts, as paths of thousands of runs take a second.
        folders = {str(run.out_dir).rpartition("/")[0] for run in todo}
        begun = {folder: begun_in(folder) for folder in folders}
        look = partial(self._find, live=live, begun=begun)
        first, rest = todo[:_FEW], todo[_FEW:]
        began = time.perf_counter()
        found = list(map(look, first))
        if time.perf_counter() - began < _QUICK_S * len(first):
            found += map(look, rest)  # where nothing waits, threads only get in each other's way
        elif rest:
            size = -(-len(rest) // _LOOKERS)
            parts = [rest[i : i + size] for i in range(0, len(rest), size)]
            with ThreadPoolExecutor(_LOOKERS) as pool:
                for part in pool.map(lambda part: list(map(look, part)), parts):
                    found += part
        self._known.update((state.run.id, state) for state in found)
        return [self._known[run.id] for run in runs]

    def _is_done(self, run: WorkRun) -> bool:
        known = self._known.get(run.id)
        return known is not None and known.state == "done"

    def _find(
        self, run: WorkRun, live: Mapping[str, LiveJob], begun: Mapping[str, set[str]]
    ) -> LaunchState:
        job = live.get(run.id)
        name = job.queued.job_name if job is not None else ""
        known = self._known.get(run.id)
        folder, _, own = str(run.out_dir).rpartition("/")
        if own in begun[folder]:
            seconds, record = self._read(run)
            found = find_state(run.out_dir, record, max_retry=self._max_retry)
            state = LaunchState(**vars(found), run=run, seconds=seconds)
            if state.state in ("done", "failed"):
                return state
            if name:
                state = replace(state, job=name)
            if state.state == "running":
                return state
        elif known and known.job == name and known.ready and known.state in ("planned", "queued"):
            return known
        elif name:
            return LaunchState(state="queued", run=run, job=name)
        else:
            state = LaunchState(state="planned", run=run)
        if name:
            return replace(state, state="queued", reason=str(state.record.get("reason") or ""))
        if run.weights is not None and not run.weights.is_file():
            reason = f"its first weights, {run.weights}, are not there yet"
            return replace(state, state="planned", reason=reason, ready=False)
        return replace(state, state="planned") if state.state == "missing" else state

    def _read(self, run: WorkRun) -> tuple[float, Mapping[str, Any] | None]:
        """Return the seconds of a run's epochs, and what is asked of its record."""
        try:
            signature = file_stat(record_path(run.out_dir)) if run.id in self._known else None
        except FileNotFoundError:
            return 0.0, None
        known = self._records.get(run.id)
        if known is not None and known[0] == signature:
            return known[1:]
        record = read_outline(run.out_dir)
        if record is None:
            return 0.0, None
        seconds = trained_seconds(record)
        environment = record.get("environment") or {}
        kept = {key: record[key] for key in _KEPT if key in record}
        kept["environment"] = {"device": environment.get("device")}
        kept["epochs"] = (record.get("epochs") or [])[-EPOCHS_LOOKED_AT:]
        if signature is not None:
            self._records[run.id] = (signature, seconds, kept)
        return seconds, kept
