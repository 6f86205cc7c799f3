"""A machine's cores and GPUs, divided among workers."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls import cores as cores_module
from pycls.cores import usable_cores
from pycls.errors import ConfigError
from pycls.pool import seats as machine
from pycls.pool.seats import default_workers, make_seats, visible_gpus


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that makes this machine look like another one."""
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)

    def pretend(cores=(), quota=None, gpus=""):
        for module in (cores_module, machine):
            monkeypatch.setattr(module, "bound_cores", lambda: set(cores))
        monkeypatch.setattr(cores_module, "container_cores", lambda: quota)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)

    return pretend


@given(st.sets(st.integers(0, 200), min_size=1, max_size=64), st.integers(1, 80), st.integers(0, 8))
def test_shares_are_disjoint_contiguous_and_fair(cores, workers, threads):
    with pytest.MonkeyPatch.context() as patch:
        for module in (cores_module, machine):
            patch.setattr(module, "bound_cores", lambda: cores)
        patch.setattr(cores_module, "container_cores", lambda: None)
        patch.delenv("SLURM_CPUS_ON_NODE", raising=False)
        seats = make_seats(workers, threads or None)
    assert len(seats) == workers
    shares = [seat.cores for seat in seats]
    if len(cores) // workers < max(1, threads):
        assert shares == [None] * workers
    else:
        assert [core for share in shares for core in share] == sorted(cores)
        sizes = [len(share) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        # Bound to fewer cores than threads, a run would compute with fewer.
        assert min(sizes) >= seats[0].threads
    assert {seat.threads for seat in seats} == {threads or max(1, len(cores) // workers)}


def test_cores_that_are_not_ours_alone_are_not_bound_to(pretend, monkeypatch):
    pretend(range(16), quota=4)
    assert usable_cores() == 4
    assert {(seat.threads, seat.cores) for seat in make_seats(2)} == {(2, None)}
    pretend(range(16))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    assert {(seat.threads, seat.cores) for seat in make_seats(2)} == {(4, None)}


def test_gpus_are_dealt_out(pretend):
    pretend(range(8), gpus="3,1,GPU-7,5")
    assert default_workers() == 4
    assert [seat.gpus for seat in make_seats(4)] == ["3", "1", "GPU-7", "5"]
    # Those who share a GPU share a process.
    assert [seat.gpus for seat in make_seats(6)] == ["3", "1", "GPU-7", "5"]
    assert [seat.at_once for seat in make_seats(6)] == [2, 2, 1, 1]
    assert [seat.cores for seat in make_seats(6)] == [(0, 5), (1, 6, 7), (2, 3), (4,)]
    assert [seat.gpus for seat in make_seats(2, gpus_each=2)] == ["3,1", "GPU-7,5"]
    assert [seat.gpus for seat in make_seats(2, gpus_each=3)] == ["3,1,GPU-7"] * 2
    assert [seat.gpus for seat in make_seats(2, gpus_each=0)] == ["", ""]
    assert [seat.runs_on_gpu for seat in make_seats(6)] == [2, 2, 1, 1]
    assert [seat.runs_on_gpu for seat in make_seats(2, gpus_each=0)] == [1, 1]
    with pytest.raises(ConfigError, match="NUM_GPUS is 5, but there are 4 GPUs here"):
        make_seats(1, gpus_each=5)


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_no_gpu_is_left_to_the_runs(pretend, hidden):
    pretend(range(3), gpus=hidden)
    assert visible_gpus() == []
    assert default_workers() == 3
    assert [seat.gpus for seat in make_seats(2, gpus_each=2)] == [None, None]


def test_this_machine():
    assert 1 <= usable_cores() <= os.cpu_count()
    assert len(make_seats(default_workers())) == default_workers()
