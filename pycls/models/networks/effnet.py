"""Defines EfficientNet (Tan and Le, ICML 2019): stages of inverted bottlenecks."""

from dataclasses import dataclass, field

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.models.blocks import MBConv
from pycls.models.layers import LayerOptions, conv2d
from pycls.models.networks.anynet import ConvStem
from pycls.models.networks.staged import Parts, StagedNetwork, build_stages, stage_parts


@dataclass(frozen=True)
class EffNetSpec:
    """The architecture of an EfficientNet; tuples hold one value a stage.

    Attributes:
        depths: blocks of a stage.
        widths: output channels of a stage.
        exp_ratios: depthwise channels as a multiple of a block's input channels.
        strides: stride of a stage's first block.
        kernels: kernel size of the depthwise convolutions, odd.
        num_classes: outputs of the linear layer.
        stem_w: output channels of the stem.
        head_w: channels of the 1x1 convolution before the pooling.
        se_r: squeeze-excitation channels as a multiple of a block's input channels.
        drop_connect: share of the images whose residual branch is dropped while training.
        dropout: share of the features dropped before the linear layer while training.
        options: normalisation and activation.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    exp_ratios: tuple[float, ...]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]
    num_classes: int
    stem_w: int = 32
    head_w: int = 1280
    se_r: float = 0.25
    drop_connect: float = 0.0
    dropout: float = 0.0
    options: LayerOptions = field(default_factory=LayerOptions)

    def build(self) -> nn.Module:
        """Return the network."""
        return EffNet(self)

    def parts(self) -> Parts:
        """Return what stem and stages are made of."""
        columns = {
            "depth": self.depths,
            "width": self.widths,
            "stride": self.strides,
            "exp_ratio": self.exp_ratios,
            "kernel": self.kernels,
        }
        return {"stem": {"width": self.stem_w, "stride": 2}, **stage_parts(columns)}


class EffNet(StagedNetwork):
    """An EfficientNet; see :class:`EffNetSpec`."""

    def __init__(self, spec: EffNetSpec) -> None:
        def block(stage: int, w_in: int, w_out: int, stride: int) -> nn.Module:
            return MBConv(
                w_in,
                w_out,
                stride,
                kernel=spec.kernels[stage],
                exp_ratio=spec.exp_ratios[stage],
                se_r=spec.se_r,
                drop_connect=spec.drop_connect,
                options=spec.options,
            )

        super().__init__(
            ConvStem(spec.stem_w, 3, 2, 0, spec.options),
            build_stages(spec.stem_w, spec.depths, spec.widths, spec.strides, block),
            EffNetHead((spec.stem_w, *spec.widths)[-1], spec),
        )


class EffNetHead(nn.Module):
    """1x1 convolution, global average pooling, dropout, linear layer."""

    def __init__(self, w_in: int, spec: EffNetSpec) -> None:
        super().__init__()
        self.conv = conv2d(w_in, spec.head_w, 1)
        self.conv_bn = spec.options.norm(spec.head_w)
        self.conv_af = spec.options.activation()
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(spec.dropout)
        self.fc = nn.Linear(spec.head_w, spec.num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in x H x W to N x num_classes logits."""
        x = self.conv_bn.then(self.conv(x), self.conv_af)
        return self.fc(self.dropout(self.avg_pool(x).flatten(1)))


def effnet_spec(cfg: CfgNode) -> EffNetSpec:
    """Return the architecture that the EN section describes."""
    net = cfg.EN
    return EffNetSpec(
        depths=tuple(net.DEPTHS),
        widths=tuple(net.WIDTHS),
        exp_ratios=tuple(net.EXP_RATIOS),
        strides=tuple(net.STRIDES),
        kernels=tuple(net.KERNELS),
        num_classes=cfg.MODEL.NUM_CLASSES,
        stem_w=net.STEM_W,
        head_w=net.HEAD_W,
        se_r=net.SE_R,
        drop_connect=net.DC_RATIO,
        dropout=net.DROPOUT_RATIO,
        options=LayerOptions.from_cfg(cfg),
    )
