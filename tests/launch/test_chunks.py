"""Dividing runs into jobs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.launch.chunks import divide

DEFAULTS = {
    "runs_per_job": None, "at_once": 1, "parallel_jobs": 1, "limit_s": 3600.0, "most_jobs": 10**9,
}  # fmt: skip


def sizes(seconds, **options):
    chunks = divide(range(len(seconds)), seconds, **{**DEFAULTS, **options})
    return [len(chunk) for chunk in chunks]


def test_a_job_takes_most_of_its_time_limit():
    assert sizes([600.0] * 10) == [4, 4, 2]  # 0.8 x 3600 / 600 = 4.8
    assert sizes([600.0] * 20, at_once=2) == [9, 9, 2]


def test_no_fewer_jobs_than_may_run_at_a_time():
    assert sizes([60.0] * 40, parallel_jobs=20) == [2] * 20
    assert sizes([60.0] * 40, parallel_jobs=100) == [1] * 40
    assert sizes([60.0] * 40, parallel_jobs=100, at_once=4) == [4] * 10


def test_runs_of_unknown_or_too_great_length_are_jobs_of_their_own():
    assert sizes([None] * 3) == [1] * 3
    assert sizes([9000.0] * 3) == [1] * 3
    assert sizes([100.0, None, 100.0, 100.0]) == [1, 1, 2]


def test_as_asked():
    assert sizes([9000.0] * 7, runs_per_job=3) == [3, 3, 1]
    assert sizes([None] * 7, runs_per_job=3, most_jobs=1) == [3, 3, 1]


def test_a_full_queue_makes_larger_jobs():
    assert sizes([None] * 5000, most_jobs=1000) == [5] * 1000
    assert sizes([], most_jobs=1) == []


@given(
    st.lists(st.none() | st.floats(0.1, 1e5), max_size=60),
    st.none() | st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 20),
    st.floats(60, 1e5),
    st.integers(1, 80),
)
def test_every_run_in_one_job_in_order(seconds, per_job, at_once, parallel, limit_s, most_jobs):
    how = {
        "runs_per_job": per_job, "at_once": at_once, "parallel_jobs": parallel, "limit_s": limit_s,
    }  # fmt: skip
    runs = range(len(seconds))
    chunks = divide(runs, seconds, **how, most_jobs=most_jobs)
    assert [run for chunk in chunks for run in chunk] == list(range(len(seconds)))
    assert all(chunks)
    if per_job is None:
        assert len(chunks) <= most_jobs
        free = divide(runs, seconds, **how, most_jobs=10**9)
        known = [[seconds[run] or math.inf for run in chunk] for chunk in chunks]
        if len(free) <= most_jobs:
            assert chunks == free
            # Longer than the budget only where a single run is.
            budget = 0.8 * limit_s * at_once
            assert all(len(k) == 1 or sum(k) <= budget * (1 + 1e-9) for k in known)
    else:
        assert all(len(chunk) <= per_job for chunk in chunks)


def test_jobs_of_unequal_runs_take_about_the_same():
    seconds = [100.0, 500.0, 900.0, 200.0, 700.0, 300.0] * 20
    chunks = divide(range(len(seconds)), seconds, **{**DEFAULTS, "parallel_jobs": 10})
    totals = [sum(seconds[run] for run in chunk) for chunk in chunks]
    assert max(totals) <= 0.8 * 3600
    assert min(totals[:-1]) >= max(totals) - max(seconds) == pytest.approx(max(totals) - 900)
