"""Counts networks whose layers are not all ours: by the same rules, or not at all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# What costs multiply-adds, or as max pooling outputs, wherever it is called from; all else
# (normalisation, activations, sums, average pooling) is free by the rules of counting.
_COSTS = frozenset(
    {
        "addbmm", "addmm", "baddbmm", "bilinear", "bmm", "chain_matmul", "conv1d", "conv2d",
        "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "einsum", "linear",
        "lstm", "gru", "matmul", "__matmul__", "__rmatmul__", "max_pool1d", "max_pool2d",
        "max_pool3d", "mm", "multi_head_attention_forward", "mv", "scaled_dot_product_attention",
        "tensordot", "_native_multi_head_attention", "_transformer_encoder_layer_fwd",
        "adaptive_max_pool2d", "fractional_max_pool2d", "max_pool2d_with_indices",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """What a network costs for one image.

    Attributes:
        counts: params, and flops and acts where every layer has a rule.
        without_rule: the layers without one, as "what (where)".
    """

    counts: dict[str, int]
    without_rule: tuple[str, ...]


def count_foreign(model: nn.Module, im_size: int) -> Counted:
    """Count a network on the meta device by what its layers give for one image.

    Rules have 2D convolutions, linear layers and max pooling, as in
    :mod:`pycls.models.counting`. A product or convolution that anything else computes has none.

    Args:
        model: its mode is left as it was.
        im_size: height and width of the image in pixels.

    Raises:
        RuntimeError, and what else a network may raise: it cannot take such an image.
    """
    found = _Found()
    params = sum(p.numel() for p in model.parameters())
    was_training = model.training
    try:
        model.eval()
        with _watched(model, found), torch.no_grad(), found:
            model(torch.empty(1, 3, im_size, im_size, device="meta"))
    finally:
        model.train(was_training)
    if found.without_rule:
        return Counted({"params": params}, tuple(dict.fromkeys(found.without_rule)))
    return Counted({"flops": found.flops, "params": params, "acts": found.acts}, ())


class _Found(TorchFunctionMode):
    """Sums over layers with a rule, and what is computed elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.acts = 0, 0
        self.without_rule: list[str] = []
        self.path: list[str] = []  # of the modules that are computing
        self.is_counted = False  # by the layer that is computing

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _COSTS and not self.is_counted:
            where = self.path[-1] if self.path else ""
            self.without_rule.append(f"{name} ({where})" if where else name)
        return func(*args, **(kwargs or {}))


@contextmanager
def _watched(model: nn.Module, found: _Found) -> Iterator[None]:
    hooks = []
    for name, module in model.named_modules():
        hooks += _hooks(name, module, found)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hooks(name: str, module: nn.Module, found: _Found) -> list[Any]:
    has_rule = isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d)

    def before(module: nn.Module, given: Any) -> None:
        found.path.append(f"{name}, {type(module).__name__}" if name else type(module).__name__)
        found.is_counted = found.is_counted or has_rule

    def after(module: nn.Module, given: Any, output: Any) -> None:
        found.path.pop()
        if has_rule:
            found.is_counted = False
            elements = output.numel()
            found.acts += elements
            found.flops += _cost_of_output(module) * elements

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _cost_of_output(module: nn.Module) -> int:
    """Return the multiply-adds of an element that a layer gives."""
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size[0] * module.kernel_size[1]
        return kernel * (module.in_channels // module.groups) + (module.bias is not None)
    if isinstance(module, nn.Linear):
        return module.in_features + (module.bias is not None)
    return 0
