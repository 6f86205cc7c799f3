"""Waiting for, and looking at, the processes that tests start."""

import time
from pathlib import Path

# How long to wait for what comes for certain, in seconds: only against hanging for ever. On a
# machine that is busy with other things, starting PyTorch alone can take half a minute.
HANG_S = 300


def wait_until(condition, seconds=HANG_S):
    """Return as soon as a condition holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def is_alive(pid):
    """Say whether a process is there and has not ended."""
    return _state_of(pid) not in ("", "X", "Z")


def is_suspended(pid):
    """Say whether a process has been stopped by a signal, and may be let go on."""
    return _state_of(pid) == "T"


def children_of(pid):
    """Return the processes that a process has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    tasks = Path(f"/proc/{pid}/task").glob("*/children") if children.exists() else []
    return [int(child) for task in tasks for child in task.read_text().split()]


def _state_of(pid):
    """Return the letter that Linux has for what a process does; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
