"""The division of runs into jobs, each of which trains some, one after another or at once."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

# Of a job's time limit, what its runs are expected to take: runs differ, and start-up costs.
_SHARE_OF_LIMIT = 0.8


def divide(
    runs: Sequence[T],
    seconds: Sequence[float | None],
    *,
    runs_per_job: int | None,
    at_once: int,
    parallel_jobs: int,
    limit_s: float,
    most_jobs: int,
) -> list[list[T]]:
    """Return the runs of each job, in their order.

    A job's runs should take most of the time limit, as start-up and waiting in the queue are
    paid once a job; but not so much that fewer jobs than may run at a time are needed. A run
    longer than the limit is a job of its own, which goes back to the queue at the limit. Where
    nobody knows how long a run takes, each is a job.

    Args:
        runs: what to divide.
        seconds: how long each is expected to take; None: unknown.
        runs_per_job: as asked; None: chosen from `seconds`.
        at_once: runs that a job trains at the same time.
        parallel_jobs: jobs that may run at a time.
        limit_s: a job's time limit, in seconds.
        most_jobs: where the size of jobs is chosen, no more jobs than this are made.
    """
    if not runs:
        return []
    if runs_per_job is not None:
        return _in_pieces(runs, runs_per_job)
    chunks = _by_time(runs, seconds, at_once, parallel_jobs, limit_s)
    if len(chunks) > most_jobs:
        chunks = _in_pieces(runs, -(-len(runs) // most_jobs))
    return chunks


def _in_pieces(runs: Sequence[T], size: int) -> list[list[T]]:
    return [list(runs[i : i + size]) for i in range(0, len(runs), size)]


def _by_time(
    runs: Sequence[T],
    seconds: Sequence[float | None],
    at_once: int,
    parallel_jobs: int,
    limit_s: float,
) -> list[list[T]]:
    known = [s for s in seconds if s is not None]
    # Runs of which nothing is known are a job each: they take all that one may.
    budget = _SHARE_OF_LIMIT * limit_s * at_once
    share = max(sum(known) / parallel_jobs, at_once * max(known, default=0.0))
    chunks: list[list[T]] = []
    room = 0.0
    for run, expected in zip(runs, seconds, strict=True):
        takes = budget if expected is None else expected
        if not chunks or takes > room:
            chunks.append([])
            room = budget if expected is None else min(budget, share)
        chunks[-1].append(run)
        room -= takes
    return chunks
