"""What a network is made of and what it costs: in all, and stage by stage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.config.defaults import default_cfg
from pycls.core.config.load import cfg_to_dict
from pycls.models.builders import anynet_spec, build_meta_model, effnet_spec, vit_spec
from pycls.models.counting import count_layers
from pycls.models.networks.anynet import AnyNetSpec
from pycls.strict_yaml import dump_yaml

_STEM_STRIDES = {"res_stem_cifar": 1, "simple_stem_in": 2, "res_stem_in": 4}
_NETWORK_SECTIONS = {
    "anynet": "ANYNET",
    "effnet": "EN",
    "regnet": "REGNET",
    "resnet": "RESNET",
    "vit": "VIT",
}


@dataclass(frozen=True)
class StageInfo:
    """One part of a network; what does not apply to it is None.

    Attributes:
        name: stem, s1, s2, ..., head; of a vision transformer stem, embedding (class token and
            positions), encoder, head.
        size: height and width of the output in pixels, or (number of tokens,); () for parts
            that compute nothing.
        flops: multiply-adds for one image.
        params: learnable numbers.
        acts: output elements of convolutions, linear layers and the like for one image.
        depth: blocks.
        width: output channels, features of a token, or classes.
        stride: of the part's first convolution, or of all of it for the stem.
        bottleneck_ratio: width over bottleneck width, b.
        group_w: channels of a group of the 3x3 convolutions, g.
        exp_ratio: depthwise channels over input channels (EfficientNet).
        kernel: size of the depthwise convolutions (EfficientNet).
        heads: heads of each self-attention (vision transformer).
        mlp_dim: features between the two linear layers of a block (vision transformer).
    """

    name: str
    size: tuple[int, ...]
    flops: int
    params: int
    acts: int
    depth: int | None = None
    width: int | None = None
    stride: int | None = None
    bottleneck_ratio: float | None = None
    group_w: int | None = None
    exp_ratio: float | None = None
    kernel: int | None = None
    heads: int | None = None
    mlp_dim: int | None = None


@dataclass(frozen=True)
class NetworkInfo:
    """A network's parts, in the order of computation, and their sums.

    Attributes:
        name: what to call it, for example the path of its configuration.
        family: anynet, regnetx, regnety, resnet, resnext, effnet or vit.
        im_size: height and width of the images in pixels.
        num_classes: outputs.
        parts: all parts, the sums of which are the network's complexity exactly.
        scaled_from: the network that this one is a scaled form of.
    """

    name: str
    family: str
    im_size: int
    num_classes: int
    parts: tuple[StageInfo, ...]
    scaled_from: "NetworkInfo | None" = None

    @property
    def flops(self) -> int:
        """Multiply-adds for one image."""
        return sum(part.flops for part in self.parts)

    @property
    def params(self) -> int:
        """Learnable numbers."""
        return sum(part.params for part in self.parts)

    @property
    def acts(self) -> int:
        """Output elements of convolutions, linear layers and the like for one image."""
        return sum(part.acts for part in self.parts)

    @property
    def blocks(self) -> tuple[StageInfo, ...]:
        """The parts that are made of blocks: the stages, or a transformer's encoder."""
        return tuple(part for part in self.parts if part.depth is not None)

    @property
    def cum_depth(self) -> int:
        """Sum of the stages' depths (paper, Figure 7A)."""
        return sum(part.depth or 0 for part in self.blocks)

    @property
    def cum_width(self) -> int:
        """Sum of the stages' widths (paper, Figure 7B)."""
        return sum(part.width or 0 for part in self.blocks)


def network_info(
    cfg: CfgNode, name: str = "", scaled_from: NetworkInfo | None = None
) -> NetworkInfo:
    """Return the parts and the complexity of a configuration's network.

    Counted by the rules of :mod:`pycls.models.counting` for one image of TRAIN.IM_SIZE.
    MODEL.SCALING_TYPE is not acted on: scale first (:mod:`pycls.models.scaler`).

    Args:
        cfg: a checked configuration.
        name: what to call the network.
        scaled_from: what it is a scaled form of.

    Raises:
        ConfigError: MODEL.TYPE names no network.
    """
    model = build_meta_model(cfg)
    shapes, flops, acts = _walk(model, cfg.TRAIN.IM_SIZE)
    structure = _structure(cfg)
    parts = []
    for part, params in _params_by_part(model).items():
        size = shapes.get(part, ())
        known = structure.get(part, {})
        parts.append(StageInfo(part, size, flops.get(part, 0), params, acts.get(part, 0), **known))
    return NetworkInfo(
        name, _family(cfg), cfg.TRAIN.IM_SIZE, cfg.MODEL.NUM_CLASSES, tuple(parts), scaled_from
    )


def short_cfg_text(cfg: CfgNode) -> str:
    """Return a configuration as YAML text, less what is default and what has no effect.

    No effect have the sections of other networks than MODEL.TYPE's: a scaled RegNet is an
    AnyNet and needs no REGNET any more.
    """
    values = _differences(cfg_to_dict(cfg), cfg_to_dict(default_cfg()))
    for network, section in _NETWORK_SECTIONS.items():
        if network != cfg.MODEL.TYPE:
            values.pop(section, None)
    return dump_yaml(values)


def _walk(
    model: nn.Module, im_size: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, int], dict[str, int]]:
    """Return the output size, the flops and the acts of each child of a network."""
    shapes: dict[str, tuple[int, ...]] = {}

    def hook(name: str) -> Any:
        def note(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            shapes[name] = _spatial_size(output)

        return note

    handles = [child.register_forward_hook(hook(name)) for name, child in model.named_children()]
    try:
        layers = count_layers(model, im_size)
    finally:
        for handle in handles:
            handle.remove()
    flops: dict[str, int] = {}
    acts: dict[str, int] = {}
    for name, layer_flops, layer_acts in layers:
        part = name.partition(".")[0]
        flops[part] = flops.get(part, 0) + layer_flops
        acts[part] = acts.get(part, 0) + layer_acts
    return shapes, flops, acts


def _spatial_size(output: torch.Tensor) -> tuple[int, ...]:
    if output.dim() == 4:  # N x C x H x W
        return tuple(output.shape[2:])
    return (output.shape[1],) if output.dim() == 3 else (1, 1)  # N x L x D, or N x classes


def _params_by_part(model: nn.Module) -> dict[str, int]:
    """Return the learnable numbers of each child, in order, with those of no child.

    The latter are a transformer's class token and positions, added behind the stem.
    """
    children = dict(model.named_children())
    loose = sum(p.numel() for p in model.parameters(recurse=False))
    params: dict[str, int] = {}
    for name, child in children.items():
        params[name] = sum(p.numel() for p in child.parameters())
        if name == "stem" and loose:
            params["embedding"] = loose
    return params


def _structure(cfg: CfgNode) -> dict[str, dict[str, Any]]:
    """Return what the configuration says of each part, as attributes of StageInfo."""
    head = {"head": {"width": cfg.MODEL.NUM_CLASSES}}
    if cfg.MODEL.TYPE == "vit":
        vit = vit_spec(cfg)
        return {
            "stem": {"width": vit.hidden_dim, "stride": vit.patch_size},
            "embedding": {"width": vit.hidden_dim},
            "encoder": {
                "depth": vit.num_layers,
                "width": vit.hidden_dim,
                "heads": vit.num_heads,
                "mlp_dim": vit.mlp_dim,
            },
            **head,
        }
    if cfg.MODEL.TYPE == "effnet":
        net = effnet_spec(cfg)
        columns = {
            "depth": net.depths,
            "width": net.widths,
            "stride": net.strides,
            "exp_ratio": net.exp_ratios,
            "kernel": net.kernels,
        }
        return {"stem": {"width": net.stem_w, "stride": 2}, **_stage_rows(columns), **head}
    spec = anynet_spec(cfg)
    stem = {"width": spec.stem_w, "stride": _STEM_STRIDES[spec.stem_type]}
    return {"stem": stem, **_stage_rows(_anynet_columns(spec)), **head}


def _anynet_columns(spec: AnyNetSpec) -> dict[str, Sequence[Any]]:
    columns: dict[str, Sequence[Any]] = {
        "depth": spec.depths,
        "width": spec.widths,
        "stride": spec.strides,
    }
    if "bottleneck" in spec.block_type:
        bot_muls = spec.bot_muls or (1.0,) * len(spec.depths)
        group_ws = spec.group_ws or (1,) * len(spec.depths)
        bottlenecks = [round(w * b) for w, b in zip(spec.widths, bot_muls, strict=True)]
        columns["bottleneck_ratio"] = [1 / b for b in bot_muls]
        # A group width that does not divide the bottleneck only sets the number of groups.
        columns["group_w"] = [v // (v // g) for v, g in zip(bottlenecks, group_ws, strict=True)]
    return columns


def _stage_rows(columns: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    rows = zip(*columns.values(), strict=True)
    return {f"s{i}": dict(zip(columns, row, strict=True)) for i, row in enumerate(rows, start=1)}


def _family(cfg: CfgNode) -> str:
    """Return the family's name as the constructors of :mod:`pycls.models` have it."""
    if cfg.MODEL.TYPE == "regnet":
        return "regnety" if cfg.REGNET.SE_ON else "regnetx"
    if cfg.MODEL.TYPE == "resnet":
        return "resnext" if cfg.RESNET.NUM_GROUPS > 1 else "resnet"
    return cfg.MODEL.TYPE


def _differences(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            inner = _differences(value, defaults[key])
            if inner:
                changed[key] = inner
        elif value != defaults[key]:
            changed[key] = value
    return changed
