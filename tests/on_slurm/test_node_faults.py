"""Faults of nodes and of the storage, which cost no run a try: on a real Slurm."""

from launch_sweeps import HELD, fill, launch, logs, make_sweep, times
from slurm_queue import wait_for_empty_queue, wait_until

from pycls.core.runs.record import failures_of, read_record
from pycls.launch.held import release_held
from pycls.launch.ledger import Ledger
from pycls.launch.status import find_status
from pycls.launch.status_table import table
from pycls.slurm.client import Slurm

BREAKS_PYTHON = "export PYTHONHOME=/nonexistent"
EACH = ("LAUNCH.RUNS_PER_JOB", 1, "LAUNCH.MAX_RETRY", 0, "LAUNCH.RETRY_DELAY", 1)


def assert_nothing_lost(work):
    assert times(work) == {run.id: 1 for run in work.runs()}
    assert not any(failures_of(read_record(run.out_dir)) for run in work.runs())


def held(work):
    """Return what status says of jobs that are held, when there are some and none runs."""
    status = find_status(work, Slurm())
    found = [jobs for jobs in status.slurm.pending if jobs.is_held]
    return status if found and not status.slurm.jobs.get("RUNNING") else None


def test_a_node_whose_python_is_broken_is_left_out(slurm, tmp_path):
    setup = [f'if [ "$SLURMD_NODENAME" = node2 ]; then {BREAKS_PYTHON}; fi']
    work = make_sweep(tmp_path, 20, *EACH, "LAUNCH.SETUP", str(setup))
    launch(work)
    wait_for_empty_queue()
    assert_nothing_lost(work)
    assert set(Ledger(work.folder).bad_nodes()) == {"node2"}
    text = table(find_status(work, Slurm()))
    assert "node2: Python does not start (exit code 1)" in text

    more = make_sweep(tmp_path, 21, *EACH, "LAUNCH.SETUP", str(setup), *HELD)
    launch(more)
    *_, last, _ = Ledger(work.folder).submissions()
    assert "#SBATCH --exclude=node2" in last.script.read_text()
    release_held(Ledger(work.folder), Slurm(), forget_nodes=True)
    assert Ledger(work.folder).bad_nodes() == {}


def test_where_most_starts_fail_the_others_are_held(slurm, tmp_path):
    mended = tmp_path / "mended"
    # A line that fails counts as a Python that does.
    setup = ["true", f'[ -e "{mended}" ]']
    work = make_sweep(tmp_path, 20, *EACH, "LAUNCH.SETUP", str(setup))
    launch(work)
    status = wait_until(lambda: held(work), what="jobs that are held")
    assert sum(status.slurm.jobs.values()) == 21  # none was cancelled, nor was who looks after them
    text = table(status)
    assert "held, most starts fail; the last on node" in text
    assert "the line of SETUP failed: [ -e" in text
    assert work.command("resume") in text
    mended.touch()
    assert release_held(Ledger(work.folder), Slurm())
    wait_for_empty_queue()
    assert_nothing_lost(work)


def test_a_full_disk_is_waited_out(slurm, small_disk):
    work = make_sweep(small_disk, 2, *EACH, "LAUNCH.RUNS_PER_JOB", 2, *HELD)
    launch(work)
    fill(small_disk / "filler")
    for job in Slurm().jobs():
        Slurm().release(job.job_name)
    status = wait_until(lambda: held(work), what="a job that is held")
    (jobs,) = (jobs for jobs in status.slurm.pending if jobs.is_held)
    assert jobs.fault.startswith("fault 3 in a row, on node")
    assert "no space left on the device" in jobs.fault
    assert work.command("resume") in table(status)
    (small_disk / "filler").unlink()
    release_held(Ledger(work.folder), Slurm())
    wait_for_empty_queue()
    assert_nothing_lost(work)
    assert "start 4" in logs(work)
