"""AnyNet: stem, stages of like blocks, head (Radosavovic et al., 2019 and 2020).

With residual bottleneck blocks and group convolution it is the AnyNetX of the study; the
parameters of a stage are depth d, width w, bottleneck ratio b and group width g.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from pycls.models.blocks import build_block
from pycls.models.layers import LayerOptions, conv2d
from pycls.models.networks.staged import StagedNetwork, build_stages
from pycls.models.vocabulary import STEM_TYPES


@dataclass(frozen=True)
class AnyNetSpec:
    """The architecture of an AnyNet; lists hold one value a stage.

    Attributes:
        depths: blocks of a stage.
        widths: output channels of a stage.
        strides: stride of a stage's first block.
        bot_muls: bottleneck width as a multiple of the width (1 / b); empty: 1.
        group_ws: channels of a group of the 3x3 convolutions; empty: 1.
        num_classes: outputs of the linear layer.
        stem_type: res_stem_cifar, res_stem_in or simple_stem_in.
        stem_w: output channels of the stem.
        block_type: see :data:`pycls.models.vocabulary.BLOCK_TYPES`.
        se_r: squeeze-excitation ratio; None: no squeeze-excitation.
        head_w: width of a 1x1 convolution before the pooling; 0: none.
        stride_1x1: bottlenecks take their stride in the first convolution, not the 3x3.
        options: normalisation and activation.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    num_classes: int
    bot_muls: tuple[float, ...] = ()
    group_ws: tuple[int, ...] = ()
    stem_type: str = "simple_stem_in"
    stem_w: int = 32
    block_type: str = "res_bottleneck_block"
    se_r: float | None = None
    head_w: int = 0
    stride_1x1: bool = False
    options: LayerOptions = field(default_factory=LayerOptions)


class ConvStem(nn.Module):
    """One 3x3 convolution: stride 1 for small images, stride 2 for ImageNet's."""

    def __init__(self, w_out: int, stride: int, options: LayerOptions) -> None:
        super().__init__()
        self.conv = conv2d(3, w_out, 3, stride=stride)
        self.bn = options.norm(w_out)
        self.af = options.activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W to N x w_out x H/stride x W/stride."""
        return self.af(self.bn(self.conv(x)))


class PooledStem(nn.Module):
    """7x7 convolution of stride 2 and 3x3 max pooling of stride 2."""

    def __init__(self, w_out: int, options: LayerOptions) -> None:
        super().__init__()
        self.conv = conv2d(3, w_out, 7, stride=2)
        self.bn = options.norm(w_out)
        self.af = options.activation()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W to N x w_out x H/4 x W/4."""
        return self.pool(self.af(self.bn(self.conv(x))))


class Head(nn.Module):
    """[1x1 convolution], global average pooling, linear layer."""

    def __init__(self, w_in: int, head_w: int, num_classes: int, options: LayerOptions) -> None:
        super().__init__()
        self.conv: nn.Conv2d | None = None
        if head_w > 0:
            self.conv = conv2d(w_in, head_w, 1)
            self.bn = options.norm(head_w)
            self.af = options.activation()
            w_in = head_w
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(w_in, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x num_classes logits."""
        if self.conv is not None:
            x = self.af(self.bn(self.conv(x)))
        return self.fc(self.avg_pool(x).flatten(1))


class AnyNet(StagedNetwork):
    """A network of the AnyNet design space; see :class:`AnyNetSpec`."""

    def __init__(self, spec: AnyNetSpec) -> None:
        def block(stage: int, w_in: int, w_out: int, stride: int) -> nn.Module:
            return build_block(
                spec.block_type,
                w_in,
                w_out,
                stride,
                bot_mul=spec.bot_muls[stage] if spec.bot_muls else 1.0,
                group_w=spec.group_ws[stage] if spec.group_ws else 1,
                se_r=spec.se_r,
                stride_1x1=spec.stride_1x1,
                options=spec.options,
            )

        last_w = (spec.stem_w, *spec.widths)[-1]
        super().__init__(
            _build_stem(spec),
            build_stages(spec.stem_w, spec.depths, spec.widths, spec.strides, block),
            Head(last_w, spec.head_w, spec.num_classes, spec.options),
        )


def _build_stem(spec: AnyNetSpec) -> nn.Module:
    if spec.stem_type == "res_stem_cifar":
        return ConvStem(spec.stem_w, 1, spec.options)
    if spec.stem_type == "simple_stem_in":
        return ConvStem(spec.stem_w, 2, spec.options)
    if spec.stem_type == "res_stem_in":
        return PooledStem(spec.stem_w, spec.options)
    raise ValueError(f"stem type {spec.stem_type!r}; expected one of {', '.join(STEM_TYPES)}")
