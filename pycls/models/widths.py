"""Computes widths and groups for RegNets, scaling and sweeps (no PyTorch here)."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from pycls.errors import ConfigError

WIDTH_STEP = 8


def regnet_stages(w_a: float, w_0: int, w_m: float, depth: int) -> tuple[list[int], list[int]]:
    """Return the widths and the depths of a RegNet's stages.

    Block j of `depth` would have the width w_0 + w_a * j; it takes the nearest power step
    w_0 * w_m^k in the logarithm, rounded to a multiple of 8. A stage is a run of equal
    widths (equations 2 to 4 of the paper).

    Raises:
        ConfigError: a parameter out of its range.
    """
    check_regnet_parameters(w_a, w_0, w_m, depth)
    block_widths = []
    for j in range(depth):
        # Python's round and NumPy's, which pycls uses, both take halves to the even number.
        step = round(math.log((w_0 + w_a * j) / w_0) / math.log(w_m))
        block_widths.append(round(w_0 * w_m**step / WIDTH_STEP) * WIDTH_STEP)
    stages = [(width, len(list(blocks))) for width, blocks in groupby(block_widths)]
    return [width for width, _ in stages], [blocks for _, blocks in stages]


def regnet_layout(
    w_a: float, w_0: int, w_m: float, depth: int, bot_mul: float, group_w: int
) -> tuple[list[int], list[int], list[int]]:
    """Return the widths, the depths and the group widths of a RegNet's stages.

    Raises:
        ConfigError: a parameter out of its range, or parameters that do not go together.
    """
    widths, depths = regnet_stages(w_a, w_0, w_m, depth)
    stages = len(widths)
    widths, group_ws = make_compatible(widths, [bot_mul] * stages, [group_w] * stages)
    return widths, depths, group_ws


def stage_lists(kind: str, net: Mapping[str, Any]) -> tuple[list, list, list, list]:
    """Return depths, widths, bottleneck multipliers and group widths of a network's stages.

    Args:
        kind: its MODEL.TYPE: anynet or regnet.
        net: the keys of its section.

    Raises:
        ConfigError: parameters of a RegNet that make no network.
    """
    if kind == "anynet":
        ones = [1] * len(net["DEPTHS"])
        bot_muls, group_ws = (net.get(key) or ones for key in ("BOT_MULS", "GROUP_WS"))
        return net["DEPTHS"], net["WIDTHS"], bot_muls, group_ws
    parameters = [net[key] for key in ("WA", "W0", "WM", "DEPTH", "BOT_MUL", "GROUP_W")]
    widths, depths, group_ws = regnet_layout(*parameters)
    return depths, widths, [net["BOT_MUL"]] * len(depths), group_ws


def check_regnet_parameters(w_a: float, w_0: int, w_m: float, depth: int) -> None:
    """Check the four parameters that give a RegNet's widths.

    Raises:
        ConfigError: names the configuration key, its value and what is expected.
    """
    if w_0 <= 0 or w_0 % WIDTH_STEP:
        raise ConfigError(f"REGNET.W0 is {w_0}; expected a positive multiple of {WIDTH_STEP}")
    if w_a < 0:
        raise ConfigError(f"REGNET.WA is {w_a}; expected a number of 0 or more")
    if w_m <= 1:
        raise ConfigError(f"REGNET.WM is {w_m}; expected a number above 1")
    if depth < 1:
        raise ConfigError(f"REGNET.DEPTH is {depth}; expected at least one block")


def make_compatible(
    widths: Sequence[int], bot_muls: Sequence[float], group_ws: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return widths and group widths that go together, changed as little as needed.

    A bottleneck of width w * b is rounded to a multiple of its group width g (and of b, where
    b is above 1), and g is at most the bottleneck, one stage after the other, as pycls does.

    Args:
        widths: output channels of each stage.
        bot_muls: bottleneck width as a multiple of the width; above 1 a whole number.
        group_ws: wanted channels of a group.

    Raises:
        ConfigError: a bottleneck multiplier above 1 that is not whole, or no fit.
    """
    new_widths, new_group_ws = [], []
    for w, b, g in zip(widths, bot_muls, group_ws, strict=True):
        if b > 1 and b != int(b):
            raise ConfigError(
                f"a bottleneck multiplier (BOT_MUL, BOT_MULS or EXP_RATIOS) is {b}; expected "
                "a fraction up to 1 or a whole number"
            )
        bottleneck = int(max(1, w * b))
        g = int(min(g, bottleneck))
        step = math.lcm(g, int(b)) if b > 1 else g
        bottleneck = max(step, round(bottleneck / step) * step)
        width = int(bottleneck / b)
        if round(width * b) % g:
            raise ConfigError(
                f"a width of {w} with a bottleneck multiplier of {b} and a group width of {g} "
                "fit no number of channels; change one of the three"
            )
        new_widths.append(width)
        new_group_ws.append(g)
    return new_widths, new_group_ws
