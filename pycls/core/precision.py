"""Applies mixed precision: the type the network computes in, and the scaling for fp16."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.gpu import has_bfloat16
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu
from pycls.models.network_types import is_foreign

_CAST = (nn.Conv2d, nn.Linear)  # what autocast computes in the lower format
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


def half_weights(model: nn.Module, cfg: CfgNode, dtype: torch.dtype | None) -> "HalfWeights | None":
    """Return what casts the weights of a step; None where that is left to autocast.

    So it is on the CPU, where a kernel costs nothing to begin, and where something else has the
    network in hand: several processes, the compiler, another library's code.

    Args:
        model: the network that the step trains.
        cfg: the configuration.
        dtype: what the network computes in; None: float32.
    """
    if dtype is None or not is_gpu(next(model.parameters()).device):
        return None
    if cfg.NUM_GPUS > 1 or cfg.TRAIN.COMPILE or is_foreign(cfg):
        return None
    return HalfWeights(model, dtype)


class HalfWeights:
    """Weights and biases of a network in a lower format, for one step at a time.

    Autocast casts each weight by itself, and each weight's gradient: two kernels a layer, which are
    short and, in deep networks of narrow layers, a good part of all. The numbers are the same.

    Args:
        model: the network; layers that use parameters of others are left to autocast.
        dtype: the format.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._places: list[tuple[nn.Module, str, nn.Parameter]] = []
        shared: dict[int, int] = {}
        for module in model.modules():
            for parameter in module.parameters(recurse=False):
                shared[id(parameter)] = shared.get(id(parameter), 0) + 1
        for module in model.modules():
            if not isinstance(module, _CAST):
                continue
            for name, parameter in module.named_parameters(recurse=False):
                is_plain = parameter.dtype == torch.float32 and parameter.requires_grad
                if is_plain and shared[id(parameter)] == 1:
                    self._places.append((module, name, parameter))
        self._wholes = [parameter for _, _, parameter in self._places]
        self._halves = [nn.Parameter(whole.detach().to(dtype)) for whole in self._wholes]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute with the lower format within a `with` block, forward and backward.

        Behind it the gradients are the network's own parameters', added to those that there were.
        """
        with torch.no_grad():
            torch._foreach_copy_([*self._halves], [*self._wholes])
        for half in self._halves:
            half.grad = None
        try:
            for (module, name, _), half in zip(self._places, self._halves, strict=True):
                module._parameters[name] = half
            yield
        finally:
            for module, name, parameter in self._places:
                module._parameters[name] = parameter
        self._give_gradients()

    @torch.no_grad()
    def _give_gradients(self) -> None:
        pairs = [
            (parameter, half.grad)
            for (_, _, parameter), half in zip(self._places, self._halves, strict=True)
            if half.grad is not None
        ]
        gradients = [torch.empty_like(parameter) for parameter, _ in pairs]
        torch._foreach_copy_(gradients, [gradient for _, gradient in pairs])
        for (parameter, _), gradient in zip(pairs, gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
