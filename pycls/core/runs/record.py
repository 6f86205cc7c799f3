"""The record of a run: `run.json` in its folder, what it was and how it ended."""

import contextlib
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pycls.files import write_json
from pycls.schema import RECORD_FILE


def record_path(out_dir: str | os.PathLike[str]) -> Path:
    """Return the file of a run's record."""
    return Path(out_dir) / RECORD_FILE


def write_record(out_dir: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """Write a run's record atomically."""
    write_json(record_path(out_dir), record)


def read_record(out_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return a run's record, None where there is none (the run has not begun)."""
    try:
        record = json.loads(record_path(out_dir).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return record if isinstance(record, dict) else None


def failures_of(record: dict[str, Any] | None) -> list[dict[str, str]]:
    """Return the times a run has failed since it was tried afresh, the oldest first.

    Each holds "reason", "ended", "host" and "job" (the Slurm job, "" without one).
    """
    return list((record or {}).get("failures", []))


def has_failed_for_good(record: dict[str, Any] | None, max_retry: int) -> bool:
    """Say whether a run has failed as often as it may; one that is done has not.

    Args:
        record: the run's record; None: it has not begun.
        max_retry: how often a failed run is tried again.
    """
    return (record or {}).get("status") != "done" and len(failures_of(record)) > max_retry


def add_failure(out_dir: str | os.PathLike[str], reason: str, job: str = "") -> int:
    """Record that a run failed, by whoever saw it: the run itself may not have come to it.

    Nothing is recorded where the folder cannot be written; the reason is then told only.

    Returns:
        How often the run has failed.
    """
    record = read_record(out_dir) or {"started": utc_now()}
    failure = {"reason": reason, "ended": utc_now(), "host": socket.gethostname(), "job": job}
    failures = [*failures_of(record), failure]
    record.update(status="failed", reason=reason, ended=failure["ended"], failures=failures)
    with contextlib.suppress(OSError):
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        write_record(out_dir, record)
    return len(failures)


def forget_failures(out_dir: str | os.PathLike[str]) -> None:
    """Let a failed run be tried as often as one that never failed; its last reason stays."""
    record = read_record(out_dir)
    if record is not None and failures_of(record):
        write_record(out_dir, {**record, "failures": []})


def utc_now() -> str:
    """Return the time as a record holds it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
