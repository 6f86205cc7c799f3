"""A worker process as its driver sees it: started, given jobs, listened to and stopped."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.core.runs.interruption import STOP_SIGNALS
from pycls.core.runs.watchers import UNWATCHED_VARIABLE
from pycls.cores import RUNS_ON_GPU_VARIABLE
from pycls.pool.seats import Seat
from pycls.pool.watch import Watch
from pycls.progress import format_duration

CORES_VARIABLE = "PYCLS_WORKER_CORES"
TRAIN = "pycls.core.training_launch:train"
# Faults that are no run's: of this machine, or of the storage that it shares with others.
NODE, STORAGE = "node", "storage"
# Python and PyTorch may come from a slow file system.
LONGEST_IMPORT_S = 600.0
_LONGEST_DEATH_S = 30.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """One run for a worker.

    Attributes:
        id: the run's name.
        group: runs of one group take about the same time.
        cfg: its configuration file.
        out_dir: its folder.
        overrides: configuration keys and values, alternating, over those of the file.
        srun: a command (srun and its options) to train it under, in processes that it starts.
        gpus: how many GPUs this machine must have for it, unless its DEVICE is cpu.
    """

    id: str
    group: str
    cfg: Path
    out_dir: Path
    overrides: tuple[str, ...] = ()
    srun: tuple[str, ...] = ()
    gpus: int = 0


class WorkerProcess:
    """A worker process.

    Args:
        seat: its share of the machine.
        environment: environment variables to start from.
        inherit: file descriptors that it keeps open.
        silence_s: see :class:`~pycls.pool.watch.Watch`.

    Attributes:
        seat: its share of the machine.
        jobs: what it is at, by their ids; empty: it is idle.
        since: when it was given its jobs, as time.monotonic() tells.
        ready: whether it came so far as to take jobs.
        imported: whether it came so far as to call its task.
        retired: whether it was told to leave, or killed, by its driver.
        watch: over the signs that its training goes on.
        stuck: why it was killed, where it gave none for too long; else "".

    Raises:
        OSError: the system does not let it start.
    """

    def __init__(
        self,
        seat: Seat,
        environment: Mapping[str, str],
        inherit: Sequence[int] = (),
        silence_s: float = 0.0,
    ) -> None:
        self.seat = seat
        self._silence_s = silence_s
        self.watch = Watch(silence_s and max(silence_s, LONGEST_IMPORT_S))
        self.imported = False
        self.stuck = ""
        self.jobs: dict[str, Job] = {}
        self.since = 0.0
        self.ready = False
        self.retired = False
        self._received = bytearray()
        # Blocked until it can act on them: a signal must not end it while Python starts.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pycls.pool.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_worker_environment(seat, environment),
                pass_fds=tuple(inherit),
                process_group=0,  # Ctrl-C comes by its driver, and only once
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.set_blocking(self.fileno(), False)

    def fileno(self) -> int:
        """Return the descriptor on which answers come, for selectors."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    @property
    def exit_code(self) -> int | None:
        """Return its exit code, negative for a signal; None while it lives."""
        return self._process.poll()

    def give(self, jobs: Sequence[Job], task: str) -> None:
        """Give it jobs, to do together; where it is dead, its exit code will tell."""
        self.jobs, self.since = {job.id: job for job in jobs}, time.monotonic()
        if self.imported:
            self.watch = Watch(self._silence_s)
        message = [
            {
                "id": job.id,
                "cfg": str(job.cfg),
                "out_dir": str(job.out_dir),
                "overrides": job.overrides,
                "srun": job.srun,
                "gpus": job.gpus,
                "task": task,
            }
            for job in jobs
        ]
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def answers(self) -> list[dict[str, Any]]:
        """Return what it has said since; at the end of its output wait for its own end."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fileno(), 1 << 16):
                self._received += data
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        *lines, self._received = self._received.split(b"\n")
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def ask_to_stop(self) -> None:
        """Tell it to save what it is at and leave, with the exit code 75."""
        self._process.send_signal(signal.SIGTERM)

    def dismiss(self) -> None:
        """Tell it to leave at once, which it does between two jobs."""
        self.retired = True
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def note_imported(self) -> None:
        """Take note that it came so far as to call its task."""
        if not self.imported:
            self.watch = Watch(self._silence_s)
        self.imported = True
        self.watch.begin()

    def end_if_stuck(self) -> None:
        """End it where it has shown for too long no sign that its training goes on."""
        if not self.jobs or self.retired or not self.watch.is_over():
            return
        long = format_duration(self.watch.silent_s)
        if not self.imported:
            self.stuck = f"worker processes hang while Python starts or imports PyTorch ({long})"
        else:
            self.stuck = (
                f"stuck: no batch in {long} (the longest before: "
                f"{format_duration(self.watch.longest_s)}), and ended; LAUNCH.HANG_MINUTES allows "
                "more"
            )
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self.retired = True
        self._process.kill()

    def close(self) -> None:
        """See to it that it is gone, and tell what it may have left behind (srun) to go, too."""
        try:
            self._process.wait(timeout=5 if self.retired else 0)
        except subprocess.TimeoutExpired:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it for ever
                self._process.wait(timeout=_LONGEST_DEATH_S)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGTERM)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def describe_exit(code: int) -> str:
    """Return how a worker ended that should not have."""
    if code >= 0:
        return f"its worker process ended unexpectedly with exit code {code}"
    hints = {signal.SIGKILL: " (out of memory?)", signal.SIGBUS: " (storage that cannot be read?)"}
    hint = hints.get(signal.Signals(-code), "")
    return f"its worker process was ended by {signal.Signals(-code).name}{hint}"


def environment_with(code: Path) -> dict[str, str]:
    """Return this process's environment, in which a folder of code comes before all other."""
    paths = [str(code.resolve()), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _worker_environment(seat: Seat, environment: Mapping[str, str]) -> dict[str, str]:
    made = {
        **environment,
        **dict.fromkeys(_THREAD_VARIABLES, str(seat.threads)),
        # Not the code of the current folder, neither here nor in what the worker starts.
        "PYTHONSAFEPATH": "1",
        UNWATCHED_VARIABLE: "1",
    }
    made.pop(CORES_VARIABLE, None)
    if seat.cores is not None:
        made[CORES_VARIABLE] = ",".join(map(str, seat.cores))
    if seat.gpus is not None:
        made["CUDA_VISIBLE_DEVICES"] = seat.gpus
    if seat.gpus is not None or seat.runs_on_gpu > 1:
        made[RUNS_ON_GPU_VARIABLE] = str(seat.runs_on_gpu)
    return made
