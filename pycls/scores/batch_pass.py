"""Scores of one batch: a forward pass, whose gradients and activations they share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pycls.scores import formulas
from pycls.scores.undefined import Undefined

_WEIGHTED = (nn.Conv2d, nn.Linear)


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of convolutions, linear layers and projections, without biases.

    Those are the parameters of two dimensions and more that are called a weight: no scales, no
    class tokens, no position embeddings.
    """
    return [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith("weight") and parameter.ndim > 1
    ]


@dataclass
class _Watched:
    """What hooks saw of a forward pass: outputs of weighted layers, and codes of rectifiers."""

    outputs: list[tuple[nn.Module, torch.Tensor]] = field(default_factory=list)
    agreements: list[NDArray[np.float64]] = field(default_factory=list)


def batch_scores(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, num_classes: int
) -> dict[str, float | str]:
    """Return the scores that need a batch; a text where one is undefined: why.

    The network is in training mode, so that batch normalisation takes the batch's statistics. With
    w the weights of :func:`weights_of`, L the mean cross-entropy of the batch, g its gradient:

    - grad_norm: sum over layers of ||g||_2 (Abdelfattah et al., Zero-Cost Proxies for Lightweight
      NAS, ICLR 2021, arXiv:2101.08134, section 3.1).
    - plain: sum of w g (the same's `plain`, after Mozer and Smolensky, Skeletonization, NIPS 1988).
    - snip: sum of |w g| (Lee, Ajanthan and Torr, SNIP, ICLR 2019, arXiv:1810.02340, equation 5;
      summed as by Abdelfattah et al.).
    - grasp: sum of -w (H g), H the Hessian of L (Wang, Zhang and Grosse, GraSP, ICLR 2020,
      arXiv:2002.07376, equation 8; summed as by Abdelfattah et al.).
    - fisher: sum over channels c of 1/(2N) sum_n (sum_ij A_nc,ij dl_n/dA_nc,ij)^2, A the outputs of
      convolutions and linear layers, l_n the cross-entropy of image n (Theis et al., Faster gaze
      prediction, 2018, arXiv:1801.05787, equation 10; Turner et al., BlockSwap, ICLR 2020,
      arXiv:1906.04113, equation 2).
    - jacob_cov, epe_nas, naswot: see :mod:`pycls.scores.formulas`.

    Args:
        model: changed: its batch-norm statistics, and in-place layers no longer are.
        images: N x 3 x H x W, normalised.
        labels: N, int64.
        num_classes: of the data set.
    """
    model.train()
    weights = weights_of(model)
    images = images.detach().clone().requires_grad_()
    # The fused attention has no second derivative.
    with _watching(model) as seen, sdpa_kernel(SDPBackend.MATH):
        logits = model(images)
    loss = F.cross_entropy(logits, labels)
    (jacobian,) = torch.autograd.grad(logits.sum(), images, retain_graph=True)
    rows = jacobian.flatten(1).double().cpu().numpy()
    outputs = [output for _, output in seen.outputs]
    both = torch.autograd.grad(
        loss, [*weights, *outputs], create_graph=True, materialize_grads=True
    )
    gradients, by_output = both[: len(weights)], both[len(weights) :]
    products = [(w * g.detach()).double() for w, g in zip(weights, gradients, strict=True)]
    makers: dict[str, Callable[[], float]] = {
        "grad_norm": lambda: _total(g.detach().double().norm() for g in gradients),
        "plain": lambda: _total(product.sum() for product in products),
        "snip": lambda: _total(product.abs().sum() for product in products),
        "grasp": lambda: _grasp(weights, gradients),
        "fisher": lambda: _fisher(seen.outputs, by_output, len(images)),
        "jacob_cov": lambda: formulas.jacobian_covariance(rows),
        "naswot": lambda: formulas.naswot(seen.agreements),
        "epe_nas": lambda: formulas.epe_nas(rows, labels.cpu().numpy(), num_classes),
    }
    return {name: value_or_reason(make) for name, make in makers.items()}


def value_or_reason(make: Callable[[], float]) -> float | str:
    """Return a score, or why there is none."""
    try:
        value = make()
    except Undefined as why:
        return str(why)
    return value if np.isfinite(value) else f"it is {value}"


def _total(parts: Iterator[torch.Tensor]) -> float:
    return float(sum(part.item() for part in parts))


def _grasp(weights: list[nn.Parameter], gradients: tuple[torch.Tensor, ...]) -> float:
    # Of half g . g the gradient is H g.
    half = sum((g.square().sum() for g in gradients), torch.zeros(())) / 2
    try:
        curved = torch.autograd.grad(half, weights, materialize_grads=True)
    except RuntimeError as error:
        if "derivative" not in str(error):
            raise
        raise Undefined("a layer has no second derivative") from None
    return _total(-(w.detach() * h).double().sum() for w, h in zip(weights, curved, strict=True))


def _fisher(
    outputs: list[tuple[nn.Module, torch.Tensor]],
    gradients: tuple[torch.Tensor, ...],
    images: int,
) -> float:
    total = 0.0
    for (layer, output), gradient in zip(outputs, gradients, strict=True):
        # Of the mean over images, so times their number; channels are the second dimension of
        # convolutions' outputs and the last of linear layers'.
        each = (output.detach() * gradient.detach() * images).double()
        is_map = isinstance(layer, nn.Conv2d)
        each = (
            each.flatten(2).sum(-1) if is_map else each.reshape(images, -1, each.shape[-1]).sum(1)
        )
        total += float(each.square().sum()) / (2 * images)
    return total


@contextmanager
def _watching(model: nn.Module) -> Iterator[_Watched]:
    seen = _Watched()

    def keep_output(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        seen.outputs.append((module, output))

    def keep_code(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        code = (output.detach() > 0).flatten(1).float()
        off = 1 - code
        seen.agreements.append((code @ code.T + off @ off.T).double().cpu().numpy())

    hooks = []
    for module in model.modules():
        if isinstance(getattr(module, "inplace", None), bool):
            module.__dict__["inplace"] = False  # outputs that are looked at stay as they were
        if isinstance(module, _WEIGHTED):
            hooks.append(module.register_forward_hook(keep_output))
        elif isinstance(module, nn.ReLU):
            hooks.append(module.register_forward_hook(keep_code))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
