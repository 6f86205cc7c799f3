"""Launching on this machine: the runs of a study or sweep, in the foreground."""

from collections.abc import Callable, Sequence

from pycls.core.runs.record import forget_failures, read_record
from pycls.errors import PyclsError
from pycls.launch.ledger import Ledger
from pycls.launch.snapshot import snapshot_code
from pycls.launch.target import Target, TargetRun
from pycls.pool.pool import run_jobs
from pycls.pool.seats import choose_threads, make_seats
from pycls.pool.worker_process import Job, environment_with
from pycls.slurm.options import LaunchOptions


def train_here(
    target: Target,
    *,
    workers: int,
    threads: int | None = None,
    gpus_each: int = 1,
    stop_with_parent: bool = False,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Train what is missing of a target, failed runs afresh, and collect the results.

    Args:
        target: what to train.
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
    for line in target.prepare():
        say(f"  {line}")
    failed: list[str] = []
    with target.hold() as descriptor:
        while True:
            target.write()
            runs = target.runs()
            pending = [run for run in runs if not _is_done(run) and run.id not in failed]
            say(f"  {len(runs):,} runs, {len(runs) - len(pending):,} of them finished before")
            _require_weights(target, runs, pending)
            for run in pending:
                forget_failures(run.out_dir)
            work = _Work(target, workers, threads, gpus_each, [descriptor], stop_with_parent, say)
            failed += work.train(pending, done_before=len(runs) - len(pending))
            target.collect()
            if not target.look_again():
                return failed


class _Work:
    """How this machine trains a target's runs."""

    def __init__(
        self,
        target: Target,
        workers: int,
        threads: int | None,
        gpus_each: int,
        inherit: Sequence[int],
        stop_with_parent: bool,
        say: Callable[[str], None],
    ) -> None:
        share = make_seats(workers, gpus_each=gpus_each)[0].threads
        chosen = choose_threads(target.folder, share, threads, say)
        self._seats = make_seats(workers, chosen, gpus_each)
        self._options = target.options
        self._environment = environment_with(snapshot_code(Ledger(target.folder).code))
        # Workers hold the folder too: those of a killed driver may take a moment to leave.
        self._inherit = inherit
        self._stop_with_parent = stop_with_parent
        self._say = say

    def train(self, pending: Sequence[TargetRun], done_before: int) -> list[str]:
        """Train runs, those first that give others their weights; return what failed."""
        failed: list[str] = []
        for ready in waves(pending):
            outcome = run_jobs(
                [_job(run, self._options) for run in ready],
                self._seats,
                max_retry=self._options.max_retry,
                environment=self._environment,
                done_before=done_before,
                inherit=self._inherit,
                stop_with_parent=self._stop_with_parent,
            )
            if outcome.fatal:
                raise PyclsError(outcome.fatal)
            if outcome.stopped_by:
                raise PyclsError("stopped; the same command goes on where it was")
            if outcome.busy:
                self._say(f"  left to the processes that have them: {', '.join(outcome.busy)}")
            failed += outcome.failed
            done_before += len(ready)
        return failed


def waves(pending: Sequence[TargetRun]) -> list[list[TargetRun]]:
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
        names = {run.id for run in ready}
        left = [run for run in left if run.id not in names]
    return result


def _is_done(run: TargetRun) -> bool:
    return (read_record(run.out_dir) or {}).get("status") == "done"


def _require_weights(
    target: Target, runs: Sequence[TargetRun], pending: Sequence[TargetRun]
) -> None:
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
            f"{lacking[0].weights}; {target.before_it()}"
        )


def _job(run: TargetRun, options: LaunchOptions) -> Job:
    return Job(run.id, run.group, run.cfg, run.out_dir, overrides=tuple(options.run_overrides))
