"""A launch on this machine: the runs of a study or sweep, trained in the foreground."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from pycls.core.runs.anew import begin_anew
from pycls.core.runs.record import forget_failures, read_record
from pycls.errors import PyclsError
from pycls.launch.ledger import Ledger
from pycls.launch.snapshot import snapshot_code
from pycls.launch.work import Work, WorkRun
from pycls.pool.pool import Outcome, run_jobs
from pycls.pool.seats import choose_threads, make_seats
from pycls.pool.worker_process import Job, environment_with
from pycls.results.run_states import find_state


def train_here(
    work: Work,
    *,
    workers: int,
    threads: int | None = None,
    gpus_each: int = 1,
    stop_with_parent: bool = False,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Train what is missing of a study or sweep, failed runs afresh, and collect the results.

    Args:
        work: what to train.
        workers: runs at a time.
        threads: CPU threads of each; None: as before, or else a fair share of the cores.
        gpus_each: GPUs of each, where there are any; 0: runs see none.
        stop_with_parent: stop as if by Ctrl-C when the process that started us is gone.
        say: where messages go.

    Returns:
        The names of the runs that failed for good.

    Raises:
        PyclsError: it was stopped, or something that concerns all runs came up.
    """
    work.require_inputs()
    for line in work.prepare():
        say(f"  {line}")
    failed: list[str] = []
    overrides = tuple(work.options.run_overrides)
    with work.hold() as descriptor:
        while True:
            work.write()
            runs = work.runs()
            pending = [run for run in runs if not _is_done(run) and run.id not in failed]
            say(f"  {len(runs):,} runs, {len(runs) - len(pending):,} of them finished before")
            _require_weights(work, runs, pending)
            for run in pending:
                forget_failures(run.out_dir)
                if (read_record(run.out_dir) or {}).get("status") == "done":
                    begin_anew(run.out_dir)  # its log is not whole
            each = gpus_each if _use_gpus(pending, overrides) else 0
            share = make_seats(workers, gpus_each=each)[0].threads
            chosen = choose_threads(work.folder, share, threads, say)
            train = partial(
                run_jobs,
                seats=make_seats(workers, chosen, each),
                max_retry=work.options.max_retry,
                silence_s=60.0 * work.options.hang_minutes,
                environment=environment_with(snapshot_code(Ledger(work.folder).code)),
                # Workers hold the folder too: those of a killed driver may take a moment to leave.
                inherit=[descriptor],
                stop_with_parent=stop_with_parent,
            )
            done_before = len(runs) - len(pending)
            for ready in waves(pending):
                jobs = [Job(r.id, r.group, r.cfg, r.out_dir, overrides=overrides) for r in ready]
                failed += _failed_of(train(jobs, done_before=done_before), say)
                done_before += len(ready)
            work.collect()
            if not work.look_again():
                return failed


def _use_gpus(runs: Sequence[WorkRun], overrides: Sequence[str]) -> bool:
    """Say whether any runs leave it to the machine where they compute, or ask for a GPU."""
    asked = dict(zip(overrides[::2], overrides[1::2], strict=True)).get("DEVICE")
    if asked is not None:
        return asked != "cpu"
    of_each_group = {run.group: run for run in runs}.values()
    return not runs or not all(
        re.search(r"^DEVICE: cpu$", run.cfg.read_text(), re.MULTILINE) for run in of_each_group
    )


def _failed_of(outcome: Outcome, say: Callable[[str], None]) -> list[str]:
    """Return the runs that failed for good; raise what concerns all runs."""
    if outcome.fatal:
        raise PyclsError(outcome.fatal)
    if outcome.stopped_by:
        raise PyclsError("stopped; the same command goes on where it was")
    if outcome.busy:
        say(f"  left to the processes that have them: {', '.join(outcome.busy)}")
    return outcome.failed


def waves(pending: Sequence[WorkRun]) -> list[list[WorkRun]]:
    """Return runs in the order they can be trained in: first those whose weights are there.

    A run whose first weights come from another one of them waits for it.

    Raises:
        PyclsError: some wait for each other.
    """
    left, result = list(pending), []
    while left:
        to_come = {run.out_dir for run in left}
        ready = [run for run in left if run.source not in to_come]
        if not ready:
            raise PyclsError(f"the runs {left[0].id} and others wait for each other's weights")
        result.append(ready)
        left = [run for run in left if run.source in to_come]
    return result


def _is_done(run: WorkRun) -> bool:
    return find_state(run.out_dir, read_record(run.out_dir)).state == "done"


def _require_weights(work: Work, runs: Sequence[WorkRun], pending: Sequence[WorkRun]) -> None:
    """Refuse to begin runs that start from those of another study that is not finished."""
    mine = {run.out_dir for run in runs}
    lacking = [
        run
        for run in pending
        if run.weights is not None and run.source not in mine and not run.weights.is_file()
    ]
    if lacking:
        raise PyclsError(
            f"{len(lacking)} runs start from weights that are not there, {lacking[0].id} from "
            f"{lacking[0].weights}; {work.before_it}"
        )
