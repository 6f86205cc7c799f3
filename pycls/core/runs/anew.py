"""The new beginning of a run that is done and whose log, from which results are read, is gone."""

import os
import shutil
from pathlib import Path

from pycls.core.runs.packed import file_stat
from pycls.core.runs.paths import checkpoint_dir
from pycls.core.runs.record import record_path
from pycls.schema import LOG_FILE

SUFFIX_BEFORE = ".before"


def has_log(out_dir: str | os.PathLike[str]) -> bool:
    """Say whether a run has a log with something in it; costs one look at the file."""
    try:
        return file_stat(f"{os.fspath(out_dir)}/{LOG_FILE}")[0] > 0
    except FileNotFoundError:
        return False


def begin_anew(out_dir: str | os.PathLike[str]) -> None:
    """Have a run train from the beginning; its record and checkpoints stay beside it.

    They are called what they were with ".before" behind it, in place of any of that name.
    """
    # The record last: until then it is still known that the run is to begin anew.
    for path in (checkpoint_dir(out_dir), record_path(out_dir)):
        before = path.with_name(path.name + SUFFIX_BEFORE)
        if path.is_dir():
            shutil.rmtree(before, ignore_errors=True)
        if path.exists():
            Path(path).replace(before)
