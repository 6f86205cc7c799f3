"""EfficientNet (Tan and Le, ICML 2019): stages of inverted bottlenecks."""

from dataclasses import dataclass, field

import torch
from torch import nn

from pycls.models.blocks import MBConv
from pycls.models.layers import LayerOptions, conv2d
from pycls.models.networks.anynet import ConvStem


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


class EffNet(nn.Module):
    """An EfficientNet; see :class:`EffNetSpec`."""

    def __init__(self, spec: EffNetSpec) -> None:
        super().__init__()
        self.stem = ConvStem(spec.stem_w, 2, spec.options)
        w_in = spec.stem_w
        self._stage_names: list[str] = []
        for i in range(len(spec.depths)):
            name = f"s{i + 1}"
            self.add_module(name, _build_stage(spec, i, w_in))
            self._stage_names.append(name)
            w_in = spec.widths[i]
        self.head = EffNetHead(w_in, spec)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W images to N x num_classes logits."""
        x = self.stem(x)
        for name in self._stage_names:
            x = self.get_submodule(name)(x)
        return self.head(x)


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
        x = self.conv_af(self.conv_bn(self.conv(x)))
        return self.fc(self.dropout(self.avg_pool(x).flatten(1)))


def _build_stage(spec: EffNetSpec, i: int, w_in: int) -> nn.Sequential:
    """Return stage `i`: blocks b1, b2, ..., the first of which takes the stride."""
    stage = nn.Sequential()
    for j in range(spec.depths[i]):
        block = MBConv(
            w_in if j == 0 else spec.widths[i],
            spec.widths[i],
            spec.strides[i] if j == 0 else 1,
            kernel=spec.kernels[i],
            exp_ratio=spec.exp_ratios[i],
            se_r=spec.se_r,
            drop_connect=spec.drop_connect,
            options=spec.options,
        )
        stage.add_module(f"b{j + 1}", block)
    return stage
