"""Running the tools as a user does: as processes."""

import os
import runpy
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import forked_tools
import pytest
import yaml
from tiny_study import TINY

from pycls.files import exclusive_lock

ROOT = Path(__file__).resolve().parents[2]


def run_tool(folder, name, *args, prefix=(), timeout=1800, **options):
    """Run a tool in a folder, under another command (`prefix`) if one is given.

    Return the process. The time limit is there for what hangs.
    """
    words = [str(ROOT / "tools" / f"{name}.py"), *map(str, args)]
    # What is imported from elsewhere must not have been imported before.
    is_plain = not prefix and "PYTHONPATH" not in os.environ
    command = forked_tools.command(*words) if is_plain else [*prefix, sys.executable, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout,
        check=False, **options,
    )  # fmt: skip


def write_tiny(folder, **changes):
    """Write the tiny study with other sections, or without those that are None."""
    study = {name: value for name, value in {**TINY, **changes}.items() if value is not None}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@pytest.fixture
def tool(tmp_path):
    """Return a function that runs a tool in an empty folder and returns the process."""
    return partial(run_tool, tmp_path)


@pytest.fixture
def tool_here(monkeypatch, capsys, tmp_path):
    """Return a function that runs a tool as `tool` does, but in no process of its own.

    Most of the time of a process goes into importing PyTorch, or what draws. Those that a tool
    starts are forked.
    """
    monkeypatch.chdir(tmp_path)
    if "PYTHONPATH" not in os.environ:
        monkeypatch.setattr("sys.executable", forked_tools.python())
    monkeypatch.setattr("warnings.formatwarning", None)  # brings back what run_tool replaces

    def run(name, *arguments):
        monkeypatch.setattr("sys.argv", [f"{name}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")
        return subprocess.CompletedProcess(name, leaving.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny_study(tmp_path):
    """Return a function (changes to the top level) -> file of a study of seconds."""
    return partial(write_tiny, tmp_path)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """Return a folder in which the tiny study has been run, and what that printed."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # one for all processes of this session
    folder, output = base / "finished", base / "finished.txt"
    with exclusive_lock(base / "finished.lock", "running the tiny study", wait_s=1800):
        if not output.exists():
            folder.mkdir(exist_ok=True)
            process = run_tool(folder, "study", "run", write_tiny(folder))
            assert process.returncode == 0, process.stderr
            output.write_text(process.stdout)
    return folder, output.read_text()


@pytest.fixture
def finished_folder(finished_run):
    """Return the folder in which the tiny study has been run; read only."""
    return finished_run[0]


@pytest.fixture
def finished_study(finished_folder, tmp_path):
    """Return the file of the tiny study, which has been run: its data and results are there."""
    shutil.copytree(finished_folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tiny.yaml"


@pytest.fixture
def tiny_population():
    """Return the population section of the tiny study."""
    return TINY["population"]


@pytest.fixture
def _prepared(finished_folder, monkeypatch):
    """Let the tools find the sets of the tiny study, which have been prepared; read only."""
    monkeypatch.setenv("PYCLS_DATA", str(finished_folder / "data"))


@pytest.fixture
def two_networks(_prepared):
    """Return changes to the tiny study: two networks on one set, where only training matters."""
    roles = dict.fromkeys(("reference", "family", "targets", "repeats"))
    population = {**TINY["population"], "size": 2}
    return {**roles, "datasets": {"digits": {}}, "population": population}
