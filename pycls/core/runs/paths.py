"""The places of a run's checkpoints (no PyTorch)."""

import os
import re
from pathlib import Path

EPOCH_NAME = re.compile(r"model_epoch_(\d+)\.pyth")


def checkpoint_dir(out_dir: str | os.PathLike[str]) -> Path:
    """Return the folder of a run's checkpoints."""
    return Path(out_dir) / "checkpoints"


def checkpoint_path(out_dir: str | os.PathLike[str], epoch: int) -> Path:
    """Return the checkpoint file of an epoch (0-based; the file's name counts from 1)."""
    return checkpoint_dir(out_dir) / f"model_epoch_{epoch + 1:04d}.pyth"
