"""How a program of a job ends: with a reason for the batch script, and never as a crash does."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pycls.errors import PyclsError, explain_os_error, find_storage_error
from pycls.slurm import job_shell


def tell_reason(reason: str, code: int) -> int:
    """Leave a reason for the batch script, where that can be done; return the exit code."""
    place = os.environ.get(job_shell.REASON_VARIABLE)
    if place:
        try:
            Path(place).write_text(reason, encoding="utf-8")
        except OSError as error:
            print(f"{place}: {error}", file=sys.stderr)
    return code


def leave_with(main: Callable[[], int]) -> None:
    """Run a job's program and leave the process with its exit code.

    1 is left to a Python that does not even come here.
    """
    try:
        code = main()
        sys.stdout.flush()
    except PyclsError as error:
        print(f"error: {error}", file=sys.stderr)
        code = job_shell.GAVE_UP
    except Exception as error:
        cause = find_storage_error(error)
        if cause is not None:
            reason = explain_os_error(cause) or str(cause)
            sys.exit(tell_reason(reason, job_shell.STORAGE_FAULT))
        traceback.print_exc()
        code = job_shell.DEFECT
    sys.exit(code)
