"""What a launch says: what it would submit, or why there is nothing to submit."""

from collections import Counter

from pycls.sweep.launch.launch_plan import Request
from pycls.sweep.launch.options import LaunchOptions
from pycls.sweep.launch.progress import count, format_duration
from pycls.sweep.launch.run_states import LiveJob
from pycls.sweep.launch.target import Target

_ORDER = ("done", "running", "queued", "failed", "stopped", "planned")


def describe(target: Target, options: LaunchOptions, request: Request) -> str:
    """Return what would be submitted."""
    per_job = max(len(chunk) for array in request.arrays for chunk in array)
    size = f" of up to {count(per_job, 'run')}" if per_job > 1 else ""
    arrays = f" ({count(len(request.arrays), 'array')})" if len(request.arrays) > 1 else ""
    what = count(options.cpus_of_node * options.nodes, "CPU")
    if options.num_gpus:
        what = f"{count(options.num_gpus, 'GPU')}, {what}"
    where = f"partition {options.partition}" if options.partition else "the default partition"
    lines = [
        f"{target.title}: {count(request.runs, 'run')} in {count(request.jobs, 'job')}{size}"
        f"{arrays}, at most {options.parallel_jobs:,} at a time",
        f"  {where}, {what} a job, time limit {format_duration(60 * options.time_limit)}",
    ]
    if request.seconds is not None:
        lines.append(f"  expected: {format_duration(request.seconds)} of training in all")
    if request.again:
        lines.append(f"  {count(len(request.again), 'failed run')} among them, tried afresh")
    return "\n".join([*lines, *_waiting(target, options, request)])


def why_nothing(
    target: Target, options: LaunchOptions, request: Request, own_number: int | None = None
) -> str:
    """Return why nothing is submitted.

    Args:
        target: the study or sweep.
        options: how it is launched.
        request: without arrays.
        own_number: the submission that this process is a job of, which is not worth a word.
    """
    found = {state: request.count(state) for state in _ORDER}
    text = ", ".join(f"{number:,} {state}" for state, number in found.items() if number)
    lines = [f"{target.title}: nothing to submit; runs: {text or 'none'}"]
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
            f"  {count(found['failed'], 'failed run')}: '{target.command('retry')}' tries again "
            "what no job has"
        )
    return "\n".join([*lines, *_waiting(target, options, request)])


def _waiting(target: Target, options: LaunchOptions, request: Request) -> list[str]:
    """Return what has to wait, and for what."""
    lines = []
    follows = "follow when there is room" if options.follow_up else "are for a later launch"
    if request.left_over:
        runs = count(request.left_over, "more run")
        lines.append(f"  {runs} do not fit into the queue (LAUNCH.MAX_JOBS) and {follows}")
    waiting = [state for state in request.states if not state.ready]
    if waiting:
        lines.append(f"  {count(len(waiting), 'run')} to wait for others: {waiting[0].reason}")
    lines += [f"  not yet: {sweep} {reason}" for sweep, reason in target.waiting().items()]
    return lines
