"""Applies mixed precision: the type the network computes in, and the scaling for fp16."""

from collections.abc import Iterable
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.core.gpu import has_bfloat16
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu

_DTYPES = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def choose_format(cfg: CfgNode, device: torch.device) -> str:
    """Return "float32", "bfloat16" or "float16", by the configuration and the device.

    Raises:
        ConfigError: float16 on the CPU.
    """
    is_mixed = cfg.TRAIN.MIXED_PRECISION
    if is_mixed == "auto":
        is_mixed = is_gpu(device) and has_bfloat16(device)
    if not is_mixed:
        return "float32"
    name: str = cfg.TRAIN.MIXED_DTYPE
    if name == "auto":
        old_gpu = is_gpu(device) and not has_bfloat16(device)
        return "float16" if old_gpu else "bfloat16"
    if name == "float16" and not is_gpu(device):
        raise ConfigError(
            "TRAIN.MIXED_DTYPE is 'float16', which the CPU computes no faster; use 'bfloat16' "
            "or 'auto', or TRAIN.MIXED_PRECISION False"
        )
    return name


class Precision:
    """The number formats of a run.

    Attributes:
        name: of the format, as a run's record has it: "float32", "bfloat16" or "float16".
        dtype: what convolutions and matrix products compute in; None: float32 throughout.
        scaler: scales the loss so that small gradients survive in float16; None: not needed.
    """

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        """Read TRAIN.MIXED_PRECISION and TRAIN.MIXED_DTYPE.

        Raises:
            ConfigError: float16 on the CPU.
        """
        self._device_type = device.type
        self.name = choose_format(cfg, device)
        self.dtype = _DTYPES[self.name]
        self.scaler: torch.amp.GradScaler | None = None
        if self.dtype is torch.float16:
            self.scaler = torch.amp.GradScaler(device.type)

    def autocast(self) -> torch.autocast:
        """Return a new context in which a network computes in the run's format."""
        return torch.autocast(
            self._device_type, dtype=self.dtype or torch.bfloat16, enabled=self.dtype is not None
        )

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of a loss, scaled where the format needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def step(
        self, optimizer: torch.optim.Optimizer, parameters: Iterable[torch.Tensor], max_norm: float
    ) -> None:
        """Clip the gradients to a norm (0: do not) and update the weights.

        A step whose float16 gradients are not finite is left out, and the scale lowered.
        """
        if max_norm > 0:
            if self.scaler is not None:
                self.scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        if self.scaler is None:
            optimizer.step()
            return
        is_first = not optimizer.state
        self.scaler.step(optimizer)
        self.scaler.update()
        if is_first:
            _forget_overflow(optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold of it."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)


def _forget_overflow(optimizer: torch.optim.Optimizer) -> None:
    """Let the next step be the first, where the first one's gradients were not finite.

    PyTorch's fused SGD takes memory for its momentum in the first step, and where that step is
    left out, never writes to it.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    finite = [gradient.isfinite().all() for gradient in gradients if gradient is not None]
    if finite and not torch.stack(finite).all():
        optimizer.state.clear()
