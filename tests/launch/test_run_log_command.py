"""A run's log as it is shown, and what a report says of devices."""

import io
import threading
import time

import pytest
from run_logs import write_start
from sweep_files import RATES, write

from pycls.analysis.report.warnings import device_warnings
from pycls.core.runs.record import add_failure, write_record
from pycls.errors import ConfigError
from pycls.launch.run_log import show_log
from pycls.launch.status import find_status
from pycls.launch.status_table import table
from pycls.launch.work import sweep_work
from pycls.sweep.file import load_sweep_cfg


@pytest.fixture
def work(tmp_path):
    """A sweep of three runs, two of which are done."""
    path = write(tmp_path / "rates.yaml", RATES)
    work = sweep_work(load_sweep_cfg(path, ("LAUNCH.MAX_RETRY", 0), tmp_path / "sweeps"))
    (work.folder / "cfgs").mkdir(parents=True)
    for i in range(3):
        (work.folder / "cfgs" / f"{i:06d}.yaml").touch()
    for run, device in zip(work.runs(), ("NVIDIA H200", "NVIDIA A100"), strict=False):
        run.out_dir.mkdir(parents=True)
        write_start(run.out_dir / "stdout.log", range(1, 4), 3)
        environment = {"host": "node7", "device": device}
        write_record(run.out_dir, {"status": "done", "environment": environment})
    return work


def test_a_runs_log_with_its_node_job_and_gpu(work):
    out = io.StringIO()
    assert show_log(work, "000000", find_job=lambda run: "7_2", out=out) == 0
    head, place, *lines = out.getvalue().splitlines()
    assert head == "000000: done, job 7_2, node node7, device NVIDIA H200"
    assert place.endswith("000000/stdout.log:")
    assert len(lines) == 24
    assert '"epoch": "3/3"' in lines[-1]
    out = io.StringIO()
    show_log(work, "000002", out=out)
    assert out.getvalue() == "000002: missing\nit has no log yet\n"
    add_failure(work.runs()[2].out_dir, "the loss is nan", "8_1")
    (work.runs()[2].out_dir / "stderr.log").write_text("Traceback\n")
    out = io.StringIO()
    show_log(work, "000002", out=out)
    assert "failed, job 8_1" in out.getvalue()
    assert "the loss is nan" in out.getvalue()
    assert "stderr.log:\nTraceback\n" in out.getvalue()
    with pytest.raises(ConfigError, match=r"no run is called 9.*the first is 000000"):
        show_log(work, "9")


def test_a_log_is_followed_to_the_runs_end(work):
    folder = work.runs()[2].out_dir
    folder.mkdir(parents=True)
    (folder / "stdout.log").write_text("one\n")
    write_record(folder, {"status": "running"})
    out = io.StringIO()
    shown = threading.Thread(target=lambda: show_log(work, "000002", follow=True, out=out))
    shown.start()
    while "one" not in out.getvalue():
        time.sleep(0.01)
    with (folder / "stdout.log").open("a") as file:
        file.write("two\n")
    write_record(folder, {"status": "done"})
    shown.join(60)
    assert out.getvalue().endswith("one\ntwo\ndone\n")


def test_devices_that_differ_are_said(work):
    assert "group/rates: NVIDIA H200 (1), NVIDIA A100 (1)" in table(find_status(work, None))
    same = {"a": {"NVIDIA H200": 3}, "b": {"NVIDIA H200": 1}}
    assert device_warnings(same) == []
    (text,) = device_warnings({**same, "c": {"cpu": 2}})
    assert "c on cpu (2 runs)" in text
