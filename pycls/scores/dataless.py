"""Scores that need no images: of the weights alone, SynFlow and Zen."""

import copy
import math

import torch
from torch import nn

from pycls.models.blocks import LinearBottleneckBlock, MBConv, ResidualBlock
from pycls.models.layers import DropConnect, SqueezeExcitation
from pycls.models.networks.staged import StagedNetwork
from pycls.scores.batch_pass import weights_of
from pycls.scores.undefined import Undefined

_ZEN_ALPHA = 0.01
_OTHER_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


def l2_norm(model: nn.Module) -> float:
    """Return the sum over layers of ||w||_2 (`l2_norm` of Abdelfattah et al., ICLR 2021)."""
    return float(sum(w.detach().double().norm().item() for w in weights_of(model)))


def synflow(model: nn.Module, im_size: int) -> float:
    """Return the sum of w dR/dw, R the summed output for an image of ones with all |w|.

    Batch normalisation is left out, all parameters are replaced by their absolute values, and the
    computation is in float64. Tanaka, Kunin, Yamins and Ganguli, Pruning neural networks without
    any data, NeurIPS 2020 (arXiv:2006.05467), equation 2; summed as by Abdelfattah et al.

    Args:
        model: the network; left as it is.
        im_size: height and width of the image.

    Raises:
        Undefined: it normalises other than by batches, through which no synaptic flow is conserved.
    """
    model = copy.deepcopy(model).double().eval()
    if any(isinstance(module, _OTHER_NORMS) for module in model.modules()):
        raise Undefined("it normalises other than by batches")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                _make_identity(module)
    weights = weights_of(model)
    image = torch.ones(1, 3, im_size, im_size, dtype=torch.float64)
    flow = model(image).sum()
    gradients = torch.autograd.grad(flow, weights, materialize_grads=True)
    return float(
        sum((w.detach() * g).sum().item() for w, g in zip(weights, gradients, strict=True))
    )


def _make_identity(module: nn.modules.batchnorm._BatchNorm) -> None:
    """Let batch normalisation in evaluation return what it is given."""
    module.eps = 0.0
    if module.running_mean is None or module.running_var is None:
        raise Undefined("its batch normalisation keeps no statistics")
    module.running_mean.zero_()
    module.running_var.fill_(1.0)
    if module.affine:
        module.weight.fill_(1.0)
        module.bias.zero_()


def zen(model: nn.Module, images: int, im_size: int, generator: torch.Generator) -> float:
    """Return log E ||f(x) - f(x + a e)||_F + sum_k log sqrt(mean_c s_kc^2).

    f gives the features before the global pooling, without residual links and squeeze-excitation,
    with weights, x and e drawn from N(0, 1), a = 0.01; s_kc^2 is the variance over the batch of
    channel c before the k-th batch normalisation. Lin et al., Zen-NAS, ICCV 2021
    (arXiv:2102.01063), algorithm 1.

    Args:
        model: the network; left as it is.
        images: size of the batch that the mean is over.
        im_size: height and width of the images.
        generator: of the draws, on the CPU.

    Raises:
        Undefined: it is no network of stages, whose residual links are known.
    """
    if not isinstance(model, StagedNetwork):
        raise Undefined("its residual links are not known")
    model = copy.deepcopy(model).train()
    with torch.no_grad():
        for module in model.modules():
            _make_plain(module)
            if isinstance(module, nn.Conv2d):
                module.weight.normal_(generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1.0)
                module.bias.zero_()
        features: list[torch.Tensor] = []
        variances: list[torch.Tensor] = []
        pooling = next(m for m in model.head.modules() if isinstance(m, nn.AdaptiveAvgPool2d))
        pooling.register_forward_pre_hook(lambda _, given: features.append(given[0].clone()))
        hooks = [
            module.register_forward_pre_hook(
                lambda _, given: variances.append(given[0].double().var((0, 2, 3), correction=0))
            )
            for module in model.modules()
            if isinstance(module, nn.BatchNorm2d)
        ]
        shape = (images, 3, im_size, im_size)
        x = torch.randn(shape, generator=generator)
        moved = x + _ZEN_ALPHA * torch.randn(shape, generator=generator)
        model(x)
        for hook in hooks:
            hook.remove()
        model(moved)
    change = (features[0] - features[1]).double().flatten(1).norm(dim=1).mean().item()
    if not change > 0:
        raise Undefined("its features do not change with the image")
    scales = sum(math.log(math.sqrt(variance.mean().item())) for variance in variances)
    return math.log(change) + scales


def _make_plain(module: nn.Module) -> None:
    """Take residual link and squeeze-excitation out of a block, and chance out of a layer."""
    if isinstance(module, ResidualBlock):
        block = module
        block.__dict__["forward"] = lambda x: block.f(x, None, block.af)
    elif isinstance(module, LinearBottleneckBlock | MBConv):
        module.has_skip = False
    elif isinstance(module, SqueezeExcitation):
        module.__dict__["forward"] = lambda x: x
    elif isinstance(module, DropConnect):
        module.ratio = 0.0
