"""Finds what a run can go on from: finished epochs, and an epoch interrupted inside."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

from pycls.core.runs.paths import EPOCH_NAME, checkpoint_dir
from pycls.core.weights.checkpoint import load_checkpoint, write_state
from pycls.errors import CheckpointError

_INSIDE = re.compile(r"model_epoch_(\d+)_iter_(\d+)\.pyth")


def resume_points(out_dir: str | os.PathLike[str]) -> list[Path]:
    """Return the files that a run could go on from, the most advanced first."""
    folder = checkpoint_dir(out_dir)
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if match := EPOCH_NAME.fullmatch(path.name):
            found.append(((int(match[1]), 0), path))
        elif match := _INSIDE.fullmatch(path.name):
            found.append(((int(match[1]) - 1, int(match[2])), path))
    return [path for _, path in sorted(found, reverse=True)]


def load_newest(out_dir: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]] | None:
    """Read the most advanced checkpoint that can be read; None where there is none at all.

    A damaged one is passed over with a warning: what it held is trained again.

    Raises:
        CheckpointError: there are checkpoints, but none that can be read.
    """
    first_error: CheckpointError | None = None
    for path in resume_points(out_dir):
        try:
            state = load_checkpoint(path, remedy="it is passed over")
        except CheckpointError as error:
            warnings.warn(f"{error}, and what it held trained again", stacklevel=2)
            first_error = first_error or error
        else:
            return path, state
    if first_error is not None:
        raise CheckpointError(
            f"no checkpoint in {checkpoint_dir(out_dir)} can be read, the newest for this reason: "
            f"{first_error}. Delete the folder to train from the beginning"
        )
    return None


def save_inside_epoch(out_dir: str | os.PathLike[str], state: dict[str, Any]) -> Path:
    """Write the state of an epoch that is interrupted after state["iteration"] iterations."""
    name = f"model_epoch_{state['epoch'] + 1:04d}_iter_{state['iteration']:06d}.pyth"
    path = checkpoint_dir(out_dir) / name
    write_state(path, state)
    remove_inside_epoch(out_dir, but=path)
    return path


def remove_inside_epoch(out_dir: str | os.PathLike[str], but: Path | None = None) -> None:
    """Remove what interruptions left, once a later state has been saved."""
    for path in resume_points(out_dir):
        if path != but and _INSIDE.fullmatch(path.name):
            path.unlink()
