"""The ledger, brought up to date with Slurm: interrupted submissions, and jobs that were lost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import add_failure, failures_of, is_unfinished, read_record
from pycls.launch.ledger import JobState, Ledger, Submission
from pycls.slurm.client import Slurm
from pycls.slurm.records import QueuedJob

# Ends that are no run's fault: a run that was in such a job does not use up a try.
_NOT_THE_RUN = ("CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE")
_NO_CAUSE = "Slurm does not know any more why: out of memory, or a node that failed?"


def settle(ledger: Ledger, slurm: Slurm, queue: Sequence[QueuedJob]) -> None:
    """Bring the ledger up to date with all jobs that Slurm has; for the holder of its lock."""
    for submission in ledger.submissions():
        if not submission.void and submission.job_id is None:
            _find_in_slurm(submission, queue)
    live = {(job.array_id, job.index or 0) for job in queue}
    lost = []
    for submission in ledger.submissions():
        if submission.void or submission.job_id is None or submission.kind != "runs":
            continue
        states = submission.job_states()
        for index in range(submission.jobs):
            state = states.get(index)
            settled = state is not None and state.state in ("ended", "lost", "stopped")
            if not settled and (submission.job_id, index) not in live:
                lost.append((submission, index, state))
    ends = slurm.end_states([f"{s.job_id}_{index}" for s, index, _ in lost]) if lost else {}
    for submission, index, state in lost:
        job = f"{submission.job_id}_{index}"
        _settle_lost(submission, index, state or JobState("", job=job), ends.get(job, ""))


def _find_in_slurm(submission: Submission, queue: Sequence[QueuedJob]) -> None:
    """Find out whether an array was submitted before its submitter was killed."""
    ids = {job.array_id for job in queue if job.name == submission.name}
    ids |= {int(state.job.split("_")[0]) for state in submission.job_states().values()}
    if ids:
        submission.mark_submitted(ids.pop())
    else:
        submission.mark_void("its submission was interrupted")


def _settle_lost(submission: Submission, index: int, before: JobState, end: str) -> None:
    """Note that Slurm has a job no more that never said how it ended."""
    cause = f"Slurm says {end}" if end else _NO_CAUSE
    reason = f"its job {before.job} ended without a word; {cause}"
    # Noted last: who is killed in between settles again, and counts a failure only once.
    for out_dir in _at_fault(submission, index, before, end):
        add_failure(out_dir, f"{reason}; its output: {submission.log_path(index)}", before.job)
    state = replace(before, state="lost", reason=reason, end=end)
    submission.write_job_state(index, state)


def _at_fault(submission: Submission, index: int, before: JobState, end: str) -> list[str]:
    """Return the folders of the runs that may have ended their job, or never could begin."""
    never_said = before.state in ("", "running")
    if end in _NOT_THE_RUN or not never_said or (not end and not before.state):
        return []
    most = submission.plan["options"]["MAX_RETRY"]
    begun, unfinished = [], []
    for run in submission.chunk(index):
        record = read_record(run["out_dir"]) or {}
        if not is_unfinished(record, most):
            continue
        unfinished.append(run["out_dir"])
        if run["id"] in before.at_work and _was_at_work(run["out_dir"], record, before):
            begun.append(run["out_dir"])
    # Where nothing begins, all have to share the blame: it would be so again and again.
    return begun if before.at_work else unfinished


def _was_at_work(out_dir: str, record: dict[str, Any], before: JobState) -> bool:
    """Say whether a run that was begun had neither been saved nor been found to fail."""
    owner = find_owner(out_dir)
    if owner is not None and owner.job != before.job:
        return False
    if record.get("status") == "interrupted" and str(record.get("ended", "")) >= before.started:
        return False
    return not any(
        failure["job"] == before.job and failure["ended"] >= before.started
        for failure in failures_of(record)
    )
