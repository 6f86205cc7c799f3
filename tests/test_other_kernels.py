"""What pycls itself gave is met with the kernels of another processor too.

The vector instructions that PyTorch and oneDNN choose by the processor decide the last bits of
float32 sums and even of random draws. Without any of them both differ from every usual machine.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PLAIN_KERNELS = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
FOLDERS = ("core", "models")


@pytest.mark.golden
def test_the_kernels_are_those_asked_for():
    import torch

    asked = os.environ.get("ATEN_CPU_CAPABILITY")
    assert asked in (None, torch.backends.cpu.get_cpu_capability().lower())


@pytest.mark.slow
def test_golden_tests_pass_without_vector_instructions():
    tests = Path(__file__).parent
    names = [tests / name for name in (*FOLDERS, Path(__file__).name)]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "golden", "-p", "no:cacheprovider"]
    environment = {**os.environ, **PLAIN_KERNELS}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]  # this process may be a worker of the suite's
    process = subprocess.run(
        [*command, *map(str, names)], cwd=tests.parent, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    passed = re.search(r"(\d+) passed", process.stdout)
    assert passed, process.stdout
    assert int(passed[1]) > 30
