"""The identity of a process, by which others can tell whether it is still alive."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

_START_TIME_FIELD = 22 - 3  # of /proc/PID/stat, after the pid and the name in parentheses
_DEAD_STATES = ("Z", "X")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told from all others at all times.

    Attributes:
        host: the machine's name.
        boot: of the running of that machine; "" where the system does not name it.
        pid_space: the name space that the pid is of: containers of one machine have their own,
            often under one host name. "" where the system has none.
        pid: its number.
        started: when it began, in ticks after the boot; 0 where the system does not say.
        job: the Slurm job that it belongs to ("123", of an array "123_4"); "" without one.
        restarts: how often Slurm had requeued that job.
    """

    host: str
    boot: str
    pid_space: str
    pid: int
    started: int
    job: str = ""
    restarts: int = 0

    def is_neighbour_of(self, other: "ProcessIdentity") -> bool:
        """Say whether both are of the same running machine and can see each other."""
        return (self.host, self.boot, self.pid_space) == (other.host, other.boot, other.pid_space)

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_dict` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ProcessIdentity":
        """Return the process that a dict describes.

        Raises:
            KeyError, TypeError, ValueError: it describes none.
        """
        return cls(**{name: kind(values[name]) for name, kind in get_type_hints(cls).items()})


def this_process(
    host: str | None = None, environ: Mapping[str, str] = os.environ
) -> ProcessIdentity:
    """Return who this process is.

    Args:
        host: what to call the machine; None: its own name.
        environ: where Slurm says which job this is.
    """
    pid = os.getpid()
    state = _read_state(pid)
    job = environ.get("SLURM_JOB_ID", "")
    if job and "SLURM_ARRAY_JOB_ID" in environ:
        job = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ.get('SLURM_ARRAY_TASK_ID', '')}"
    restarts = environ.get("SLURM_RESTART_COUNT", "")
    return ProcessIdentity(
        host=host or os.uname().nodename,
        boot=_read_boot_id(),
        pid_space=_read_pid_space(),
        pid=pid,
        started=state[1] if state else 0,
        job=job,
        restarts=int(restarts) if restarts.isdecimal() else 0,
    )


def is_alive(process: ProcessIdentity) -> bool:
    """Say whether a process of this machine, a neighbour of this one, still lives."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    # Nothing to read: no /proc at all, or one that hides what is not ours. It exists, then.
    state = _read_state(process.pid)
    if state is None or not process.started:
        return True
    return state[0] not in _DEAD_STATES and state[1] == process.started


def _read_state(pid: int) -> tuple[str, int] | None:
    """Return a process's state letter and start time; None where they cannot be had."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name may hold anything
    return fields[0], int(fields[_START_TIME_FIELD])


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _read_pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (a name, not a path)
    except OSError:
        return ""
