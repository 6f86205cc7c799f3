"""The processes of a cluster: starting daemons, finding and ending all that belongs to it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

_DAEMONS = ("slurmctld", "slurmd", "slurmstepd", "slurmdbd", "munged", "mariadbd")


def start_daemon(
    command: Sequence[str], log: Path, environment: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a daemon in the foreground of a session of its own, so that Ctrl-C is not for it.

    Args:
        command: program and arguments.
        log: takes what it prints.
        environment: its environment.
        cwd: its working directory.
    """
    with log.open("ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            env=dict(environment), cwd=cwd, start_new_session=True,
        )  # fmt: skip


def is_alive(pid: int) -> bool:
    """Say whether a process is there; one that ended and only waits for its parent is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def daemons(folder: Path, log: str = "") -> dict[int, str]:
    """Return {pid: program} of Slurm's daemons that write a log below `folder`.

    Args:
        folder: the cluster's.
        log: only those that write the log with this name.
    """
    found = {}
    for pid in _pids():
        try:
            # The link of a daemon whose program was replaced ends in " (deleted)".
            program = Path(f"/proc/{pid}/exe").readlink().name.split(" ")[0]
            program = program.removesuffix("-wlm")  # as Debian names it
            if program in _DAEMONS and _writes_to(pid, f"{folder}/log/{log}"):
                found[pid] = program
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def _writes_to(pid: int, beginning: str) -> bool:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(descriptor.readlink()).startswith(beginning):
                return True
        except FileNotFoundError:
            continue
    return False


def job_processes(conf: Path, node: str | None = None) -> list[int]:
    """Return the processes that a cluster's nodes (or one node) started for jobs."""
    wanted = {b"SLURM_CONF=" + os.fsencode(conf)}
    if node is not None:
        wanted.add(b"SLURMD_NODENAME=" + node.encode())
    found = []
    for pid in _pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted <= set(variables) and any(
            text.startswith(b"SLURMD_NODENAME=") for text in variables
        ):
            found.append(pid)
    return [pid for pid in found if pid != os.getpid()]


def _pids() -> Iterable[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def end(pids: Iterable[int], grace_s: float = 0.0) -> None:
    """End processes: SIGTERM and `grace_s` seconds first where they are given, then SIGKILL."""
    pids = list(pids)
    if grace_s and _send(pids, signal.SIGTERM):
        wait(lambda: not any(map(is_alive, pids)), grace_s)
    _send([pid for pid in pids if is_alive(pid)], signal.SIGKILL)
    wait(lambda: not any(map(is_alive, pids)), 10)


def _send(pids: Iterable[int], number: signal.Signals) -> bool:
    sent = False
    for pid in pids:
        try:
            os.kill(pid, number)
            sent = True
        except ProcessLookupError:
            continue
    return sent


def wait(condition: Callable[[], bool], seconds: float, pause_s: float = 0.02) -> bool:
    """Wait until a condition holds, at most `seconds`; return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True
