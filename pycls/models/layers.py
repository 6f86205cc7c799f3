"""Defines the layers that all networks are made of."""

from collections import Counter
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from yacs.config import CfgNode

from pycls.kernels.forms import LIBRARY, FormTable, suits
from pycls.kernels.taps import Window, find_window
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

    def norm(self, width: int) -> "BatchNorm2d":
        """Return batch normalisation over `width` channels."""
        return BatchNorm2d(width, eps=self.norm_eps, momentum=self.norm_momentum)

    def layer_norm(self, width: int) -> nn.LayerNorm:
        """Return layer normalisation over the last dimension, of `width` features."""
        return nn.LayerNorm(width, eps=self.layer_norm_eps)

    def activation(self, fun: str | None = None) -> nn.Module:
        """Return an activation function as a module; `fun` overrides activation_fun."""
        kind = ACTIVATIONS.load(fun or self.activation_fun)
        return kind(inplace=self.activation_inplace) if kind is nn.ReLU else kind()


class Conv2d(nn.Conv2d):
    """``nn.Conv2d``, computed in the form that is fastest for its shape.

    Attributes:
        forms: the choices; None: PyTorch's own convolution, whatever the shape.
        form: the form of the last call.
    """

    forms: FormTable | None = None
    form: str = LIBRARY

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x in_channels x H x W to N x out_channels x H' x W'."""
        forms, form = self.forms, LIBRARY
        if forms is not None and suits(x, forms.device):
            form = self._choose(forms, x)
        if form != self.form:
            self.form = form
        if form == LIBRARY:
            return super().forward(x)
        if form == "contiguous":
            weight = self.weight.contiguous()
            y = self._conv_forward(x.contiguous(), weight, self.bias)
            return y.contiguous(memory_format=torch.channels_last)
        if form == "packed":
            from pycls.kernels.gpu_convolution import packed

            return packed(x, self.weight, self.groups, self.stride[0])
        from pycls.kernels.convolution import as_matrices, direct

        if form == "matrices":
            return as_matrices(x, self.weight, self.bias, self.stride[0])
        return direct(x, self.weight, self.groups, self._window(x))

    def _choose(self, forms: FormTable, x: torch.Tensor) -> str:
        window, groups = self._window(x), self.groups
        widths = self.in_channels // groups, self.out_channels // groups
        stride = self.stride[0]
        form = forms.of_convolution(window.taps, groups, *widths, stride, window.out_pixels)
        is_allowed = {
            "direct": self.bias is None,
            "packed": self._can_be_packed(widths),
            "matrices": window.taps == 1 and groups == 1 and window.padding == (0, 0),
        }
        return form if is_allowed.get(form, True) else LIBRARY

    def _can_be_packed(self, widths: tuple[int, int]) -> bool:
        like = (self.kernel_size, self.padding, self.dilation, self.padding_mode)
        is_kind = like == ((3, 3), (1, 1), (1, 1), "zeros") and self.stride in ((1, 1), (2, 2))
        is_narrow = widths[0] == widths[1] <= 32
        is_wide = self.weight.dtype == torch.float64
        return is_kind and is_narrow and self.bias is None and not is_wide

    def _window(self, x: torch.Tensor) -> Window:
        return find_window(x.shape[2:], self.kernel_size, self.stride, self.padding, self.dilation)


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d``, with what follows it in the same pass over memory where that can be.

    Attributes:
        forms, form: as those of :class:`Conv2d`.
    """

    forms: FormTable | None = None
    form: str = LIBRARY

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise N x C x H x W features, shape kept."""
        self._choose(x)
        # Of one output alone: an activation in place may follow.
        return super().forward(x) if self.form == LIBRARY else self._fused(x, None, relu=False)[0]

    def then(
        self, x: torch.Tensor, activation: nn.Module | None = None, skip: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return activation(norm(x) + skip) of N x C x H x W features.

        Args:
            x: the features.
            activation: None: no activation.
            skip: of the same shape; None: nothing is added.
        """
        self._choose(x)
        hooked = self._forward_hooks or (activation is not None and activation._forward_hooks)
        fits = skip is None or skip.dtype == x.dtype or x.device.type == "cpu"
        if self.form != LIBRARY and fits and not hooked and isinstance(activation, nn.ReLU | None):
            return _with_second(*self._fused(x, skip, relu=activation is not None))
        y = self(x)
        if skip is not None:
            y = skip + y
        return y if activation is None else activation(y)

    def _choose(self, x: torch.Tensor) -> None:
        form = LIBRARY
        # The kernels have no gradient where the statistics are fixed.
        forms = self.forms
        if forms is not None and (self.training or not torch.is_grad_enabled()):
            is_whole = self.affine and self.track_running_stats
            if forms.device != "cpu":  # of a mean over all batches the host would have to know
                is_whole = is_whole and self.momentum is not None
                is_whole = is_whole and self.weight.dtype == torch.float32
            if is_whole and suits(x, forms.device):
                form = forms.of_norm(*x.shape)
        if form != self.form:
            self.form = form

    def _fused(
        self, x: torch.Tensor, skip: torch.Tensor | None, *, relu: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return relu(norm(x) + skip), for two branches."""
        assert self.forms is not None
        if self.forms.device == "cpu":
            from pycls.kernels.norm import norm_act

            y = norm_act(self, x, skip, relu)
            return y, y
        from pycls.kernels.gpu_norm import norm_act as norm_act_on_gpu

        return norm_act_on_gpu(self, x, skip, relu)


class MaxPool2d(nn.MaxPool2d):
    """``nn.MaxPool2d`` of square windows, in the form that is fastest for its shape.

    Attributes:
        forms, form: as those of :class:`Conv2d`.
    """

    forms: FormTable | None = None
    form: str = LIBRARY

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N x C x H x W to N x C x H' x W'."""
        forms, form = self.forms, LIBRARY
        if forms is not None and suits(x, forms.device):
            window = find_window(x.shape[2:], *((number, number) for number in self._numbers))
            form = forms.of_pool(x.shape[1], window.out_pixels)
        if form != self.form:
            self.form = form
        if form == LIBRARY:
            return super().forward(x)
        from pycls.kernels.gpu_pool import max_pool

        return _with_second(*max_pool(x, self._numbers))

    @property
    def _numbers(self) -> tuple[int, int, int]:
        """Side of the windows, stride and padding."""
        return self.kernel_size, self.stride, self.padding  # type: ignore[return-value]


def _with_second(x: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return features that :func:`branches` finds their second output by."""
    if second is not x:
        x.second = second  # type: ignore[attr-defined]
    return x


def branches(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features for the two branches of a block.

    They are the same numbers. Where the layer that made them takes a gradient from each branch, and
    adds them where it needs the sum, they are its two outputs.
    """
    return x, getattr(x, "second", x)


def conv2d(
    w_in: int, w_out: int, kernel: int, *, stride: int = 1, groups: int = 1, bias: bool = False
) -> Conv2d:
    """Return a convolution of odd kernel size, padded so that stride 1 keeps the size."""
    padding = (kernel - 1) // 2
    return Conv2d(w_in, w_out, kernel, stride=stride, padding=padding, groups=groups, bias=bias)


_WITH_FORMS = (Conv2d, BatchNorm2d, MaxPool2d)


def use_forms(model: nn.Module, forms: FormTable | None) -> None:
    """Let all layers of a network choose their forms by a table; None: PyTorch's own."""
    for module in model.modules():
        if isinstance(module, _WITH_FORMS):
            module.forms = forms


def table_name(model: nn.Module) -> dict[str, str] | None:
    """Return what :func:`pycls.kernels.forms.find_table` finds a network's table by."""
    for module in model.modules():
        if isinstance(module, _WITH_FORMS) and module.forms is not None:
            return {
                "device": module.forms.device,
                "instruction_set": module.forms.instruction_set,
            }
    return None


def count_forms(model: nn.Module) -> dict[str, dict[str, int]]:
    """Return how many layers took which form in their last call: by kind of layer, by form."""
    kinds = ("convolutions", "norms", "pools")  # as _WITH_FORMS
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for module in model.modules():
        for kind, layer in zip(kinds, _WITH_FORMS, strict=True):
            if isinstance(module, layer):
                counts[kind][str(module.form)] += 1
    return {kind: dict(sorted(forms.items())) for kind, forms in counts.items()}


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
