"""The state of a run: one rule for it, by the run's record, its lease, and what it wrote."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.core.runs.anew import has_log
from pycls.core.runs.lease import Owner, find_owner
from pycls.core.runs.log import find_records, read_pair
from pycls.core.runs.packed import open_file
from pycls.core.runs.record import has_failed_for_good
from pycls.results.log_cache import signature_of
from pycls.schema import ERR_FILE, LOG_FILE

STATES = ("done", "running", "stopped", "failed", "missing")
_MOST_ERR_BYTES = 64 << 10
_TESTS = frozenset(["test_epoch"])
_LONGEST_REASON = 300
_NO_LOG = (
    f"it ended, but there is no {LOG_FILE} in its folder, from which results are read: it was "
    "trained by hand with LOG_DEST stdout; remove its folder and launch the sweep again"
)
_LOG_GONE = (
    f"it has ended, but its {LOG_FILE}, from which results are read, is gone or cut short: a "
    "launch trains it anew"
)
_TELLS_OF_ERROR = re.compile(r"Traceback|Error|Exception|error:|Killed|Segmentation|CANCELLED")


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        state: "done", "failed", "running" (a process is at it), "stopped" (begun, and to be
            continued) or "missing" (not begun).
        reason: why it is failed or stopped, or what else a reader should know.
        record: what its record says; empty without one.
        owner: the process at it.
    """

    state: str
    reason: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    owner: Owner | None = None


def find_state(
    out_dir: str | Path,
    record: Mapping[str, Any] | None,
    *,
    max_retry: int | None = None,
    log: Mapping[str, Any] | None = None,
    errors: str = "",
) -> RunState:
    """Return the state of a run.

    Args:
        out_dir: its folder.
        record: its record, or "status", "reason" and "started" of it; None: it has none.
        max_retry: see :func:`pycls.core.runs.record.has_failed_for_good`.
        log: "epochs", "epochs_done" and "mixed" of its log; empty: it has none; None: the log was
            not looked at, and the record is believed, or, without one, the log's end.
        errors: of :func:`read_errors`.
    """
    if not record and log is None:
        log = _read_end(out_dir)  # pycls keeps no record of its runs
    done, epochs = (log.get("epochs_done"), log.get("epochs")) if log else (0, None)
    is_whole = bool(done) and done == epochs
    state, reason, owner = "stopped", "", None
    if not record:
        if is_whole:
            state = "done"
        elif not log and not errors:
            state = "missing"
        elif _TELLS_OF_ERROR.search(errors):
            last = [line.strip() for line in errors.splitlines() if line.strip()][-1]
            state, reason = "failed", f"{ERR_FILE}: {last[:_LONGEST_REASON]}"
        else:
            far = f"after epoch {done} of {epochs}" if done else "before the first epoch was tested"
            reason = f"the log ends {far}, and no run.json says why"
    elif record.get("status") == "done":
        # Of a run without the number nobody knows whether it ever had a log.
        looks = log is None or (not is_whole and record.get("log_bytes"))
        if looks and not has_log(out_dir, record):
            state, reason = "stopped", _LOG_GONE
        elif is_whole or log is None:
            state = "done"
        else:
            state = "failed"
            reason = "its log has no record of the last epoch" if log else _NO_LOG
    elif (owner := find_owner(out_dir)) is not None:
        state = "running"
    else:
        reason = str(record.get("reason") or "")
        if has_failed_for_good(record, max_retry):
            state, reason = "failed", reason or "no reason was recorded"
        else:
            reason = reason or "its process is gone"
    if state == "done" and log and log["mixed"]:
        reason = "its log holds starts of different networks; the last one counts"
    return RunState(state, reason, record or {}, owner)


def _read_end(out_dir: str | Path) -> dict[str, Any]:
    """Return how far a log says at its end that its run is; empty without an epoch there."""
    path = f"{out_dir}/{LOG_FILE}"
    signature = signature_of(path)
    if signature is None:
        return {}
    with open_file(path) as file:
        file.seek(max(0, signature[0] - _MOST_ERR_BYTES))
        tail = file.read(_MOST_ERR_BYTES)
    ends = [read_pair(record.get("epoch")) for _, record in find_records(tail, _TESTS)]
    known = [end for end in ends if end is not None]
    return {"epochs_done": known[-1][0], "epochs": known[-1][1], "mixed": False} if known else {}


def read_errors(out_dir: str) -> str:
    """Return what a run wrote to `stderr.log`, the last 64 KB of it; "" without the file."""
    path = f"{out_dir}/{ERR_FILE}"
    signature = signature_of(path)
    if signature is None or signature[0] == 0:
        return ""
    with open_file(path) as file:
        file.seek(max(0, signature[0] - _MOST_ERR_BYTES))
        return file.read(_MOST_ERR_BYTES).decode("utf-8", "replace")
