"""Applies mixed precision: the type the network computes in, and the scaling for fp16."""

from collections.abc import Iterable
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.errors import ConfigError

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class Precision:
    """The number formats of a run.

    Attributes:
        dtype: what convolutions and matrix products compute in; None: float32 throughout.
        scaler: scales the loss so that small gradients survive in float16; None: not needed.
    """

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        """Read TRAIN.MIXED_PRECISION and TRAIN.MIXED_DTYPE.

        Raises:
            ConfigError: float16 on the CPU.
        """
        self._device_type = device.type
        self.dtype: torch.dtype | None = None
        self.scaler: torch.amp.GradScaler | None = None
        if not cfg.TRAIN.MIXED_PRECISION:
            return
        name = cfg.TRAIN.MIXED_DTYPE
        if name == "auto":
            name = "float16" if device.type == "cuda" else "bfloat16"
        if name == "float16" and device.type != "cuda":
            raise ConfigError(
                "TRAIN.MIXED_DTYPE is 'float16', which the CPU computes no faster; use 'bfloat16' "
                "or 'auto', or TRAIN.MIXED_PRECISION False"
            )
        self.dtype = _DTYPES[name]
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
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold of it."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a checkpoint's state."""
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)
