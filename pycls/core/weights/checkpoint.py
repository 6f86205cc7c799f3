"""Reads and writes checkpoints in pycls's file layout, whole or not at all, verified."""

import io
import os
import re
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy
import torch
from torch import nn

from pycls.core.runs.paths import EPOCH_NAME, checkpoint_dir, checkpoint_path
from pycls.core.weights.file_kinds import archive_kind, foreign_kind
from pycls.core.weights.safetensors_file import is_safetensors, read_safetensors
from pycls.errors import CheckpointError
from pycls.files import atomic_path, write_bytes

_scalar = numpy._core.multiarray.scalar  # type: ignore[attr-defined]

# pycls's cosine schedule leaves a NumPy scalar in the optimizer's state. NumPy 1 called the
# function that reads it by another name.
_SAFE_GLOBALS: list[Any] = [
    _scalar,
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    numpy.dtype,
    numpy.dtypes.Float64DType,
    numpy.dtypes.Float32DType,
    numpy.dtypes.Int64DType,
]

_ARCHIVE = b"PK\x03\x04"
# How files of PyTorch before 1.6 begin: a pickle of its magic number.
_OLD_FORMAT = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."

_SHOWN = 6

_RESUMING = "delete it, and the run goes on from the checkpoint before it or from the beginning"
_REFUSED_NAME = re.compile(r"GLOBAL ([\w.]+)|function (.+)")


class EpochCheckpoints:
    """The checkpoints of a run's epochs: one of each, or, where only the newest is kept, by time.

    The epoch of the lowest test error so far becomes model.pyth, with the next checkpoint at the
    latest: a run that goes on from the one before comes to it again.

    Args:
        out_dir: the run's folder.
        keep: "all" epochs; "last" or "none": only the newest (for resuming).
        period_s: where not all are kept, the seconds from one to the next, at least.
    """

    def __init__(self, out_dir: str | os.PathLike[str], keep: str, period_s: float) -> None:
        self._out_dir, self._keep = Path(out_dir), keep
        self._period_s = 0.0 if keep == "all" else period_s
        self._saved = time.monotonic()
        self._best: bytes | None = None
        self._newest: Path | None = None

    def take(
        self, make_state: Callable[[], dict[str, Any]], *, is_best: bool, at_once: bool
    ) -> bool:
        """Save an epoch, or what will be model.pyth, where it is time; say whether it was saved.

        Args:
            make_state: returns what to save: tensors, numbers, texts, and lists and dicts of them.
            is_best: the test error is the lowest so far: the file becomes model.pyth too (not with
                "none").
            at_once: whether it is to be saved at any rate.
        """
        is_due = at_once or time.monotonic() - self._saved >= self._period_s
        is_best = is_best and self._keep != "none"
        if not is_due and not is_best:
            return False
        state = make_state()
        data = _to_bytes(state)
        if not is_due:
            self._best = data
            return False
        path = checkpoint_path(self._out_dir, state["epoch"])
        if is_best:
            self._best = None
        self.flush()
        if self._newest is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
        if is_best:
            _replace_by_copy(path, self._out_dir / "model.pyth")
        if self._keep != "all":
            self._remove_others(path)
        self._saved, self._newest = time.monotonic(), path
        return True

    @property
    def has_saved(self) -> bool:
        """Whether an epoch was saved since it was built."""
        return self._newest is not None

    def flush(self) -> None:
        """Write model.pyth where it waits for the next checkpoint."""
        if self._best is not None:
            write_bytes(self._out_dir / "model.pyth", self._best)
            self._best = None

    def _remove_others(self, path: Path) -> None:
        if self._newest is not None:  # what was there before has been removed with that
            others = [self._newest]
        else:
            others = [p for p in path.parent.iterdir() if EPOCH_NAME.fullmatch(p.name)]
        for other in others:
            if other != path:
                other.unlink(missing_ok=True)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint's file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _to_bytes(state))


def _to_bytes(state: dict[str, Any]) -> bytes:
    # Through memory: PyTorch's own file writer hides a full disk in an error of its own.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def remove_checkpoints(out_dir: str | os.PathLike[str]) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(checkpoint_dir(out_dir), ignore_errors=True)


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    where: str = "",
    remedy: str = _RESUMING,
    accept_bare: bool = False,
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, running nothing in it.

    Archives (PyTorch 1.6 and later) are read after every byte was compared with its checksum;
    files of the older format have none.

    Args:
        path: the file.
        where: what to call it in messages; empty: its path.
        remedy: what messages advise where it is damaged.
        accept_bare: a file that holds weights only (name -> tensor) is taken too, and returned
            as {"model_state": weights}.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, or holds more than data.
    """
    path = Path(path)
    where = where or str(path)
    if path.is_dir():
        inside = sorted(found.name for found in path.iterdir())[:_SHOWN]
        raise CheckpointError(
            f"{where}: is a folder, expected a checkpoint file; in it are "
            f"{', '.join(inside) or 'no files'}"
        )
    if not path.is_file():
        raise CheckpointError(f"{where}: no such checkpoint file")
    if accept_bare and is_safetensors(path):
        return {"model_state": read_safetensors(path, where, remedy)}
    _verify_format(path, where, remedy)
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise whatever its operations can
        raise CheckpointError(_describe_failure(error, where, remedy)) from None
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{where}: not a checkpoint: it holds one {type(state).__name__}, expected an entry "
            "'model_state' of names and tensors"
        )
    if accept_bare and state and is_state_dict(state):
        return {"model_state": state}
    if not is_state_dict(state.get("model_state")):
        names = ", ".join(map(repr, list(state)[:_SHOWN])) or "none"
        weights = [name for name, value in state.items() if is_state_dict(value) and value]
        hint = (
            f"; the weights seem to be in {weights[0]!r}: save these alone, under the names of the "
            "network's layers"
            if weights
            else ""
        )
        raise CheckpointError(
            f"{where}: not a checkpoint (it has no entry 'model_state' of names and tensors; its "
            f"entries are {names}{', ...' if len(state) > _SHOWN else ''}){hint}"
        )
    return state


def is_state_dict(value: object) -> bool:
    """Say whether a value maps names to plain tensors, as a network's weights do."""
    return isinstance(value, dict) and all(
        isinstance(name, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and not (tensor.is_meta or tensor.is_quantized or tensor.is_nested)
        for name, tensor in value.items()
    )


def load_weights(model: nn.Module, weights: dict[str, Any], where: str) -> None:
    """Copy a checkpoint's weights into a network of the same architecture.

    Raises:
        CheckpointError: names or shapes differ; the message lists the first of them.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in weights]
    unknown = [name for name in weights if name not in own]
    other = [name for name in own if name in weights and weights[name].shape != own[name].shape]
    if missing or unknown or other:
        shapes = [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
            for name in other
        ]
        parts = [
            f"{title}: {', '.join(names[:4])}{', ...' if len(names) > 4 else ''} ({len(names)})"
            for title, names in (("missing", missing), ("unknown", unknown), ("shape", shapes))
            if names
        ]
        keys = "MODEL.TYPE and the keys of the network's own section (ANYNET, REGNET, ...)"
        if not (missing or unknown) and set(other) <= classifier_names(model):
            keys = "MODEL.NUM_CLASSES"
        raise CheckpointError(
            f"{where}: its weights are of another network; {'; '.join(parts)}; check {keys}"
        )
    model.load_state_dict(weights)


def classifier_names(model: nn.Module) -> set[str]:
    """Return the weights of the last linear layer, which has an output a class."""
    of_other_library = getattr(model, "classifier_parameters", ())
    return set(of_other_library) or {
        name for name in model.state_dict() if name.startswith(("head.fc.", "head.head_fc."))
    }


def _verify_format(path: Path, where: str, remedy: str) -> None:
    """Check that the file is one of PyTorch's, and where it is an archive, its checksums."""
    with path.open("rb") as file:
        beginning = file.read(512)
    if beginning.startswith(_OLD_FORMAT):
        return
    if not beginning:
        raise CheckpointError(
            f"{where}: the checkpoint is empty, its writer was cut short; {remedy}"
        )
    if not beginning.startswith(_ARCHIVE):
        kind = foreign_kind(path, beginning)
        if kind:
            raise CheckpointError(f"{where}: not a checkpoint but {kind}; {remedy}")
        raise CheckpointError(
            f"{where}: not a checkpoint file, or its beginning is damaged; {remedy}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            kind = archive_kind(archive.namelist())
            damaged = None if kind else archive.testzip()
    except Exception as error:  # damage in the directory can ask for anything zipfile knows
        raise CheckpointError(f"{where}: the checkpoint is cut short ({error}); {remedy}") from None
    if kind:
        raise CheckpointError(f"{where}: not a checkpoint but {kind}; {remedy}")
    if damaged:
        raise CheckpointError(f"{where}: the checkpoint is damaged (in {damaged}); {remedy}")


def _describe_failure(error: Exception, where: str, remedy: str) -> str:
    """Return the message for what PyTorch's loader raised.

    Its own message explains how to run what the file holds: nothing to pass on.
    """
    refused = _REFUSED_NAME.search(str(error)) if isinstance(error, UnpicklingError) else None
    if refused:
        return (
            f"{where}: refused, it holds more than tensors and plain values "
            f"({refused[1] or refused[2]}); nothing in it was run"
        )
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, UnpicklingError):
        reason = "it is not what PyTorch writes"
    return (
        f"{where}: cannot be read as a checkpoint, it is cut short or damaged ({reason}); {remedy}"
    )


def _replace_by_copy(source: Path, target: Path) -> None:
    """Make `target` the same file content as `source`, atomically, as a link if possible."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
