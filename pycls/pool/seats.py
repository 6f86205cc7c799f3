"""The shares of a machine that workers have, called seats: cores, threads and GPUs."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pycls.cores import bound_cores, usable_cores
from pycls.errors import ConfigError
from pycls.files import write_json
from pycls.schema import LAUNCH_JSON


@dataclass(frozen=True)
class Seat:
    """The share of the machine that one worker has.

    Attributes:
        threads: CPU threads of a run.
        cores: the CPU cores it is bound to; None: not bound.
        gpus: the GPUs it sees, as CUDA_VISIBLE_DEVICES names them; None: as its parent does.
        runs_on_gpu: how many runs, of all workers, share its GPUs.
        at_once: runs of one group that the worker trains together, in one process.
    """

    threads: int
    cores: tuple[int, ...] | None = None
    gpus: str | None = None
    runs_on_gpu: int = 1
    at_once: int = 1


def make_seats(workers: int, threads: int | None = None, gpus_each: int = 1) -> list[Seat]:
    """Divide this machine among workers.

    Each is bound to cores of its own, neighbours, where there are as many as it has threads. It is
    not where cores are not ours alone: the binding of others is not known, and two pools that
    divide the same cores would meet on the first ones. GPUs are dealt out in turn. Where there are
    more workers than GPUs, those of one GPU are one, which trains as many runs at once: they start
    and load once, and their kernels run beside each other, which those of several processes do not.

    Args:
        workers: how many, 1 or more.
        threads: CPU threads of each; None: the cores divided by the workers.
        gpus_each: GPUs of one run (NUM_GPUS); 0: runs see none.

    Raises:
        ConfigError: a run takes more GPUs than there are.
    """
    num_cores = usable_cores()
    threads = threads or max(1, num_cores // workers)
    own = sorted(bound_cores())
    shares: list[tuple[int, ...] | None] = [None] * workers
    if len(own) == num_cores and num_cores // workers >= threads:
        bounds = [i * num_cores // workers for i in range(workers + 1)]
        shares = [tuple(own[bounds[i] : bounds[i + 1]]) for i in range(workers)]
    gpus = _deal_gpus(visible_gpus(), workers, gpus_each)
    if gpus_each == 1 and gpus[0]:
        return [
            _share_gpu(threads, gpu, [shares[i] for i in range(workers) if gpus[i] == gpu])
            for gpu in dict.fromkeys(gpus)
        ]
    return [
        Seat(threads, shares[i], gpus[i], gpus.count(gpus[i]) if gpus[i] else 1)
        for i in range(workers)
    ]


def _share_gpu(threads: int, gpu: str | None, shares: Sequence[tuple[int, ...] | None]) -> Seat:
    """Return the seat of all who share a GPU, with the cores of all."""
    cores = tuple(core for share in shares for core in share or ())
    return Seat(threads, cores or None, gpu, len(shares), len(shares))


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


def default_workers(gpus_each: int = 1, runs_per_gpu: int = 1) -> int:
    """Return how many runs of so many GPUs suit this machine; without GPUs, one a core."""
    return (gpus_each and len(visible_gpus()) // gpus_each * runs_per_gpu) or usable_cores()


def choose_threads(
    folder: Path, share: int, asked: int | None = None, say: Callable[[str], None] = print
) -> int:
    """Return the threads of a run, and keep the choice in the folder of the study or sweep.

    Args:
        folder: of the study or sweep.
        share: a fair share of the cores, for the first time.
        asked: what the user asks for; None: nothing.
        say: where a warning goes.
    """
    path = folder / LAUNCH_JSON
    before = json.loads(path.read_text())["threads"] if path.is_file() else None
    threads = asked or before or max(1, share)
    if before is not None and threads != before:
        say(f"  runs so far had {before} threads, now {threads}: last digits may differ")
    if threads != before:
        write_json(path, {"threads": threads})
    return threads
