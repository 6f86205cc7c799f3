"""The layers that all networks are made of."""

from dataclasses import dataclass

import torch
from torch import nn

_ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "swish": nn.SiLU, "gelu": nn.GELU}


@dataclass(frozen=True)
class LayerOptions:
    """What a network's normalisation and activation layers share.

    Attributes:
        norm_eps: added to the variance in batch normalisation.
        norm_momentum: weight of the new batch in the running statistics.
        activation_fun: relu, silu (also called swish) or gelu.
        activation_inplace: overwrite the input (where the function can), saving memory.
    """

    norm_eps: float = 1e-5
    norm_momentum: float = 0.1
    activation_fun: str = "relu"
    activation_inplace: bool = True

    def norm(self, width: int) -> nn.BatchNorm2d:
        """Return batch normalisation over `width` channels."""
        return nn.BatchNorm2d(width, eps=self.norm_eps, momentum=self.norm_momentum)

    def activation(self) -> nn.Module:
        """Return the activation function as a module."""
        kind = _ACTIVATIONS[self.activation_fun]
        return kind() if kind is nn.GELU else kind(inplace=self.activation_inplace)


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
