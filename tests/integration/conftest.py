"""Running the tools as a user does: as processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "population": {
        "space": {
            "num_stages": 2, "strides": [1, 2], "stem_type": "res_stem_cifar", "stem_w": 8,
            "depth": [1, 2], "width": [8, 32], "group_w": [4, 8], "resolution": 8,
            "num_classes": 10,
        },
        "size": 4,
        "seed": 3,
    },
    "config": {
        "BN": {"USE_PRECISE_STATS": False},
        "OPTIM": {"MAX_EPOCH": 3},
        "TRAIN": {"BATCH_SIZE": 64},
        "TEST": {"BATCH_SIZE": 1000},
        "DATA": {"PAD": 1},
        "DEVICE": "cpu",
    },
    "datasets": {"digits": {}, "digits_3": {"of": "digits", "num_classes": 3}, "textures": {}},
    "reference": "digits",
    "family": ["digits_3"],
    "targets": ["textures"],
    "repeats": [{"dataset": "digits", "arch": "a0000", "seeds": [1, 2]}],
}  # fmt: skip


@pytest.fixture
def tool(tmp_path):
    """Return a function that runs a tool in an empty folder and returns the process."""

    def run(name, *args, timeout=300, **options):
        command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, args)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=timeout, check=False, **options,
        )  # fmt: skip

    return run


@pytest.fixture
def tiny_study(tmp_path):
    """Return a function (changes to the top level) -> file of a study of seconds."""

    def write(**changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **changes}, sort_keys=False))
        return path

    return write


@pytest.fixture
def tiny_population():
    """Return the population section of the tiny study."""
    return TINY["population"]
