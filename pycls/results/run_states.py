"""How far each run of a sweep is: from its record where it has one, else from its logs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.core.runs.lease import find_owner
from pycls.core.runs.record import read_record
from pycls.results.log_cache import signature_of
from pycls.schema import ERR_FILE, RECORD_FILE
from pycls.study.runs import Run
from pycls.study.study import Study

STATES = ("done", "running", "stopped", "failed", "missing")
_MOST_ERR_BYTES = 64 << 10
_LONGEST_REASON = 300
_SPEAKS_OF_ERROR = re.compile(r"Traceback|Error|Exception|error:|Killed|Segmentation|CANCELLED")


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        state: "done", "failed", "running" (a process is at it), "stopped" (begun, to be gone on
            with) or "missing" (not begun).
        reason: why it is failed or stopped, or what else is to be known of it.
        started: when it was started last, as its record says; "" without one.
    """

    state: str
    reason: str = ""
    started: str = ""


def read_errors(out_dir: str) -> str:
    """Return what a run wrote to `stderr.log`, the last 64 KB of it; "" without the file."""
    path = f"{out_dir}/{ERR_FILE}"
    signature = signature_of(path)
    if signature is None or signature[0] == 0:
        return ""
    with Path(path).open("rb") as file:
        file.seek(max(0, signature[0] - _MOST_ERR_BYTES))
        return file.read(_MOST_ERR_BYTES).decode("utf-8", "replace")


class Records:
    """The records of runs, `run.json`, read once as long as they do not change.

    Args:
        known: what :attr:`known` was after an earlier collection.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        self.known: dict[str, Any] = {}
        self._before = dict(known or {})

    def read(self, name: str, out_dir: str) -> dict[str, str] | None:
        """Return status, reason and started of a run's record; None where it has none."""
        signature = signature_of(f"{out_dir}/{RECORD_FILE}")
        if signature is None:
            return None
        entry = self._before.get(name)
        if entry is None or entry[0] != signature:
            record = read_record(out_dir)
            if record is None:
                return None
            entry = [
                signature,
                {key: str(record.get(key) or "") for key in ("status", "reason", "started")},
            ]
        self.known[name] = entry
        return entry[1]


def is_at_work(out_dir: str) -> bool:
    """Say whether a process of ours, here or elsewhere, trains in a run's folder."""
    return find_owner(out_dir) is not None


def find_status(
    out_dir: str, record: Mapping[str, str] | None, facts: Mapping[str, Any] | None, errors: str
) -> RunStatus:
    """Return how far a run is.

    Args:
        out_dir: its folder.
        record: of :meth:`Records.read`.
        facts: "epochs", "epochs_done" and "mixed" of its log; None without a log.
        errors: of :func:`read_errors`.
    """
    done, epochs = (facts["epochs_done"], facts["epochs"]) if facts else (0, None)
    is_whole = bool(done) and done == epochs
    if record is not None:
        status = _from_record(out_dir, record, is_whole)
    elif is_whole:
        status = RunStatus("done")
    elif facts is None and not errors:
        return RunStatus("missing")
    else:
        status = _from_logs(done, epochs, errors)
    if status.state == "done" and facts is not None and facts["mixed"]:
        reason = "its log holds starts of different networks; the last one counts"
        return RunStatus("done", reason, status.started)
    return status


def _from_record(out_dir: str, record: Mapping[str, str], is_whole: bool) -> RunStatus:
    state, reason, started = record["status"], record["reason"], record["started"]
    if state == "done":
        if is_whole:
            return RunStatus("done", "", started)
        return RunStatus("failed", "its log has no record of the last epoch", started)
    if state == "failed":
        return RunStatus("failed", reason or "no reason was recorded", started)
    if is_at_work(out_dir):
        return RunStatus("running", "", started)
    return RunStatus("stopped", reason or "its process is gone", started)


def _from_logs(done: int, epochs: int | None, errors: str) -> RunStatus:
    """Return the status of an unfinished run that left no record, as pycls's runs do."""
    if _SPEAKS_OF_ERROR.search(errors):
        last = [line.strip() for line in errors.splitlines() if line.strip()][-1]
        return RunStatus("failed", f"{ERR_FILE}: {last[:_LONGEST_REASON]}")
    far = f"after epoch {done} of {epochs}" if done else "before the first epoch was tested"
    return RunStatus("stopped", f"the log ends {far}, and no run.json says why")


def run_status(study: Study, run: Run) -> tuple[str, dict[str, Any]]:
    """Return a run's state and its record.

    "done", "failed", "running" (a process is at it), "stopped" (begun, to be gone on with) or
    "missing" (not begun).
    """
    record = read_record(study.out_dir(run))
    if record is None:
        return "missing", {}
    status = str(record.get("status"))
    if status in ("done", "failed"):
        return status, record
    return ("running" if find_owner(study.out_dir(run)) is not None else "stopped"), record
