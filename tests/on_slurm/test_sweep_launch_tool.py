"""tools/sweep_launch.py as it is typed, on a real Slurm."""

import contextlib
import csv
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fault_campaign import paced
from launch_sweeps import HELD, drivers, make_sweep
from processes import children_of
from slurm_cluster import ClusterOptions, SlurmCluster, missing_programs
from slurm_queue import job_record, run, squeue, wait_for_empty_queue, wait_until
from sweep_files import changed, write

from pycls.core.runs.record import read_record
from pycls.errors import run_tool
from pycls.launch import commands
from pycls.slurm.client import Slurm

ROOT = Path(__file__).resolve().parents[2]
CIFAR = ROOT / "configs" / "sweeps" / "cifar"


@pytest.fixture
def tool(capsys, monkeypatch):
    """Return a function (name, words) -> (exit code, what it printed, and to standard error)."""

    def call(name, *words):
        module = importlib.import_module(f"pycls.commands.{name}")
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            run_tool(lambda: module.main([str(word) for word in words]))
        printed = capsys.readouterr()
        return caught.value.code, printed.out, printed.err

    # No terminal, whatever the tests are started from.
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return call


@pytest.fixture
def use(monkeypatch):
    """Return a function (cluster): Slurm's commands speak to it from now on."""

    def use(cluster):
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture(scope="module")
def large_cluster(tmp_path_factory):
    """A cluster as the sweep files of pycls want it: 10 CPUs and 60 GB beside a GPU."""
    if missing_programs():
        pytest.skip("no Slurm on this machine")
    options = ClusterOptions(
        nodes=1, cpus=16, gpus=1, memory_mb=70_000, partitions={"devlab": "MaxTime=INFINITE"}
    )
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), options)
    cluster.start(stop_with_parent=True)
    yield cluster
    cluster.stop(wipe=True)


@pytest.fixture
def large_nodes(large_cluster, use):
    use(large_cluster)


@pytest.fixture
def _without_data(monkeypatch):
    """Let runs without data be launched, of which only their launch is looked at."""
    monkeypatch.setattr("pycls.launch.work.find_missing_inputs", lambda *_: [])


@pytest.fixture
def rates(tmp_path, _without_data):
    """Return the arguments that name a sweep of four runs that is set up, and its folder."""
    work = make_sweep(tmp_path, 4)
    words = ["--sweep-cfg", tmp_path / "rates.yaml", "--root-dir", tmp_path / "sweeps"]
    return words, work.folder


def options_of(text):
    """Return {option of sbatch: value} of the first batch script in a text."""
    script = re.search(r"#!/bin/bash\n(.*?)\n[^#\n]", text, re.DOTALL)[1]
    return dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))


def all_files(folder):
    return {path: path.is_file() and path.read_bytes() for path in Path(folder).rglob("*")}


# ---------------------------------------------------------------- what pycls's files mean


@pytest.mark.parametrize(
    ("name", "parallel_jobs", "minutes"),
    [("cifar_optim", 32, 60), ("cifar_regnet", 32, 60), ("cifar_best", 12, 180)],
)
def test_the_launch_keys_of_a_sweep_file_of_pycls_are_what_sbatch_is_asked_for(
    large_nodes, tool, tmp_path, cifar_dir, monkeypatch, name, parallel_jobs, minutes
):
    """As the file says: partition devlab, 1 GPU, jobs at a time, minutes; the rest by default."""
    monkeypatch.setenv("PYCLS_DATA", str(cifar_dir))
    where = ["--sweep-cfg", CIFAR / f"{name}.yaml", "--root-dir", tmp_path]
    tool("sweep_setup", *where, "SETUP.NUM_CONFIGS", "3", "SETUP.BASE_CFG.TRAIN.BATCH_SIZE", "50")
    before = all_files(tmp_path)
    code, printed, error = tool("sweep_launch", *where, "--dry-run", "LAUNCH.RUNS_PER_JOB", "1")
    assert (code, error) == (0, "")
    assert all_files(tmp_path) == before
    assert f"cifar/{name}: 3 runs in 3 jobs, at most {parallel_jobs} at a time" in printed
    time_limit = f"{minutes // 60} h 00 min"
    assert f"partition devlab, 1 GPU, 10 CPUs a job, time limit {time_limit}" in printed
    assert {
        "array": "0-2%3", "partition": "devlab", "gpus-per-node": "1", "cpus-per-task": "10",
        "mem": "61440M", "time": str(minutes), "nodes": "1", "ntasks-per-node": "1",
        "signal": "B:USR2@120", "requeue": "",
    }.items() <= options_of(printed).items()  # fmt: skip
    assert not {"account", "qos", "constraint", "comment", "gres"} & set(options_of(printed))

    code, printed, _ = tool("sweep_launch", *where, "--yes", "LAUNCH.SBATCH", "{hold: True}")
    job = job_record(re.search(r"Slurm job (\d+)", printed)[1])
    assert code == 0
    assert (job["Partition"], job["NumCPUs"]) == ("devlab", "10")
    assert job["TimeLimit"] == f"0{minutes // 60}:00:00"
    assert (job["TresPerNode"], job["MinMemoryNode"]) == ("gres:gpu:1", "60G")


def test_without_a_partition_it_is_the_default_one(slurm, tool, rates):
    words, _ = rates
    small = ["LAUNCH.NUM_GPUS", 0, "LAUNCH.CPUS_PER_GPU", 1, "LAUNCH.MEM_PER_GPU", 0.1, *HELD]
    _, printed, _ = tool("sweep_launch", *words, "--dry-run", *small)
    assert "partition" not in options_of(printed)
    _, printed, _ = tool("sweep_launch", *words, "--yes", *small)
    assert job_record(re.search(r"Slurm job (\d+)", printed)[1])["Partition"] == "debug"


# ---------------------------------------------------------------- what does not work


def refused(tool, words, folder, *parts, code):
    """Try to launch, see that it is refused with these words, and nothing is left of the try."""
    before = all_files(folder)
    found, printed, error = tool("sweep_launch", *words)
    assert found == code, printed + error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in parts:
        assert part in error
    left = {p: text for p, text in all_files(folder).items() if p not in before}
    assert not [path for path, text in left.items() if text], left
    return printed


SMALL = ["LAUNCH.NUM_GPUS", 0, "LAUNCH.CPUS_PER_GPU", 1, "LAUNCH.MEM_PER_GPU", 0.1]


def test_an_unknown_partition_is_refused(slurm, tool, rates):
    words, folder = rates
    text = "there is no partition 'debgu'; did you mean 'debug'?; there are: debug (default), high"
    parts = text.split("; ")
    refused(tool, [*words, "--yes", *SMALL, "LAUNCH.PARTITION", "debgu"], folder, *parts, code=2)
    assert not squeue()


def test_no_default_partition_is_refused(own_cluster, use, tool, rates):
    use(own_cluster(partitions={"debug": "PriorityTier=1"}))
    words, folder = rates
    parts = ("LAUNCH.PARTITION is not given", "no default partition; name one of: debug, high")
    refused(tool, [*words, "--yes", *SMALL], folder, *parts, code=2)


def test_no_slurm_on_this_machine(tool, rates, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    words, folder = rates
    parts = ("no Slurm on this machine", "LAUNCH.MODE local")
    refused(tool, [*words, "--yes", *SMALL], folder, *parts, code=1)
    before = all_files(folder)
    code, printed, error = tool("sweep_launch", *words, "--dry-run", *SMALL)
    assert (code, error) == (0, "")
    assert "4 runs in 4 jobs" in printed
    assert options_of(printed)["mem"] == "102M"
    assert "#SBATCH --dependency=afterany:JOBS" in printed  # of who looks after them
    assert "there is no Slurm on this machine" in printed
    assert all_files(folder) == before


def test_a_controller_that_does_not_answer(own_cluster, use, tool, rates, monkeypatch):
    cluster = own_cluster()
    use(cluster)
    cluster.stop()
    monkeypatch.setattr(commands, "Slurm", lambda: Slurm(patience_s=0.0))
    words, folder = rates
    parts = ("controller does not answer", "try again in a while")
    refused(tool, [*words, "--yes", *SMALL], folder, *parts, code=1)


def test_a_sweep_that_is_not_set_up(slurm, tool, rates):
    words, folder = rates
    shutil.rmtree(folder)
    parts = ("this sweep is not set up", "tools/sweep_setup.py --sweep-cfg")
    refused(tool, [*words, "--yes", *SMALL], folder.parent, *parts, code=2)


def test_what_sbatch_refuses_is_explained(slurm, tool, rates):
    words, _ = rates
    code, _, error = tool("sweep_launch", *words, "--yes", *SMALL, "LAUNCH.MEM_PER_GPU", 9000)
    assert code == 1
    assert "sbatch refused: " in error
    assert "set LAUNCH.MEM_PER_GPU lower" in error
    assert not squeue()
    code, printed, error = tool("sweep_launch", *words, "--yes", *SMALL, *HELD)
    assert (code, error) == (0, "")
    assert "submitted 4 jobs with 4 runs" in printed


def test_nobody_is_there_to_be_asked(slurm, tool, rates):
    words, folder = rates
    text = "standard input is no terminal, so nobody can be asked; add --yes"
    printed = refused(tool, [*words, *SMALL], folder, text, code=1)
    assert "4 runs in 4 jobs" in printed
    assert not squeue()


@pytest.mark.parametrize(("answer", "jobs"), [("n\n", 0), ("\n", 0), ("", 0), ("y\n", 5)])
def test_the_question_and_its_answers(slurm, tool, rates, monkeypatch, answer, jobs):
    """An empty text is Ctrl-D."""
    words, _ = rates
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    code, printed, _ = tool("sweep_launch", *words, *SMALL, *HELD)
    assert code == 0
    assert "go on? [y/N]" in printed
    assert ("nothing was submitted" in printed) == (jobs == 0)
    assert len(squeue()) == jobs


def test_commands_that_there_are_not(tool, rates):
    words, folder = rates
    refused(tool, ["lauch", *words], folder, "no command 'lauch'; did you mean 'launch'?", code=2)


@pytest.mark.parametrize("command", ["cancel", "resume"])
def test_what_needs_a_launch_before_it(slurm, tool, rates, command):
    words, folder = rates
    refused(tool, [command, *words, "--yes"], folder, "nothing was launched here on Slurm", code=1)


def mount(*words):
    """Mount something; skip where that is not allowed."""
    if (
        os.getuid()
        or subprocess.run(["mount", *words], capture_output=True, check=False).returncode
    ):
        pytest.skip("not allowed to mount a file system")


@pytest.fixture
def mounted(tmp_path, _without_data):
    """Return a function (options of mount) -> a folder that is a file system of its own."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mounts = []

    def make(*words):
        mount(*map(str, words), str(folder))
        mounts.append(words)
        return folder

    yield make
    for _ in mounts:
        run("umount", str(folder))


def test_a_full_disk(slurm, tool, mounted):
    folder = mounted("-t", "tmpfs", "-o", "size=12m", "tmpfs")
    work = make_sweep(folder, 4)
    words = ["--sweep-cfg", folder / "rates.yaml", "--root-dir", folder / "sweeps", "--yes", *SMALL]
    filling = folder / "filling"
    run("dd", "if=/dev/zero", f"of={filling}", "bs=4k", check=False)
    for spare in (0, 64 << 10, 1 << 20):
        # No room for anything; for some of the snapshot; and for the whole of it.
        os.truncate(filling, max(0, filling.stat().st_size - spare))
        found, printed, error = tool("sweep_launch", *words, *HELD)
        if found == 0:
            break
        assert "no space left on the device" in error
        assert not squeue()
        assert not list(work.folder.rglob("*.partial"))
    filling.unlink()
    if found:
        found, printed, error = tool("sweep_launch", *words, *HELD)
    assert (found, error) == (0, "")
    assert "submitted 4 jobs" in printed


def test_a_read_only_folder(slurm, tool, rates, mounted, tmp_path):
    folder = mounted("--bind", tmp_path / "sweeps")
    mount("-o", "remount,bind,ro", str(folder))
    words = ["--sweep-cfg", tmp_path / "rates.yaml", "--root-dir", folder, "--yes", *SMALL]
    refused(tool, words, folder, "the file system is read-only", code=1)
    assert not squeue()


# ---------------------------------------------------------------- cancel and resume

DIGITS_CFG = yaml.safe_load((ROOT / "configs" / "embedded" / "digits_anynet.yaml").read_text())
DIGITS = {
    "NAME": "one",
    "SETUP": {
        "NUM_CONFIGS": 1,
        "SAMPLERS": {"OPTIM.BASE_LR": {"TYPE": "value_sampler", "VALUES": [0.1]}},
        "BASE_CFG": changed(DIGITS_CFG, {("DEVICE",): "cpu", ("OPTIM", "MAX_EPOCH"): 6}),
    },
    "LAUNCH": {"NUM_GPUS": 0, "CPUS_PER_GPU": 1, "MEM_PER_GPU": 1, "TIME_LIMIT": 30},
}
BREAK = '\nraise RuntimeError("the code that was launched is to be run")\n'


def states_of(text):
    return {each["run"]: each["state"] for each in json.loads(text)["runs"]}


def errors_of(folder):
    """Return what a sweep's table says of its runs, times aside."""
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("seconds", "started")} for row in rows]


def test_a_cancelled_run_goes_on_as_it_was_launched(slurm, digits_dir, tmp_path, monkeypatch):
    """From another checkout, edited meanwhile, in folders with odd names, given relatively."""
    checkout, work = tmp_path / "a 'check'out", tmp_path / 'work "here"'
    for name in ("pycls", "tools"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=skip)
    shutil.copy(ROOT / "pycls_studies.py", checkout)
    work.mkdir()
    go_on = tmp_path / "go_on"
    digits = changed(DIGITS, {("LAUNCH", "SETUP"): paced(go_on, seconds=0.25)})
    write(work / "one.yaml", digits)
    monkeypatch.chdir(work)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYCLS_DATA": str(digits_dir)}

    def tool(name, *words):
        path = checkout / "tools" / f"sweep_{name}.py"
        command = [sys.executable, path, *words, "--sweep-cfg", "one.yaml", "--root-dir", "sw $1"]
        if name == "launch" and words[0] == "launch":
            command += ["--yes", "LAUNCH.RUNS_PER_JOB", "1", "LAUNCH.FOLLOW_UP", "False"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    tool("setup")
    tool("launch", "launch")
    folder = Path("sw $1", DIGITS["NAME"])
    first = folder / "logs" / "000000"
    wait_until(lambda: list(first.glob("checkpoints/*.pyth")), what="a checkpoint")
    (worker,) = children_of(drivers(folder)[0])
    os.kill(worker, signal.SIGSTOP)  # or it might be done before it is cancelled
    assert "cancelled 1 job;" in tool("launch", "cancel", "--yes")
    with contextlib.suppress(ProcessLookupError):  # scancel wakes it, too
        os.kill(worker, signal.SIGCONT)
    wait_for_empty_queue()
    go_on.touch()
    assert states_of(tool("launch", "status", "--json"))["000000"] == "stopped"
    assert read_record(first)["status"] == "interrupted"
    assert "no job of it is in Slurm" in tool("launch", "cancel", "--yes")

    for name in ("core/training_launch.py", "launch/job.py"):
        with (checkout / "pycls" / name).open("a") as file:
            file.write(BREAK)
    write(work / "one.yaml", digits, {("LAUNCH", "TIME_LIMIT"): 7})
    assert "1 run in 1 job, at most 128 at a time" in tool("launch", "resume", "--yes")
    scripts = [path.read_text() for path in sorted(folder.glob("launch/*/script.sh"))]
    assert [options_of(script)["time"] for script in scripts] == ["30", "30"]
    wait_for_empty_queue()
    assert set(states_of(tool("launch", "status", "--json")).values()) == {"done"}

    environment = {**os.environ, "PYCLS_DATA": str(digits_dir)}
    for name, *words in (("setup",), ("launch", "LAUNCH.MODE", "local")):
        path = ROOT / "tools" / f"sweep_{name}.py"
        where = ["--sweep-cfg", "one.yaml", "--root-dir", "undisturbed"]
        subprocess.run([sys.executable, path, *where, *words], env=environment, check=True)
    tool("collect")
    assert errors_of(folder) == errors_of(Path("undisturbed", DIGITS["NAME"]))
