"""Initial weights, drawn from a generator of their own."""

import math

import torch
from torch import nn

from pycls.models.blocks import BasicTransform, BottleneckTransform


def init_weights(
    model: nn.Module, generator: torch.Generator, *, zero_init_final_gamma: bool = False
) -> None:
    """Initialise all weights and buffers of a network in place.

    Convolutions: normal with variance 2 / fan-out, where the fan-out is k * k * w_out
    whatever the groups (He et al., 2015). Linear layers: normal with deviation 0.01.
    Normalisation: scale 1 and offset 0, or scale 0 for the last one of each residual branch.

    Args:
        model: a network on the CPU; its memory may be uninitialised.
        generator: source of the draws; the same state gives the same weights.
        zero_init_final_gamma: start residual branches at zero (Goyal et al., 2017).
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.weight.fill_(1.0)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.01, generator=generator)
                module.bias.zero_()
        if zero_init_final_gamma:
            for module in model.modules():
                if isinstance(module, BasicTransform | BottleneckTransform):
                    module.final_bn.weight.zero_()
