"""RegNets many at once: from their parameters to stages, and what they cost.

The stages are those of `pycls.models.widths`, the counts those of the module walk in
`pycls.models`. Architectures with unequal numbers of stages share arrays: a stage that an
architecture does not have has depth, width and group width 0.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.models.widths import WIDTH_STEP, check_regnet_parameters
from pycls.spaces.anynet_count import (
    AnyNetFrame,
    FloatArray,
    IntArray,
    adjust_floats,
    check_countable,
    count_head,
    count_stage,
    count_stem,
)

# Nearer than this to a half, a number is rounded by the scalar rule: the logarithms and
# powers of NumPy and of Python may differ in the last place.
_NEAR_HALF = 1e-6
_DEEPEST = 4096


def regnet_stages(
    w_a: FloatArray, w_0: IntArray, w_m: FloatArray, depth: IntArray
) -> tuple[IntArray, IntArray]:
    """Return widths and depths of the stages of n RegNets.

    Equal to :func:`pycls.models.widths.regnet_stages` row by row.

    Args:
        w_a: growth of the width a block, n.
        w_0: width of the first block, n multiples of 8.
        w_m: ratio of the widths of neighbouring stages, n, above 1.
        depth: blocks in all, n.

    Returns:
        S x n widths and depths, S the largest number of stages; 0 where a row has fewer.

    Raises:
        ConfigError: a parameter out of its range.
    """
    w_a, w_m = np.asarray(w_a, dtype=np.float64), np.asarray(w_m, dtype=np.float64)
    w_0, depth = np.asarray(w_0, dtype=np.int64), np.asarray(depth, dtype=np.int64)
    _check_parameters(w_a, w_0, w_m, depth)
    n = len(depth)
    row, block, step = _first_blocks(w_a, w_0, w_m, depth)
    width = _step_widths(w_0[row], w_m[row], step)
    # Two steps may round to one width, and are one stage then.
    is_new = np.ones(len(row), dtype=np.bool_)
    is_new[1:] = (row[1:] != row[:-1]) | (width[1:] != width[:-1])
    row, block, width = row[is_new], block[is_new], width[is_new]
    is_first = np.ones(len(row), dtype=np.bool_)
    is_first[1:] = row[1:] != row[:-1]
    stage = np.arange(len(row)) - np.flatnonzero(is_first)[row]
    end = np.where(np.append(is_first[1:], True), depth[row], np.append(block[1:], 0))
    widths, depths = np.zeros((2, int(stage.max(initial=0)) + 1, n), dtype=np.int64)
    widths[stage, row] = width
    depths[stage, row] = end - block
    return widths, depths


def _check_parameters(w_a: FloatArray, w_0: IntArray, w_m: FloatArray, depth: IntArray) -> None:
    wrong = (w_0 <= 0) | (w_0 % WIDTH_STEP != 0) | ~(w_a >= 0) | ~(w_m > 1) | (depth < 1)
    for i in np.flatnonzero(wrong)[:1]:
        check_regnet_parameters(float(w_a[i]), int(w_0[i]), float(w_m[i]), int(depth[i]))
        raise ConfigError(f"REGNET.WA {w_a[i]} and REGNET.WM {w_m[i]} make no network")


def _first_blocks(
    w_a: FloatArray, w_0: IntArray, w_m: FloatArray, depth: IntArray
) -> tuple[NDArray[np.intp], NDArray[np.intp], FloatArray]:
    """Return row, block and power step of each row's first block and where the step changes."""
    if depth.size and depth.max() > _DEEPEST:
        raise ConfigError(f"REGNET.DEPTH is {depth.max()}; expected at most {_DEEPEST} blocks")
    blocks = np.arange(int(depth.max(initial=1)))
    with np.errstate(over="ignore", invalid="ignore"):
        linear = w_0[:, np.newaxis] + w_a[:, np.newaxis] * blocks
        exact = np.log(linear / w_0[:, np.newaxis]) / np.log(w_m)[:, np.newaxis]
    steps = np.rint(exact)
    exists = blocks < depth[:, np.newaxis]
    for i, j in np.argwhere(exists & _is_near_half(exact, steps)):
        steps[i, j] = round(math.log(linear[i, j] / w_0[i]) / math.log(w_m[i]))
    begins = exists
    begins[:, 1:] &= steps[:, 1:] != steps[:, :-1]
    row, block = np.nonzero(begins)
    return row, block, steps[row, block]


def _step_widths(w_0: IntArray, w_m: FloatArray, step: FloatArray) -> IntArray:
    """Return w_0 * w_m ** step, rounded to multiples of 8."""
    with np.errstate(over="ignore", invalid="ignore"):
        eighths = w_0 * w_m**step / WIDTH_STEP
    if not (eighths < 2**40).all():
        raise ConfigError("REGNET.WA and REGNET.WM make widths too large to be counted")
    widths = np.rint(eighths)
    for i in np.flatnonzero(_is_near_half(eighths, widths)):
        widths[i] = round(int(w_0[i]) * float(w_m[i]) ** int(step[i]) / WIDTH_STEP)
    return widths.astype(np.int64) * WIDTH_STEP


def _is_near_half(values: FloatArray, rounded: FloatArray) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.abs(values - rounded) > 0.5 - _NEAR_HALF


def fit_stages(
    widths: IntArray, bot_muls: FloatArray, group_ws: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Make widths and group widths of stages fit each other.

    Equal to :func:`pycls.models.widths.make_compatible` where there is a stage.

    Args:
        widths: S x n, 0 where a row has no such stage.
        bot_muls: n, or S x n.
        group_ws: n, or S x n.

    Returns:
        Widths, group widths and bottleneck widths, S x n.

    Raises:
        ConfigError: a multiplier above 1 that is not whole, or no fit.
    """
    b = np.broadcast_to(np.asarray(bot_muls, dtype=np.float64), widths.shape)
    g = np.broadcast_to(np.asarray(group_ws, dtype=np.float64), widths.shape)
    exists = widths > 0
    if ((b > 1) & (b != np.trunc(b))).any() or not (b > 0).all() or not (g >= 1).all():
        raise ConfigError(
            "a bottleneck multiplier or a group width is out of range; expected multipliers "
            "that are fractions up to 1 or whole numbers, and group widths of 1 or more"
        )
    new_w, new_g, _ = adjust_floats(np.maximum(widths, 1).astype(np.float64), b, g)
    # As a block computes it from the width that was rounded down.
    inner = np.rint(new_w * b)
    for stage, row in np.argwhere(exists & ((inner % new_g != 0) | (inner < new_g)))[:1]:
        raise ConfigError(
            f"a width of {widths[stage, row]} with a bottleneck multiplier of {b[stage, row]} "
            f"and a group width of {int(g[stage, row])} fit no number of channels; change one"
        )
    fitted = (np.where(exists, array, 0).astype(np.int64) for array in (new_w, new_g, inner))
    return next(fitted), next(fitted), next(fitted)


def count_ragged(
    d: IntArray,
    w: IntArray,
    inner: IntArray,
    g: IntArray,
    frame: AnyNetFrame,
    se_r: float = 0.0,
) -> tuple[IntArray, IntArray, IntArray]:
    """Count flops, params and acts of architectures with different numbers of stages.

    Args:
        d: depths, S x n; 0 for stages that a row does not have, always its last ones.
        w: widths, likewise, as all that follow.
        inner: bottleneck widths.
        g: group widths; each divides its bottleneck width.
        frame: what the architectures share, with S strides.
        se_r: width of the squeeze-excitation as a multiple of a block's input width; 0: none.
    """
    if d.size:
        largest = max(int(w.max()), int(inner.max()))
        check_countable(int(d.sum(axis=0).max()), largest, frame)
    stem, side = count_stem(frame)
    n = d.shape[1]
    flops, params, acts = (np.full(n, value, dtype=np.int64) for value in stem)
    w_in: IntArray = np.full(n, frame.stem_w, dtype=np.int64)
    area: IntArray = np.full(n, side**2, dtype=np.int64)
    for s, stride in enumerate(frame.strides):
        sides = (side, (side - 1) // stride + 1)
        side = sides[1]
        counts = count_stage(w_in, w[s], d[s], sides, stride, inner[s], g[s], frame)
        if se_r and frame.has_groups:
            counts = _add_squeeze(counts, w_in, w[s], d[s], inner[s], se_r)
        flops += counts[0]
        params += counts[1]
        acts += counts[2]
        w_in = np.where(d[s] > 0, w[s], w_in)
        area = np.where(d[s] > 0, side**2, area)
    for total, part in zip((flops, params, acts), count_head(w_in, area, frame), strict=True):
        total += part
    return flops, params, acts


def _add_squeeze(
    counts: tuple[IntArray, IntArray, IntArray],
    w_in: IntArray,
    w: IntArray,
    d: IntArray,
    inner: IntArray,
    se_r: float,
) -> tuple[IntArray, IntArray, IntArray]:
    """Add two 1x1 convolutions with biases on one pixel, in each block of a stage."""
    flops, params, acts = counts
    for width, blocks in ((w_in, np.minimum(d, 1)), (w, np.maximum(d - 1, 0))):
        squeezed = np.rint(width * se_r).astype(np.int64)
        has_squeeze = blocks * (squeezed > 0)
        weights = has_squeeze * (2 * squeezed * inner + squeezed + inner)
        flops = flops + weights
        params = params + weights
        acts = acts + has_squeeze * (squeezed + inner)
    return flops, params, acts
