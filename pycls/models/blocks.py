"""Defines the blocks that stages are made of: plain, residual, inverted.

Attribute names are the state-dict names of pycls and so the contract of its checkpoints;
their order is the order of the keys. :data:`BLOCKS` holds the blocks of an AnyNet by name.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import nn

from pycls.errors import ConfigError
from pycls.models.layers import (
    DropConnect,
    LayerOptions,
    SelfAttention,
    SqueezeExcitation,
    branches,
    conv2d,
)


@dataclass(frozen=True)
class BlockOptions:
    """What a block of an AnyNet is built with, beside its widths and its stride.

    Attributes:
        bot_mul: bottleneck width as a multiple of the output width (1 / b in the study's
            notation).
        group_w: channels of a group of the 3x3 convolution (g).
        se_r: width of the squeeze as a multiple of the input width; None: no
            squeeze-excitation.
        stride_1x1: the first convolution takes the stride, not the 3x3, as in the first ResNets.
        layers: normalisation and activation.
    """

    bot_mul: float = 1.0
    group_w: int = 1
    se_r: float | None = None
    stride_1x1: bool = False
    layers: LayerOptions = field(default_factory=LayerOptions)


class Block(nn.Module):
    """A block of an AnyNet: N x w_in x H x W to N x w_out x H/stride x W/stride.

    Attributes:
        has_groups: whether it has a bottleneck and groups; others ignore all options but
            `layers`.

    Args:
        w_in: input channels.
        w_out: output channels.
        stride: of the block.
        options: all the rest.
    """

    has_groups: ClassVar[bool] = False

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__()


class BasicTransform(Block):
    """Two 3x3 convolutions, the residual function of a basic block."""

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__(w_in, w_out, stride, options)
        self.a = conv2d(w_in, w_out, 3, stride=stride)
        self.a_bn = options.layers.norm(w_out)
        self.a_af = options.layers.activation()
        self.b = conv2d(w_out, w_out, 3)
        self.b_bn = options.layers.norm(w_out)

    def forward(
        self, x: torch.Tensor, skip: torch.Tensor | None = None, activation: nn.Module | None = None
    ) -> torch.Tensor:
        """Return activation(skip + f(x)), N x w_out x H/stride x W/stride."""
        x = self.a_bn.then(self.a(x), self.a_af)
        return self.b_bn.then(self.b(x), activation, skip)


class BottleneckTransform(Block):
    """1x1, 3x3 grouped, [squeeze-excitation], 1x1: the residual function of a bottleneck."""

    has_groups = True

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__(w_in, w_out, stride, options)
        layers = options.layers
        stride_a, stride_b = (stride, 1) if options.stride_1x1 else (1, stride)
        width = round(w_out * options.bot_mul)
        self.a = conv2d(w_in, width, 1, stride=stride_a)
        self.a_bn = layers.norm(width)
        self.a_af = layers.activation()
        self.b = conv2d(width, width, 3, stride=stride_b, groups=width // options.group_w)
        self.b_bn = layers.norm(width)
        self.b_af = layers.activation()
        squeezed = round(w_in * options.se_r) if options.se_r else 0
        self.se = SqueezeExcitation(width, squeezed, layers) if squeezed else None
        self.c = conv2d(width, w_out, 1)
        self.c_bn = layers.norm(w_out)

    def forward(
        self, x: torch.Tensor, skip: torch.Tensor | None = None, activation: nn.Module | None = None
    ) -> torch.Tensor:
        """Return activation(skip + f(x)), N x w_out x H/stride x W/stride."""
        x = self.a_bn.then(self.a(x), self.a_af)
        x = self.b_bn.then(self.b(x), self.b_af)
        if self.se is not None:
            x = self.se(x)
        return self.c_bn.then(self.c(x), activation, skip)


class VanillaBlock(BasicTransform):
    """Two 3x3 convolutions without a skip connection, each with its activation."""

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__(w_in, w_out, stride, options)
        self.b_af = options.layers.activation()

    def forward(
        self, x: torch.Tensor, skip: torch.Tensor | None = None, activation: nn.Module | None = None
    ) -> torch.Tensor:
        """Return b_af(skip + f(x)), N x w_out x H/stride x W/stride."""
        return super().forward(x, skip, activation or self.b_af)


class ResidualBlock(Block):
    """x + f(x), then an activation (He et al., 2016).

    Where f changes the width or the size, x passes a 1x1 convolution and a normalisation.

    Attributes:
        transform: the class of f, whose last layer is a normalisation.
    """

    transform: ClassVar[type[Block]] = BasicTransform

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__(w_in, w_out, stride, options)
        self.proj: nn.Conv2d | None = None
        self.bn: nn.BatchNorm2d | None = None
        if w_in != w_out or stride != 1:
            self.proj = conv2d(w_in, w_out, 1, stride=stride)
            self.bn = options.layers.norm(w_out)
        self.f = self.transform(w_in, w_out, stride, options)
        self.af = options.layers.activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        x, second = branches(x)
        skip = second if self.proj is None or self.bn is None else self.bn(self.proj(second))
        return self.f(x, skip, self.af)


class BottleneckBlock(ResidualBlock):
    """A residual block around a bottleneck."""

    has_groups = True
    transform = BottleneckTransform


class LinearBottleneckBlock(Block):
    """f(x), plus x where the shapes agree; nothing after it (Sandler et al., 2018)."""

    has_groups = True

    def __init__(self, w_in: int, w_out: int, stride: int, options: BlockOptions) -> None:
        super().__init__(w_in, w_out, stride, options)
        self.has_skip = w_in == w_out and stride == 1
        self.f = BottleneckTransform(w_in, w_out, stride, options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        x, second = branches(x)
        return self.f(x, second if self.has_skip else None)


class MBConv(nn.Module):
    """Inverted bottleneck of EfficientNet (Tan and Le, 2019; Sandler et al., 2018).

    [1x1 expansion], depthwise convolution, squeeze-excitation, 1x1 without activation; x is
    added where the shapes agree.

    Args:
        w_in: input channels.
        w_out: output channels.
        stride: stride of the depthwise convolution.
        kernel: its kernel size, odd.
        exp_ratio: depthwise channels as a multiple of `w_in`; 1: no expansion.
        se_r: squeeze channels as a multiple of `w_in` (rounded down).
        drop_connect: share of the images whose branch is dropped while training.
        options: normalisation and activation.
    """

    def __init__(
        self,
        w_in: int,
        w_out: int,
        stride: int,
        *,
        kernel: int,
        exp_ratio: float,
        se_r: float,
        drop_connect: float,
        options: LayerOptions,
    ) -> None:
        super().__init__()
        w_exp = int(w_in * exp_ratio)
        self.exp: nn.Conv2d | None = None
        if w_exp != w_in:
            self.exp = conv2d(w_in, w_exp, 1)
            self.exp_bn = options.norm(w_exp)
            self.exp_af = options.activation()
        self.dwise = conv2d(w_exp, w_exp, kernel, stride=stride, groups=w_exp)
        self.dwise_bn = options.norm(w_exp)
        self.dwise_af = options.activation()
        self.se = SqueezeExcitation(w_exp, int(w_in * se_r), options)
        self.lin_proj = conv2d(w_exp, w_out, 1)
        self.lin_proj_bn = options.norm(w_out)
        self.has_skip = stride == 1 and w_in == w_out
        self.drop_connect = DropConnect(drop_connect)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x w_out x H/stride x W/stride."""
        f_x = x if self.exp is None else self.exp_bn.then(self.exp(x), self.exp_af)
        f_x = self.dwise_bn.then(self.dwise(f_x), self.dwise_af)
        f_x = self.lin_proj_bn(self.lin_proj(self.se(f_x)))
        return x + self.drop_connect(f_x) if self.has_skip else f_x


class EncoderBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised before and added after.

    The block of the vision transformer (Dosovitskiy et al., 2021).
    """

    def __init__(
        self, hidden_dim: int, num_heads: int, mlp_dim: int, options: LayerOptions
    ) -> None:
        super().__init__()
        self.ln_1 = options.layer_norm(hidden_dim)
        self.self_attention = SelfAttention(hidden_dim, num_heads)
        self.ln_2 = options.layer_norm(hidden_dim)
        self.mlp_block = Perceptron(hidden_dim, mlp_dim, options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x L x hidden_dim tokens to N x L x hidden_dim."""
        x = x + self.self_attention(self.ln_1(x))
        return x + self.mlp_block(self.ln_2(x))


class Perceptron(nn.Module):
    """Linear, GELU, linear; the activation is GELU whatever the network's own is."""

    def __init__(self, width: int, hidden_w: int, options: LayerOptions) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, hidden_w)
        self.af = options.activation("gelu")
        self.linear_2 = nn.Linear(hidden_w, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x L x width to N x L x width."""
        return self.linear_2(self.af(self.linear_1(x)))


BLOCKS: dict[str, type[Block]] = {
    "vanilla_block": VanillaBlock,
    "res_basic_block": ResidualBlock,
    "res_bottleneck_block": BottleneckBlock,
    "res_bottleneck_linear_block": LinearBottleneckBlock,
}


def find_block(block_type: str) -> type[Block]:
    """Return the block of a type in :data:`BLOCKS`.

    Raises:
        ConfigError: no such type.
    """
    if block_type not in BLOCKS:
        raise ConfigError(f"block type {block_type!r}; expected one of {', '.join(BLOCKS)}")
    return BLOCKS[block_type]
