"""Initial weights, drawn from a generator of their own."""

import math

import torch
from torch import nn

from pycls.models.blocks import BasicTransform, BottleneckTransform, Perceptron
from pycls.models.layers import SelfAttention
from pycls.models.networks.vit import ConvolutionalStem, PatchStem, ViT, ViTHead


def init_weights(
    model: nn.Module, generator: torch.Generator, *, zero_init_final_gamma: bool = False
) -> None:
    """Initialise all weights and buffers of a network in place.

    Convolutions: normal with variance 2 / fan-out, where the fan-out is k * k * w_out
    whatever the groups (He et al., 2015). Linear layers: normal with deviation 0.01.
    Normalisation: scale 1 and offset 0, or scale 0 for the last one of each residual branch.
    Vision transformers have rules of their own, see :func:`_init_vit`.

    Args:
        model: a network on the CPU; its memory may be uninitialised.
        generator: source of the draws; the same state gives the same weights.
        zero_init_final_gamma: start residual branches at zero (Goyal et al., 2017).
    """
    with torch.no_grad():
        if isinstance(model, ViT):
            _init_vit(model, generator)
        else:
            _init_convnet(model, generator)
        if zero_init_final_gamma:
            for module in model.modules():
                if isinstance(module, BasicTransform | BottleneckTransform):
                    module.final_bn.weight.zero_()


def _init_convnet(model: nn.Module, generator: torch.Generator) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            _init_norm(module)
        elif isinstance(module, nn.Linear):
            module.weight.normal_(0.0, 0.01, generator=generator)
            module.bias.zero_()


def _init_vit(model: ViT, generator: torch.Generator) -> None:
    """Initialise a vision transformer as pycls does.

    Patches: normal with variance 1 / fan-in. Convolutional stem: uniform with bound
    1 / sqrt(fan-in), the last one normal with variance 2 / w_out. Attention and perceptron:
    Xavier's uniform; the output projection of attention uniform with bound 1 / sqrt(fan-in).
    Position embedding: normal with deviation 0.02. Class token and head: zero.
    """
    for module in model.modules():
        if isinstance(module, PatchStem):
            fan_in = module.patchify.weight[0].numel()
            nn.init.trunc_normal_(
                module.patchify.weight, std=math.sqrt(1.0 / fan_in), generator=generator
            )
            _zero(module.patchify.bias)
        elif isinstance(module, ConvolutionalStem):
            _init_convolutional_stem(module, generator)
        elif isinstance(module, SelfAttention):
            nn.init.xavier_uniform_(module.block.in_proj_weight, generator=generator)
            module.block.in_proj_bias.zero_()
            _uniform_by_fan_in(module.block.out_proj.weight, generator)
            _zero(module.block.out_proj.bias)
        elif isinstance(module, Perceptron):
            for linear in (module.linear_1, module.linear_2):
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                linear.bias.normal_(0.0, 1e-6, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            _init_norm(module)
        elif isinstance(module, ViTHead):
            module.head_fc.weight.zero_()
            _zero(module.head_fc.bias)
    model.pos_embedding.normal_(0.0, 0.02, generator=generator)
    _zero(model.class_token)


def _init_convolutional_stem(stem: ConvolutionalStem, generator: torch.Generator) -> None:
    convolutions = [module for module in stem if isinstance(module, nn.Conv2d)]
    for convolution in convolutions[:-1]:
        _uniform_by_fan_in(convolution.weight, generator)
    last = convolutions[-1]
    last.weight.normal_(0.0, math.sqrt(2.0 / last.out_channels), generator=generator)
    _zero(last.bias)


def _init_norm(module: nn.BatchNorm2d | nn.LayerNorm) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.reset_running_stats()
    module.weight.fill_(1.0)
    module.bias.zero_()


def _uniform_by_fan_in(weight: torch.Tensor, generator: torch.Generator) -> None:
    bound = 1.0 / math.sqrt(weight[0].numel())
    weight.uniform_(-bound, bound, generator=generator)


def _zero(parameter: torch.Tensor | None) -> None:
    if parameter is not None:
        parameter.zero_()
