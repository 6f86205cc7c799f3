"""Training and data on a device that stands for a GPU: nothing waits, nothing is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("stand_in_gpu.py")
# What of the program has to fail, and how it is told.
MUST_FAIL = {
    "asks for a value": "DataDependentOutput",
    "copies and waits": "waits",
    "tensor on the host": "same device",
}


@pytest.mark.slow
def test_a_step_a_test_and_batches_wait_for_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for name, says in MUST_FAIL.items():
        assert says in found.pop(name)
    assert len(found) >= 20
    assert not any(found.values()), found
