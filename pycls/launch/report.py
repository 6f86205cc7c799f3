"""The page of a launch's results, made by its own tool in a process of its own.

Launching imports nothing that draws, so that jobs and `status` start fast.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pycls import errors
from pycls.core.runs.anew import has_log
from pycls.launch.work import Work
from pycls.pool.worker_process import environment_with

_OWN_CODE = Path(errors.__file__).parents[1]
_START = (
    "import sys; from pycls.errors import run_tool; from pycls.registry import import_object; "
    "tool = sys.argv.pop(1); run_tool(import_object(f'pycls.commands.{tool}:main'))"
)


def leave_report(work: Work, say: Callable[[str], None] = print) -> bool:
    """Write the page of a study's or sweep's results; where it cannot be made, say why.

    Returns:
        Whether it was written.
    """
    if not any(has_log(run.out_dir, {}) for run in work.runs()):
        return False  # there is nothing to report on
    command = [sys.executable, "-c", _START, *work.report]
    environment = environment_with(_OWN_CODE)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    is_there = work.page.is_file()
    if done.returncode and not is_there:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        say(f"no report was written: {said[-1]}; '{work.report_command}' tries again")
        return False
    say(f"report: {work.page}")
    return True
