"""The new beginning of a run that is done, and whose log, its results, is gone or cut short."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycls.core.runs.packed import file_stat
from pycls.core.runs.paths import checkpoint_dir
from pycls.core.runs.record import record_path
from pycls.schema import LOG_FILE

SUFFIX_BEFORE = ".before"


def has_log(out_dir: str | os.PathLike[str], record: Mapping[str, Any]) -> bool:
    """Say whether a run has a log, no shorter than when it was done; costs one look at the file.

    Args:
        out_dir: its folder.
        record: what its record says; "log_bytes" of it counts.
    """
    try:
        size = file_stat(f"{os.fspath(out_dir)}/{LOG_FILE}")[0]
        return size >= max(1, int(record.get("log_bytes") or 1))
    except FileNotFoundError:
        return False


def begin_anew(out_dir: str | os.PathLike[str]) -> None:
    """Have a run train from the beginning; its record, log and checkpoints stay beside it.

    They are called what they were with ".before" behind it, in place of any of that name.
    """
    # The record last: until then it is still known that the run is to begin anew.
    for path in (checkpoint_dir(out_dir), Path(out_dir) / LOG_FILE, record_path(out_dir)):
        before = path.with_name(path.name + SUFFIX_BEFORE)
        if path.is_dir():
            shutil.rmtree(before, ignore_errors=True)
        if path.exists():
            Path(path).replace(before)
