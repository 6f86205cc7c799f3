"""The status of a launched study or sweep, by its runs' files and one question to Slurm."""

import math
import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pycls.core.runs.packed import file_stat
from pycls.core.runs.record import failures_of, record_path, utc_now
from pycls.errors import PyclsError
from pycls.launch.ledger import JobState, Ledger
from pycls.launch.live_jobs import (
    STATES,
    LaunchState,
    LiveJob,
    StateFinder,
    find_live_jobs,
    jobs_by_run,
)
from pycls.launch.work import Work, WorkRun
from pycls.progress import count
from pycls.results.run_progress import RunProgress, read_progress
from pycls.slurm.client import Slurm
from pycls.slurm.records import QueuedJob

# Runs in these states are not settled: something is to come of them without anybody's doing.
_UNSETTLED = ("planned", "queued", "running")
_TO_COME = ("planned", "queued", "running", "stopped")
# Slurm's states of jobs that wait.
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


@dataclass(frozen=True)
class RunStatus:
    """How far a run is; what is not known is "" or None.

    Attributes:
        run: its name.
        sweep: that it belongs to.
        state: one of STATES.
        reason: why it failed, stopped, or waits.
        job: the Slurm job that has it, or that it failed in last.
        host: the machine that trains it, or that it failed on last.
        epoch: where it is, 1-based; of running ones.
        epochs: of the whole run; of running ones.
        images_per_second: training images; of running ones.
        seconds_left: an estimate; of running ones.
        seconds_silent: since its log was written last; of running ones.
        failures: how often it failed.
        out_dir: its folder.
    """

    run: str
    sweep: str
    state: str
    reason: str
    job: str
    host: str
    epoch: int | None
    epochs: int | None
    images_per_second: float | None
    seconds_left: float | None
    seconds_silent: float | None
    failures: int
    out_dir: str


@dataclass(frozen=True)
class PendingJobs:
    """Jobs that wait for one reason.

    Attributes:
        reason: in Slurm's words.
        count: how many.
        first: the first of them, "123_4".
        fault: since when they wait, where that is a fault of a node or of the storage.
        is_held: whether they start only when they are released.
    """

    reason: str
    count: int
    first: str
    fault: str = ""
    is_held: bool = False


@dataclass(frozen=True)
class QueueStatus:
    """What Slurm has of a launch.

    Attributes:
        asked: whether it was asked, and answered.
        problem: why it could not be asked; "" where it was, or has nothing of this.
        jobs: {Slurm's state: number of jobs}.
        pending: jobs that wait, by reason.
        bad_nodes: {node: why it is left out}.
        follow_up: what became of the job that looks after the others; "" where there is none.
    """

    asked: bool = False
    problem: str = ""
    jobs: Mapping[str, int] | None = None
    pending: Sequence[PendingJobs] = ()
    bad_nodes: Mapping[str, str] = field(default_factory=dict)
    follow_up: str = ""


@dataclass(frozen=True)
class TimeLeft:
    """An estimate for the whole, from what finished and running runs take.

    Attributes:
        seconds: until all is done, with as many runs at a time as now; None: nobody knows.
        training_seconds: the same for one run at a time.
        at_once: runs that go on now.
        runs: unfinished runs that it counts.
        unknown: unfinished runs that nothing is known of.
    """

    seconds: float | None
    training_seconds: float
    at_once: int
    runs: int
    unknown: int


@dataclass(frozen=True)
class Status:
    """How far a study or sweep is.

    Attributes:
        title: its name.
        folder: where it is.
        when: the moment of this look; ISO 8601, UTC.
        slurm: what Slurm has.
        waiting: {sweep: why its runs are not known yet}.
        runs: all runs that are known, in order.
        left: the time left.
        advice: what to do next: (why, command or "").
        devices: {sweep: {what finished runs were trained on: how many}}.
    """

    title: str
    folder: str
    when: str
    slurm: QueueStatus
    waiting: Mapping[str, str]
    runs: Sequence[RunStatus]
    left: TimeLeft
    advice: Sequence[tuple[str, str]] = ()
    devices: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def sweeps(self) -> dict[str, dict[str, int]]:
        """Return {sweep: {state: number of runs}}."""
        found: dict[str, dict[str, int]] = {}
        for run in self.runs:
            found.setdefault(run.sweep, dict.fromkeys(STATES, 0))[run.state] += 1
        return found

    @property
    def counts(self) -> dict[str, int]:
        """Return {state: number of runs}."""
        every = Counter(run.state for run in self.runs)
        return {state: every[state] for state in STATES}

    @property
    def is_settled(self) -> bool:
        """Say whether nothing will change any more unless somebody does something."""
        counts = self.counts
        return not any(counts[state] for state in _UNSETTLED) and not self.slurm.jobs

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        slurm = asdict(self.slurm)
        return {
            "title": self.title,
            "folder": self.folder,
            "when": self.when,
            "slurm": {**slurm, "jobs": slurm["jobs"] or {}},
            "counts": self.counts,
            "sweeps": self.sweeps,
            "waiting": dict(self.waiting),
            "left": vars(self.left),
            "devices": self.devices,
            "next": [{"why": why, "command": command} for why, command in self.advice],
            "runs": [vars(run) for run in self.runs],
        }


def find_status(work: Work, slurm: Slurm | None) -> Status:
    """Look how far a study or sweep is; nothing is written.

    `slurm` is None where there is none, or nothing was launched there.
    """
    return Watch(work, slurm).look()


class Watch:
    """Looks how far a study or sweep is, again and again, at what can have changed.

    Args:
        work: the study or sweep.
        slurm: see :func:`find_status`.
    """

    def __init__(self, work: Work, slurm: Slurm | None) -> None:
        self._work, self._slurm = work, slurm
        self._ledger = Ledger(work.folder)
        self._finder = StateFinder(work.options.max_retry)
        self._runs: list[WorkRun] | None = None
        self._shown: dict[str, tuple[LaunchState, str, RunStatus]] = {}

    def look(self) -> Status:
        """Return how far it is now; nothing is written."""
        work, ledger = self._work, self._ledger
        if self._runs is None or work.look_again():
            self._runs = work.runs()
        # Of these the queue, read next, must have the jobs: others may be submitted meanwhile.
        submitted = {s.number for s in ledger.submissions() if s.job_id is not None}
        queue, problem = _ask(ledger, self._slurm)
        asked = self._slurm is not None and not problem
        live = find_live_jobs(ledger, queue)
        states = self._finder.find(self._runs, jobs_by_run(live))
        slurm_status = replace(
            _queue_status(live, asked, problem),
            bad_nodes={node: str(fault["reason"]) for node, fault in ledger.bad_nodes().items()},
            follow_up=_describe_follow_up(ledger, live, asked),
        )
        reasons = _find_job_reasons(ledger, states, submitted if asked else set())
        runs = [self._describe(state, reasons.get(state.run.id, "")) for state in states]
        left = _time_left(states, runs)
        advice = _advise(work, states, live, slurm_status, bool(ledger.submissions()))
        return Status(
            work.title, str(work.folder), utc_now(), slurm_status, dict(work.waiting()), runs,
            left, advice, _find_devices(states),
        )  # fmt: skip

    def _describe(self, state: LaunchState, job_reason: str) -> RunStatus:
        """Return what is shown of a run; the same as before where its state is."""
        known = self._shown.get(state.run.id)
        if state.owner is None and known and known[0] is state and known[1] == job_reason:
            return known[2]
        status = _run_status(state, job_reason)
        self._shown[state.run.id] = (state, job_reason, status)
        return status


def _find_devices(states: Sequence[LaunchState]) -> dict[str, dict[str, int]]:
    """Return {sweep: {device: number of finished runs}}, as far as their records say it."""
    found: dict[str, dict[str, int]] = {}
    for state in states:
        device = (state.record.get("environment") or {}).get("device")
        if state.state == "done" and device:
            of_sweep = found.setdefault(state.run.group, {})
            of_sweep[device] = of_sweep.get(device, 0) + 1
    return found


def _ask(ledger: Ledger, slurm: Slurm | None) -> tuple[list[QueuedJob], str]:
    """Return the jobs that Slurm has, and why it could not be asked."""
    if slurm is None:
        was_launched = any(s.job_id is not None and not s.void for s in ledger.submissions())
        return [], "there is no squeue on the PATH of this machine" if was_launched else ""
    try:
        queue = list(slurm.jobs())
        if not queue and ledger.submissions() and ledger.owner != os.getuid():
            # Clusters may hide the jobs of others; nothing is called lost then.
            return [], f"it shows no jobs of the user who launched (number {ledger.owner})"
        return queue, ""
    except PyclsError as error:
        return [], str(error)


def _queue_status(live: Sequence[LiveJob], asked: bool, problem: str) -> QueueStatus:
    waiting: dict[tuple[str, str, bool], list[str]] = {}
    for job in live:
        if job.queued.state in _WAITING:
            kind = (job.queued.reason, job.queued.fault, job.queued.is_held)
            waiting.setdefault(kind, []).append(job.queued.job_name)
    pending = [
        PendingJobs(reason, len(names), names[0], fault, is_held)
        for (reason, fault, is_held), names in waiting.items()
    ]
    pending.sort(key=lambda jobs: -jobs.count)
    return QueueStatus(asked, problem, dict(Counter(j.queued.state for j in live)), pending)


def _describe_follow_up(ledger: Ledger, live: Sequence[LiveJob], asked: bool) -> str:
    """Say what the last job does, or did, that looks after the others."""
    found = [s for s in ledger.submissions() if s.kind == "follow-up" and s.job_id is not None]
    last = next((s for s in reversed(found) if not s.void), None)
    if last is None:
        return ""
    job = f"job {last.job_id}"
    state = last.job_state(0)
    reason = f": {state.reason}" if state and state.reason else ""
    now = [each.queued.state for each in live if each.submission.number == last.number]
    if now:
        return f"{job} {'waits' if now[0] in _WAITING else 'is at work'}{reason}"
    if state is not None and state.state in ("ended", "stopped"):
        return f"{job} {'has ended' if state.state == 'ended' else 'gave up'}{reason}"
    if not asked:
        return ""
    log = f"; its output: {last.log_path(0)}" if state else ", and never began"
    return f"{job} is not in Slurm any more{log}"


# ------------------------------------------------------------ single runs
def _run_status(state: LaunchState, job_reason: str) -> RunStatus:
    failures = failures_of(state.record)
    last = failures[-1] if failures and state.state == "failed" else {}
    job, host = state.job or str(last.get("job", "")), str(last.get("host", ""))
    progress = RunProgress()
    if state.owner is not None:
        job, host = state.job or state.owner.job, state.owner.host
        progress = read_progress(state.run.out_dir, state.record)
    reason = "; ".join(filter(None, [state.reason, job_reason]))
    return RunStatus(
        state.run.id, state.run.group, state.state, reason, job, host, **vars(progress),
        failures=len(failures), out_dir=str(state.run.out_dir),
    )  # fmt: skip


def _find_job_reasons(
    ledger: Ledger, states: Sequence[LaunchState], submitted: Set[int]
) -> dict[str, str]:
    """Return, for runs that nobody has, what became of the last job that had them.

    Args:
        ledger: the ledger.
        states: how far the runs are.
        submitted: arrays whose jobs Slurm would have named, did it still have them.
    """
    wanted = {s.run.id for s in states if s.state in ("planned", "stopped")}
    reasons: dict[str, str] = {}
    for submission in reversed(ledger.submissions()):
        if not wanted:
            break
        if submission.kind != "runs":
            continue
        for index, chunk in enumerate(submission.chunks):
            names = wanted.intersection(run["id"] for run in chunk)
            if not names:
                continue
            wanted -= names
            reason = f"its job is {submission.void}" if submission.was_cancelled else ""
            if not submission.void:
                reason = _job_reason(submission.job_state(index), submission.number in submitted)
            reasons |= dict.fromkeys(names, reason)
    return reasons


def _job_reason(job: JobState | None, is_gone: bool) -> str:
    if job is None:
        return "its job is not in Slurm any more, and never began" if is_gone else ""
    if job.state in ("running", "requeued"):
        return f"its job {job.job} is not in Slurm any more" if is_gone else ""
    return job.reason


# ------------------------------------------------------------ the whole
def _time_left(states: Sequence[LaunchState], runs: Sequence[RunStatus]) -> TimeLeft:
    """Estimate the time left from what runs of the same group take."""
    took: dict[str, list[float]] = {}
    for state in states:
        seconds = state.seconds if state.state == "done" else 0.0
        if seconds:
            took.setdefault(state.run.group, []).append(seconds)
    under_way: dict[str, list[float]] = {}
    for state, run in zip(states, runs, strict=True):
        if run.seconds_left is not None and state.run.group not in took:
            whole = state.seconds + run.seconds_left
            under_way.setdefault(state.run.group, []).append(whole)
    means = {group: statistics.fmean(values) for group, values in {**under_way, **took}.items()}
    left: list[float] = []
    unknown = 0
    for state, run in zip(states, runs, strict=True):
        if state.state not in _TO_COME:
            continue
        mean = means.get(state.run.group)
        if run.seconds_left is not None:
            left.append(run.seconds_left)
        elif mean is not None:
            left.append(max(0.0, mean - state.seconds))
        else:
            unknown += 1
    at_once = sum(run.state == "running" for run in runs)
    total = math.fsum(left)
    until = round(max(total / at_once, *left)) if left and at_once else None
    return TimeLeft(until, round(total), at_once, len(left), unknown)


def _advise(
    work: Work,
    states: Sequence[LaunchState],
    live: Sequence[LiveJob],
    slurm: QueueStatus,
    was_launched: bool,
) -> list[tuple[str, str]]:
    """Return what to do next: why, and the command; the one that it was begun with."""
    advice = []
    has_begun = any(state.state != "planned" for state in states)
    is_here = not was_launched and (has_begun or work.options.is_local)
    failed = sum(state.state == "failed" for state in states)
    if failed:
        verb = "is" if failed == 1 else "are"
        why = f"{count(failed, 'failed run')} {verb} tried again by"
        advice.append((why, work.here_command if is_here else work.command("retry")))
    if states and all(state.state == "done" for state in states) and not live:
        # Results that came after it are not on the page.
        if not work.page.is_file() or _is_older(work.page, states):
            advice.append(("all runs are done; their report is written by", work.report_command))
        else:
            advice.append((f"all runs are done; their report is {work.page}", ""))
    if any(jobs.fault for jobs in slurm.pending):
        why = "when what is at fault is mended, jobs that wait since are released by"
        advice.append((why, work.command("resume")))
    if slurm.problem:
        return advice
    open_runs = [s for s in states if s.state in ("planned", "stopped")]
    ready = sum(state.ready for state in open_runs)
    is_running = any(state.state == "running" for state in states)
    # A follow-up job, or the process that trains here, comes to them by itself.
    is_cared_for = any(job.submission.kind == "follow-up" for job in live)
    if ready and not is_cared_for and (live or not is_running):
        verb = "is" if ready == 1 else "are"
        if is_here:
            why = f"{count(ready, 'run')} {verb} still to be trained, by"
            advice.append((why, work.here_command))
        else:
            why = f"{count(ready, 'run')} that no job has {verb} launched by"
            advice.append((why, work.command("launch")))
            if not was_launched:
                advice.append(("or trained on this machine by", work.here_command))
    if len(open_runs) > ready:
        reason = next(state.reason for state in open_runs if not state.ready)
        advice.append((f"{len(open_runs) - ready:,} runs wait for others: {reason}", ""))
    return advice


def _is_older(page: Path, states: Sequence[LaunchState]) -> bool:
    """Say whether a run has ended since a page was written."""
    written = page.stat().st_mtime_ns
    ended = (_written(record_path(state.run.out_dir)) for state in states)
    return any(when > written for when in ended)


def _written(path: Path) -> int:
    try:
        return file_stat(path)[1]
    except FileNotFoundError:
        return 0
