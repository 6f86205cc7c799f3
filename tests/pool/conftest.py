"""Fixtures of the tests of the pool."""

import pytest


@pytest.fixture(scope="session")
def undisturbed(digits_dir, tmp_path_factory):
    """Return the final weights of a LONG run that nothing disturbed."""
    from pool_runs import DIGITS, LONG, last_weights, where

    from pycls.core.config import load_cfg
    from pycls.core.training_launch import train

    out_dir = tmp_path_factory.mktemp("undisturbed")
    train(load_cfg(DIGITS, [*where(digits_dir, out_dir), *LONG]))
    return last_weights(out_dir)
