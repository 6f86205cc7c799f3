"""The job that looks after a launch: when its arrays have ended, it submits what is left.

Started by a batch script as ``python -m pycls.launch.follow_up FOLDER NUMBER``. What is
left: runs of jobs that Slurm lost, runs that found no room in the queue, and runs that only now
can begin, as others gave them weights or were to decide which architectures they train. Where
nothing is left, it is the last one, and leaves a report. What somebody cancelled stays so.
"""

import sys
from functools import partial
from pathlib import Path

from pycls.errors import PyclsError
from pycls.launch.job_exit import leave_with
from pycls.launch.ledger import Ledger
from pycls.launch.report import leave_report
from pycls.launch.submit import REFERENCE, Launcher
from pycls.launch.work import load_work
from pycls.slurm.client import Slurm
from pycls.slurm.options import LaunchOptions


def main() -> int:
    """Look after the launch that the command line names."""
    folder, number = sys.argv[1:]
    ledger = Ledger(folder)
    submission = ledger.submission(int(number))
    if submission.void:
        print(f"nothing to do: {submission.void}")
        return 0
    plan = submission.plan
    work = load_work(ledger.root / REFERENCE)
    launcher = Launcher(
        work,
        Slurm(),
        options=LaunchOptions.from_dict(plan["launch_options"]),
        code=Path(plan["code"]),
        task=plan["task"],
        own_number=submission.number,
        lock_wait_s=600.0,
    )
    try:
        work.collect()
    except PyclsError as error:
        print(f"the results were not collected: {error}", flush=True)
    work.look_again()
    if not launcher.launch(_agree, spare_cancelled=True):
        leave_report(work, partial(print, flush=True))
    launcher.rebalance()
    return 0


def _agree(description: str) -> bool:
    print(description, flush=True)
    return True


if __name__ == "__main__":
    leave_with(main)
