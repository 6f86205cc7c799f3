import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pool_work import Work
from processes import children_of, is_alive, wait_until

from pycls.cores import usable_cores
from pycls.datasets.preparation.worker_pool import run_tasks
from pycls.errors import DataError, PyclsError
from pycls.files import exclusive_lock, is_locked


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _none_is_left():
    """Check that no worker outlives the test; other tests may have left processes."""
    before = set(children_of(os.getpid()))
    yield
    assert set(children_of(os.getpid())) <= before


def run(tasks, workers):
    return dict(run_tasks(Work(), enumerate(tasks), workers))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_done_once(workers):
    found = run([("square", value) for value in range(50)], workers)
    assert [found[number][0] for number in range(50)] == [value**2 for value in range(50)]
    processes = {process for _, process in found.values()}
    assert (processes == {os.getpid()}) == (workers == 1)
    assert not any(is_alive(process) for process in processes - {os.getpid()})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (("data", "a.jpg"), DataError, "a.jpg is damaged"),
        (("disk", "images.npy"), OSError, "images.npy"),
        (("bug", "in the work"), (RuntimeError, ZeroDivisionError), "in the work"),
    ],
)
def test_errors_come_back_as_they_were(task, error, message, workers):
    with pytest.raises(error, match=message):
        run([("square", 1), task, *[("square", 2)] * 20], workers)


def test_killed_worker_is_told_with_what_to_do():
    with pytest.raises(PyclsError, match=r"by SIGKILL \(out of memory\?\); .* fewer --workers"):
        run([("die", signal.SIGKILL), *[("square", 2)] * 20], 2)


PARENT = """
import itertools
from pool_work import Work
from pycls.datasets.preparation.worker_pool import run_tasks
for number, _ in run_tasks(Work(), enumerate(itertools.repeat(("square", 1))), 2):
    if not number:
        print("working", flush=True)
"""


def test_workers_leave_with_a_parent_that_is_killed():
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"working\n"
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not any(map(is_alive, workers)))


def test_workers_hold_the_lock_of_a_parent_that_is_gone(tmp_path):
    path = tmp_path / "lock"
    with exclusive_lock(path, "testing") as descriptor:
        results = run_tasks(Work(), enumerate([("square", 1)] * 100), 2, [descriptor])
        next(results)
    assert is_locked(path)
    results.close()
    assert not is_locked(path)


def test_usable_cores_are_those_of_this_process():
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)
    assert usable_cores() == len(cores)
