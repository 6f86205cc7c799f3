"""How much of a machine this process may use: CPU cores, and its part of a GPU."""

import os
from pathlib import Path

# Set for the processes of a pool several of whose runs share a GPU.
RUNS_ON_GPU_VARIABLE = "PYCLS_RUNS_ON_GPU"


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, 1 or more."""
    limits = [len(bound_cores()) or os.cpu_count(), container_cores(), _slurm_cores()]
    return max(1, min((limit for limit in limits if limit), default=1))


def bound_cores() -> set[int]:
    """Return the cores this process is bound to; empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def container_cores() -> int | None:
    """Return the cores that a container's CPU quota amounts to (cgroup v2), None without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, round(int(quota) / int(period)))


def runs_on_gpu() -> int:
    """Return how many runs share this process's GPU, by what its pool says; 1 without one."""
    text = os.environ.get(RUNS_ON_GPU_VARIABLE, "")
    return max(1, int(text)) if text.isdecimal() else 1


def _slurm_cores() -> int | None:
    """Return the cores that Slurm gave the job on this node; it need not bind the job to them."""
    text = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(text) if text.isdecimal() else None
