"""The networks that a choice is measured against: known ones, scaled to its multiply-adds.

They have stem, strides and head of the population, so that only the stages differ: for small images
the published stems, which halve an image twice, would be no fair opponents.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pycls.errors import ConfigError
from pycls.models.widths import regnet_layout
from pycls.spaces.anynet_count import AnyNetFrame, count_stages

Stages = tuple[list[int], list[int], list[float], list[int]]
# From a hundredth to a hundred times the flops, which go with the square of the width.
# Where widths alone do not come near, as of networks of few channels, there are fewer blocks.
_DEPTHS = (1.0, 0.75, 0.5, 0.3)
_NEAR = 0.1
_FACTORS = np.geomspace(0.1, 10.0, 401)


@dataclass(frozen=True)
class Baseline:
    """A scaled network.

    Attributes:
        title: what it is called.
        flops: multiply-adds at the frame's resolution.
        keys: the sections of a configuration that build it.
    """

    title: str
    flops: int
    keys: Mapping[str, Any]


def scaled_baseline(name: str, frame: AnyNetFrame, flops: int) -> Baseline:
    """Return a baseline whose multiply-adds are nearest to a number.

    Args:
        name: one of BASELINES.
        frame: of the population.
        flops: of the network that is compared.

    Raises:
        ConfigError: the counts are out of range.
    """
    block, title, stages_of = BASELINES[name]
    grid = [(factor, depth) for depth in _DEPTHS for factor in _FACTORS]
    best: tuple[float, int, Stages, AnyNetFrame, float] | None = None
    seen = set()
    for factor, depth in grid:
        if best is not None and best[0] < _NEAR and depth < best[4]:
            break  # no need for fewer blocks
        try:
            stages = stages_of(float(factor), depth)
        except ConfigError:
            continue
        if repr(stages) in seen:
            continue
        seen.add(repr(stages))
        count = len(stages[0])
        strides = (*frame.strides, *[2] * count)[:count]
        own = replace(frame, strides=strides, block_type=block)
        columns = [np.array(values)[:, None] for values in stages]
        cost = int(count_stages(columns[0], columns[1], columns[2], columns[3], own)[0][0])
        misses = abs(np.log(cost / flops))
        if best is None or misses < best[0]:
            best = (misses, cost, stages, own, depth)
    if best is None:
        raise ConfigError(f"no {title} can be built with the stem and strides of the population")
    _, cost, (depths, widths, bot_muls, group_ws), own, _ = best
    anynet = {
        "STEM_TYPE": own.stem_type, "STEM_W": own.stem_w, "BLOCK_TYPE": own.block_type,
        "DEPTHS": depths, "WIDTHS": widths, "STRIDES": list(own.strides),
        "BOT_MULS": bot_muls if own.has_groups else [],
        "GROUP_WS": group_ws if own.has_groups else [], "HEAD_W": own.head_w,
    }  # fmt: skip
    return Baseline(title, cost, {"MODEL": {"TYPE": "anynet"}, "ANYNET": anynet})


def _regnetx(factor: float, depth: float) -> Stages:
    """Return the stages of RegNetX-200MF, its widths and blocks times factors."""
    w_0 = max(8, 8 * round(24 * factor / 8))
    widths, depths, group_ws = regnet_layout(36.44 * factor, w_0, 2.49, round(13 * depth), 1.0, 8)
    return depths, widths, [1.0] * len(depths), group_ws


def _resnet(factor: float, depth: float) -> Stages:
    """Return the stages of ResNet-18, its widths and blocks times factors."""
    widths = [max(2, 2 * round(32 * factor)) * 2**stage for stage in range(4)]
    return [max(1, round(2 * depth))] * 4, widths, [1.0] * 4, [1] * 4


# name -> block, title, stages at factors of width and depth.
BASELINES: Mapping[str, tuple[str, str, Callable[[float, float], Stages]]] = {
    "regnetx": ("res_bottleneck_block", "RegNetX-200MF, scaled", _regnetx),
    "resnet": ("res_basic_block", "ResNet-18, scaled", _resnet),
}
