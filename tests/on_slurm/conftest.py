"""Real Slurm clusters on this machine, started at first use and stopped at the session's end.

`slurm` and `slurm_accounting` are what a test takes: SLURM_CONF points to the cluster while it
runs, and afterwards the queue is empty and all nodes are back.
"""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dev"))

from clusters import PATIENT, lent, require_slurm, shared
from slurm_cluster import ClusterOptions, SlurmCluster


@pytest.fixture(scope="session")
def slurm_session(tmp_path_factory):
    """Return a cluster without accounting: 4 nodes with 4 CPUs and 2 fake GPUs each."""
    yield from shared(tmp_path_factory, ClusterOptions(**PATIENT))


@pytest.fixture(scope="session")
def slurm_accounting_session(tmp_path_factory):
    """Return a cluster with accounting: 2 nodes with 4 CPUs and 2 fake GPUs each."""
    yield from shared(tmp_path_factory, ClusterOptions(nodes=2, accounting=True))


@pytest.fixture
def slurm(slurm_session, monkeypatch):
    """Return the cluster without accounting, and let Slurm's commands find it."""
    yield from lent(slurm_session, monkeypatch)


@pytest.fixture
def slurm_accounting(slurm_accounting_session, monkeypatch):
    """Return the cluster with accounting, and let Slurm's commands find it."""
    yield from lent(slurm_accounting_session, monkeypatch)


@pytest.fixture
def own_cluster(tmp_path_factory):
    """Return a function (**options) -> a started cluster of this test's own."""
    require_slurm()
    clusters = []

    def start(**options):
        folder = tmp_path_factory.mktemp("slurm")
        clusters.append(SlurmCluster(folder, ClusterOptions(**{"nodes": 1, **options})))
        clusters[-1].start(stop_with_parent=True)
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop(wipe=True)


@pytest.fixture
def small_disk(tmp_path):
    """Return a file system of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=False)
