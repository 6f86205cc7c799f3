"""Thousands of runs that only write their result: submitted at once, paced, and all of them done.

A hundred by default; PYCLS_SOAK_MANY=5000 is the full size.
"""

import os
import time
from collections import Counter

from launch_sweeps import launch, make_sweep, times, watch_queue

from pycls.launch.ledger import Ledger

RUNS = int(os.environ.get("PYCLS_SOAK_MANY", "100"))
# Three rounds. Of 5,000 runs these are 1,000 jobs, what is taken of a queue of the usual size.
MAX_JOBS = RUNS // 5
RUNS_PER_JOB = 2
PARALLEL_JOBS = 8
LONGEST_SUBMISSION_S = 60
SECONDS_A_RUN = 1.0


def test_many_runs_are_submitted_and_finish_within_the_limits(slurm, tmp_path):
    """Jobs of a given size, more than there is room for at first."""
    work = make_sweep(
        tmp_path, RUNS, "LAUNCH.MAX_JOBS", MAX_JOBS, "LAUNCH.PARALLEL_JOBS", PARALLEL_JOBS,
        "LAUNCH.RUNS_PER_JOB", RUNS_PER_JOB,
    )  # fmt: skip
    start = time.monotonic()
    jobs, _ = launch(work)
    submission_s = time.monotonic() - start
    assert jobs == MAX_JOBS - 1
    seen = watch_queue(lambda jobs: not jobs, 600 + RUNS * SECONDS_A_RUN)
    run_s = time.monotonic() - start
    assert max(jobs for jobs, _ in seen) <= MAX_JOBS
    assert max(running for _, running in seen) <= PARALLEL_JOBS
    assert Counter(times(work).values()) == {1: RUNS}
    arrays = [s for s in Ledger(work.folder).submissions() if s.kind == "runs"]
    assert len(arrays) == 3
    states = Counter(state.state for s in arrays for state in s.job_states().values())
    total = sum(s.jobs for s in arrays)
    assert states == {"ended": total}
    assert submission_s < LONGEST_SUBMISSION_S
    print(
        f"{RUNS:,} runs in {total:,} jobs: submitted in {submission_s:.1f} s, done "
        f"after {run_s:.0f} s; the queue, seen {len(seen):,} times, never held more than "
        f"{max(jobs for jobs, _ in seen):,} jobs"
    )
