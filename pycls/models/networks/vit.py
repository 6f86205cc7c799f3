"""Vision transformer with a patch or a convolutional stem.

Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; Xiao et al., Early Convolutions
Help Transformers See Better, NeurIPS 2021.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from pycls.models.blocks import EncoderBlock
from pycls.models.layers import LayerOptions, conv2d


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
