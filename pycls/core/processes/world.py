"""Finds out which process of a training this one is, and where they meet.

Processes come from torchrun, from Slurm (`srun`), or from :mod:`pycls.core.processes.launch_local`.
Here is what an environment says of them, without PyTorch; :mod:`pycls.core.processes.group`
connects them.
"""

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pycls.errors import ConfigError, RunError

MAX_LOCAL_PROCESSES = 64
LOOPBACK = "127.0.0.1"

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# Only what srun started has one of these; a batch script has the other variables too.
_SLURM_STEP = ("SLURM_STEP_ID", "SLURM_STEPID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS")
_NUM_PORTS = 8


class PeerLostError(RunError):
    """Another process of the training is gone: it, not this one, knows why."""


@dataclass(frozen=True)
class Meeting:
    """Where the processes of a training find each other.

    Attributes:
        hosts: names and addresses of the main process's machine, perhaps: the one where the
            training answers is right.
        ports: ports to try there, in this order.
        name: of the training, so that two that share a port never mix.
        is_open: the first port listens already, and is this training's.
        listen_fd: the socket that listens there, in the main process.
    """

    hosts: tuple[str, ...]
    ports: tuple[int, ...]
    name: str
    is_open: bool = False
    listen_fd: int | None = None


@dataclass(frozen=True)
class World:
    """The processes of a training, seen from one of them; `World()` is a single process.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine, from 0.
        local_size: number of processes on its machine.
        cores: CPU cores meant for this process; None where unknown.
        started_by: "launch", "torchrun" or "srun"; "" for a single process.
        meeting: where they find each other; None where torchrun sees to it.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    cores: int | None = None
    started_by: str = ""
    meeting: Meeting | None = None

    @property
    def is_main(self) -> bool:
        """Say whether this is the process that writes log, checkpoints and record."""
        return self.rank == 0


ONE_PROCESS = World()


def find_world(
    environ: Mapping[str, str], num_gpus: int, port_range: tuple[int, int] = (10000, 65000)
) -> World | None:
    """Return the processes that this one was started as one of, or None where it is alone.

    Args:
        environ: the environment variables.
        num_gpus: processes that the configuration asks for (NUM_GPUS).
        port_range: lowest and highest port (PORT_RANGE). Tasks of Slurm meet on a port that
            each computes from the job's and the step's number, as that is all they know in
            common before they meet; where it is taken, they go on to the next of a few. What
            :func:`pycls.core.processes.launch_local.launch` starts needs none: it hands on a port
            that is open already.

    Raises:
        ConfigError: their number is not `num_gpus`, or a variable is missing or no number.
    """
    if "PYCLS_RANK" in environ:
        world = _launched_world(environ)
    elif "RANK" in environ and "WORLD_SIZE" in environ:
        world = _torchrun_world(environ)
    elif _slurm_tasks(environ) > 1:
        world = _slurm_world(environ, port_range)
    else:
        return None
    if world.size != num_gpus:
        raise ConfigError(
            f"NUM_GPUS is {num_gpus}, but {world.started_by} started {world.size} processes; set "
            f"NUM_GPUS {world.size}, or start {num_gpus}"
        )
    return world


def expand_host_list(text: str) -> list[str]:
    """Return the hosts that a list in Slurm's notation names: "n[01-03,7],other".

    Raises:
        ConfigError: it cannot be read.
    """
    hosts: list[str] = []
    if not re.fullmatch(r"([^\[\]]|\[[^\[\]]*\])*", text):
        raise ConfigError(f"{text!r} is no list of hosts: a bracket has no partner")
    # A comma within brackets does not separate hosts.
    for name in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", text):
        pieces = re.split(r"\[([^\]]*)\]", name.strip())
        choices = [
            _expand_ranges(piece, text) if i % 2 else [piece] for i, piece in enumerate(pieces)
        ]
        hosts += ["".join(choice) for choice in itertools.product(*choices)]
    if not hosts or not all(hosts):
        raise ConfigError(f"{text!r} is no list of hosts in Slurm's notation (node[01-03,7],other)")
    return hosts


def _expand_ranges(text: str, where: str) -> list[str]:
    """Return the numbers of "01-03,7" as text, with the leading zeros they have."""
    numbers = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None:
            raise ConfigError(f"{where!r}: {part!r} is no number nor range of numbers of hosts")
        first, last = match[1], match[2] or match[1]
        numbers += [f"{i:0{len(first)}d}" for i in range(int(first), int(last) + 1)]
    return numbers


def _launched_world(environ: Mapping[str, str]) -> World:
    size = _number(environ, "PYCLS_WORLD_SIZE")
    rank = _number(environ, "PYCLS_RANK", below=size)
    listen_fd = _number(environ, "PYCLS_LISTEN_FD") if rank == 0 else None
    ports = (_number(environ, "PYCLS_PORT"),)
    meeting = Meeting((LOOPBACK,), ports, "pycls/local", is_open=True, listen_fd=listen_fd)
    return World(rank, size, rank, size, started_by="launch", meeting=meeting)


def _torchrun_world(environ: Mapping[str, str]) -> World:
    for name in _TORCHRUN:
        if name not in environ:
            raise ConfigError(
                f"RANK and WORLD_SIZE are set, but {name} is not; torchrun sets "
                f"{', '.join(_TORCHRUN)}: start with it, or unset RANK and WORLD_SIZE"
            )
    size = _number(environ, "WORLD_SIZE")
    local_size = _number(environ, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in environ else size
    return World(
        rank=_number(environ, "RANK", below=size),
        size=size,
        local_rank=_number(environ, "LOCAL_RANK", below=local_size),
        local_size=local_size,
        started_by="torchrun",
    )


def _slurm_tasks(environ: Mapping[str, str]) -> int:
    """Return the number of tasks that srun started with this one; 0 where it started none."""
    if "SLURM_PROCID" not in environ or not any(name in environ for name in _SLURM_STEP):
        return 0
    step_tasks = "SLURM_STEP_NUM_TASKS"
    return _number(environ, step_tasks if step_tasks in environ else "SLURM_NTASKS")


def _slurm_world(environ: Mapping[str, str], port_range: tuple[int, int]) -> World:
    size = _slurm_tasks(environ)
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_JOB_NODELIST", LOOPBACK)
    hosts = expand_host_list(nodes)
    job = _number(environ, "SLURM_JOB_ID")
    step = _number(environ, "SLURM_STEP_ID") if "SLURM_STEP_ID" in environ else 0
    local_size = _tasks_here(environ, size, len(hosts))
    return World(
        rank=_number(environ, "SLURM_PROCID", below=size),
        size=size,
        local_rank=_number(environ, "SLURM_LOCALID", below=size),
        local_size=local_size,
        cores=_slurm_cores(environ, local_size),
        started_by="srun",
        meeting=Meeting(
            # Alone on a machine, its name need not be known to it.
            hosts=_main_hosts(environ, hosts[0]) if len(hosts) > 1 else (LOOPBACK,),
            ports=_ports(job, step, port_range),
            name=f"pycls/{job}.{step}",
        ),
    )


def _main_hosts(environ: Mapping[str, str], first: str) -> tuple[str, ...]:
    """Return what the first node of a step may be reached by.

    Not every cluster resolves its nodes' names. Where srun was called has an address, and is
    the first node in a batch job; elsewhere (a login node) nobody answers there.
    """
    address = environ.get("SLURM_LAUNCH_NODE_IPADDR")
    return (first, address) if address else (first,)


def _ports(job: int, step: int, port_range: tuple[int, int]) -> tuple[int, ...]:
    """Return ports for a job step; those of consecutive jobs and steps lie apart."""
    lowest, highest = port_range
    count = highest - lowest + 1
    first = job * 4099 + step * 127
    return tuple(lowest + (first + i * 13) % count for i in range(min(_NUM_PORTS, count)))


def _tasks_here(environ: Mapping[str, str], size: int, num_hosts: int) -> int:
    """Return the number of tasks on this node, of "2(x3),1": three nodes of 2, one of 1."""
    text = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_TASKS_PER_NODE", "")
    counts: list[int] = []
    for tasks, _, times in re.findall(r"(\d+)(\(x(\d+)\))?", text):
        counts += [int(tasks)] * int(times or 1)
    node = _number(environ, "SLURM_NODEID") if "SLURM_NODEID" in environ else 0
    return counts[node] if node < len(counts) else -(-size // num_hosts)


def _slurm_cores(environ: Mapping[str, str], local_size: int) -> int | None:
    if "SLURM_CPUS_PER_TASK" in environ:
        return _number(environ, "SLURM_CPUS_PER_TASK")
    if "SLURM_CPUS_ON_NODE" in environ:
        return max(1, _number(environ, "SLURM_CPUS_ON_NODE") // local_size)
    return None


def _number(environ: Mapping[str, str], name: str, below: int | None = None) -> int:
    """Return a variable as a number from 0, perhaps below another."""
    text = environ.get(name, "")
    if not re.fullmatch(r"\d+", text) or (below is not None and int(text) >= below):
        limit = "" if below is None else f" below {below}"
        shown = repr(text) if name in environ else "not set"
        raise ConfigError(
            f"environment variable {name} is {shown}; expected a number{limit}. What starts "
            "several processes (torchrun, srun) sets it"
        )
    return int(text)
