"""The record of a run: `run.json` in its folder, what it was and how it ended."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pycls.files import write_json

FILE_NAME = "run.json"
LOCK_FILE = ".lock"  # held by the process that trains


def record_path(out_dir: str | os.PathLike[str]) -> Path:
    """Return the file of a run's record."""
    return Path(out_dir) / FILE_NAME


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


def utc_now() -> str:
    """Return the time as a record holds it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
