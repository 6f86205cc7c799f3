"""Removal of the checkpoints of finished runs, as COLLECT.CHECKPOINTS_KEEP says."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pycls.core.runs.lease import run_lease
from pycls.core.runs.paths import EPOCH_NAME, checkpoint_dir
from pycls.core.runs.record import record_path
from pycls.errors import LeaseHeldError


@dataclass
class Freed:
    """What was removed, or would be.

    Attributes:
        checkpoints: files.
        size: their bytes.
        runs: runs that they were of.
    """

    checkpoints: int = 0
    size: int = 0
    runs: int = 0


def remove_checkpoints(
    out_dir: Path, keep: str, epochs: int, freed: Freed, *, dry_run: bool = False
) -> None:
    """Remove the epochs' checkpoints of a run that is done; `model.pyth` stays.

    Nothing is removed while a process works in the folder, nor, where the last one is to
    be kept, before that one is there.

    Args:
        out_dir: the run's folder.
        keep: "all", "last" or "none".
        epochs: the run's number of epochs.
        freed: is added to.
        dry_run: whether they are only counted.
    """
    folder = checkpoint_dir(out_dir)
    if keep == "all" or not folder.is_dir():
        return
    if not _find_removable(folder, keep, epochs):
        return
    with contextlib.ExitStack() as stack:
        if not dry_run and record_path(out_dir).is_file():
            try:
                stack.enter_context(run_lease(out_dir))
            except LeaseHeldError:
                return
        # Looked at again: only now nobody else changes it.
        found = _find_removable(folder, keep, epochs)
        for path in found:
            size = path.stat().st_size
            if not dry_run:
                path.unlink()
            freed.checkpoints += 1
            freed.size += size
        freed.runs += bool(found)


def _find_removable(folder: Path, keep: str, epochs: int) -> list[Path]:
    """Return the checkpoints in a folder that need not be kept."""
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := EPOCH_NAME.fullmatch(path.name))
    }
    if keep == "last" and found.pop(epochs, None) is None:
        return []
    return list(found.values())
