"""Residual and plain blocks, the stage's building stones.

Attribute names are the state-dict names of pycls and so the contract of its checkpoints;
their order is the order of the keys.
"""

import torch
from torch import nn

from pycls.models.layers import LayerOptions, SqueezeExcitation, conv2d
from pycls.models.vocabulary import BLOCK_TYPES


class VanillaBlock(nn.Module):
    """Two 3x3 convolutions without a skip connection."""

    def __init__(self, w_in: int, w_out: int, stride: int, options: LayerOptions) -> None:
        super().__init__()
        self.a = conv2d(w_in, w_out, 3, stride=stride)
        self.a_bn = options.norm(w_out)
        self.a_af = options.activation()
        self.b = conv2d(w_out, w_out, 3)
        self.b_bn = options.norm(w_out)
        self.b_af = options.activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        x = self.a_af(self.a_bn(self.a(x)))
        return self.b_af(self.b_bn(self.b(x)))


class BasicTransform(nn.Module):
    """Two 3x3 convolutions, the residual function of a basic block."""

    def __init__(self, w_in: int, w_out: int, stride: int, options: LayerOptions) -> None:
        super().__init__()
        self.a = conv2d(w_in, w_out, 3, stride=stride)
        self.a_bn = options.norm(w_out)
        self.a_af = options.activation()
        self.b = conv2d(w_out, w_out, 3)
        self.b_bn = options.norm(w_out)

    @property
    def final_bn(self) -> nn.BatchNorm2d:
        """The last normalisation, whose scale may start at zero."""
        return self.b_bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        x = self.a_af(self.a_bn(self.a(x)))
        return self.b_bn(self.b(x))


class BottleneckTransform(nn.Module):
    """1x1, 3x3 grouped, [squeeze-excitation], 1x1: the residual function of a bottleneck.

    Args:
        w_in: input channels.
        w_out: output channels.
        stride: stride of the 3x3 convolution.
        bot_mul: bottleneck width as a multiple of `w_out` (1 / b in the study's notation).
        group_w: channels of a group of the 3x3 convolution (g); divides the bottleneck.
        se_r: width of the squeeze as a multiple of `w_in`; None for no squeeze-excitation.
        options: normalisation and activation.
    """

    def __init__(
        self,
        w_in: int,
        w_out: int,
        stride: int,
        bot_mul: float,
        group_w: int,
        se_r: float | None,
        options: LayerOptions,
    ) -> None:
        super().__init__()
        width = round(w_out * bot_mul)
        self.a = conv2d(w_in, width, 1)
        self.a_bn = options.norm(width)
        self.a_af = options.activation()
        self.b = conv2d(width, width, 3, stride=stride, groups=width // group_w)
        self.b_bn = options.norm(width)
        self.b_af = options.activation()
        self.se = SqueezeExcitation(width, round(w_in * se_r), options) if se_r else None
        self.c = conv2d(width, w_out, 1)
        self.c_bn = options.norm(w_out)

    @property
    def final_bn(self) -> nn.BatchNorm2d:
        """The last normalisation, whose scale may start at zero."""
        return self.c_bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        x = self.a_af(self.a_bn(self.a(x)))
        x = self.b_af(self.b_bn(self.b(x)))
        if self.se is not None:
            x = self.se(x)
        return self.c_bn(self.c(x))


class ResidualBlock(nn.Module):
    """x + f(x), then an activation (He et al., 2016).

    Where f changes the width or the size, x passes a 1x1 convolution and a normalisation.
    """

    def __init__(
        self, w_in: int, w_out: int, stride: int, transform: nn.Module, options: LayerOptions
    ) -> None:
        super().__init__()
        self.proj: nn.Conv2d | None = None
        self.bn: nn.BatchNorm2d | None = None
        if w_in != w_out or stride != 1:
            self.proj = conv2d(w_in, w_out, 1, stride=stride)
            self.bn = options.norm(w_out)
        self.f = transform
        self.af = options.activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        skip = x if self.proj is None or self.bn is None else self.bn(self.proj(x))
        return self.af(skip + self.f(x))


class LinearResidualBlock(nn.Module):
    """f(x), plus x where the shapes agree; nothing after it (Sandler et al., 2018)."""

    def __init__(self, w_in: int, w_out: int, stride: int, transform: nn.Module) -> None:
        super().__init__()
        self.has_skip = w_in == w_out and stride == 1
        self.f = transform

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        return x + self.f(x) if self.has_skip else self.f(x)


def build_block(
    block_type: str,
    w_in: int,
    w_out: int,
    stride: int,
    *,
    bot_mul: float,
    group_w: int,
    se_r: float | None,
    options: LayerOptions,
) -> nn.Module:
    """Return a block of a type in :data:`BLOCK_TYPES`.

    The vanilla and the basic block have no bottleneck: `bot_mul`, `group_w` and `se_r`
    do not concern them.
    """
    if block_type == "vanilla_block":
        return VanillaBlock(w_in, w_out, stride, options)
    if block_type == "res_basic_block":
        return ResidualBlock(
            w_in, w_out, stride, BasicTransform(w_in, w_out, stride, options), options
        )
    bottleneck = BottleneckTransform(w_in, w_out, stride, bot_mul, group_w, se_r, options)
    if block_type == "res_bottleneck_block":
        return ResidualBlock(w_in, w_out, stride, bottleneck, options)
    if block_type == "res_bottleneck_linear_block":
        return LinearResidualBlock(w_in, w_out, stride, bottleneck)
    raise ValueError(f"block type {block_type!r}; expected one of {', '.join(BLOCK_TYPES)}")
