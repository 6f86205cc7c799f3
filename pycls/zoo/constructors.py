"""Builds networks by name or by plain arguments, for notebooks and scripts.

Each call is complete in itself: no global configuration is read or changed, and networks of
different configurations live beside each other.
"""

import logging
import os
from collections.abc import Sequence
from typing import Any, Protocol

from torch import nn
from yacs.config import CfgNode

from pycls.core.config.load import load_cfg
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.models.builders import build_model
from pycls.zoo.catalog import find_model

_log = logging.getLogger("pycls")

Pretrained = bool | str | os.PathLike[str]


def zoo_cfg(name: str, cfg_list: Sequence[Any] = ()) -> CfgNode:
    """Return the configuration of a model of the zoo.

    Args:
        name: for example "RegNetX-400MF", see :func:`pycls.models.list_models`.
        cfg_list: configuration keys and values in turn, over the model's own.

    Raises:
        ConfigError: no such model, or an override that cannot be used.
    """
    return load_cfg(find_model(name).config_path, cfg_list)


def zoo_model(name: str, pretrained: Pretrained = False, cfg_list: Sequence[Any] = ()) -> nn.Module:
    """Return a model of the zoo, on the CPU, in training mode.

    Args:
        name: for example "RegNetX-400MF", see :func:`pycls.models.list_models`.
        pretrained: True for the published weights, downloaded once into the cache; or a
            checkpoint's path or address. Published weights are turned to take RGB images,
            scaled to [0, 1] and normalised by ImageNet's means and deviations.
        cfg_list: configuration keys and values in turn, such as ("MODEL.NUM_CLASSES", 10):
            with pretrained weights the classifier is then a new one, and a message says so.

    Raises:
        ConfigError: no such model, no published weights, or an override that cannot be used.
        DownloadError: the weights cannot be had.
        CheckpointError: the weights are damaged or of another network.
    """
    entry = find_model(name)
    cfg = zoo_cfg(name, cfg_list)
    model = build_model(cfg)
    if pretrained is False:
        return model
    if pretrained is True:
        # All of pycls's own training was on images in the order blue, green, red.
        weights = read_weights(entry.weights_url, cache_dir=cfg.DOWNLOAD_CACHE, channels="bgr")
    else:
        weights = read_weights(os.fspath(pretrained), cache_dir=cfg.DOWNLOAD_CACHE)
    for note in load_weights_into(model, weights, replace_head=True):
        _log.warning("%s: %s", name, note)
    return model


class _Constructor(Protocol):
    def __call__(
        self, name: str | int, pretrained: Pretrained = False, cfg_list: Sequence[Any] = ()
    ) -> nn.Module: ...


def _constructor(family: str, what: str) -> _Constructor:
    """Return the function that builds the networks of a family of the zoo."""

    def build(
        name: str | int, pretrained: Pretrained = False, cfg_list: Sequence[Any] = ()
    ) -> nn.Module:
        return zoo_model(find_model(str(name), family).name, pretrained, cfg_list)

    build.__name__ = build.__qualname__ = family
    build.__doc__ = f"Return {what}; arguments as :func:`zoo_model`."
    return build


regnetx = _constructor("regnetx", 'a RegNetX ("200MF" to "32GF")')
regnety = _constructor("regnety", 'a RegNetY ("200MF" to "32GF")')
resnet = _constructor("resnet", 'a ResNet ("50", "101" or "152")')
resnext = _constructor("resnext", 'a ResNeXt of 32 groups ("50", "101" or "152")')
effnet = _constructor("effnet", 'an EfficientNet ("B0" to "B5")')
# pycls publishes no weights of these.
vit = _constructor("vit", 'a vision transformer ("Ti16", "S16", "B16", "B32" or "L16")')


def anynet(
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    strides: Sequence[int] | None = None,
    bot_muls: Sequence[float] = (),
    group_ws: Sequence[int] = (),
    num_classes: int = 1000,
    stem_type: str = "simple_stem_in",
    stem_w: int = 32,
    block_type: str = "res_bottleneck_block",
    se_r: float | None = None,
    head_w: int = 0,
    cfg_list: Sequence[Any] = (),
) -> nn.Module:
    """Return an AnyNet, on the CPU, freshly initialised.

    Args:
        depths: blocks of each stage.
        widths: output channels of each stage.
        strides: stride of each stage's first block; None: 2, and 1 in the first stage behind
            a stem that has the size the stages begin with (res_stem_in, res_stem_cifar).
        bot_muls: bottleneck width as a multiple of the width (1 / b) of each stage; (): 1.
        group_ws: channels of a group of the 3x3 convolutions of each stage; (): 1.
        num_classes: outputs.
        stem_type: simple_stem_in, res_stem_in or res_stem_cifar.
        stem_w: output channels of the stem.
        block_type: res_bottleneck_block, res_bottleneck_linear_block, res_basic_block or
            vanilla_block.
        se_r: squeeze-excitation ratio; None: none.
        head_w: width of a 1x1 convolution before the pooling; 0: none.
        cfg_list: further configuration keys and values in turn.

    Raises:
        ConfigError: the arguments describe no network.
    """
    if strides is None:
        first = 2 if stem_type == "simple_stem_in" else 1
        strides = [first, *[2] * (len(depths) - 1)]
    keys: dict[str, Any] = {
        "DEPTHS": list(depths), "WIDTHS": list(widths), "STRIDES": list(strides),
        "BOT_MULS": list(bot_muls), "GROUP_WS": list(group_ws), "STEM_TYPE": stem_type,
        "STEM_W": stem_w, "BLOCK_TYPE": block_type, "HEAD_W": head_w, "SE_ON": se_r is not None,
    }  # fmt: skip
    if se_r is not None:
        keys["SE_R"] = se_r
    overrides: list[Any] = ["MODEL.TYPE", "anynet", "MODEL.NUM_CLASSES", num_classes]
    for key, value in keys.items():
        overrides += [f"ANYNET.{key}", value]
    return build_model(load_cfg(None, [*overrides, *cfg_list]))
