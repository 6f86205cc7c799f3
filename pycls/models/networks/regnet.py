"""Defines RegNet: AnyNets whose widths grow linearly and are then quantised.

Radosavovic et al., Designing Network Design Spaces, CVPR 2020, section 3.3. A RegNet is
given by few numbers instead of a list a stage; RegNetY is RegNetX with squeeze-excitation.
The rule that turns the numbers into stages is in :mod:`pycls.models.widths`.
"""

from dataclasses import dataclass, fields

from torch import nn
from yacs.config import CfgNode

from pycls.models.networks.anynet import AnyNetFrame, AnyNetSpec, read_frame
from pycls.models.networks.staged import Parts
from pycls.models.widths import regnet_layout


@dataclass(frozen=True, kw_only=True)
class RegNetSpec(AnyNetFrame):
    """The architecture of a RegNet.

    Attributes:
        depth: blocks in all.
        w_0: width of the first block, a multiple of 8.
        w_a: growth of the width a block, before quantisation.
        w_m: ratio of the quantised widths of neighbouring stages, above 1.
        group_w: channels of a group of the 3x3 convolutions; narrow stages have fewer.
        bot_mul: bottleneck width as a multiple of the width (1 / b).
        stride: stride of each stage's first block.
    """

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_w: int
    bot_mul: float = 1.0
    stride: int = 2

    def to_anynet(self) -> AnyNetSpec:
        """Return the same network stage by stage.

        Raises:
            ConfigError: the parameters give no network.
        """
        widths, depths, group_ws = regnet_layout(
            self.w_a, self.w_0, self.w_m, self.depth, self.bot_mul, self.group_w
        )
        stages = len(widths)
        return AnyNetSpec(
            depths=tuple(depths),
            widths=tuple(widths),
            strides=(self.stride,) * stages,
            bot_muls=(self.bot_mul,) * stages,
            group_ws=tuple(group_ws),
            **{field.name: getattr(self, field.name) for field in fields(AnyNetFrame)},
        )

    def build(self) -> nn.Module:
        """Return the network."""
        return self.to_anynet().build()

    def parts(self) -> Parts:
        """Return what stem and stages are made of."""
        return self.to_anynet().parts()


def regnet_spec(cfg: CfgNode) -> RegNetSpec:
    """Return the architecture that the REGNET section describes."""
    net = cfg.REGNET
    return RegNetSpec(
        depth=net.DEPTH,
        w_0=net.W0,
        w_a=net.WA,
        w_m=net.WM,
        group_w=net.GROUP_W,
        bot_mul=net.BOT_MUL,
        stride=net.STRIDE,
        **read_frame(net, cfg),
    )
