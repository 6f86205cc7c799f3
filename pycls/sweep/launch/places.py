"""The places that a target's arrays share: PARALLEL_JOBS of their jobs run at a time."""

from collections import Counter
from collections.abc import Sequence

from pycls.sweep.launch.ledger import Submission
from pycls.sweep.launch.run_states import LiveJob
from pycls.sweep.launch.slurm import Slurm


def free_places(live: Sequence[LiveJob], parallel_jobs: int) -> tuple[int, list[int]]:
    """Return how many jobs of a new array may run, and the arrays it has to wait for.

    What earlier arrays leave free is for the new one, which waits for their end where they leave
    nothing.

    Args:
        live: the jobs that Slurm has.
        parallel_jobs: those of all arrays that may run at a time.
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
