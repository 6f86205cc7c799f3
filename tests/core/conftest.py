"""Fixtures that several files of these tests share."""

import multiprocessing

import pytest


@pytest.fixture(scope="session")
def processes():
    """Return a context whose processes begin with PyTorch imported."""
    context = multiprocessing.get_context("forkserver")
    # Not the tests' jobs: Python 3.11's fork server does not find them, and says nothing.
    context.set_forkserver_preload(["pycls.core.trainer"])
    return context
