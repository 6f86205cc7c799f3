"""Checkpoints in pycls's file layout, written whole or not at all, verified when read."""

import io
import os
import pickle
import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from pycls.errors import CheckpointError
from pycls.files import atomic_path, write_bytes

_NAME = re.compile(r"model_epoch_(\d+)\.pyth")

# pycls's cosine schedule leaves a NumPy scalar in the optimizer's state.
_SAFE_GLOBALS = [
    numpy._core.multiarray.scalar,  # type: ignore[attr-defined]
    numpy.dtype,
    numpy.dtypes.Float64DType,
]


def checkpoint_dir(out_dir: str | os.PathLike[str]) -> Path:
    """Return the folder of a run's checkpoints."""
    return Path(out_dir) / "checkpoints"


def checkpoint_path(out_dir: str | os.PathLike[str], epoch: int) -> Path:
    """Return the checkpoint file of an epoch.

    Args:
        out_dir: the run's folder.
        epoch: 0-based; the file's name counts from 1.
    """
    return checkpoint_dir(out_dir) / f"model_epoch_{epoch + 1:04d}.pyth"


def last_checkpoint(out_dir: str | os.PathLike[str]) -> Path | None:
    """Return the checkpoint of the highest epoch, by number; None where there is none."""
    folder = checkpoint_dir(out_dir)
    if not folder.is_dir():
        return None
    numbered = [
        (int(match.group(1)), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return max(numbered)[1] if numbered else None


def save_checkpoint(
    out_dir: str | os.PathLike[str], state: dict[str, Any], *, keep: str, is_best: bool
) -> Path:
    """Write the checkpoint of state["epoch"], then apply the keeping rule.

    Args:
        out_dir: the run's folder.
        state: what to save; tensors, numbers, texts, and lists and dicts of them.
        keep: "all" epochs; "last" or "none": only the newest (for resuming).
        is_best: the test error is the lowest so far: the file becomes model.pyth too
            (not with keep "none").
    """
    path = checkpoint_path(out_dir, state["epoch"])
    path.parent.mkdir(parents=True, exist_ok=True)
    # Through memory: PyTorch's own file writer hides a full disk in an error of its own.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())
    if is_best and keep != "none":
        _replace_by_copy(path, Path(out_dir) / "model.pyth")
    if keep != "all":
        for other in path.parent.iterdir():
            if other != path and _NAME.fullmatch(other.name):
                other.unlink()
    return path


def remove_checkpoints(out_dir: str | os.PathLike[str]) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(checkpoint_dir(out_dir), ignore_errors=True)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, checking every byte of it and running nothing in it.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, or holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    _verify_archive(path)
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: refused, it holds more than tensors and plain values ({reason})"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({error})") from None
    if not isinstance(state, dict) or "model_state" not in state:
        raise CheckpointError(f"{path}: not a checkpoint (it has no entry 'model_state')")
    return state


def load_weights(model: nn.Module, weights: dict[str, Any], where: str) -> None:
    """Copy a checkpoint's weights into a network of the same architecture.

    Raises:
        CheckpointError: names or shapes differ; the message lists the first of them.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in weights]
    extra = [name for name in weights if name not in own]
    other = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    if missing or extra or other:
        parts = [
            f"{title}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''} ({len(names)})"
            for title, names in (("missing", missing), ("unknown", extra), ("shape", other))
            if names
        ]
        raise CheckpointError(
            f"{where}: its weights are of another network; {'; '.join(parts)}; "
            "check the MODEL and ANYNET keys"
        )
    model.load_state_dict(weights)


def _verify_archive(path: Path) -> None:
    """Check that the file is a complete archive whose parts have their checksums."""
    remedy = "delete it, and the run goes on from the checkpoint before it or from the beginning"
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if not is_archive:
        raise CheckpointError(
            f"{path}: not a checkpoint file, or its beginning is damaged; {remedy}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise CheckpointError(f"{path}: the checkpoint is cut short ({error}); {remedy}") from None
    if damaged:
        raise CheckpointError(f"{path}: the checkpoint is damaged (in {damaged}); {remedy}")


def _replace_by_copy(source: Path, target: Path) -> None:
    """Make `target` the same file content as `source`, atomically, as a link if possible."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
