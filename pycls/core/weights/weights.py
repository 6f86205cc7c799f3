"""Reads the weights to start from or to test: of a file or an address, ours or of pycls."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pycls.core.weights.checkpoint import (
    classifier_names,
    is_state_dict,
    load_checkpoint,
    load_weights,
)
from pycls.core.weights.download import cached_file, sha256_of
from pycls.errors import CheckpointError, ConfigError
from pycls.strict_yaml import parse_yaml

# Names that DDP and torch.compile put before those of the network inside.
_WRAPPERS = ("module.", "_orig_mod.")

_REMEDY = "get the file again"


@dataclass(frozen=True)
class Weights:
    """The weights of a network, read from a checkpoint.

    Attributes:
        state: name -> tensor, on the CPU, without the prefixes that DDP and torch.compile add.
        source: where they are from: a path or an address.
        which: "model", or "ema" for the moving average.
        epoch: the epoch after which they were saved (from 0); None where it is not known.
        channels: order of the input channels that they expect: "rgb" or "bgr".
        notes: sentences for the log.
    """

    state: dict[str, torch.Tensor]
    source: str
    which: str
    epoch: int | None
    channels: str
    notes: tuple[str, ...]


def read_weights(
    source: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] = "",
    sha256: str | None = None,
    which: str = "best",
    channels: str | None = None,
) -> Weights:
    """Read the weights of a checkpoint, downloading it first where it has an address.

    Args:
        source: a file, or an http or https address (see
            :func:`pycls.core.weights.download.cached_file`).
        cache_dir: folder of downloaded files; see :func:`pycls.core.weights.download.cache_folder`.
        sha256: the digest that the file must have.
        which: "model" or "ema"; "best": ema where its error is the lower one, as in pycls.
        channels: order of the input channels that the weights expect, "rgb" or "bgr"; None: bgr
            where the checkpoint says that pycls trained it on ImageNet, else rgb.

    Raises:
        CheckpointError: the file is missing, damaged, holds more than data, or lacks what
            `which` asks for.
        ConfigError: an argument that is none of those.
        DownloadError: the file cannot be had, or is not the one of the digest.
    """
    for name, value, choices in (
        ("which", which, ("best", "model", "ema")),
        ("channels", channels, ("rgb", "bgr", None)),
    ):
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}; expected one of {choices}")
    text = os.fspath(source)
    state = _read_file(text, cache_dir, sha256)
    chosen, note = _choose(state, which, text)
    weights = state[f"{chosen}_state"]
    if not is_state_dict(weights):
        raise CheckpointError(f"{text}: its {chosen}_state is not a dict of names and tensors")
    epoch = state.get("epoch")
    return Weights(
        state=_without_wrappers(weights),
        source=text,
        which=chosen,
        epoch=epoch if isinstance(epoch, int) else None,
        channels=channels or _channels_of(state),
        notes=(note,),
    )


def load_weights_into(
    model: nn.Module, weights: Weights, *, replace_head: bool = False
) -> tuple[str, ...]:
    """Copy weights into a network of the same architecture that takes RGB images.

    Args:
        model: the network.
        weights: of :func:`read_weights`; they are left as they are.
        replace_head: where nothing but the number of classes differs, or the classifier is
            missing, leave the network's own as it is instead of refusing.

    Returns:
        Sentences for the log: what was chosen, reversed, replaced.

    Raises:
        CheckpointError: the weights are of another network; nothing was copied.
    """
    _check_finite(weights)
    state, own = dict(weights.state), model.state_dict()
    notes = list(weights.notes)
    for name in own:
        # PyTorch's counts of batches, which nothing here looks at and older files lack.
        if name.endswith(".num_batches_tracked"):
            state.setdefault(name, own[name])
    if weights.channels == "bgr":
        stem = _first_convolution(own)
        if stem in state and state[stem].shape == own[stem].shape:
            state[stem] = state[stem].flip(1)
            notes.append(f"The input channels of {stem} were reversed, from BGR to RGB")
    head = [name for name in own if name in classifier_names(model)]
    classes = _classes_of_other_head(own, state, head) if replace_head else None
    if classes is not None:
        state.update({name: own[name] for name in head})
        notes.append(f"Head of {classes[0]} classes replaced by a new one of {classes[1]}")
    elif replace_head and head and not any(name in state for name in head):
        state.update({name: own[name] for name in head})
        notes.append("The file has no head; the network's is new")
    load_weights(model, state, weights.source)
    return tuple(notes)


def _read_file(source: str, cache_dir: str | os.PathLike[str], sha256: str | None) -> Any:
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        state = load_checkpoint(source, remedy=_REMEDY, accept_bare=True)
        if sha256 is not None and (found := sha256_of(source)) != sha256.lower():
            raise CheckpointError(f"{source}: has the SHA-256 {found}, expected {sha256}")
        return state

    def check(path: Path) -> None:
        load_checkpoint(path, where=source, remedy="it was dropped, try again", accept_bare=True)

    path = cached_file(source, cache_dir, sha256=sha256, check=check)
    remedy = f"delete {path} to download it again"
    return load_checkpoint(path, where=source, remedy=remedy, accept_bare=True)


def _choose(state: dict[str, Any], which: str, source: str) -> tuple[str, str]:
    """Return which weights to take, "model" or "ema", and a sentence that says so."""
    if "ema_state" not in state:
        if which == "ema":
            raise CheckpointError(
                f"{source}: it has no ema_state, the moving average of the weights; take 'model'"
            )
        return "model", "Took model_state, the only weights in the file"
    errors = {"model": _error(state.get("test_err")), "ema": _error(state.get("ema_err"))}
    if which == "best":
        which = "ema" if errors["ema"] < errors["model"] else "model"
    other = "model" if which == "ema" else "ema"
    return which, (
        f"Took {which}_state (test error {errors[which]:.2f} %), not {other}_state "
        f"({errors[other]:.2f} %)"
    )


def _error(value: Any) -> float:
    """Return an error in percent; 100 where it is missing or not a number, as in pycls."""
    try:
        error = float(value)
    except (TypeError, ValueError):
        return 100.0
    return 100.0 if math.isnan(error) else error


def _without_wrappers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights under the network's own names, without those of what was put around it.

    DDP ("module.") and torch.compile ("_orig_mod.") may have been put around it in any order.
    """
    state = dict(state)
    while state:
        prefix = next((p for p in _WRAPPERS if all(n.startswith(p) for n in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _check_finite(weights: Weights) -> None:
    """Refuse weights of a training that diverged: every answer of the network would be the same."""
    for name, tensor in weights.state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise CheckpointError(
                f"{weights.source}: its weights are not finite: {name} holds {count} of "
                f"{tensor.numel()} values that are infinite or no number; the training that saved "
                "them diverged, take a checkpoint of an earlier epoch"
            )


def _channels_of(state: dict[str, Any]) -> str:
    """Return the channel order of a checkpoint: pycls's own were BGR, on ImageNet only."""
    if state.get("channels") in ("rgb", "bgr"):
        return state["channels"]
    try:
        cfg = parse_yaml(str(state.get("cfg", "")), "cfg")
    except (ConfigError, RecursionError):
        return "rgb"
    train = cfg.get("TRAIN") if isinstance(cfg, dict) else None
    dataset = train.get("DATASET") if isinstance(train, dict) else None
    return "bgr" if str(dataset).lower() == "imagenet" else "rgb"


def _first_convolution(own: dict[str, torch.Tensor]) -> str:
    """Return the name of the weights that take the image, out x 3 x height x width."""
    for name, tensor in own.items():
        if tensor.dim() == 4 and tensor.shape[1] == 3:
            return name
    raise CheckpointError("the network has no convolution of 3 input channels to reverse for RGB")


def _classes_of_other_head(
    own: dict[str, torch.Tensor], state: dict[str, torch.Tensor], classifier: list[str]
) -> tuple[int, int] | None:
    """Return (classes in `state`, classes in `own`) where nothing but they differs, else None."""
    if own.keys() != state.keys():
        return None
    other = [name for name in own if own[name].shape != state[name].shape]
    same_inputs = all(
        own[name].dim() == state[name].dim() and own[name].shape[1:] == state[name].shape[1:]
        for name in classifier
    )
    if not other or other != classifier or not same_inputs:
        return None
    counts = {len(state[name]) for name in classifier}
    return (counts.pop(), len(own[classifier[0]])) if len(counts) == 1 else None
