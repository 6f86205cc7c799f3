"""What is said of a launched sweep, from real records, logs, leases and a ledger."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import HANG_S, wait_until
from run_logs import CFG, COMPLEXITY, write_epoch
from sweep_files import RATES, write

from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, dump_cfg
from pycls.core.runs.anew import begin_anew
from pycls.core.runs.lease import run_lease
from pycls.core.runs.log import RunLog
from pycls.core.runs.record import add_failure, read_record, write_record
from pycls.errors import ConfigError, PyclsError
from pycls.launch.ledger import JobState, Ledger
from pycls.launch.status import find_status
from pycls.launch.status_table import fit_to_screen, show, table
from pycls.launch.work import sweep_work
from pycls.results.run_progress import read_progress
from pycls.results.run_states import find_state
from pycls.slurm.records import QueuedJob
from pycls.sweep.file import load_sweep_cfg

EPOCHS = 10
HOLD = """
import sys
from pycls.core.runs.lease import run_lease
with run_lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


class Queue:
    """Slurm as far as it is asked: what squeue says."""

    def __init__(self, *jobs, problem=""):
        self._jobs, self._problem = jobs, problem

    def jobs(self):
        if self._problem:
            raise PyclsError(self._problem)
        return list(self._jobs)


@pytest.fixture
def sweep(tmp_path):
    """Return a function (runs, overrides) -> a sweep that is set up."""

    def make(runs, *overrides):
        path = write(tmp_path / "rates.yaml", RATES)
        work = sweep_work(load_sweep_cfg(path, overrides, tmp_path / "sweeps"))
        (work.folder / "cfgs").mkdir(parents=True, exist_ok=True)
        for i in range(runs):
            (work.folder / "cfgs" / f"{i:06d}.yaml").touch()
        return work

    return make


@pytest.fixture
def hold():
    """Return a function that lets another process hold a run's folder."""
    processes = []

    def start(out_dir):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(out_dir)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def out_dir(work, run):
    return work.runs()[run].out_dir


def begin(work, run, status="running", epochs=0, seconds=4.0, **more):
    """Leave the files of a run that has gone through some epochs."""
    folder = out_dir(work, run)
    folder.mkdir(parents=True)
    each = {"data": 0.25 * seconds, "step": 0.5 * seconds, "evaluation": 0.25 * seconds}
    entries = [{"epoch": i + 1, **each} for i in range(epochs)]
    write_record(folder, {"status": status, "epochs": entries, **more})
    cfg = load_cfg(
        None, ["TRAIN.BATCH_SIZE", 96, "OPTIM.MAX_EPOCH", EPOCHS, "OUT_DIR", str(folder)]
    )
    (folder / "config.yaml").write_text(dump_cfg(cfg))
    with RunLog(folder / "stdout.log") as log:
        log.config(cfg_to_dict(cfg))
        log.stats(COMPLEXITY, "complexity")
        for epoch in range(epochs):
            write_epoch(log, epoch + 1, EPOCHS, 50.0 - epoch)
    return folder


def log_iteration(folder, epoch, iteration, of=20, time_avg=0.05, eta="00,00:01:30"):
    with RunLog(folder / "stdout.log") as log:
        stats = {
            "epoch": f"{epoch}/{EPOCHS}", "iter": f"{iteration}/{of}", "time_avg": time_avg,
            "eta": eta, "loss": 1.0,
        }  # fmt: skip
        log.stats(stats, "train_iter")


def submit(work, chunks, job_id=7, kind="runs"):
    """Note an array in the ledger, as if it had been submitted."""
    ledger = Ledger(work.folder)
    ledger.root.mkdir(exist_ok=True)
    runs = work.runs()
    named = [[{"id": runs[i].id, "out_dir": str(runs[i].out_dir)} for i in c] for c in chunks]
    submission = ledger.add(work.title, named, {"throttle": 4}, kind)
    submission.mark_submitted(job_id)
    return submission


def queued(submission, index, state="PENDING", reason="Priority"):
    return QueuedJob(submission.job_id, index, submission.name, state, reason, "")


def states_of(status):
    return [run.state for run in status.runs]


# ------------------------------------------------------------ states, counts, jobs


def test_every_state_from_files_and_queue(sweep, hold):
    work = sweep(8, "LAUNCH.MAX_RETRY", 0)
    begin(work, 0, "done", EPOCHS)
    hold(begin(work, 1, epochs=2))
    begin(work, 2, epochs=1)  # nobody is at it
    add_failure(begin(work, 3), "the loss is nan", "7_3")
    array = submit(work, [[4, 5], [6]])
    status = find_status(work, Queue(queued(array, 0), queued(array, 1, reason="Resources")))
    assert states_of(status) == [
        "done", "running", "stopped", "failed", "queued", "queued", "queued", "planned",
    ]  # fmt: skip
    assert status.counts == {
        "planned": 1, "queued": 3, "running": 1, "stopped": 1, "failed": 1, "done": 1,
    }  # fmt: skip
    assert status.sweeps == {work.title: status.counts}
    assert status.runs[4].job == status.runs[5].job == "7_0"
    assert (status.runs[3].reason, status.runs[3].failures) == ("the loss is nan", 1)
    assert (status.runs[3].job, status.runs[3].host) == ("7_3", os.uname().nodename)
    assert status.runs[2].reason == "its process is gone"

    plain = json.loads(json.dumps(status.as_dict()))
    assert plain["slurm"]["jobs"] == {"PENDING": 2}
    assert {entry["reason"] for entry in plain["slurm"]["pending"]} == {"Priority", "Resources"}
    assert plain["counts"]["queued"] == 3
    assert set(plain["runs"][0]) == {
        "run", "sweep", "state", "reason", "job", "host", "epoch", "epochs", "images_per_second",
        "seconds_left", "seconds_silent", "failures", "out_dir",
    }  # fmt: skip


def test_a_run_that_is_done_and_whose_log_is_gone_or_cut_short_is_trained_again(sweep):
    work = sweep(3)
    folders = [begin(work, run, "done", EPOCHS) for run in range(3)]
    size = (folders[0] / "stdout.log").stat().st_size
    for folder in folders:
        write_record(folder, {**read_record(folder), "log_bytes": size})
    (folders[1] / "stdout.log").unlink()
    os.truncate(folders[2] / "stdout.log", size - 1)
    (folders[2] / "checkpoints").mkdir()
    status = find_status(work, None)
    assert states_of(status) == ["done", "stopped", "stopped"]
    for run in status.runs[1:]:
        assert "is gone or cut short: a launch trains it anew" in run.reason
    # As results are collected: its last epoch may be what is missing, or not.
    facts = {"epochs": EPOCHS, "epochs_done": EPOCHS - 1, "mixed": False}
    record = read_record(folders[2])
    assert find_state(folders[2], record, log=facts).state == "stopped"
    assert find_state(folders[0], record, log=facts).state == "failed"
    begin_anew(folders[2])
    assert read_record(folders[2]) is None
    names = {path.name for path in folders[2].iterdir()}
    assert {"run.json.before", "checkpoints.before", "stdout.log.before"} <= names
    assert not names & {"checkpoints", "stdout.log"}


def test_a_run_is_running_only_as_long_as_its_process(sweep, hold):
    work = sweep(1)
    process = hold(begin(work, 0))
    assert states_of(find_status(work, None)) == ["running"]
    process.kill()
    process.wait()
    assert states_of(find_status(work, None)) == ["stopped"]


def test_what_became_of_the_last_job_of_runs_that_nobody_has(sweep):
    work = sweep(5)
    begin(work, 0, epochs=1)
    first = submit(work, [[0, 1], [2]], 7)
    second = submit(work, [[2], [3]], 8)
    first.write_job_state(0, JobState("stopped", "no space left on /scratch", "7_0"))
    first.write_job_state(1, JobState("stopped", "an earlier try", "7_1"))
    second.write_job_state(0, JobState("running", job="8_0"))
    reasons = [run.reason for run in find_status(work, Queue()).runs]
    assert reasons == [
        "its process is gone; no space left on /scratch",
        "no space left on /scratch",
        "its job 8_0 is not in Slurm any more",
        "its job is not in Slurm any more, and never began",
        "",
    ]
    # Where Slurm does not say, nothing is made up.
    silent = find_status(work, Queue(problem="no answer"))
    assert [run.reason for run in silent.runs][1:4] == ["no space left on /scratch", "", ""]

    class Submitting(Queue):
        """A queue that was read before somebody submitted the next array."""

        def jobs(self):
            submit(work, [[4]], 9)
            return []

    assert find_status(work, Submitting()).runs[4].reason == ""
    second.mark_void("cancelled", cancelled=True)
    assert find_status(work, Queue()).runs[3].reason == "its job is cancelled"


def test_jobs_of_another_user_are_not_called_lost(sweep, monkeypatch):
    work = sweep(1)
    submit(work, [[0]])
    lost = "its job is not in Slurm any more, and never began"
    assert find_status(work, Queue()).runs[0].reason == lost
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    status = find_status(work, Queue())
    assert (status.runs[0].reason, status.slurm.asked) == ("", False)
    assert "shows no jobs of the user who launched" in table(status)


def test_slurm_that_does_not_answer_costs_one_line(sweep, hold):
    work = sweep(3)
    begin(work, 0, "done", EPOCHS)
    hold(begin(work, 1))
    submit(work, [[2]])
    status = find_status(work, Queue(problem="Slurm's controller does not answer"))
    assert states_of(status) == ["done", "running", "planned"]
    assert status.runs[2].reason == ""
    text = table(status)
    (line,) = [line for line in text.splitlines() if "does not answer" in line]
    assert "counted as planned or stopped" in line
    # Runs that may well be queued are not to be launched again.
    assert work.command("launch") not in text
    assert not status.is_settled


def test_jobs_in_slurm_that_cannot_be_seen_from_here(sweep):
    work = sweep(2)
    assert "Slurm" not in table(find_status(work, None))
    submit(work, [[0], [1]])
    assert "no squeue on the PATH" in table(find_status(work, None))


@pytest.mark.parametrize(
    ("reason", "state", "said"),
    [
        ("DependencyNeverSatisfied", "PENDING", "scancel 7_0"),
        ("launch failed requeued held", "REQUEUE_HOLD", "scontrol release 7_0"),
        ("JobHeldUser", "PENDING", "scontrol release 7_0"),
        ("JobHeldAdmin", "PENDING", "ask why"),
    ],
)
def test_jobs_that_need_somebody(sweep, reason, state, said):
    work = sweep(3)
    array = submit(work, [[0], [1], [2]])
    jobs = [queued(array, 0, state, reason), queued(array, 1, state, reason)]
    text = table(find_status(work, Queue(*jobs, queued(array, 2, reason="QOSMaxJobsPerUserLimit"))))
    (line,) = [line for line in text.splitlines() if "attention" in line]
    assert f"7_0 and 1 more: {reason}" in line
    assert said in line
    assert "1 for the reason QOSMaxJobsPerUserLimit" in text


def test_why_jobs_wait_is_said_in_words(sweep):
    work = sweep(1)
    array = submit(work, [[0]])
    text = table(find_status(work, Queue(queued(array, 0, reason="Dependency"))))
    assert "until others have ended" in text
    assert "Dependency" not in text


# ------------------------------------------------------------ running runs


def test_speed_and_time_left_by_epochs_that_ended(sweep):
    folder = begin(sweep(1), 0, epochs=3, seconds=40.0)
    log_iteration(folder, 4, 5)
    entry = {"data": 10.0, "step": 20.0, "evaluation": 8.0, "checkpoint": 2.0}
    record = {"epochs": [{"epoch": i, **entry} for i in (1, 2, 3)]}
    progress = read_progress(folder, record)
    assert (progress.epoch, progress.epochs) == (4, EPOCHS)
    assert progress.images_per_second == 96 / 0.05
    # Seven epochs of 40 s, a quarter of whose 30 s of training are over.
    assert progress.seconds_left == pytest.approx(7 * 40 - 7.5, abs=2)


def test_before_the_first_epoch_ends_the_log_estimates(sweep):
    folder = begin(sweep(1), 0)
    assert read_progress(folder, {}).epoch is None
    assert read_progress(folder, {}).epochs == EPOCHS
    log_iteration(folder, 1, 2, eta="01,01:01:30")
    progress = read_progress(folder, {})
    assert progress.epoch == 1
    assert progress.seconds_left == pytest.approx(86400 + 3600 + 90, abs=2)


def test_a_log_that_is_old_has_less_time_left(sweep):
    folder = begin(sweep(1), 0)
    log_iteration(folder, 1, 2, eta="00,00:10:00")
    os.utime(folder / "stdout.log", (time.time() - 60,) * 2)
    assert read_progress(folder, {}).seconds_left == pytest.approx(540, abs=2)
    os.utime(folder / "stdout.log", (time.time() + 3600,) * 2)  # the clock was set back
    assert read_progress(folder, {}).seconds_left == pytest.approx(600, abs=2)


def test_a_tested_epoch_is_behind_it(sweep):
    folder = begin(sweep(1), 0, epochs=3)
    assert read_progress(folder, {}).epoch == 4
    with RunLog(folder / "stdout.log") as log:
        write_epoch(log, EPOCHS, EPOCHS, 1.0)
    assert read_progress(folder, {}).epoch == EPOCHS


def test_another_start_has_a_speed_of_its_own(sweep):
    folder = begin(sweep(1), 0)
    log_iteration(folder, 5, 10)
    with RunLog(folder / "stdout.log") as log:
        log.config(CFG)
    progress = read_progress(folder, {})
    assert (progress.epoch, progress.images_per_second, progress.seconds_left) == (5, None, None)
    log_iteration(folder, 5, 1, time_avg=0.1)
    assert read_progress(folder, {}).images_per_second == 960


def test_without_a_log_the_record_tells(sweep):
    folder = begin(sweep(1), 0)
    (folder / "stdout.log").unlink()
    epochs = [{"epoch": i, "step": 3.0} for i in (1, 2)]
    progress = read_progress(folder, {"epochs": epochs})
    assert (progress.epoch, progress.epochs, progress.images_per_second) == (3, EPOCHS, None)
    assert progress.seconds_left == 8 * 3.0
    (folder / "config.yaml").unlink()
    progress = read_progress(folder, {"epochs": epochs})
    assert (progress.epoch, progress.epochs, progress.seconds_left) == (3, None, None)


def test_damaged_ends_of_logs_do_no_harm(sweep):
    folder = begin(sweep(1), 0)
    log_iteration(folder, 2, 7)
    whole = (folder / "stdout.log").read_bytes()
    line = whole.splitlines(keepends=True)[-1]
    for cut in range(len(line)):
        (folder / "stdout.log").write_bytes(whole + line[:cut])
        progress = read_progress(folder, {})
        assert (progress.epoch, progress.images_per_second) == (2, 96 / 0.05)
    # Times that are mostly rounding are no speed; a long log is read from its end.
    (folder / "stdout.log").write_bytes(b"\xff\x00 json_stats: {}\n" * 100_000)
    log_iteration(folder, 3, 1, time_avg=0.0002)
    progress = read_progress(folder, {})
    assert (progress.epoch, progress.images_per_second) == (3, None)


def test_pycls_logs_are_understood(tmp_path):
    log = (Path(__file__).parents[1] / "data" / "pycls_run" / "logs").rglob("stdout.log")
    (tmp_path / "stdout.log").write_bytes(min(log).read_bytes())
    progress = read_progress(tmp_path, {})
    assert progress.epoch == progress.epochs
    assert progress.epochs >= 1


# ------------------------------------------------------------ the time left for the whole


def test_time_left_for_the_whole(sweep):
    work = sweep(6)
    for run in (0, 1):
        begin(work, run, "done", EPOCHS, seconds=4.0 + 2 * run)  # 40 and 60 s
    begin(work, 4, epochs=4, seconds=5.0)
    running = begin(work, 2, epochs=6, seconds=5.0), begin(work, 3, epochs=8, seconds=5.0)
    # By this process, which need not start first: the time since a log's end counts as trained.
    with run_lease(running[0]), run_lease(running[1]):
        left = find_status(work, None).left
        text = table(find_status(work, None))
    # 20 and 10 s of those under way, 30 s of the stopped one, 50 s of the last one.
    assert left.training_seconds == pytest.approx(110, abs=8)
    assert left.at_once == 2
    assert left.seconds == pytest.approx(55, abs=4)
    assert (left.runs, left.unknown) == (4, 0)
    assert "about" in text


def test_nothing_is_estimated_from_nothing(sweep):
    work = sweep(2)
    begin(work, 0, epochs=2)
    left = find_status(work, None).left
    assert (left.seconds, left.runs, left.unknown) == (None, 0, 2)
    assert "about" not in table(find_status(work, None))


# ------------------------------------------------------------ the table


def test_the_table_of_a_fresh_sweep(sweep):
    work = sweep(3)
    text = table(find_status(work, None))
    lines = text.splitlines()
    assert lines[2].split() == [
        "sweep", "runs", "planned", "queued", "running", "stopped", "failed", "done",
    ]  # fmt: skip
    assert lines[3].split() == ["group/rates", "3", "3", "0", "0", "0", "0", "0"]
    assert lines[4].split() == ["total", "3", "3", "0", "0", "0", "0", "0"]
    assert lines[-3].strip() == work.command("launch")
    assert lines[-1].strip() == work.here_command


def test_long_lists_are_cut_and_say_so(sweep):
    work = sweep(42, "LAUNCH.MAX_RETRY", 0)
    for run in range(12):
        add_failure(begin(work, run), f"reason\n {run}", "")
    for run in range(12, 24):
        begin(work, run, reason="stopped by SIGTERM")
    text = table(find_status(work, None))
    assert text.count("reason ") == 10
    assert text.count("stopped by SIGTERM") == 10
    assert text.count("and 2 more") == 2
    # They were not launched on Slurm, but trained here.
    assert "12 failed runs are tried again by\n  " + work.here_command in text
    submit(work, [[0]])
    text = table(find_status(work, Queue()))
    assert "12 failed runs are tried again by\n  " + work.command("retry") in text


def test_many_running_runs(sweep):
    from contextlib import ExitStack

    work = sweep(23)
    with ExitStack() as stack:
        for run in range(23):
            stack.enter_context(run_lease(begin(work, run)))
        text = table(find_status(work, None))
    assert "and 3 more" in text
    assert " ago\n" in text  # when each gave its last sign
    assert "000019 " in text
    assert "000020 " not in text
    # The process that trains here comes to the others.
    assert work.command("launch") not in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_lines_fit_the_terminal(sweep, width):
    work = sweep(3, "LAUNCH.MAX_RETRY", 0, "NAME", "a_long_name/" + "x" * 150)
    add_failure(begin(work, 0), "word " * 60, "7_3")
    with run_lease(begin(work, 1, epochs=2)):
        status = find_status(work, None)
        text = table(status, width)
    commands = [f"  {command}" for _, command in status.advice]
    lines = [line for line in text.splitlines() if line not in commands]
    assert commands
    assert all(command in text for command in commands)
    assert max(map(len, lines)) <= width
    assert "…" in text
    assert text.count("word") == 60


def test_what_does_not_fit_on_the_screen_is_said():
    text = "".join(f"line {i}\n" for i in range(30))
    drawn = re.sub(r"\x1b\[[A-Z]", "", fit_to_screen(text, 12))
    assert len(drawn.splitlines()) == 11
    assert drawn.splitlines()[-1] == "... 20 more lines; without --watch all are shown"
    assert re.sub(r"\x1b\[[A-Z]", "", fit_to_screen(text, 50)) == text


# ------------------------------------------------------------ what to do next


def advice_of(work, slurm=None):
    return [command for _, command in find_status(work, slurm).advice]


def test_what_was_begun_here_goes_on_here(sweep):
    work = sweep(3)
    assert advice_of(work) == [work.command("launch"), work.here_command]
    assert work.here_command.endswith("LAUNCH.MODE local")
    begin(work, 0, "done", EPOCHS)
    assert advice_of(work) == [work.here_command]
    submit(work, [[1, 2]])
    assert advice_of(work, Queue()) == [work.command("launch")]


def test_after_the_last_run_comes_the_report(sweep):
    work = sweep(1)
    folder = begin(work, 0, "done", EPOCHS)
    assert advice_of(work) == [work.report_command]
    assert "sweep_analyze" in work.report_command
    work.page.write_text("a page")
    assert advice_of(work) == [""]
    assert str(work.page) in table(find_status(work, None))
    later = work.page.stat().st_mtime + 5
    os.utime(folder / "run.json", (later, later))
    assert advice_of(work) == [work.report_command]


def test_a_run_that_pycls_finished_is_done(sweep):
    work = sweep(2)
    for run, epochs in ((0, EPOCHS), (1, EPOCHS - 1)):
        (begin(work, run, epochs=epochs) / "run.json").unlink()
    assert states_of(find_status(work, None)) == ["done", "stopped"]


# ------------------------------------------------------------ showing it


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_colours_and_bars_change_no_word_and_no_width(sweep, width):
    work = sweep(4, "LAUNCH.MAX_RETRY", 0)
    begin(work, 0, "done", EPOCHS)
    add_failure(begin(work, 1), "bad luck")
    status = find_status(work, None)
    plain, coloured = table(status, width), table(status, width, in_colour=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    without_bars = re.sub(r"  [█░]+$", "", shown, flags=re.MULTILINE)
    assert without_bars == plain
    commands = [f"  {command}" for _, command in status.advice]
    assert max(len(line) for line in shown.splitlines() if line not in commands) <= max(
        width, max(len(line) for line in plain.splitlines() if line not in commands)
    )
    if width >= 80:
        assert "███" in shown
        assert "░" * 9 in shown
        assert "\x1b[31;1m1\x1b[0m" in coloured  # one failed


def test_one_look_prints_a_table_or_json(sweep):
    work = sweep(2)
    out = io.StringIO()
    assert show(work, out=out) == 0
    assert "\x1b" not in out.getvalue()
    out = io.StringIO()
    assert show(work, as_json=True, out=out) == 0
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["counts"]["planned"] == 2


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf")])
def test_a_watch_needs_a_pause(sweep, seconds):
    with pytest.raises(ConfigError, match="--watch"):
        show(sweep(1), watch=seconds, out=io.StringIO())


def test_a_watch_goes_on_as_long_as_slurm_has_jobs(sweep):
    work = sweep(1)
    begin(work, 0, "done", EPOCHS)
    assert find_status(work, None).is_settled
    follow_up = submit(work, [[]], kind="follow-up")
    job = QueuedJob(7, None, follow_up.name, "PENDING", "Dependency", "")
    assert not find_status(work, Queue(job)).is_settled


def test_watching_ends_with_the_last_run(sweep, hold):
    work = sweep(2)
    begin(work, 0, "done", EPOCHS)
    folder = begin(work, 1)
    process = hold(folder)

    class Finishing(io.StringIO):
        """Lets the run finish when it has been shown as running."""

        def flush(self):
            if process.poll() is None:
                write_record(folder, {"status": "done"})
                process.kill()
                process.wait()

    out = Finishing()
    assert show(work, as_json=True, watch=0.01, out=out) == 0
    looks = [json.loads(line)["counts"] for line in out.getvalue().splitlines()]
    assert [look["running"] for look in looks] == [1, 0]
    assert looks[-1]["done"] == 2


def test_watching_on_a_terminal_ends_quietly_with_ctrl_c(sweep):
    work = sweep(1)
    code = (
        "import sys; from pycls.errors import run_tool\n"
        "from pycls.launch.status_table import show\n"
        "from pycls.launch.work import sweep_work\n"
        "from pycls.sweep.file import load_sweep_cfg\n"
        "work = sweep_work(load_sweep_cfg(sys.argv[1], [], sys.argv[2]))\n"
        "run_tool(lambda: show(work, None, False, 0.05))\n"
    )
    words = [sys.executable, "-c", code, work.reference["file"], work.reference["root_dir"]]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""

    def is_drawn_twice():
        nonlocal seen
        seen += os.read(ours, 4096)
        return seen.count(b"\x1b[H") >= 2

    def is_closed():
        nonlocal seen
        try:
            seen += os.read(ours, 4096)
        except OSError:
            return True
        return False

    wait_until(is_drawn_twice)
    process.send_signal(signal.SIGINT)
    # Where nobody reads, who writes to a terminal waits, and does not end either.
    wait_until(is_closed)
    assert process.wait(HANG_S) == 0
    assert b"Traceback" not in seen
    assert b"interrupted" not in seen
    os.close(ours)


def test_nothing_heavy_is_imported():
    heavy = "torch", "pandas", "matplotlib", "scipy", "cv2", "PIL", "submitit"
    code = (
        f"import sys, pycls.launch.status\nprint([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
