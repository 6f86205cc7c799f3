"""Defines the vision transformer, with a patch or a convolutional stem.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; Xiao et al., Early Convolutions
Help Transformers See Better, NeurIPS 2021.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.models.blocks import EncoderBlock, Perceptron
from pycls.models.initialize import init_norm
from pycls.models.layers import LayerOptions, SelfAttention, conv2d
from pycls.models.networks.staged import Parts

# The kernel of all but the last convolution of a stem: pycls builds no other, whatever
# VIT.C_STEM_KERNELS says.
_STEM_KERNEL = 3


@dataclass(frozen=True)
class ViTSpec:
    """The architecture of a vision transformer.

    Attributes:
        im_size: height and width of the images in pixels, a multiple of `patch_size`; the
            position embedding belongs to this size.
        patch_size: height and width in pixels of what becomes one token.
        num_layers: encoder blocks.
        num_heads: heads of each self-attention; divides `hidden_dim`.
        hidden_dim: features of a token.
        mlp_dim: features between the two linear layers of a block.
        num_classes: outputs of the linear layer.
        stem: (kernel, width, stride) of each convolution of a convolutional stem; the strides
            multiply to `patch_size`, the last width is `hidden_dim`. Empty: one convolution
            over each patch.
        pooled: classify the mean of all tokens; else that of an added class token.
        options: normalisation.
    """

    im_size: int
    patch_size: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    mlp_dim: int
    num_classes: int
    stem: tuple[tuple[int, int, int], ...] = ()
    pooled: bool = False
    options: LayerOptions = field(default_factory=LayerOptions)

    def build(self) -> nn.Module:
        """Return the network."""
        return ViT(self)

    def parts(self) -> Parts:
        """Return what stem, embedding and encoder are made of."""
        encoder = {"depth": self.num_layers, "heads": self.num_heads, "mlp_dim": self.mlp_dim}
        return {
            "stem": {"width": self.hidden_dim, "stride": self.patch_size},
            "embedding": {"width": self.hidden_dim},
            "encoder": {"width": self.hidden_dim, **encoder},
        }


class ViT(nn.Module):
    """A vision transformer; see :class:`ViTSpec`."""

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        self.stem: nn.Module = (
            ConvolutionalStem(spec.stem, spec.options)
            if spec.stem
            else PatchStem(spec.hidden_dim, spec.patch_size)
        )
        length = (spec.im_size // spec.patch_size) ** 2
        self.class_token: nn.Parameter | None = None
        if not spec.pooled:
            self.class_token = nn.Parameter(torch.empty(1, 1, spec.hidden_dim))
            length += 1
        # L x 1 x D, pycls's layout; the computation here is batch first.
        self.pos_embedding = nn.Parameter(torch.empty(length, 1, spec.hidden_dim))
        self.encoder = Encoder(spec)
        self.head = ViTHead(spec.hidden_dim, spec.num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x im_size x im_size images to N x num_classes logits."""
        x = self.stem(x).flatten(2).transpose(1, 2)  # N x D x h x w to N x L x D
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.encoder(x + self.pos_embedding[:, 0])
        return self.head(x.mean(dim=1) if self.class_token is None else x[:, 0])

    def init_weights(self, generator: torch.Generator) -> None:
        """Draw all weights from a generator, in place, as pycls does.

        Patches: normal with variance 1 / fan-in. Convolutional stem: uniform with bound
        1 / sqrt(fan-in), the last one normal with variance 2 / w_out. Attention and perceptron:
        Xavier's uniform; the output projection of attention uniform with bound 1 / sqrt(fan-in).
        Position embedding: normal with deviation 0.02. Class token and head: zero.
        """
        for module in self.modules():
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
                init_norm(module)
            elif isinstance(module, ViTHead):
                module.head_fc.weight.zero_()
                _zero(module.head_fc.bias)
        self.pos_embedding.normal_(0.0, 0.02, generator=generator)
        _zero(self.class_token)


class PatchStem(nn.Module):
    """One convolution whose kernel and stride are the patch."""

    def __init__(self, w_out: int, patch_size: int) -> None:
        super().__init__()
        self.patchify = nn.Conv2d(3, w_out, patch_size, stride=patch_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x 3 x H x W to N x w_out x H/patch x W/patch."""
        return self.patchify(x)


class ConvolutionalStem(nn.Sequential):
    """Convolutions with normalisation and ReLU; the last has a bias and neither of them."""

    def __init__(self, layers: tuple[tuple[int, int, int], ...], options: LayerOptions) -> None:
        super().__init__()
        w_in = 3
        for i, (kernel, width, stride) in enumerate(layers[:-1]):
            self.add_module(f"cstem{i}_conv", conv2d(w_in, width, kernel, stride=stride))
            self.add_module(f"cstem{i}_bn", options.norm(width))
            self.add_module(f"cstem{i}_af", options.activation("relu"))
            w_in = width
        kernel, width, stride = layers[-1]
        self.add_module("cstem_last_conv", conv2d(w_in, width, kernel, stride=stride, bias=True))


class Encoder(nn.Sequential):
    """The encoder blocks and a last normalisation, N x L x D to N x L x D."""

    def __init__(self, spec: ViTSpec) -> None:
        super().__init__()
        for i in range(spec.num_layers):
            block = EncoderBlock(spec.hidden_dim, spec.num_heads, spec.mlp_dim, spec.options)
            self.add_module(f"block_{i}", block)
        self.add_module("ln", spec.options.layer_norm(spec.hidden_dim))


class ViTHead(nn.Module):
    """A linear layer."""

    def __init__(self, w_in: int, num_classes: int) -> None:
        super().__init__()
        self.head_fc = nn.Linear(w_in, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x w_in to N x num_classes logits."""
        return self.head_fc(x)


def vit_spec(cfg: CfgNode) -> ViTSpec:
    """Return the architecture that the VIT section and TRAIN.IM_SIZE describe."""
    net = cfg.VIT
    stem: list[tuple[int, int, int]] = []
    if net.STEM_TYPE == "conv":
        kernels = [_STEM_KERNEL] * (len(net.C_STEM_DIMS) - 1) + [net.C_STEM_KERNELS[-1]]
        stem = list(zip(kernels, net.C_STEM_DIMS, net.C_STEM_STRIDES, strict=True))
    return ViTSpec(
        im_size=cfg.TRAIN.IM_SIZE,
        patch_size=net.PATCH_SIZE,
        num_layers=net.NUM_LAYERS,
        num_heads=net.NUM_HEADS,
        hidden_dim=net.HIDDEN_DIM,
        mlp_dim=net.MLP_DIM,
        num_classes=cfg.MODEL.NUM_CLASSES,
        stem=tuple(stem),
        pooled=net.CLASSIFIER_TYPE == "pooled",
        options=LayerOptions.from_cfg(cfg),
    )


def _init_convolutional_stem(stem: ConvolutionalStem, generator: torch.Generator) -> None:
    convolutions = [module for module in stem if isinstance(module, nn.Conv2d)]
    for convolution in convolutions[:-1]:
        _uniform_by_fan_in(convolution.weight, generator)
    last = convolutions[-1]
    last.weight.normal_(0.0, math.sqrt(2.0 / last.out_channels), generator=generator)
    _zero(last.bias)


def _uniform_by_fan_in(weight: torch.Tensor, generator: torch.Generator) -> None:
    bound = 1.0 / math.sqrt(weight[0].numel())
    weight.uniform_(-bound, bound, generator=generator)


def _zero(parameter: torch.Tensor | None) -> None:
    if parameter is not None:
        parameter.zero_()
