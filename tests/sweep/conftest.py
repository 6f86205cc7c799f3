"""Fixtures of the sweep tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def undisturbed(digits_dir, tmp_path_factory):
    """Return the final weights of a LONG run that nothing disturbed."""
    from pool_runs import DIGITS, LONG, last_weights, where

    from pycls.core.config import load_cfg
    from pycls.core.training_launch import train

    out_dir = tmp_path_factory.mktemp("undisturbed")
    train(load_cfg(DIGITS, [*where(digits_dir, out_dir), *LONG]))
    return last_weights(out_dir)


@pytest.fixture(scope="session")
def plain():
    """The plain implementation of sampling and counting that the benchmark holds."""
    name = "bench_sampling"
    spec = importlib.util.spec_from_file_location(name, ROOT / "dev" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
