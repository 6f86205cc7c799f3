"""Describes networks: what they are made of and what they cost, in all and stage by stage."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.config.defaults import default_cfg
from pycls.core.config.load import cfg_to_dict
from pycls.models.builders import build_meta_model, network_spec
from pycls.models.counting import count, count_layers
from pycls.models.network_types import NETWORKS, is_foreign, network_family
from pycls.strict_yaml import dump_yaml


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
        family: anynet, regnetx, regnety, resnet, resnext, effnet, vit, timm or torchvision.
        im_size: height and width of the images in pixels.
        num_classes: outputs.
        parts: all parts, the sums of which are the network's complexity exactly.
        scaled_from: the network that this one is a scaled form of.
        without_rule: layers that have no counting rule, for which flops and acts are 0.
    """

    name: str
    family: str
    im_size: int
    num_classes: int
    parts: tuple[StageInfo, ...]
    scaled_from: "NetworkInfo | None" = None
    without_rule: tuple[str, ...] = ()

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
    family, im_size, num_classes = network_family(cfg), cfg.TRAIN.IM_SIZE, cfg.MODEL.NUM_CLASSES
    if is_foreign(cfg):
        counted = count(cfg)
        counts = {"flops": 0, "acts": 0} | counted.counts
        whole = (StageInfo("network", (1, 1), width=num_classes, **counts),)
        without = counted.without_rule
        return NetworkInfo(name, family, im_size, num_classes, whole, scaled_from, without)
    model = build_meta_model(cfg)
    shapes, flops, acts = _walk(model, im_size)
    structure = {**network_spec(cfg).parts(), "head": {"width": cfg.MODEL.NUM_CLASSES}}
    parts = []
    for part, params in _params_by_part(model).items():
        size = shapes.get(part, ())
        known = structure.get(part, {})
        parts.append(StageInfo(part, size, flops.get(part, 0), params, acts.get(part, 0), **known))
    return NetworkInfo(name, family, im_size, num_classes, tuple(parts), scaled_from)


def short_cfg_text(cfg: CfgNode) -> str:
    """Return a configuration as YAML text, less what is default and what has no effect.

    No effect have the sections of other networks than MODEL.TYPE's: a scaled RegNet is an
    AnyNet and needs no REGNET any more.
    """
    values = _differences(cfg_to_dict(cfg), cfg_to_dict(default_cfg()))
    for name, network in NETWORKS.items():
        if name != cfg.MODEL.TYPE:
            values.pop(network.section, None)
    return dump_yaml(values)


def _walk(
    model: nn.Module, im_size: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, int], dict[str, int]]:
    """Return the output size, the flops and the acts of each child of a network."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, args: Any, output: torch.Tensor) -> None:
        shapes[name] = _spatial_size(output)

    handles = [
        child.register_forward_hook(functools.partial(note, name))
        for name, child in model.named_children()
    ]
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
    loose = sum(p.numel() for p in model.parameters(recurse=False))
    params: dict[str, int] = {}
    for name, child in model.named_children():
        params[name] = sum(p.numel() for p in child.parameters())
        if name == "stem" and loose:
            params["embedding"] = loose
    return params


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
