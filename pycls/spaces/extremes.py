"""The least and the most that the networks of a design space can cost, without drawing any."""

import numpy as np
from numpy.typing import ArrayLike

from pycls.models.vocabulary import BLOCK_TYPES
from pycls.spaces.anynet_count import AnyNetFrame, count_head, count_stage, count_stem
from pycls.spaces.bounds import METRICS

Extremes = dict[str, tuple[int, int]]


def complexity_extremes(
    frame: AnyNetFrame,
    depth: tuple[int, int],
    widths: ArrayLike,
    inner: ArrayLike,
    group_ws: ArrayLike,
) -> Extremes:
    """Return {metric: (low, high)} outside of which no network of a space lies.

    Each stage is the cheapest or the dearest by itself, behind the narrowest or the widest one:
    a network need not reach them, and none lies beyond.

    Args:
        frame: what the networks share.
        depth: fewest and most blocks of a stage.
        widths: widths of a stage; with the next two, one combination each.
        inner: bottleneck widths.
        group_ws: group widths.

    Returns:
        Nothing for blocks that are counted by their modules only.
    """
    if frame.block_type not in BLOCK_TYPES:
        return {}
    w, v, g = (np.asarray(values, dtype=np.int64) for values in (widths, inner, group_ws))
    stem, side = count_stem(frame)
    low, high = np.array(stem), np.array(stem)
    narrow, wide = int(w.min()), int(w.max())
    for number, stride in enumerate(frame.strides):
        sides = (side, (side - 1) // stride + 1)
        side = sides[1]
        # A first block that keeps the shape has no projection in its shortcut: so a stage may cost
        # less behind one of its own width than behind the narrowest, and one wider than all, which
        # always has it, stands for the widest.
        cheap, dear = ((narrow, w), wide + 1) if number else ((frame.stem_w,), frame.stem_w)
        shared = (sides, stride, v, g, frame, 0.0)
        fewest, most = (np.full_like(w, blocks) for blocks in depth)
        low += np.min([count_stage(w_in, w, fewest, *shared) for w_in in cheap], axis=(0, 2))
        high += np.max(count_stage(dear, w, most, *shared), axis=1)
    low += count_head(narrow, side**2, frame)
    high += count_head(wide, side**2, frame)
    return {name: (int(low[i]), int(high[i])) for i, name in enumerate(METRICS)}
