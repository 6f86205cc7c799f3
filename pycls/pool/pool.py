"""A pool that trains many runs: worker processes, each with its seat, fed from one queue.

One thread looks after all: it gives jobs out, hears answers, and tells the workers to stop. What
a run's failures cost it is in its own record, so that tries are counted over drivers and nodes.
"""

import os
import selectors
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from pycls import errors
from pycls.core.runs.interruption import stop_signals_to
from pycls.core.runs.lease import find_owner
from pycls.core.runs.process_identity import this_process
from pycls.core.runs.record import add_failure, failures_of, has_failed_for_good, read_record
from pycls.errors import RunInterruptedError
from pycls.pool.run_count import RunCount
from pycls.pool.seats import Seat
from pycls.pool.signals import StopSwitch
from pycls.pool.worker_process import (
    NODE,
    STORAGE,
    TRAIN,
    Job,
    WorkerProcess,
    describe_exit,
    environment_with,
)

BUSY_RETRY_S = 5.0

_OWN_CODE = Path(errors.__file__).parents[1]
_LOOK_S = 0.2
_STOPPED = RunInterruptedError.exit_code
_ENDS = ("done", "failed", "again", "busy", "left")


@dataclass(frozen=True)
class Outcome:
    """What became of the jobs of a pool, by their ids.

    Attributes:
        done: they have their result.
        failed: they failed for good.
        again: they failed and have tries left.
        busy: another process has them.
        left: they were stopped, their state saved where there was time, or never begun.
        stopped_by: what asked the pool to stop first (the name of a signal); "" where nothing did.
        fatal: what all runs would have failed of; "" where nothing came up.
        fault: what `fatal` is a fault of, NODE or STORAGE; "": of what was launched.
    """

    done: list[str]
    failed: list[str]
    again: list[str]
    busy: list[str]
    left: list[str]
    stopped_by: str = ""
    fatal: str = ""
    fault: str = ""


def run_jobs(
    jobs: Sequence[Job],
    seats: Sequence[Seat],
    *,
    max_retry: int = 0,
    retry_here: bool = True,
    task: str = TRAIN,
    environment: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
    done_before: int = 0,
    stop_with_parent: bool = False,
    stop: StopSwitch | None = None,
    grace_s: float = 60.0,
    busy_wait_s: float = 150.0,
    silence_s: float = 0.0,
    note_at_work: Callable[[Sequence[str]], None] | None = None,
    note_imported: Callable[[], None] | None = None,
    stream: TextIO | None = None,
) -> Outcome:
    """Do all jobs, as many at a time as there are seats.

    Told to stop, it has the workers save what they are at and leave, and returns. A run that
    another process has is put behind the others, and left to that process where it keeps it.
    Where a seat is for several runs at once, runs of one group share a worker process; should that
    end unexpectedly, each of them goes on by itself, and only what fails then has failed.

    Args:
        jobs: what to do, in this order; their ids differ.
        seats: the workers' shares of the machine, one or more.
        max_retry: how many failures in its record a run may have and be tried again. A run that
            has more when its turn comes has failed; so has one with a mistake in its configuration,
            which is never tried again.
        retry_here: whether failed runs are tried again here, after the others.
        task: "module:function", called with each job's configuration; what it does not raise is
            done. Anything but training leaves run folders alone (but for failures in the record).
        environment: environment variables of the workers, which find this project's code as these
            say; None: those, and the code, of this process.
        inherit: file descriptors that workers keep open (locks that are to outlive this process).
        done_before: runs finished earlier, for the count shown.
        stop_with_parent: stop when the process that started this one is gone.
        stop: what tells to stop; None: SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 do, which needs the
            main thread.
        grace_s: how long workers may take to save and leave, in seconds, before they are killed.
            A second Ctrl-C kills at once.
        busy_wait_s: how long to wait for runs of other processes when there are no others and
            nothing changes, in seconds.
        silence_s: a worker that goes through no batch for so long, and for longer than 20 times the
            longest time before, is ended, and its run has failed; 0: never.
        note_at_work: told what workers are at, by ids, before one is given something: of a run
            that takes its worker, driver and all down with it, nothing else tells.
        note_imported: told when a worker has come so far as to call the task: the machine is fit.
        stream: where progress is shown; None: standard output.
    """
    switch = StopSwitch() if stop is None else stop
    at_once = max(1, min(sum(seat.at_once for seat in seats), len(jobs)))
    progress = RunCount(dict(Counter(job.group for job in jobs)), done_before, at_once, stream)
    start = partial(
        WorkerProcess,
        environment=environment_with(_OWN_CODE) if environment is None else environment,
        inherit=inherit,
        silence_s=silence_s,
    )
    pool = _Pool(
        jobs, seats, max_retry, retry_here, grace_s, busy_wait_s, task, note_at_work, note_imported,
        start, switch, progress,
    )  # fmt: skip
    parent = os.getppid() if stop_with_parent else None
    with stop_signals_to(switch.receive) if stop is None else nullcontext():
        try:
            while not pool.is_over():
                if parent is not None and os.getppid() != parent and not switch:
                    switch.press("the end of what started it")
                pool.turn()
        finally:
            pool.close()
            progress.clear()
    return pool.outcome()


@dataclass
class _Pool:
    """The queue of jobs, the workers, and what became of the jobs so far; see :func:`run_jobs`."""

    jobs: Sequence[Job]
    seats: Sequence[Seat]
    max_retry: int
    retry_here: bool
    grace_s: float
    busy_wait_s: float
    task: str
    note_at_work: Callable[[Sequence[str]], None] | None
    note_imported: Callable[[], None] | None
    start: Callable[[Seat], WorkerProcess]
    switch: StopSwitch
    progress: RunCount

    def __post_init__(self) -> None:
        self._workers: list[WorkerProcess | None] = [None] * len(self.seats)
        self._selector = selectors.DefaultSelector()
        self._waiting = deque(self.jobs)
        self._busy: deque[tuple[float, Job]] = deque()  # with the time to try again
        self._seen_busy: set[str] = set()
        self._alone: set[str] = set()  # ids of jobs that are not to share a process any more
        self._failures: dict[str, list[dict[str, Any]]] = {}  # seen here, of jobs by id
        self._ends: dict[str, str] = {}  # {id: which list of the outcome}
        self._fatal = self._fault = ""
        self._deadline: float | None = None  # of workers that were told to stop
        self._changed = time.monotonic()

    def outcome(self) -> Outcome:
        """Return what became of the jobs, in their order."""
        ids: dict[str, list[str]] = {end: [] for end in _ENDS}
        for job in self.jobs:
            ids[self._ends.get(job.id, "left")].append(job.id)
        stopped_by = self.switch.names[0] if self.switch else ""
        return Outcome(**ids, stopped_by=stopped_by, fatal=self._fatal, fault=self._fault)

    def is_over(self) -> bool:
        """Say whether there is nothing left to do, or to wait for."""
        if self._at_work():
            return False
        if self._deadline is not None:
            return True
        if self._waiting:
            return False
        if time.monotonic() > self._changed + self.busy_wait_s:
            self._ends |= {job.id: "busy" for _, job in self._busy}
            self._busy.clear()
        return not self._busy

    def turn(self) -> None:
        """Give out jobs, or stop workers; then hear what comes within a moment."""
        try:
            if self._deadline is not None:
                if self.switch.at_once or time.monotonic() > self._deadline:
                    for late in self._at_work():
                        late.kill()
            elif self.switch or self._fatal:
                self._begin_to_stop()
            else:
                self._give_out()
            self._selector.select(_LOOK_S)
            for place, worker in enumerate(self._workers):
                if worker is not None:
                    self._hear(place, worker)
                    worker.end_if_stuck()
        except OSError as error:
            # A record that cannot be read, a process that cannot be started.
            fault = STORAGE if errors.find_storage_error(error) else ""
            self._give_up(errors.explain_os_error(error) or str(error), fault)

    def _give_up(self, reason: str, fault: str) -> None:
        if not self._fatal:
            self._fatal, self._fault = reason, fault

    def close(self) -> None:
        """See to it that no worker is left."""
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            if not worker.jobs:
                worker.dismiss()
            else:
                worker.kill()
        for worker in workers:
            worker.close()
        self._selector.close()

    def _at_work(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None and worker.jobs]

    def _begin_to_stop(self) -> None:
        self._deadline = time.monotonic() + self.grace_s
        at_work = self._at_work()
        for worker in at_work:
            worker.ask_to_stop()
        if self.switch:
            hint = "; Ctrl-C again stops at once" if self.switch.names == ["SIGINT"] else ""
            runs = sum(len(worker.jobs) for worker in at_work)
            self.progress.say(
                f"stopping ({self.switch.names[0]}): {runs} runs save their state{hint}"
            )

    # ------------------------------------------------------------ jobs

    def _give_out(self) -> None:
        for place, seat in enumerate(self.seats):
            worker = self._workers[place]
            if worker is not None and (worker.jobs or worker.retired):
                continue
            jobs = self._next_jobs(seat.at_once)
            if not jobs:
                return
            if worker is None:
                worker = self._workers[place] = self.start(seat)
                self._selector.register(worker, selectors.EVENT_READ)
            if self.note_at_work is not None:
                at_work = [job for each in self._workers if each for job in each.jobs]
                self.note_at_work([*at_work, *(job.id for job in jobs)])
            worker.give(jobs, self.task)

    def _next_jobs(self, at_once: int) -> list[Job]:
        """Return what a worker is to do next: one job, or up to so many that go together."""
        first = self._next_job()
        if first is None:
            return []
        jobs = [first]
        if at_once > 1 and self._goes_along(first):
            # Other workers are to have their part.
            free = len(self.seats) - len(self._at_work())
            most = min(at_once, -(-(len(self._waiting) + 1) // free))
            for job in [job for job in self._waiting if job.group == first.group]:
                if len(jobs) < most and self._goes_along(job):
                    self._waiting.remove(job)
                    if self._may_be_tried(job):
                        jobs.append(job)
        return jobs

    def _goes_along(self, job: Job) -> bool:
        return self.task == TRAIN and not job.srun and job.id not in self._alone

    def _may_be_tried(self, job: Job) -> bool:
        """Say whether a job has tries left; it is settled where it has none."""
        record = read_record(job.out_dir)
        if not has_failed_for_good(record, self.max_retry):
            return True
        failures = failures_of(record)
        reason = failures[-1]["reason"].splitlines()[0]
        self._finish(job, "failed", f"FAILED {len(failures)} times before ({reason})")
        return False

    def _next_job(self) -> Job | None:
        """Return what to do next: runs that others have come after all others."""
        while self._waiting:
            job = self._waiting.popleft()
            if self._may_be_tried(job):
                return job
        for _ in range(len(self._busy)):
            if self._busy[0][0] > time.monotonic():
                return None
            _, job = self._busy.popleft()
            if (read_record(job.out_dir) or {}).get("status") == "done":
                self._finish(job, "done", "done by another process")
            elif find_owner(job.out_dir) is None:
                return job
            else:
                self._put_off(job)
        return None

    def _put_off(self, job: Job) -> None:
        self._busy.append((time.monotonic() + BUSY_RETRY_S, job))

    def _finish(self, job: Job, end: str, words: str, seconds: float | None = None) -> None:
        self._ends[job.id] = end
        self._changed = time.monotonic()
        self.progress.finished(job.group, job.id, seconds, words)

    # ------------------------------------------------------------ answers

    def _hear(self, place: int, worker: WorkerProcess) -> None:
        """Act on what a worker says, and on its end."""
        code = worker.exit_code  # before its answers: of a dead one all are read
        for answer in worker.answers():
            if answer["state"] == "ready":
                worker.ready = True
            elif answer["state"] == "alive":
                worker.watch.note_sign()
            elif answer["state"] == "imported":
                worker.note_imported()
                if self.note_imported is not None:
                    self.note_imported()
            elif answer["id"] in worker.jobs:
                job = worker.jobs.pop(answer["id"])
                self._settle(job, answer, time.monotonic() - worker.since)
                if answer.get("fresh"):
                    worker.kill()
        if code is not None:
            self._workers[place] = None
            self._selector.unregister(worker)
            worker.close()
            for job in worker.jobs.values():
                self._settle_dead(job, worker, code)

    def _settle(self, job: Job, answer: dict[str, Any], seconds: float) -> None:
        state, reason = answer["state"], answer.get("reason", "")
        if state == "done":
            self._finish(job, "done", "done", seconds)
        elif state == "fatal":
            self._give_up(reason, answer.get("fault", ""))
        elif state == "busy":
            if job.id not in self._seen_busy:
                self._seen_busy.add(job.id)
                self.progress.say(f"{job.id}: {reason}; it is tried again after the others")
            self._put_off(job)
        elif self._deadline is None:
            self._fail(job, reason, seconds, final=bool(answer.get("final")))
        # Else it failed while, and perhaps because, it was told to stop: it is left.

    def _settle_dead(self, job: Job, worker: WorkerProcess, code: int) -> None:
        if self._deadline is not None:
            return
        if worker.stuck and not worker.imported:
            self._give_up(worker.stuck, NODE)  # not of the run's doing
        elif code == _STOPPED:
            self.progress.say(f"{job.id}: stopped by a signal, state saved; it goes on later")
            self._waiting.append(job)
        elif code > 0 and not worker.ready:
            # Not of the run's doing, and it would cost every run its tries.
            self._give_up(f"worker processes do not start (exit code {code}, see above)", NODE)
        elif -code == signal.SIGBUS:
            # A file that is mapped into memory cannot be read, or memory that is shared is full.
            self._give_up(f"{job.id}: {describe_exit(code)}", STORAGE)
        elif len(worker.jobs) > 1:
            # One of them may be to blame, and it is not known which.
            ended = worker.stuck or describe_exit(code)
            self.progress.say(f"{job.id}: {ended}; it goes on by itself")
            self._alone.add(job.id)
            self._waiting.append(job)
        else:
            self._fail(job, worker.stuck or describe_exit(code), time.monotonic() - worker.since)

    def _fail(self, job: Job, reason: str, seconds: float, final: bool = False) -> None:
        record = add_failure(job.out_dir, reason, this_process().job, final=final)
        # Those seen here count too, should the folder not have taken them.
        seen = self._failures.setdefault(job.id, [])
        seen.append(failures_of(record)[-1])
        record["failures"] = max(failures_of(record), seen, key=len)
        words = reason.splitlines()[0] if reason else "no reason given"
        if has_failed_for_good(record, self.max_retry):
            self._finish(job, "failed", f"FAILED ({words})", seconds)
        elif self.retry_here:
            self.progress.say(f"{job.id}: {words}; trying again")
            self._waiting.append(job)
        else:
            self._finish(job, "again", f"failed, to be tried again ({words})", seconds)
