"""Casts a network's weights to the format that it computes in, all in one kernel a step.

Autocast casts each weight by itself, and each weight's gradient: two kernels a layer, which are
short and, in deep networks of narrow layers, a good part of all. The numbers are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.gpu_devices import is_gpu
from pycls.models.network_types import is_foreign

_CAST = (nn.Conv2d, nn.Linear)  # what autocast computes in the lower format


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
