"""What odd answers of Slurm's commands are taken for; stand-ins give what a cluster rarely does."""

import os
import sys

import pytest

from pycls.slurm import commands as slurm_commands
from pycls.slurm.client import Slurm
from pycls.slurm.commands import (
    SlurmError,
    SlurmUnreachableError,
    SubmissionRefusedError,
    SubmissionUnknownError,
    ask,
)
from pycls.slurm.records import read_accounted, read_partitions, read_queue

UP = "echo 'Slurmctld(primary) at host is UP'"
REFUSED = "sbatch: error: Batch job submission failed:"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Return a function that puts a stand-in for a command on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def put(name, body):
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    put("scontrol", UP)
    put("sbatch", "echo 1")
    return put


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\n#SBATCH --partition=debug\n")
    return path


def times(folder):
    """Return shell commands that count how often they run, and that number."""
    count = folder / "count"
    return f'echo x >> "{count}"; N=$(wc -l < "{count}")', lambda: len(count.read_text().split())


def test_a_machine_without_slurm_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match=r"no Slurm on this machine.*LAUNCH.MODE local"):
        Slurm()


@pytest.mark.parametrize(
    "body",
    ["echo 'Slurmctld(primary) at host is DOWN'; exit 1", "echo fatal: no conf >&2; exit 1"],
)
def test_a_controller_that_is_down_is_told_of(commands, body):
    commands("scontrol", body)
    with pytest.raises(SlurmUnreachableError, match=r"does not answer.*LAUNCH.MODE local"):
        Slurm(patience_s=0)


def test_a_controller_that_comes_back_is_waited_for(commands, tmp_path):
    count, counted = times(tmp_path)
    commands("scontrol", f'{count}; [ "$N" -ge 2 ] || exit 1; {UP}')
    Slurm(patience_s=30)
    assert counted() == 2


@pytest.mark.parametrize(("answer", "number"), [("12", 12), ("13;cluster", 13), ("note\n14", 14)])
def test_a_submission_gives_its_number(commands, script, answer, number):
    commands("sbatch", f"cat <<'E'\n{answer}\nE")
    assert Slurm().submit(script) == number


@pytest.mark.parametrize(
    "body",
    [
        f"echo '{REFUSED} Socket timed out on send/recv operation' >&2; exit 1",
        f"echo '{REFUSED} Zero Bytes were transmitted or received' >&2; exit 1",
        f"echo '{REFUSED} Unable to contact slurm controller (receive failure)' >&2; exit 1",
        "echo 'what?'",
        "exit 0",
    ],
)
def test_a_submission_that_may_have_been_is_not_made_twice(commands, script, tmp_path, body):
    count, counted = times(tmp_path)
    commands("sbatch", f"{count}; {body}")
    with pytest.raises(SubmissionUnknownError, match="not known whether the jobs were submitted"):
        Slurm(patience_s=30).submit(script)
    assert counted() == 1


def test_a_submission_that_does_not_answer_may_have_been(commands, script, monkeypatch):
    monkeypatch.setattr(slurm_commands, "_SBATCH_TIMEOUT_S", 0.2)
    commands("sbatch", "exec sleep 60")
    with pytest.raises(SubmissionUnknownError, match="no answer"):
        Slurm().submit(script)


def test_a_submission_that_never_reached_anybody_is_tried_again(commands, script, tmp_path):
    count, counted = times(tmp_path)
    failure = f"{REFUSED} Unable to contact slurm controller (connect failure)"
    commands("sbatch", f"{count}; [ \"$N\" -ge 2 ] || {{ echo '{failure}' >&2; exit 1; }}; echo 7")
    assert Slurm(patience_s=30).submit(script) == 7
    commands("sbatch", f"echo '{failure}' >&2; exit 1")
    with pytest.raises(SlurmUnreachableError, match="nothing was submitted"):
        Slurm(patience_s=0).submit(script)
    assert counted() == 2


@pytest.mark.parametrize(
    ("said", "is_full", "key"),
    [
        ("Invalid account or account/partition combination specified", False, "LAUNCH.ACCOUNT"),
        ("Invalid qos specification", False, "LAUNCH.QOS"),
        ("Requested time limit is invalid (missing or exceeds some limit)", False, "TIME_LIMIT"),
        ("AssocMaxSubmitJobLimit; Job violates accounting/QOS policy", True, "LAUNCH.MAX_JOBS"),
        ("QOSMaxSubmitJobPerUserLimit", True, "LAUNCH.MAX_JOBS"),
        ("Slurm temporarily unable to accept job, sleeping and retrying", True, "MAX_JOBS"),
        ("Something new", False, "Something new"),
    ],
)
def test_refusals_name_the_key_to_change(commands, script, said, is_full, key):
    commands("sbatch", f"echo '{REFUSED} {said}' >&2; exit 1")
    with pytest.raises(SubmissionRefusedError, match=r"^sbatch refused: ") as caught:
        Slurm(patience_s=30).submit(script)
    assert key in str(caught.value)
    assert caught.value.is_full == is_full


def test_a_question_is_asked_again_while_nobody_answers(commands, tmp_path, monkeypatch):
    count, counted = times(tmp_path)
    silence = "slurm_load_jobs error: Socket timed out on send/recv operation"
    commands("squeue", f"{count}; [ \"$N\" -ge 2 ] || {{ echo '{silence}' >&2; exit 1; }}")
    assert Slurm().jobs() == []
    assert counted() == 2
    monkeypatch.setattr(slurm_commands, "_TIMEOUT_S", 0.2)
    commands("squeue", "exec sleep 60")
    with pytest.raises(SlurmUnreachableError, match="does not answer"):
        Slurm(patience_s=0).jobs()


def test_other_failures_are_not_repeated(commands, tmp_path):
    count, counted = times(tmp_path)
    commands("scancel", f"{count}; echo 'scancel: error: Access denied' >&2; exit 1")
    with pytest.raises(SlurmError, match=r"^scancel failed: Access denied$"):
        Slurm(patience_s=30).cancel([1])
    assert counted() == 1
    with pytest.raises(SlurmError, match="no command sinfou"):
        ask("sinfou", patience_s=30)


def test_many_jobs_are_cancelled_in_few_calls(commands, tmp_path):
    commands("scancel", f'echo $# >> "{tmp_path}/calls"')
    Slurm().cancel(range(1, 501))
    assert [int(n) for n in (tmp_path / "calls").read_text().split()] == [200, 200, 100]


def test_limits_are_the_smaller_of_those_that_are_set(commands):
    config = "MaxArraySize = 1001\nMaxJobCount = 500\nSchedulerParameters = a=1,max_array_tasks=64"
    commands("scontrol", f"[ $1 = ping ] && {UP}; cat <<'E'\n{config}\nE")
    limits = Slurm().limits()
    assert (limits.max_array_size, limits.max_jobs, limits.accounting) == (64, 500, False)


def test_accounting_that_fails_is_done_without(commands, tmp_path):
    config = "AccountingStorageType = accounting_storage/slurmdbd"
    commands("scontrol", f"[ $1 = ping ] && {UP}; echo '{config}'")
    commands("squeue", "echo '5|1|FAILED|'")
    commands("sacct", f'touch "{tmp_path}/asked"; echo "sacct: error: down" >&2; exit 1')
    assert Slurm().end_states(["5_1", "5_2"]) == {"5_1": "FAILED"}
    assert (tmp_path / "asked").exists()


def test_names_with_line_breaks_and_bars_are_read():
    fields = ["12", "N/A", "RUNNING", "None", "node1", "mine; pycls: fault 2 in a row"]
    text = "".join("\x1e" + "\x1f".join([*fields, name]) + "\n" for name in ("a|b\nc", ""))
    first, second = read_queue(text)
    assert (first.name, second.name) == ("a|b\nc", "")
    assert (first.reason, first.index, first.nodes) == ("", None, "node1")
    assert first.fault == "fault 2 in a row"


def test_accounting_rows_of_whole_ranges_are_read():
    rows = "7_[0-2,5%3]|CANCELLED by 1000\n7_3|OUT_OF_MEMORY\n7_4|RUNNING\n8|FAILED"
    found = read_accounted(rows)
    assert {name for name, end in found.items() if end == "CANCELLED"} == {
        "7_0", "7_1", "7_2", "7_5",
    }  # fmt: skip
    assert found["7_3"] == "OUT_OF_MEMORY"
    assert found["8"] == "FAILED"
    assert "7_4" not in found


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("UNLIMITED", None), ("00:30:00", 30), ("2-01:10:59", 2950), ("INFINITE", None)],
)
def test_time_limits_of_partitions_are_read_in_minutes(text, minutes):
    found = read_partitions(f"PartitionName=a Default=YES MaxTime={text} State=UP TotalNodes=3")
    assert found["a"].max_minutes == minutes


def test_nothing_of_it_needs_pytorch():
    names = "pycls.slurm.client, pycls.slurm.batch_script, pycls.launch.snapshot"
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
