"""The lease on a run's folder: one holder at a time, whatever becomes of the holders."""

import errno
import functools
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import lease_jobs
import pytest
import torch
from processes import HANG_S, is_suspended, wait_until
from run_checkpoints import last_checkpoint

from pycls.core import trainer
from pycls.core.config.load import dump_cfg
from pycls.core.runs import lease as module
from pycls.core.runs import process_identity
from pycls.core.runs.lease import LEASE_S, Lease, find_owner, run_lease
from pycls.core.runs.lease_files import create_lease, find_generations, lease_path, renew_lease
from pycls.core.runs.process_identity import is_alive, this_process
from pycls.core.runs.record import read_record
from pycls.core.weights import checkpoint
from pycls.errors import LeaseHeldError, LeaseLostError, explain_os_error

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Return a function (job, *arguments) -> its process, which ends with the test."""
    processes = []

    def run(*command):
        process = subprocess.Popen(
            [sys.executable, lease_jobs.__file__, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def put(out_dir, generation=1, *, age_s=0.0, **changes):
    """Write the lease of an owner that is this process but for `changes`."""
    content = {
        **this_process().to_dict(), "token": "t", "lease_s": 120.0, "counter": 0, **changes
    }  # fmt: skip
    path = lease_path(out_dir, generation)
    create_lease(path, content)
    then = time.time() - age_s
    os.utime(path, (then, then))


def is_free(out_dir):
    try:
        with run_lease(out_dir):
            return True
    except LeaseHeldError:
        return False


def check_till_lost(lease):
    wait_until(lease.check)  # which returns nothing


# ---------------------------------------------------------------- one at a time


def test_one_of_those_who_begin_at_once_wins(start, tmp_path):
    """Every third round finds a lease that ran out, the others a released one."""
    output, errors = start("race", tmp_path, 40, 8).communicate(timeout=HANG_S)
    assert output, errors
    assert json.loads(output) == [1] * 40
    assert len(find_generations(tmp_path)) == 1
    assert not list(tmp_path.glob("*.partial"))


def test_never_two_holders_among_those_who_come_die_and_sleep(start, tmp_path):
    (tmp_path / "run").mkdir()
    log, lease_s, hosts = tmp_path / "log", 0.5, ["a", "a", "b", "c"]
    processes = [
        start("contend", tmp_path / "run", log, host, seed, 20, lease_s)
        for seed, host in enumerate(hosts)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
    ends = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(ends) == 20 * 4
    # From entering to the start of a check that passed nobody else can have held it, however
    # long anyone was held up in between. Who was succeeded must find out instead.
    held = sorted((began, ended, name) for name, _, what, began, ended in ends if what == "held")
    for (_, ended, one), (began, _, other) in itertools.pairwise(held):
        assert ended < began, (one, other)
    # Nobody loses it but by a silence: asleep, or held up by what else the machine does.
    for name, way, what, began, ended in ends:
        if what == "lost":
            assert way == "suspend" or ended - began > lease_s / 2, name
    assert is_free(tmp_path / "run")


def test_the_holder_is_named(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "80")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    holder = start("hold", tmp_path, 120, 20)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LeaseHeldError, match="training in") as caught, run_lease(tmp_path):
        pass
    here = os.uname().nodename
    assert f"{tmp_path}: process {holder.pid} on {here} (Slurm job 77_3)" in str(caught.value)
    owner = caught.value.owner
    assert (owner.host, owner.pid, owner.job, owner.restarts) == (here, holder.pid, "77_3", 2)
    assert owner.is_here
    assert find_owner(tmp_path).token == owner.token
    assert "silence" not in str(caught.value)


def test_waiting_for_the_holder(start, tmp_path):
    holder = start("hold", tmp_path, 120, 20)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LeaseHeldError), run_lease(tmp_path, wait_s=0.2):
        pass
    holder.stdin.close()
    with run_lease(tmp_path, wait_s=60) as lease:
        lease.check()


def test_the_holder_shows_itself(tmp_path):
    with run_lease(tmp_path, renew_s=0.01) as lease:
        first = find_owner(tmp_path)
        wait_until(lambda: find_owner(tmp_path).renewals >= first.renewals + 12)
        lease.check()
        path = Path(lease_path(tmp_path, 1))
        assert find_owner(tmp_path).token == first.token
        assert json.loads(path.read_text())["counter"] > 11
        size = path.stat().st_size
    assert find_owner(tmp_path) is None
    assert path.read_text() == "released\n"
    with run_lease(tmp_path):
        assert Path(lease_path(tmp_path, 2)).stat().st_size == size
    assert find_generations(tmp_path) == [2]


def test_no_folder_and_none_at_work(tmp_path):
    assert find_owner(tmp_path / "none") is None
    assert find_owner(tmp_path) is None
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- holders that are gone


def test_a_killed_holder_is_succeeded_at_once(start, tmp_path):
    holder = start("hold", tmp_path, 120, 20)
    assert holder.stdout.readline() == "held\n"
    assert not is_free(tmp_path)
    holder.kill()
    with run_lease(tmp_path, wait_s=20):  # a zombie, which nobody has waited for, is dead
        pass
    holder.wait()
    assert is_free(tmp_path)


def test_a_number_that_another_process_has_now(tmp_path):
    put(tmp_path, started=this_process().started + 1)
    assert find_owner(tmp_path) is None
    assert is_free(tmp_path)


def test_a_system_without_proc(start, tmp_path, monkeypatch):
    monkeypatch.setattr(process_identity, "_read_state", lambda pid: None)
    monkeypatch.setattr(process_identity, "_read_boot_id", lambda: "")
    monkeypatch.setattr(process_identity, "_read_pid_space", lambda: "")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put(tmp_path, 1)
    assert not is_free(tmp_path)
    put(tmp_path, 2, pid=gone.pid)
    assert is_free(tmp_path)


def test_a_process_of_another_user_that_proc_hides(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    process = this_process()
    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(process)
    assert not is_alive(replace(process, started=process.started + 1))
    monkeypatch.setattr(process_identity, "_read_state", lambda pid: None)
    assert is_alive(process)


@pytest.mark.parametrize(
    "elsewhere", [{"host": "other"}, {"boot": "other"}, {"pid_space": "pid:[1]"}]
)
def test_a_process_of_another_machine_is_gone_when_its_lease_has_run_out(tmp_path, elsewhere):
    """Its number says nothing here, be it dead (as this one) or not."""
    put(tmp_path, pid=2**22 + 1, age_s=61, **elsewhere)
    with pytest.raises(LeaseHeldError, match="free after 120 s of silence") as caught:
        run_lease(tmp_path).__enter__()
    assert 60 <= caught.value.owner.age_s < 120
    put(tmp_path, 2, age_s=121, **elsewhere)
    assert is_free(tmp_path)
    put(tmp_path, 4, age_s=121, lease_s=1000.0, **elsewhere)
    assert not is_free(tmp_path)


@pytest.mark.parametrize("shift", [-1e6, 1e6])
def test_only_the_file_systems_clock_counts(tmp_path, monkeypatch, shift):
    put(tmp_path, age_s=60, host="other")
    put(tmp_path / "..", age_s=121, host="other")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)
    assert not is_free(tmp_path)
    assert is_free(tmp_path / "..")
    monkeypatch.setattr(module, "folder_time", lambda out_dir: real() + 61)
    assert is_free(tmp_path)


def test_a_look_from_afar_is_generous_and_writes_nothing(tmp_path):
    put(tmp_path, age_s=150, host="other")
    assert find_owner(tmp_path).host == "other"
    os.utime(lease_path(tmp_path, 1), (0, time.time() - 181))
    assert find_owner(tmp_path) is None
    os.utime(lease_path(tmp_path, 1), (0, time.time() + 1e6))
    assert find_owner(tmp_path).age_s == 0
    assert find_generations(tmp_path) == [1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a"}', "\0" * 100])
def test_a_lease_that_is_not_written_yet_or_never_will_be(tmp_path, text):
    path = Path(lease_path(tmp_path, 1))
    path.write_text(text)
    with pytest.raises(LeaseHeldError, match="only just begun"):
        run_lease(tmp_path).__enter__()
    assert find_owner(tmp_path).host == ""
    then = time.time() - LEASE_S - 1
    os.utime(path, (then, then))
    assert is_free(tmp_path)


# ---------------------------------------------------------------- losing it


def test_suspended_and_succeeded(start, tmp_path):
    holder = start("hold", tmp_path, 1, 0.1)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    assert not is_free(tmp_path)  # it lives, and may be let go on
    for_long = {"lease_s": 1e6, "renew_s": 1e6}  # its file stays as it is
    with run_lease(tmp_path, wait_s=HANG_S, host="elsewhere", **for_long) as lease:
        # The second generation, or a later one where the holder had been held up before.
        (mine,) = find_generations(tmp_path)
        before = Path(lease_path(tmp_path, mine)).read_text()
        holder.send_signal(signal.SIGCONT)
        holder.stdin.write("?\n")
        holder.stdin.flush()
        assert "LeaseLostError" in holder.communicate(timeout=HANG_S)[1]
        assert Path(lease_path(tmp_path, mine)).read_text() == before
        assert find_generations(tmp_path) == [mine]
        lease.check()


def test_suspended_and_nobody_came(start, tmp_path):
    holder = start("hold", tmp_path, 0.4, 0.05)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGSTOP)
    time.sleep(0.6)
    holder.send_signal(signal.SIGCONT)
    holder.stdin.write("?\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "held\n"
    # It was the next holder itself: nobody else can have been. Its first file may still be there.
    assert find_generations(tmp_path)[-1] > 1
    assert find_owner(tmp_path).pid == holder.pid


def test_the_renewing_thread_notices(tmp_path):
    with run_lease(tmp_path, renew_s=0.01) as lease:
        put(tmp_path, 2, host="other")
        with pytest.raises(LeaseLostError, match="taken it over"):
            check_till_lost(lease)
    assert find_owner(tmp_path).host == "other"


def test_a_lease_that_is_gone(tmp_path):
    with run_lease(tmp_path, renew_s=0.01) as lease:
        Path(lease_path(tmp_path, 1)).unlink()
        with pytest.raises(LeaseLostError, match="gone"):
            check_till_lost(lease)
    assert not list(tmp_path.iterdir())


def test_a_lease_that_goes_while_it_is_renewed(tmp_path, monkeypatch):
    def renew_and_remove(path, content):
        was_own = renew_lease(path, content)
        Path(path).unlink()
        return was_own

    monkeypatch.setattr(module, "renew_lease", renew_and_remove)
    with (
        run_lease(tmp_path, lease_s=1, renew_s=0.01) as lease,
        pytest.raises(LeaseLostError, match="gone"),
    ):
        check_till_lost(lease)
    assert not list(tmp_path.iterdir())


def test_a_lease_that_goes_as_it_is_taken(tmp_path, monkeypatch):
    removed = []

    def create_and_remove_once(path, content):
        create_lease(path, content)
        if not removed:
            Path(path).unlink()
            removed.append(path)

    monkeypatch.setattr(module, "create_lease", create_and_remove_once)
    with run_lease(tmp_path) as lease:
        lease.check()
        assert removed
        assert find_owner(tmp_path).pid == os.getpid()


def fail_after(out_dir, lease_s):
    with run_lease(out_dir, lease_s=lease_s):
        put(out_dir, find_generations(out_dir)[0] + 1, host="other")
        raise FileNotFoundError


def test_what_goes_wrong_once_it_is_lost_is_the_loss(tmp_path):
    with pytest.raises(LeaseLostError):
        fail_after(tmp_path, 0)
    (tmp_path / "b").mkdir()
    with pytest.raises(FileNotFoundError):
        fail_after(tmp_path / "b", 120)


def test_who_comes_too_late_to_a_generation(tmp_path):
    """It looked before others came and went, and their old files are gone."""
    late = Lease(tmp_path, this_process("late"), 120, 20)
    for _ in range(3):
        with run_lease(tmp_path):
            pass
    with run_lease(tmp_path) as lease:
        assert not late.take(1)
        assert not late.take(4)
        assert find_generations(tmp_path) == [4]
        lease.check()


def test_the_child_of_a_fork_does_not_hold_it(start, tmp_path):
    process = start("fork", tmp_path)
    assert process.stdout.readline() == "0\n"
    assert find_owner(tmp_path).pid == process.pid
    process.stdin.close()
    process.wait()
    assert find_owner(tmp_path) is None


# ---------------------------------------------------------------- ends and environments


def test_interrupted_it_is_released(start, tmp_path):
    holder = start("hold", tmp_path, 120, 20)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in holder.communicate()[1]
    assert Path(lease_path(tmp_path, 1)).read_text() == "released\n"


def test_a_full_disk_leaves_the_folder_free(start, tmp_path):
    process = start("full", tmp_path)
    assert process.stdout.readline() == f"{errno.EFBIG}\n"
    assert find_owner(tmp_path) is None
    assert is_free(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # its parents are for root only, where root runs the tests
    tmp_path.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(PermissionError) as caught, run_lease("."):
            pass
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o755)
    assert "permission denied" in explain_os_error(caught.value)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- trainings


def content(cfg):
    """Return what a run's folder holds, but for the lease."""
    paths = [path for path in Path(cfg.OUT_DIR).rglob("*") if path.is_file()]
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in paths
        if not path.name.startswith(".lease")
    }


def weights(cfg):
    path = last_checkpoint(cfg.OUT_DIR)
    return checkpoint.load_checkpoint(path)["model_state"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return {"folder": tmp_path_factory.mktemp("undisturbed")}


@pytest.fixture
def expected(digits_cfg, undisturbed):
    """The weights of a training that nothing happens to."""
    if "weights" not in undisturbed:
        cfg = digits_cfg("OUT_DIR", str(undisturbed["folder"]))
        trainer.train_model(cfg)
        undisturbed["weights"] = weights(cfg)
    return undisturbed["weights"]


@pytest.fixture
def start_till_suspended(processes, tmp_path):
    """Return a function (cfg, moment, lease_s) -> a training that has been suspended then."""
    started = []

    def start(cfg, moment, lease_s):
        path = tmp_path / "cfg.yaml"
        path.write_text(dump_cfg(cfg))
        args = (path, moment, lease_s, tmp_path / "errors")
        process = processes.Process(target=lease_jobs.train, args=args)
        process.start()
        started.append(process)
        wait_until(lambda: is_suspended(process.pid) or process.exitcode is not None)
        assert process.exitcode is None, args[-1].read_text()
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def wake_up(process, tmp_path):
    """Let a process go on to its end; return its exit code and what it said."""
    os.kill(process.pid, signal.SIGCONT)
    process.join(HANG_S)
    return process.exitcode, (tmp_path / "errors").read_text()


def assert_as_expected(cfg, expected):
    found = weights(cfg)
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert read_record(cfg.OUT_DIR)["status"] == "done"


@pytest.mark.parametrize("moment", ["step", "model_epoch_", "run.json"])
def test_a_training_that_was_taken_over_writes_nothing_more(
    start_till_suspended, digits_cfg, tmp_path, monkeypatch, expected, moment
):
    cfg = digits_cfg("LOG_PERIOD", 1)
    first = start_till_suspended(cfg, moment, lease_s=1.0)
    elsewhere = functools.partial(run_lease, wait_s=HANG_S, host="elsewhere")
    monkeypatch.setattr(trainer, "run_lease", elsewhere)
    trainer.train_model(cfg)
    before = content(cfg)
    assert_as_expected(cfg, expected)
    code, errors = wake_up(first, tmp_path)
    assert (code, "error: " in errors) == (1, True), errors
    assert "no longer this process's" in errors
    assert "Traceback" not in errors
    assert content(cfg) == before
    assert find_owner(cfg.OUT_DIR) is None


def test_a_training_that_was_suspended_goes_on_if_nobody_came(
    start_till_suspended, digits_cfg, tmp_path, expected
):
    cfg = digits_cfg()
    process = start_till_suspended(cfg, "step", lease_s=0.4)
    time.sleep(0.6)
    code, errors = wake_up(process, tmp_path)
    assert code == 0, errors
    assert find_generations(cfg.OUT_DIR)[0] > 1
    assert_as_expected(cfg, expected)


def test_a_probe_that_another_starter_removes_is_made_again(tmp_path, monkeypatch):
    """A network file system tells by a stale handle that it is gone."""
    from pycls.core.runs import lease_files

    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) < 3:
            (probe,) = tmp_path.glob(".lease-clock.*")
            probe.unlink()
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert lease_files.folder_time(tmp_path) == pytest.approx(time.time(), abs=60)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []
