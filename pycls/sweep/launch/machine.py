"""What one machine offers to runs: cores, GPUs, and the share of each worker."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pycls.errors import ConfigError


@dataclass(frozen=True)
class Seat:
    """The share of the machine that one worker has.

    Attributes:
        threads: CPU threads of a run.
        cores: the CPU cores it is bound to; None: not bound.
        gpus: the GPUs it sees, as CUDA_VISIBLE_DEVICES names them; None: as its parent does.
    """

    threads: int
    cores: tuple[int, ...] | None = None
    gpus: str | None = None


def make_seats(workers: int, threads: int | None = None, gpus_each: int = 1) -> list[Seat]:
    """Divide this machine among workers.

    Each is bound to cores of its own, neighbours, where there are as many as it has threads. It is
    not where cores are not ours alone: the binding of others is not known, and two pools that
    divide the same cores would meet on the first ones. GPUs are dealt out in turn; more workers
    than GPUs share them.

    Args:
        workers: how many, 1 or more.
        threads: CPU threads of each; None: the cores divided by the workers.
        gpus_each: GPUs of one run (NUM_GPUS); 0: runs see none.

    Raises:
        ConfigError: a run takes more GPUs than there are.
    """
    num_cores = usable_cores()
    threads = threads or max(1, num_cores // workers)
    own = sorted(_affinity())
    shares: list[tuple[int, ...] | None] = [None] * workers
    if len(own) == num_cores and num_cores // workers >= threads:
        bounds = [i * num_cores // workers for i in range(workers + 1)]
        shares = [tuple(own[bounds[i] : bounds[i + 1]]) for i in range(workers)]
    gpus = _deal_gpus(visible_gpus(), workers, gpus_each)
    return [Seat(threads, shares[i], gpus[i]) for i in range(workers)]


def _deal_gpus(gpus: Sequence[str], workers: int, each: int) -> list[str | None]:
    if each == 0:
        return [""] * workers
    if not gpus:
        return [None] * workers  # runs are on the CPU, in `each` processes
    if each > len(gpus):
        raise ConfigError(
            f"NUM_GPUS is {each}, but there are {len(gpus)} GPUs here ({', '.join(gpus)}); set "
            f"NUM_GPUS {len(gpus)}, or use a machine with more"
        )
    groups = [",".join(gpus[i * each : (i + 1) * each]) for i in range(len(gpus) // each)]
    return [groups[i % len(groups)] for i in range(workers)]


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use.

    The least of what its affinity, its container and its Slurm job allow.
    """
    limits = [len(_affinity()) or os.cpu_count(), _container_cores(), _slurm_cores()]
    return max(1, min((limit for limit in limits if limit), default=1))


def _affinity() -> set[int]:
    """Return the cores this process is bound to; empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _container_cores() -> int | None:
    """Return the cores that a container's CPU quota amounts to (cgroup v2), None without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, round(int(quota) / int(period)))


def _slurm_cores() -> int | None:
    """Return the cores that Slurm gave the job on this node; it need not bind the job to them."""
    text = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return int(text) if text.isdecimal() else None


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    gpus: list[str] = []
    for gpu in named.split(","):
        if not gpu.strip() or gpu.strip().startswith("-") or gpu.strip() == "NoDevFiles":
            break  # CUDA too ends its list at the first name that is none
        gpus.append(gpu.strip())
    return gpus


def default_workers(gpus_each: int = 1) -> int:
    """Return how many runs suit this machine: as many as it has GPUs for, or else cores.

    Args:
        gpus_each: GPUs of one run; 0: runs see none.
    """
    return (gpus_each and len(visible_gpus()) // gpus_each) or usable_cores()
