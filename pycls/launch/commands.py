"""The commands that tools/study.py and tools/sweep_launch.py have in common."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pycls.checked_keys import key_value_pairs
from pycls.core.cli import positive_int
from pycls.errors import ConfigError, PyclsError
from pycls.launch.held import release_held
from pycls.launch.here import train_here
from pycls.launch.ledger import Ledger
from pycls.launch.live_jobs import find_live_jobs, find_states, jobs_by_run
from pycls.launch.report import leave_report
from pycls.launch.run_log import show_log
from pycls.launch.snapshot import require_whole
from pycls.launch.status_table import show
from pycls.launch.submit import REFERENCE, Launcher, cancel, last_launch
from pycls.launch.work import Work, load_work
from pycls.pool.seats import default_workers
from pycls.progress import count
from pycls.results.pack_runs import pack_runs
from pycls.slurm.client import AbsentSlurm, Slurm
from pycls.slurm.options import LaunchOptions, override

LAUNCH_COMMANDS = {
    "launch": "submit to Slurm what is missing, or train it here with LAUNCH.MODE local",
    "status": "say how far each run is",
    "log": "print the end of a run's log, its node, job and device",
    "pack": "put the small files of finished runs into archives, which all else reads",
    "cancel": "take all jobs out of the queue; what runs is saved first",
    "resume": "submit what was cancelled or lost, as it was launched last",
    "retry": "try failed runs again, and submit what else is missing",
}
_DEFAULT_WATCH_S = 10.0


def add_launch_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of one of LAUNCH_COMMANDS; "overrides" is added by the tool."""
    if command == "log":
        parser.add_argument("run", metavar="RUN", help="the run, as 'status' calls it")
        parser.add_argument(
            "--follow", action="store_true", help="go on with what is written, until it has ended"
        )
    if command in ("launch", "cancel", "resume", "retry"):
        parser.add_argument("--yes", action="store_true", help="do not ask")
    if command in ("launch", "resume", "retry"):
        parser.add_argument(
            "--dry-run", action="store_true",
            help="print the batch scripts that would be submitted, and what is missing for it; "
            "change nothing (needs no Slurm)",
        )  # fmt: skip
        parser.add_argument(
            "--workers", type=positive_int, metavar="N",
            help="with LAUNCH.MODE local: runs at a time (default: one a GPU, else one a core)",
        )  # fmt: skip
    if command == "retry":
        parser.add_argument(
            "--runs", nargs="+", default=[], metavar="RUN", help="only these (default: all failed)"
        )
    if command == "status":
        parser.add_argument("--json", action="store_true", help="everything, as JSON")
        parser.add_argument(
            "--watch", nargs="?", type=float, const=_DEFAULT_WATCH_S, metavar="SECONDS",
            help=f"again and again (default: every {_DEFAULT_WATCH_S:g} s) until all is settled",
        )  # fmt: skip


def carry_out(command: str, work: Work, args: argparse.Namespace) -> int:
    """Do one of LAUNCH_COMMANDS; return the exit code.

    Raises:
        PyclsError: it cannot be done.
    """
    if command == "status":
        return show(work, find_slurm(work), args.json, args.watch)
    if command == "log":
        slurm = find_slurm(work)
        return show_log(work, args.run, follow=args.follow, find_job=partial(_job_of, work, slurm))
    if command == "pack":
        return _pack(work)
    if command == "cancel":
        return _cancel(work, args.yes)
    if work.options.is_local:
        return _launch_here(command, work, args)
    return _launch_on_slurm(command, work, args)


def find_slurm(work: Work) -> Slurm | None:
    """Return Slurm where it has or may have jobs of a launch, else None."""
    ledger = Ledger(work.folder)
    if not ledger.submissions() or shutil.which("sbatch") is None:
        return None
    # Somebody else may look at what a user has launched.
    return Slurm(patience_s=5.0, connect=False, user=ledger.owner)


def _job_of(work: Work, slurm: Slurm | None, run: str) -> str:
    """Return the job in Slurm that has a run; "" where none has, or Slurm does not answer."""
    if slurm is not None:
        with contextlib.suppress(PyclsError):
            jobs = jobs_by_run(find_live_jobs(Ledger(work.folder), slurm.jobs()))
            return jobs[run].queued.job_name if run in jobs else ""
    return ""


def require_no_jobs(folder: Path) -> None:
    """Refuse to go on while Slurm has jobs that were launched from a folder.

    Raises:
        PyclsError: it has, or cannot be asked.
    """
    ledger = Ledger(folder)
    if all(submission.void for submission in ledger.submissions()):
        return
    jobs = len(find_live_jobs(ledger, Slurm().jobs()))
    if jobs:
        raise PyclsError(
            f"{folder}: {count(jobs, 'job')} of this sweep in Slurm; take them out of the queue "
            "first ('tools/sweep_launch.py cancel')"
        )


def _launch_on_slurm(command: str, work: Work, args: argparse.Namespace) -> int:
    is_here = shutil.which("sbatch") is not None
    slurm = AbsentSlurm() if args.dry_run and not is_here else Slurm()
    if command == "resume":
        work, launcher = _resuming(work, slurm)
    else:
        launcher = Launcher(work, slurm)
    work.check()
    again = args.runs if command == "retry" else None
    if args.dry_run:
        print(launcher.dry_run(again=again))
        if not is_here:
            print("# there is no Slurm on this machine: what the cluster allows was not looked at")
        _print_missing(work)
        return 0
    work.require_inputs()
    for line in work.prepare():
        print(f"  {line}", flush=True)
    if command in ("resume", "retry"):
        released = release_held(Ledger(work.folder), slurm, forget_nodes=command == "retry")
        if released:
            print(f"{work.title}: {count(released, 'job')} released that waited since a fault")
    launcher.launch(_asker(args.yes), again=again)
    return 0


def _print_missing(work: Work) -> None:
    """Print what has to be there before anything is launched."""
    missing = work.missing()
    if missing:
        print("missing, and to be there before the launch:")
    for text in missing:
        print(f"  {text}")


def _resuming(work: Work, slurm: Slurm) -> tuple[Work, Launcher]:
    """Return the work as it was launched last, and what launches it as it did then."""
    ledger = Ledger(work.folder)
    plan = last_launch(ledger).plan
    code = Path(plan["code"])
    require_whole(code)
    pairs = key_value_pairs(work.reference["overrides"], "command line")
    words = [word for key, value in pairs if key.startswith("LAUNCH.") for word in (key, value)]
    options = override(LaunchOptions.from_dict(plan["options"]), words)
    work = load_work(ledger.root / REFERENCE, words)
    return work, Launcher(work, slurm, options=options, code=code, task=plan["task"])


def _launch_here(command: str, work: Work, args: argparse.Namespace) -> int:
    if command == "retry" and args.runs:
        raise ConfigError("--runs: with LAUNCH.MODE local all failed runs are tried again")
    work.check()
    gpus = work.options.num_gpus
    workers = args.workers or default_workers(gpus, work.options.runs_per_gpu)
    if args.dry_run:
        states = find_states(work.runs(), {}, work.options.max_retry)
        left = count(sum(state.state != "done" for state in states), "run")
        print(f"{work.title}: {left} to train here, {workers} at a time")
        _print_missing(work)
        return 0
    failed = train_here(work, workers=workers, gpus_each=gpus)
    leave_report(work)
    if failed:
        print(f"failed: {', '.join(failed)}; '{work.command('status')}' says why")
    return 1 if failed else 0


def _pack(work: Work) -> int:
    with work.hold():
        packed, done = pack_runs(run.out_dir for run in work.runs())
    print(f"{work.title}: {count(packed, 'run')} packed, {done - packed:,} were before")
    return 0


def _cancel(work: Work, yes: bool) -> int:
    ledger = Ledger(work.folder)
    if not ledger.submissions():
        raise PyclsError(
            f"{work.folder}: nothing was launched here on Slurm; what is trained on this machine "
            "is stopped with Ctrl-C"
        )
    slurm = Slurm()
    if not _asker(yes)(f"{work.title}: cancel all of its jobs"):
        print("nothing was cancelled")
        return 0
    jobs = cancel(ledger, slurm)
    if not jobs:
        print(f"{work.title}: no job of it is in Slurm")
        return 0
    print(f"{work.title}: cancelled {count(jobs, 'job')}; '{work.command('resume')}' goes on")
    return 0


def _asker(yes: bool) -> Callable[[str], bool]:
    """Return a function that shows what is to be done and asks for leave."""

    def ask(description: str) -> bool:
        print(description, flush=True)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise PyclsError("standard input is no terminal, so nobody can be asked; add --yes")
        try:
            return input("go on? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:  # Ctrl-D
            print()
            return False

    return ask
