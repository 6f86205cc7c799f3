"""Defines AnyNet: stem, stages of like blocks, head (Radosavovic et al., 2019 and 2020).

With residual bottleneck blocks and group convolution it is the AnyNetX of the study; the
parameters of a stage are depth d, width w, bottleneck ratio b and group width g.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.models.blocks import BlockOptions, find_block
from pycls.models.layers import LayerOptions, MaxPool2d, conv2d
from pycls.models.networks.staged import Parts, StagedNetwork, build_stages, stage_parts
from pycls.models.vocabulary import STEM_TYPES, STEMS, has_groups


@dataclass(frozen=True, kw_only=True)
class AnyNetFrame:
    """The blocks, stem and head of an AnyNet, around what its stages differ in.

    Attributes:
        num_classes: outputs of the linear layer.
        stem_type: res_stem_cifar, res_stem_in or simple_stem_in.
        stem_w: output channels of the stem.
        block_type: see :data:`pycls.models.blocks.BLOCKS`.
        se_r: squeeze-excitation ratio; None: no squeeze-excitation.
        head_w: width of a 1x1 convolution before the pooling; 0: none.
        options: normalisation and activation.
    """

    num_classes: int
    stem_type: str = "simple_stem_in"
    stem_w: int = 32
    block_type: str = "res_bottleneck_block"
    se_r: float | None = None
    head_w: int = 0
    options: LayerOptions = field(default_factory=LayerOptions)


@dataclass(frozen=True, kw_only=True)
class AnyNetSpec(AnyNetFrame):
    """The architecture of an AnyNet; tuples hold one value a stage.

    Attributes:
        depths: blocks of a stage.
        widths: output channels of a stage.
        strides: stride of a stage's first block.
        bot_muls: bottleneck width as a multiple of the width (1 / b); empty: 1.
        group_ws: channels of a group of the 3x3 convolutions; empty: 1.
        stride_1x1: bottlenecks take their stride in the first convolution, not the 3x3.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    bot_muls: tuple[float, ...] = ()
    group_ws: tuple[int, ...] = ()
    stride_1x1: bool = False

    def __post_init__(self) -> None:
        """Write 1 for multipliers and group widths that are not given."""
        for name, one in (("bot_muls", 1.0), ("group_ws", 1)):
            object.__setattr__(self, name, getattr(self, name) or (one,) * len(self.depths))

    @property
    def bottleneck_ws(self) -> list[int]:
        """Channels of the 3x3 convolutions of each stage, where blocks have a bottleneck."""
        return [round(w * b) for w, b in zip(self.widths, self.bot_muls, strict=True)]

    def build(self) -> nn.Module:
        """Return the network."""
        return AnyNet(self)

    def parts(self) -> Parts:
        """Return what stem and stages are made of."""
        columns: dict[str, Sequence[Any]] = {
            "depth": self.depths,
            "width": self.widths,
            "stride": self.strides,
        }
        if has_groups(self.block_type):
            columns["bottleneck_ratio"] = [1 / b for b in self.bot_muls]
            # A group width that does not divide the bottleneck only sets the number of groups.
            pairs = zip(self.bottleneck_ws, self.group_ws, strict=True)
            columns["group_w"] = [v // (v // g) for v, g in pairs]
        _, stride, pool_stride = STEMS[self.stem_type]
        stem = {"width": self.stem_w, "stride": stride * (pool_stride or 1)}
        return {"stem": stem, **stage_parts(columns)}


class ConvStem(nn.Module):
    """A convolution, and max pooling of 3x3 where `pool_stride` is not 0."""

    def __init__(
        self, w_out: int, kernel: int, stride: int, pool_stride: int, options: LayerOptions
    ) -> None:
        super().__init__()
        self.conv = conv2d(3, w_out, kernel, stride=stride)
        self.bn = options.norm(w_out)
        self.af = options.activation()
        self.pool = MaxPool2d(3, stride=pool_stride, padding=1) if pool_stride else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W to N x w_out features, smaller by the strides."""
        x = self.bn.then(self.conv(x), self.af)
        return x if self.pool is None else self.pool(x)


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
            x = self.bn.then(self.conv(x), self.af)
        return self.fc(self.avg_pool(x).flatten(1))


class AnyNet(StagedNetwork):
    """A network of the AnyNet design space; see :class:`AnyNetSpec`."""

    def __init__(self, spec: AnyNetSpec) -> None:
        block_class = find_block(spec.block_type)
        options = [
            BlockOptions(bot_mul, group_w, spec.se_r, spec.stride_1x1, spec.options)
            for bot_mul, group_w in zip(spec.bot_muls, spec.group_ws, strict=True)
        ]

        def block(stage: int, w_in: int, w_out: int, stride: int) -> nn.Module:
            return block_class(w_in, w_out, stride, options[stage])

        if spec.stem_type not in STEMS:
            raise ValueError(
                f"stem type {spec.stem_type!r}; expected one of {', '.join(STEM_TYPES)}"
            )
        last_w = (spec.stem_w, *spec.widths)[-1]
        super().__init__(
            ConvStem(spec.stem_w, *STEMS[spec.stem_type], spec.options),
            build_stages(spec.stem_w, spec.depths, spec.widths, spec.strides, block),
            Head(last_w, spec.head_w, spec.num_classes, spec.options),
        )


def anynet_spec(cfg: CfgNode) -> AnyNetSpec:
    """Return the architecture that the ANYNET section describes."""
    net = cfg.ANYNET
    return AnyNetSpec(
        depths=tuple(net.DEPTHS),
        widths=tuple(net.WIDTHS),
        strides=tuple(net.STRIDES),
        bot_muls=tuple(net.BOT_MULS),
        group_ws=tuple(net.GROUP_WS),
        **read_frame(net, cfg),
    )


def read_frame(net: CfgNode, cfg: CfgNode) -> dict[str, Any]:
    """Return what the ANYNET and the REGNET section say alike: blocks, stem and head."""
    return {
        "num_classes": cfg.MODEL.NUM_CLASSES,
        "stem_type": net.STEM_TYPE,
        "stem_w": net.STEM_W,
        "block_type": net.BLOCK_TYPE,
        "se_r": net.SE_R if net.SE_ON else None,
        "head_w": net.HEAD_W,
        "options": LayerOptions.from_cfg(cfg),
    }
