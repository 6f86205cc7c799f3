"""Draws initial weights, from a generator of their own."""

import math

import torch
from torch import nn

from pycls.models.blocks import LinearBottleneckBlock, ResidualBlock


def init_weights(
    model: nn.Module, generator: torch.Generator, *, zero_init_final_gamma: bool = False
) -> None:
    """Initialise all weights and buffers of a network in place.

    Convolutions: normal with variance 2 / fan-out, where the fan-out is k * k * w_out
    whatever the groups (He et al., 2015). Linear layers: normal with deviation 0.01.
    Normalisation: scale 1 and offset 0, or scale 0 for the last one of each residual branch.
    A network with rules of its own has a method `init_weights(generator)`.

    Args:
        model: a network on the CPU; its memory may be uninitialised.
        generator: source of the draws; the same state gives the same weights.
        zero_init_final_gamma: start residual branches at zero (Goyal et al., 2017).
    """
    with torch.no_grad():
        own_rules = getattr(model, "init_weights", None)
        if own_rules is None:
            _init_convnet(model, generator)
        else:
            own_rules(generator)
        if zero_init_final_gamma:
            for module in model.modules():
                if isinstance(module, ResidualBlock | LinearBottleneckBlock):
                    *_, last = module.f.children()
                    if isinstance(last, nn.BatchNorm2d):
                        last.weight.zero_()


def _init_convnet(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            init_norm(module)
        elif isinstance(module, nn.Linear):
            module.weight.normal_(0.0, 0.01, generator=generator)
            module.bias.zero_()


def init_norm(module: nn.BatchNorm2d | nn.LayerNorm) -> None:
    """Set a normalisation to scale 1 and offset 0, its running statistics to their beginning."""
    if isinstance(module, nn.BatchNorm2d):
        module.reset_running_stats()
    module.weight.fill_(1.0)
    module.bias.zero_()
