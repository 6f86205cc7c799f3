"""Running the tools as a user does: as processes."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml
from tiny_study import TINY

ROOT = Path(__file__).resolve().parents[2]


def run_tool(folder, name, *args, timeout=300, **options):
    """Run a tool in a folder and return the process."""
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, args)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout,
        check=False, **options,
    )  # fmt: skip


def write_tiny(folder, **changes):
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}, sort_keys=False))
    return path


@pytest.fixture
def tool(tmp_path):
    """Return a function that runs a tool in an empty folder and returns the process."""
    return partial(run_tool, tmp_path)


@pytest.fixture
def tiny_study(tmp_path):
    """Return a function (changes to the top level) -> file of a study of seconds."""
    return partial(write_tiny, tmp_path)


@pytest.fixture(scope="session")
def finished_folder(tmp_path_factory):
    """Return a folder in which the tiny study has been run."""
    folder = tmp_path_factory.mktemp("finished")
    process = run_tool(folder, "study", "run", write_tiny(folder))
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture
def finished_study(finished_folder, tmp_path):
    """Return the file of the tiny study, which has been run: its data and results are there."""
    shutil.copytree(finished_folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tiny.yaml"


@pytest.fixture
def tiny_population():
    """Return the population section of the tiny study."""
    return TINY["population"]
