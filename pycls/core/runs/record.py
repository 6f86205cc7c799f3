"""The record of a run, `run.json` in its folder, and the rule by which a run has failed."""

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pycls.core.runs.packed import open_file
from pycls.files import write_json
from pycls.schema import RECORD_FILE

# What the epochs of a run that has ended took together, in seconds.
TRAINED = "trained_seconds"
_TRAINED_KEY = f'\n  "{TRAINED}": '.encode()
_END_OF_LIST = b"\n  ],"


def record_path(out_dir: str | os.PathLike[str]) -> Path:
    """Return the file of a run's record."""
    return Path(out_dir) / RECORD_FILE


def write_record(out_dir: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write a run's record atomically."""
    write_json(record_path(out_dir), record)


def read_record(out_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return a run's record, None where there is none (the run has not begun)."""
    try:
        with open_file(f"{os.fspath(out_dir)}/{RECORD_FILE}") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) else None


def read_outline(out_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return a run's record as :func:`read_record` does; of one that is done, without its epochs.

    They are most of it, and their sum is there: thousands of records are read in a second.
    """
    try:
        with open_file(f"{os.fspath(out_dir)}/{RECORD_FILE}") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    begin = data.find(b'\n  "epochs": [\n')
    end = data.find(_END_OF_LIST, begin)
    if 0 < begin < end:
        outline = data[:begin] + data[end + len(_END_OF_LIST) :]
        if b'\n  "status": "done"' in outline and _TRAINED_KEY in outline:
            data = outline
    try:
        record = json.loads(data)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def seconds_of_epochs(record: Mapping[str, Any]) -> list[float]:
    """Return what each epoch of a run's record took, in seconds."""
    return [
        sum(value for name, value in entry.items() if name != "epoch")
        for entry in record.get("epochs") or []
    ]


def trained_seconds(record: Mapping[str, Any]) -> float:
    """Return what the epochs of a run took together, of all of its starts."""
    return float(record.get(TRAINED) or sum(seconds_of_epochs(record)))


def utc_now() -> str:
    """Return the time as a record holds it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


# ---------------------------------------------------------------- failures


def failures_of(record: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the times a run has failed since it was tried afresh, the oldest first.

    Each holds "reason", "ended", "host" and "job" (the Slurm job, "" without one), and "final"
    where another try would fail of the same.
    """
    return list((record or {}).get("failures", []))


def has_failed_for_good(record: Mapping[str, Any] | None, max_retry: int | None) -> bool:
    """Say whether a run has failed as often as it may, or of what no other try would mend.

    One that is done has not.

    Args:
        record: the run's record; None: it has not begun.
        max_retry: how often a failed run is tried again; None: it is not known, and what failed
            last counts as failed.
    """
    status = (record or {}).get("status")
    if status == "done":
        return False
    if max_retry is None:
        return status == "failed"
    failures = failures_of(record)
    return len(failures) > max_retry or any(failure.get("final") for failure in failures)


def is_unfinished(record: Mapping[str, Any] | None, max_retry: int | None) -> bool:
    """Say whether a run still is to be trained: not done, and not failed for good."""
    is_done = (record or {}).get("status") == "done"
    return not is_done and not has_failed_for_good(record, max_retry)


def add_failure(
    out_dir: str | os.PathLike[str], reason: str, job: str = "", *, final: bool = False
) -> dict[str, Any]:
    """Record that a run failed; for any process that saw it, as the run may not have come to it.

    Args:
        out_dir: the run's folder; nothing is recorded where it cannot be written.
        reason: why it failed.
        job: the Slurm job, "" without one.
        final: whether another try would fail of the same (a mistake in the configuration).

    Returns:
        The record as it is now, or would be.
    """
    record = read_record(out_dir) or {"started": utc_now()}
    failure: dict[str, Any] = {
        "reason": reason, "ended": utc_now(), "host": socket.gethostname(), "job": job,
        **({"final": True} if final else {}),
    }  # fmt: skip
    failures = [*failures_of(record), failure]
    record.update(status="failed", reason=reason, ended=failure["ended"], failures=failures)
    with contextlib.suppress(OSError):
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        write_record(out_dir, record)
    return record


def go_on(out_dir: str | os.PathLike[str], epochs: int) -> None:
    """Let a run that stopped at an epoch (OPTIM.STOP_EPOCH) be trained up to a later one."""
    record = read_record(out_dir)
    if record is None or record["status"] != "done":
        return
    stopped = record.get("stopped_after")
    if stopped is not None and stopped < epochs:
        reason = f"stopped after epoch {stopped}, to go on to {epochs}"
        write_record(out_dir, {**record, "status": "interrupted", "reason": reason})


def forget_failures(out_dir: str | os.PathLike[str]) -> None:
    """Let a failed run be tried as often as one that never failed; its last reason stays."""
    record = read_record(out_dir)
    if record is not None and failures_of(record):
        write_record(out_dir, {**record, "failures": []})
