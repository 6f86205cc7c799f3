"""Makes a larger or smaller network of the same kind, by compound scaling.

Dollár, Singh and Girshick, Fast and Accurate Model Scaling, CVPR 2021. Depth d, width w and
resolution r are scaled so that d * w^2 * r^2 is the wanted factor of flops; group width g
follows the width. `d1_w8_g8_r1` is the paper's fast scaling.
"""

import re

from yacs.config import CfgNode

from pycls.errors import ConfigError
from pycls.models.widths import make_compatible, stage_lists

_WEIGHTED = re.compile(r"([dwgr])(\d+\.?\d*|\.\d+)")
_ROUND_TO = 8
_IM_SIZE_STEP = 4


def scaling_factors(scaling_type: str, factor: float) -> tuple[float, float, float, float]:
    """Return the factors of depth, width, group width and resolution.

    Args:
        scaling_type: letters of what is scaled alike ("dw"), or letters with relative
            weights ("d1_w8_g8_r1"); empty: nothing.
        factor: wanted ratio of flops.

    Raises:
        ConfigError: the type cannot be read.
    """
    weights = dict.fromkeys("dwgr", 0.0)
    if re.fullmatch("[dwgr]*", scaling_type):
        weights.update(dict.fromkeys(scaling_type, 1.0))
    else:
        for part in scaling_type.split("_"):
            match = _WEIGHTED.fullmatch(part)
            if match is None:
                raise ConfigError(
                    f"MODEL.SCALING_TYPE is {scaling_type!r}; expected letters of d, w, g, r such "
                    "as 'dw', or letters with weights such as 'd1_w8_g8_r1' (d depth, w width, "
                    "g group width, r resolution)"
                )
            weights[match[1]] = float(match[2])
    total = weights["d"] + weights["w"] + weights["r"] or weights["g"] / 2 or 1.0
    return (
        factor ** (weights["d"] / total),
        factor ** (weights["w"] / total / 2),
        factor ** (weights["g"] / total / 2),
        factor ** (weights["r"] / total / 2),
    )


def scale_cfg(cfg: CfgNode) -> CfgNode:
    """Return the configuration of the network that SCALING_TYPE and SCALING_FACTOR ask for.

    A RegNet becomes an AnyNet, since its scaled stages need not be a RegNet's. Depths are
    rounded, widths to multiples of 8, image sizes to multiples of 4, as in pycls; so the
    flops come near the wanted factor, not upon it. In the result the two keys have their
    defaults: it is the scaled network.

    Args:
        cfg: of an anynet, regnet or effnet; left as it is.

    Raises:
        ConfigError: the network's type cannot be scaled, or the scaling type not be read.
    """
    depth, width, group_w, resolution = scaling_factors(
        cfg.MODEL.SCALING_TYPE, cfg.MODEL.SCALING_FACTOR
    )
    scaled = cfg.clone()
    scaled.defrost()
    if cfg.MODEL.TYPE == "regnet":
        _regnet_to_anynet(scaled)
    if scaled.MODEL.TYPE == "anynet":
        _scale_anynet(scaled.ANYNET, depth, width, group_w)
    elif scaled.MODEL.TYPE == "effnet":
        _scale_effnet(scaled.EN, depth, width)
    else:
        raise ConfigError(
            f"MODEL.TYPE is {cfg.MODEL.TYPE!r}; 'anynet', 'regnet' and 'effnet' can be scaled. (A "
            "ResNet can be written as an anynet, see configs/dds_baselines/resnet)"
        )
    for side in ("TRAIN", "TEST"):
        size = scaled[side].IM_SIZE * resolution
        scaled[side].IM_SIZE = max(1, round(size / _IM_SIZE_STEP)) * _IM_SIZE_STEP
    scaled.MODEL.SCALING_TYPE, scaled.MODEL.SCALING_FACTOR = "", 1.0
    scaled.freeze()
    return scaled


def round_group_w(group_w: int) -> int:
    """Return the group width that scaled and drawn networks have instead of `group_w`."""
    if group_w <= 2:
        return group_w
    return 4 if group_w <= 5 else round(group_w / _ROUND_TO) * _ROUND_TO


def _regnet_to_anynet(cfg: CfgNode) -> None:
    net = cfg.REGNET
    depths, widths, bot_muls, group_ws = stage_lists("regnet", net)
    cfg.MODEL.TYPE = "anynet"
    for key in ("STEM_TYPE", "STEM_W", "BLOCK_TYPE", "SE_ON", "SE_R", "HEAD_W"):
        cfg.ANYNET[key] = net[key]
    cfg.ANYNET.DEPTHS, cfg.ANYNET.WIDTHS = depths, widths
    cfg.ANYNET.STRIDES = [net.STRIDE] * len(widths)
    cfg.ANYNET.BOT_MULS, cfg.ANYNET.GROUP_WS = bot_muls, group_ws


def _scale_anynet(net: CfgNode, depth: float, width: float, group_w: float) -> None:
    stages = len(net.DEPTHS)
    bot_muls = list(net.BOT_MULS) or [1.0] * stages
    group_ws = [max(1, round(g * group_w)) for g in list(net.GROUP_WS) or [1] * stages]
    widths, group_ws = make_compatible(
        [_scale_width(w, width) for w in net.WIDTHS],
        bot_muls,
        [round_group_w(g) for g in group_ws],
    )
    net.DEPTHS = [max(1, round(d * depth)) for d in net.DEPTHS]
    net.WIDTHS, net.BOT_MULS, net.GROUP_WS = widths, bot_muls, group_ws


def _scale_effnet(net: CfgNode, depth: float, width: float) -> None:
    net.DEPTHS = [max(1, round(d * depth)) for d in net.DEPTHS]
    widths = [_scale_width(w, width) for w in net.WIDTHS]
    net.WIDTHS, _ = make_compatible(widths, net.EXP_RATIOS, [1] * len(widths))
    net.STEM_W = _scale_width(net.STEM_W, width)
    net.HEAD_W = _scale_width(net.HEAD_W, width)


def _scale_width(width: int, factor: float) -> int:
    return max(1, round(width * factor / _ROUND_TO)) * _ROUND_TO
