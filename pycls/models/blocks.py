"""The blocks that stages are made of: plain, residual, inverted.

Attribute names are the state-dict names of pycls and so the contract of its checkpoints;
their order is the order of the keys.
"""

import torch
from torch import nn

from pycls.models.layers import DropConnect, LayerOptions, SelfAttention, SqueezeExcitation, conv2d
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
        stride: stride of the 3x3 convolution, or of the first with `stride_1x1`.
        bottleneck_w: channels of the 3x3 convolution.
        groups: groups of the 3x3 convolution; divides `bottleneck_w`.
        squeezed_w: channels of the squeeze; 0: no squeeze-excitation.
        stride_1x1: the first convolution takes the stride, as in the first ResNets.
        options: normalisation and activation.
    """

    def __init__(
        self,
        w_in: int,
        w_out: int,
        stride: int,
        *,
        bottleneck_w: int,
        groups: int,
        squeezed_w: int,
        stride_1x1: bool,
        options: LayerOptions,
    ) -> None:
        super().__init__()
        stride_a, stride_b = (stride, 1) if stride_1x1 else (1, stride)
        self.a = conv2d(w_in, bottleneck_w, 1, stride=stride_a)
        self.a_bn = options.norm(bottleneck_w)
        self.a_af = options.activation()
        self.b = conv2d(bottleneck_w, bottleneck_w, 3, stride=stride_b, groups=groups)
        self.b_bn = options.norm(bottleneck_w)
        self.b_af = options.activation()
        self.se: nn.Module | None = None
        if squeezed_w:
            self.se = SqueezeExcitation(bottleneck_w, squeezed_w, options)
        self.c = conv2d(bottleneck_w, w_out, 1)
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
        f_x = x if self.exp is None else self.exp_af(self.exp_bn(self.exp(x)))
        f_x = self.dwise_af(self.dwise_bn(self.dwise(f_x)))
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


def build_block(
    block_type: str,
    w_in: int,
    w_out: int,
    stride: int,
    *,
    bot_mul: float,
    group_w: int,
    se_r: float | None,
    stride_1x1: bool = False,
    options: LayerOptions,
) -> nn.Module:
    """Return a block of a type in :data:`BLOCK_TYPES`.

    Args:
        block_type: the vanilla and the basic block have no bottleneck: the options from
            `bot_mul` to `stride_1x1` do not concern them.
        w_in: input channels.
        w_out: output channels.
        stride: of the block.
        bot_mul: bottleneck width as a multiple of `w_out` (1 / b in the study's notation).
        group_w: channels of a group of the 3x3 convolution (g).
        se_r: width of the squeeze as a multiple of `w_in`; None: no squeeze-excitation.
        stride_1x1: the first convolution takes the stride, not the 3x3.
        options: normalisation and activation.
    """
    if block_type == "vanilla_block":
        return VanillaBlock(w_in, w_out, stride, options)
    if block_type == "res_basic_block":
        return ResidualBlock(
            w_in, w_out, stride, BasicTransform(w_in, w_out, stride, options), options
        )
    bottleneck_w = round(w_out * bot_mul)
    bottleneck = BottleneckTransform(
        w_in,
        w_out,
        stride,
        bottleneck_w=bottleneck_w,
        groups=bottleneck_w // group_w,
        squeezed_w=round(w_in * se_r) if se_r else 0,
        stride_1x1=stride_1x1,
        options=options,
    )
    if block_type == "res_bottleneck_block":
        return ResidualBlock(w_in, w_out, stride, bottleneck, options)
    if block_type == "res_bottleneck_linear_block":
        return LinearResidualBlock(w_in, w_out, stride, bottleneck)
    raise ValueError(f"block type {block_type!r}; expected one of {', '.join(BLOCK_TYPES)}")
