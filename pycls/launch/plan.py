"""The plan of a launch: the runs that are missing and in no job, divided into arrays."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pycls.core.runs.record import failures_of
from pycls.errors import ConfigError
from pycls.launch.chunks import divide
from pycls.launch.ledger import GAVE_UP, Ledger, job_title
from pycls.launch.live_jobs import LaunchState, LiveJob, find_live_jobs, find_states, jobs_by_run
from pycls.launch.work import Work, WorkRun
from pycls.progress import count, format_duration
from pycls.slurm.client import Slurm
from pycls.slurm.options import LaunchOptions
from pycls.slurm.records import Limits, QueuedJob

# Of the jobs that the controller holds for everybody (MaxJobCount), what one study may take.
_SHARE_OF_QUEUE = 10
# A job that trains, the one that looks after it, and its successor, which it submits.
_FEWEST_JOBS = 3
# Who looks after a launch does not bring back what somebody took out of the queue.
_TAKEN_OUT = ("CANCELLED", GAVE_UP)
_ORDER = ("done", "running", "queued", "failed", "stopped", "planned")


@dataclass(frozen=True)
class Request:
    """What would be submitted now.

    Attributes:
        arrays: for each array, the runs of each of its jobs.
        states: how far every run is.
        live: the jobs that Slurm has.
        seconds: what the runs of `arrays` are expected to take together; None: unknown.
        left_over: runs that wait until there is room in the queue.
        again: those of `arrays` whose failures are to be forgotten.
        elsewhere: jobs in Slurm of work of the same name that another folder has launched.
    """

    arrays: list[list[list[WorkRun]]]
    states: list[LaunchState]
    live: list[LiveJob]
    seconds: float | None
    left_over: int
    again: list[WorkRun]
    elsewhere: Sequence[str] = ()

    @property
    def runs(self) -> int:
        """Return the number of runs to submit."""
        return sum(len(chunk) for array in self.arrays for chunk in array)

    @property
    def to_begin_anew(self) -> list[WorkRun]:
        """Return the runs to submit that were done, and whose log is gone."""
        lost = {s.run.id for s in self.states if s.record.get("status") == "done"}
        return [run for array in self.arrays for jobs in array for run in jobs if run.id in lost]

    @property
    def jobs(self) -> int:
        """Return the number of jobs to submit."""
        return sum(map(len, self.arrays))

    def count(self, *states: str) -> int:
        """Return the number of runs in these states."""
        return sum(state.state in states for state in self.states)


def plan_request(
    work: Work,
    ledger: Ledger,
    slurm: Slurm,
    options: LaunchOptions,
    queue: Iterable[QueuedJob],
    *,
    again: Sequence[str] | None = None,
    spare_cancelled: bool = False,
) -> Request:
    """Return what would be submitted now; writes nothing.

    Args:
        work: the study or sweep.
        ledger: what was submitted before.
        slurm: Slurm.
        options: how to launch.
        queue: all jobs that Slurm has.
        again: failed runs to try afresh; (): all of them; None: none.
        spare_cancelled: leave out runs whose jobs were cancelled.

    Raises:
        ConfigError: a run of `again` is unknown or has not failed, or MAX_JOBS is too small.
    """
    limits = slurm.limits()
    most_jobs = _most_jobs(options, limits)
    live = find_live_jobs(ledger, queue)
    states = find_states(work.runs(), jobs_by_run(live), options.max_retry)
    afresh = [] if again is None else _failed(states, live, again)
    spared = _taken_out(ledger, slurm) if spare_cancelled else set()
    names = {run.id for run in afresh}
    todo = [
        state.run
        for state in states
        if state.run.id in names
        or (state.state in ("planned", "stopped") and state.ready and state.run.id not in spared)
    ]
    # One place is for the job that looks after the others.
    room = max(0, most_jobs - len(live) - options.follow_up)
    expected = work.expected_seconds()
    seconds = [expected(run) for run in todo]
    chunks = divide(
        todo,
        seconds,
        runs_per_job=options.runs_per_job if isinstance(options.runs_per_job, int) else None,
        at_once=options.runs_per_gpu,
        parallel_jobs=options.parallel_jobs,
        limit_s=60.0 * options.time_limit,
        most_jobs=max(1, room),
    )[:room]
    size = limits.max_array_size
    arrays = [chunks[i : i + size] for i in range(0, len(chunks), size)]
    count = sum(map(len, chunks))
    known = [each for each in seconds[:count] if each is not None]
    total = sum(known) if known and len(known) == count else None
    fitting = {run.id for chunk in chunks for run in chunk}
    forgotten = [run for run in _to_forget(states, again) if run.id in fitting]
    others = _find_elsewhere(work, ledger, queue)
    return Request(arrays, states, live, total, len(todo) - count, forgotten, others)


def _find_elsewhere(work: Work, ledger: Ledger, queue: Iterable[QueuedJob]) -> list[str]:
    """Return the names, in Slurm, of jobs that work of this name has from another folder."""
    own = {submission.name for submission in ledger.submissions()}
    like = re.compile(re.escape(job_title(work.title)) + r"(-follow-up)?-[0-9a-f]{8}")
    return [job.job_name for job in queue if job.name not in own and like.fullmatch(job.name)]


def _most_jobs(options: LaunchOptions, limits: Limits) -> int:
    """Return how many jobs the work may have in the queue, all kinds together."""
    most = options.max_jobs or max(_FEWEST_JOBS, limits.max_jobs // _SHARE_OF_QUEUE)
    if options.follow_up and most < _FEWEST_JOBS:
        raise ConfigError(
            f"{options.where('LAUNCH', 'MAX_JOBS')} is {most}, but the job that looks after the "
            f"others takes a place, and its successor another one; expected {_FEWEST_JOBS} or "
            "more (0: what the cluster allows), or FOLLOW_UP False"
        )
    return most


def _failed(
    states: Sequence[LaunchState], live: Sequence[LiveJob], names: Sequence[str]
) -> list[WorkRun]:
    """Return the runs that failed for good, all or some by name, and that no job has.

    A job may come back to a run that it has as soon as its failures are forgotten.
    """
    by_name = {state.run.id: state.state for state in states}
    for name in names:
        if name not in by_name:
            first = next(iter(by_name), "(there are none)")
            raise ConfigError(
                f"no run is called {name}; 'status --json' lists them all, the first is {first}"
            )
        if by_name[name] in ("done", "running", "queued"):
            raise ConfigError(f"run {name} has not failed: it is {by_name[name]}")
    kept = jobs_by_run(live)
    wanted = (set(names) or by_name.keys()) - kept.keys()
    return [s.run for s in states if s.state == "failed" and s.run.id in wanted]


def _to_forget(states: Sequence[LaunchState], again: Sequence[str] | None) -> list[WorkRun]:
    """Return the runs that have failed, for good or not, and are to be as if they never had."""
    if again is None:
        return []
    failed = [state.run for state in states if failures_of(state.record)]
    return [run for run in failed if not again or run.id in again]


def _taken_out(ledger: Ledger, slurm: Slurm) -> set[str]:
    """Return the runs whose last job was cancelled by somebody, before or while it ran."""
    last: dict[str, tuple[bool, str]] = {}  # whether, or else which job could tell
    for submission in ledger.submissions():
        if submission.kind != "runs" or submission.job_id is None:
            continue
        is_void = submission.was_cancelled
        states = {} if is_void else submission.job_states()
        for index, chunk in enumerate(submission.chunks):
            state = states.get(index)
            is_out = is_void or (state is not None and state.end.startswith(_TAKEN_OUT))
            # A job that saved its runs in time knows only that it was told to stop.
            asks = not is_out and state is not None and state.state == "stopped" and not state.end
            job = f"{submission.job_id}_{index}" if asks else ""
            last |= {run["id"]: (is_out, job) for run in chunk}
    ends = slurm.end_states({job for _, job in last.values() if job})
    taken = {job for job, end in ends.items() if end.startswith(_TAKEN_OUT)}
    return {run for run, (is_out, job) in last.items() if is_out or job in taken}


def describe(work: Work, options: LaunchOptions, request: Request) -> str:
    """Return what would be submitted."""
    per_job = max(len(chunk) for array in request.arrays for chunk in array)
    size = f" of up to {count(per_job, 'run')}" if per_job > 1 else ""
    arrays = f" ({count(len(request.arrays), 'array')})" if len(request.arrays) > 1 else ""
    what = count(options.cpus_of_node * options.nodes, "CPU")
    if options.num_gpus:
        what = f"{count(options.num_gpus, 'GPU')}, {what}"
    where = f"partition {options.partition}" if options.partition else "the default partition"
    lines = [
        f"{work.title}: {count(request.runs, 'run')} in {count(request.jobs, 'job')}{size}"
        f"{arrays}, at most {options.parallel_jobs:,} at a time",
        f"  in {work.folder.absolute()}",
        f"  {where}, {what} a job, time limit {format_duration(60 * options.time_limit)}",
    ]
    if request.seconds is not None:
        basis = work.basis_of_times()
        lines.append(
            f"  expected: {format_duration(request.seconds)} of training in all"
            f"{f' ({basis})' if basis else ''}"
        )
    if request.elsewhere:
        jobs = count(len(request.elsewhere), "job")
        lines.append(
            f"  attention: Slurm has {jobs} of work of this name from another folder "
            f"({request.elsewhere[0]}): is this a second copy?"
        )
    if request.again:
        lines.append(f"  {count(len(request.again), 'failed run')} among them, tried afresh")
    return "\n".join([*lines, *_waiting(work, options, request)])


def why_nothing(
    work: Work, options: LaunchOptions, request: Request, own_number: int | None = None
) -> str:
    """Return why nothing is submitted.

    Args:
        work: the study or sweep.
        options: how it is launched.
        request: without arrays.
        own_number: the submission that this process is a job of, which is not worth a word.
    """
    found = {state: request.count(state) for state in _ORDER}
    text = ", ".join(f"{number:,} {state}" for state, number in found.items() if number)
    lines = [f"{work.title}: nothing to submit; runs: {text or 'none'}"]
    live: dict[int, list[LiveJob]] = {}
    for job in request.live:
        if job.submission.number != own_number:
            live.setdefault(job.queued.array_id, []).append(job)
    for array_id, jobs in sorted(live.items()):
        states = Counter(job.queued.state.lower() for job in jobs)
        what = " (looks after the others)" if jobs[0].submission.kind == "follow-up" else ""
        told = ", ".join(f"{number:,} {state}" for state, number in sorted(states.items()))
        lines.append(f"  in Slurm: job {array_id}{what}, {told}")
    if found["failed"]:
        lines.append(
            f"  {count(found['failed'], 'failed run')}: '{work.command('retry')}' tries again "
            "what no job has"
        )
    return "\n".join([*lines, *_waiting(work, options, request)])


def _waiting(work: Work, options: LaunchOptions, request: Request) -> list[str]:
    """Return what has to wait, and for what."""
    lines = []
    follows = "follow when there is room" if options.follow_up else "are for a later launch"
    if request.left_over:
        runs = count(request.left_over, "more run")
        lines.append(f"  {runs} do not fit into the queue (LAUNCH.MAX_JOBS) and {follows}")
    waiting = [state for state in request.states if not state.ready]
    if waiting:
        lines.append(f"  {count(len(waiting), 'run')} to wait for others: {waiting[0].reason}")
    lines += [f"  not yet: {sweep} {reason}" for sweep, reason in work.waiting().items()]
    return lines
