"""Defines the layers that all networks are made of."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from yacs.config import CfgNode

from pycls.models.vocabulary import ACTIVATIONS


@dataclass(frozen=True)
class LayerOptions:
    """What a network's normalisation and activation layers share.

    Attributes:
        norm_eps: added to the variance in batch normalisation.
        norm_momentum: weight of the new batch in the running statistics.
        layer_norm_eps: added to the variance in layer normalisation.
        activation_fun: a name in :data:`pycls.models.vocabulary.ACTIVATIONS`.
        activation_inplace: ReLU overwrites its input, saving memory. (The backward pass of
            the others needs their input, so that nothing would be saved there.)
    """

    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    layer_norm_eps: float = 1e-5
    activation_fun: str = "relu"
    activation_inplace: bool = True

    @classmethod
    def from_cfg(cls, cfg: CfgNode) -> "LayerOptions":
        """Return what the BN, LN and MODEL sections say."""
        return cls(
            norm_eps=cfg.BN.EPS,
            norm_momentum=cfg.BN.MOM,
            layer_norm_eps=cfg.LN.EPS,
            activation_fun=cfg.MODEL.ACTIVATION_FUN,
            activation_inplace=cfg.MODEL.ACTIVATION_INPLACE,
        )

    def norm(self, width: int) -> nn.BatchNorm2d:
        """Return batch normalisation over `width` channels."""
        return nn.BatchNorm2d(width, eps=self.norm_eps, momentum=self.norm_momentum)

    def layer_norm(self, width: int) -> nn.LayerNorm:
        """Return layer normalisation over the last dimension, of `width` features."""
        return nn.LayerNorm(width, eps=self.layer_norm_eps)

    def activation(self, fun: str | None = None) -> nn.Module:
        """Return an activation function as a module; `fun` overrides activation_fun."""
        kind = ACTIVATIONS.load(fun or self.activation_fun)
        return kind(inplace=self.activation_inplace) if kind is nn.ReLU else kind()


def conv2d(
    w_in: int, w_out: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """Return a convolution of odd kernel size, padded so that stride 1 keeps the size."""
    padding = (kernel - 1) // 2
    return nn.Conv2d(w_in, w_out, kernel, stride=stride, padding=padding, groups=groups, bias=bias)


class SqueezeExcitation(nn.Module):
    """Rescales channels by what their averages say (Hu et al., 2018).

    Average pooling, 1x1 convolution, activation, 1x1 convolution, sigmoid.
    """

    def __init__(self, width: int, squeezed: int, options: LayerOptions) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d((1, 1))
        self.f_ex = nn.Sequential(
            conv2d(width, squeezed, 1, bias=True),
            options.activation(),
            conv2d(squeezed, width, 1, bias=True),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rescale N x C x H x W features, shape kept."""
        return x * self.f_ex(self.avg_pool(x))


class DropConnect(nn.Module):
    """Drops whole residual branches at random while training (stochastic depth).

    Each image keeps its branch with probability 1 - `ratio`, scaled by its inverse (Huang et
    al., 2016; the name is EfficientNet's). The draws come from PyTorch's global generator of
    the tensor's device, as those of dropout.
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale N x C x H x W features by one draw an image, shape kept."""
        if not self.training or self.ratio == 0:
            return x
        keep = 1.0 - self.ratio
        mask = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype, device=x.device)
        return x * mask.bernoulli_(keep).div_(keep)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., 2017).

    The projections are one level down, in `block`, as in pycls's state dicts.

    Args:
        hidden_dim: features of a token; a multiple of `num_heads`.
        num_heads: heads, each of hidden_dim / num_heads features.
    """

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.num_heads = num_heads
        self.block = _AttentionProjections(hidden_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x L x hidden_dim tokens to N x L x hidden_dim."""
        n, length, _ = x.shape
        qkv = F.linear(x, self.block.in_proj_weight, self.block.in_proj_bias)
        # N x L x 3D to three of N x heads x L x D/heads
        q, k, v = qkv.view(n, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.block.out_proj(mixed.transpose(1, 2).reshape(n, length, self.hidden_dim))


class _AttentionProjections(nn.Module):
    """The weights of self-attention: queries, keys and values in one matrix, and the output."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden_dim, hidden_dim))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * hidden_dim))
        self.out_proj = nn.Linear(hidden_dim, hidden_dim)
