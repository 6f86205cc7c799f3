"""A real Slurm on one machine, for tests and for trying things out: docs/slurm_cluster.md."""

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.daemons import ClusterError
from slurm_cluster.settings import ClusterOptions, missing_programs

__all__ = ["ClusterError", "ClusterOptions", "SlurmCluster", "missing_programs"]
