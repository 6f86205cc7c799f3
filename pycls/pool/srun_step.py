"""A run in processes that srun starts: a step of the Slurm job that the worker is in."""

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM, SIGUSR2
from typing import Any, NoReturn

from pycls.core.runs.lease import find_owner
from pycls.core.runs.process_identity import this_process
from pycls.core.runs.record import read_record
from pycls.errors import ConfigError, LeaseHeldError, RunError, RunInterruptedError
from pycls.pool.failure_reason import explain_output
from pycls.pool.signals import EarlySignals
from pycls.schema import ERR_FILE

_LOOK_S = 0.2
# srun passes SIGUSR2 on to tasks, and loses one that comes before it has any.
_AGAIN_S = 2.0
_TAIL = 5
_KILLED = re.compile(r"srun: error: .*: task.*: (?!Exited)|.*oom[-_]kill")


class SrunStep:
    """Trains runs under srun, one at a time; passes on the signals that this process got."""

    def __init__(self, early: EarlySignals) -> None:
        self._early = early
        self._process: subprocess.Popen[bytes] | None = None

    def train(self, job: Mapping[str, Any]) -> None:
        """Train a run, its output going where this process's standard error goes.

        Args:
            job: its "srun" (command), "cfg" (file), "overrides" and "out_dir".

        Raises:
            LeaseHeldError: a process of another job has the run.
            ConfigError: its configuration cannot be trained.
            RunError: it failed, with the reason that its record has, or else its own words.
            RunInterruptedError: it was asked to stop and is saved.
        """
        command = [
            *job["srun"], sys.executable, "-m", "pycls.pool.train_run",
            str(job["cfg"]), *map(str, job["overrides"]),
        ]  # fmt: skip
        out_dir = Path(job["out_dir"])
        before, said_before = read_record(out_dir), _size(out_dir / ERR_FILE)
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2)
        except FileNotFoundError:
            raise RunError(f"{command[0]}: no such program on this machine's PATH") from None
        code = self._wait(self._process)
        self._process = None
        if code:
            record = read_record(out_dir) or {}
            said = _lines_from(out_dir / ERR_FILE, said_before)
            _raise_for(out_dir, code, record if record != before else {}, said)

    def _wait(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for srun's end, and pass signals on to it as one that it passes on itself."""
        told = float("-inf")
        while process.poll() is None:
            if self._early.name and time.monotonic() > told + _AGAIN_S:
                told = time.monotonic()
                process.send_signal(SIGUSR2)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_LOOK_S)
        return process.returncode

    def terminate(self) -> None:
        """Have srun end the run, as far as there is one."""
        if self._process is not None:
            self._process.send_signal(SIGTERM)


def _raise_for(out_dir: Path, code: int, record: Mapping[str, Any], said: list[str]) -> NoReturn:
    """Raise what explains an end of srun.

    Args:
        out_dir: the run's folder.
        code: srun's exit code, not 0.
        record: the run's record, as far as this try wrote it.
        said: the lines that this try printed.
    """
    # The code is the highest of the tasks': one that is killed hides those that have saved.
    if code == RunInterruptedError.exit_code or record.get("status") == "interrupted":
        raise RunInterruptedError("stopped, state saved; the same command goes on there")
    owner = find_owner(out_dir)
    if owner is not None and owner.job != this_process().job:
        raise LeaseHeldError(f"{owner} is at work in {out_dir}", owner)
    if record.get("status") == "failed":
        # Of a killed task its peers, one of which writes the record, know only that it is gone.
        killed = [line for line in said if _KILLED.match(line)]
        reason = "; ".join([str(record.get("reason")), *killed[:1]])
    else:
        reason = f"srun ended with exit code {code}: {_last_words(said)}"
    is_mistake = code == ConfigError.exit_code and any(line.startswith("error: ") for line in said)
    raise (ConfigError if is_mistake else RunError)(explain_output(reason))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _lines_from(path: Path, begin: int) -> list[str]:
    """Return the lines of a log from a position on, without empty ones."""
    if _size(path) <= begin:
        return []
    text = path.read_bytes()[begin:].decode(errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _last_words(said: list[str]) -> str:
    """Return what explains a failure: the first error of ours, else the last lines."""
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    return errors[0] if errors else " / ".join(said[-_TAIL:]) or "it said nothing"
