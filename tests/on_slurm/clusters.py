"""Clusters that several tests share, and how one of them is lent to a test."""

import os
import re

import pytest
from slurm_cluster import SlurmCluster, missing_programs, settings

# Who is told to leave does so by itself; this is for how long nobody is killed for being slow.
PATIENT = {
    "settings": {"KillWait": "120"},
    "partitions": {"debug": settings.PARTITIONS["debug"] + " GraceTime=120"},
}


def require_slurm(accounting=False):
    """Skip where Slurm is missing; in CI, which installs it, that is a failure."""
    missing = missing_programs(accounting)
    if missing:
        reason = f"no Slurm on this machine: {', '.join(missing)} not found"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def shared(tmp_path_factory, options):
    """Yield a started cluster, and stop it in the end: what a fixture yields from."""
    require_slurm(options.accounting)
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), options)
    cluster.start(stop_with_parent=True)
    yield cluster
    cluster.stop(wipe=True)


def lent(cluster, monkeypatch):
    """Yield a cluster that Slurm's commands find, and leave nothing on it."""
    # The suite itself may run within a job of another Slurm.
    for name in [name for name in os.environ if re.match("(SLURM|SBATCH|SQUEUE)", name)]:
        monkeypatch.delenv(name)
    for name, value in cluster.environment().items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()
