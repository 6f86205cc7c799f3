"""Running many runs on one machine: worker processes, each on its share of it."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.core.run_record import read_record, utc_now, write_record
from pycls.errors import PyclsError
from pycls.sweep.launch.progress import Progress


@dataclass(frozen=True)
class Job:
    """One run for a worker.

    Attributes:
        id: the run's name.
        group: runs of one group take about the same time.
        cfg: its configuration file.
        out_dir: its folder.
    """

    id: str
    group: str
    cfg: Path
    out_dir: Path


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, by affinity and container."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, _container_cores() or cores))


def _container_cores() -> int | None:
    """Return the cores that a container's CPU quota amounts to (cgroup v2), None without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else round(int(quota) / int(period))


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip()]
    return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def default_workers() -> int:
    """Return how many runs suit this machine: one a GPU, or one a core where there is none."""
    return len(visible_gpus()) or usable_cores()


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int,
    threads: int,
    max_retry: int = 0,
    done_before: int = 0,
    inherit: Sequence[int] = (),
    stop_with_parent: bool = False,
) -> list[str]:
    """Train all jobs; return the ids of those that failed for good.

    Args:
        jobs: what to run, in this order.
        workers: processes at a time; they take turns on the GPUs, where there are any.
        threads: CPU threads of each.
        max_retry: how often a failed run is tried again.
        done_before: runs finished earlier, for the count shown.
        inherit: file descriptors that workers keep open (locks that shall outlive us).
        stop_with_parent: stop as if by Ctrl-C when the process that started us is gone.

    Raises:
        PyclsError: something that concerns all runs (a full disk) came up.
        KeyboardInterrupt: Ctrl-C; the workers have been stopped.
    """
    if not jobs:
        return []
    gpus = visible_gpus()
    workers = min(workers, len(jobs))
    pool = _Pool(jobs, max_retry, Progress(
        dict(Counter(job.group for job in jobs)), done_before, workers
    ))  # fmt: skip
    managers = [
        threading.Thread(
            target=pool.manage,
            args=(_worker_environment(threads, gpus[i % len(gpus)] if gpus else None), inherit),
            daemon=True,
        )
        for i in range(workers)
    ]
    parent = os.getppid()
    with _interrupt_on_sigterm():
        try:
            for manager in managers:
                manager.start()
            for manager in managers:
                while manager.is_alive() and not pool.fatal:
                    manager.join(0.2)
                    if stop_with_parent and os.getppid() != parent:
                        raise KeyboardInterrupt
        finally:
            pool.stop()
            for manager in managers:
                manager.join(10)
            pool.progress.close()
    if pool.fatal:
        raise PyclsError(pool.fatal)
    return pool.failed


class _Pool:
    """The queue of jobs and what became of them, shared by one thread a worker."""

    def __init__(self, jobs: Sequence[Job], max_retry: int, progress: Progress) -> None:
        self.progress = progress
        self.failed: list[str] = []
        self.fatal: str | None = None
        self._max_retry = max_retry
        self._queue: queue.SimpleQueue[tuple[Job, int]] = queue.SimpleQueue()
        for job in jobs:
            self._queue.put((job, 0))
        self._left = len(jobs)
        self._lock = threading.Lock()
        self._stopped = False
        self._processes: set[subprocess.Popen[str]] = set()

    def manage(self, environment: dict[str, str], inherit: Sequence[int]) -> None:
        """Feed one worker, replaced when it dies, until no job is left."""
        try:
            self._feed(environment, inherit)
        except Exception as error:
            # A thread that ended quietly would leave its jobs undone without a word.
            self._give_up(f"cannot run workers: {type(error).__name__}: {error}")

    def _feed(self, environment: dict[str, str], inherit: Sequence[int]) -> None:
        worker: subprocess.Popen[str] | None = None
        while not self._stopped and self._left:
            try:
                job, attempt = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue  # another worker's run may come back to be retried
            if worker is None or worker.poll() is not None:
                worker = self._start_worker(environment, inherit)
            start = time.monotonic()
            answer = _ask(worker, job)
            if self._stopped:
                return
            if answer is None:
                answer = {"ok": False, "reason": _describe_death(worker), "fatal": False}
                worker = None
            self._settle(job, attempt, answer, time.monotonic() - start)
        if worker is not None:
            self._end_worker(worker)

    def stop(self) -> None:
        """Stop all workers at once."""
        with self._lock:
            self._stopped = True
            processes = list(self._processes)
        for process in processes:
            process.kill()

    def _give_up(self, reason: str) -> None:
        self.fatal = self.fatal or reason
        self._stopped = True

    def _settle(self, job: Job, attempt: int, answer: dict[str, Any], seconds: float) -> None:
        with self._lock:
            if answer["ok"]:
                self._left -= 1
                self.progress.finished(job.group, job.id, seconds, "done")
                return
            if answer["fatal"]:
                self._give_up(answer["reason"])
                return
            _record_failure(job, answer["reason"])
            reason = answer["reason"].splitlines()[0]
            if attempt < self._max_retry:
                self.progress.note(f"{job.id}: {reason}; trying again")
                self._queue.put((job, attempt + 1))
                return
            self._left -= 1
            self.failed.append(job.id)
            self.progress.finished(job.group, job.id, seconds, f"FAILED ({reason})")

    def _start_worker(
        self, environment: dict[str, str], inherit: Sequence[int]
    ) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "pycls.sweep.launch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            pass_fds=tuple(inherit),
        )
        with self._lock:
            self._processes.add(process)
            stopped = self._stopped
        if stopped:
            process.kill()
        return process

    def _end_worker(self, worker: "subprocess.Popen[str]") -> None:
        if worker.stdin:
            with contextlib.suppress(OSError):
                worker.stdin.close()
        worker.wait()
        with self._lock:
            self._processes.discard(worker)


@contextlib.contextmanager
def _interrupt_on_sigterm() -> Any:
    """Treat SIGTERM as Ctrl-C, so that workers are stopped in an orderly way."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _ask(worker: "subprocess.Popen[str]", job: Job) -> dict[str, Any] | None:
    """Give a worker a job and wait for its answer; None: it died."""
    message = {"cfg": str(job.cfg), "out_dir": str(job.out_dir)}
    try:
        if worker.stdin is None or worker.stdout is None:
            raise ValueError("a worker without pipes")
        worker.stdin.write(json.dumps(message) + "\n")
        worker.stdin.flush()
        answer = json.loads(worker.stdout.readline() or "null")
    except (OSError, json.JSONDecodeError):
        return None
    return answer if isinstance(answer, dict) else None


def _worker_environment(threads: int, gpu: str | None) -> dict[str, str]:
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = str(threads)
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    return environment


def _describe_death(worker: "subprocess.Popen[str]") -> str:
    code = worker.wait()
    if code >= 0:
        return f"its worker process ended unexpectedly with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"its worker process was ended by {name}{hint}"


def _record_failure(job: Job, reason: str) -> None:
    """Make a run's record say that it failed and why: the run itself may not have come to it."""
    record = read_record(job.out_dir) or {"started": utc_now()}
    record.update(status="failed", reason=reason, ended=utc_now())
    with contextlib.suppress(OSError):
        job.out_dir.mkdir(parents=True, exist_ok=True)
        write_record(job.out_dir, record)
