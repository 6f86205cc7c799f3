"""Waiting for, and looking at, the processes that tests start."""

import contextlib
import sys
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
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended
            found += map(int, children.read_text().split())
    return found


def _state_of(pid):
    """Return the letter that Linux has for what a process does; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


_KILLED = """
import os, runpy, signal, sys
name, calls_left, *sys.argv = sys.argv[1:]
plain, calls_left = getattr(os, name), int(calls_left)

def call(*args, **options):
    global calls_left
    calls_left -= 1
    if not calls_left:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*args, **options)

setattr(os, name, call)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def killed_at(function, n, *command):
    """Return how to run a tool up to the n-th call of a function of `os`, at which it is killed."""
    return [sys.executable, "-c", _KILLED, function, str(n), *command]
