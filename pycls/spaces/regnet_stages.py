"""The stages of many RegNets at once, from their parameters.

The stages are those of `pycls.models.widths`. Architectures with unequal numbers of stages
share arrays: a stage that an architecture does not have has depth, width and group width 0.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.models.widths import WIDTH_STEP, check_regnet_parameters
from pycls.spaces.anynet_count import IntArray, groups_misfit, make_compatible

FloatArray = NDArray[np.float64]

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
) -> tuple[IntArray, IntArray]:
    """Make widths and group widths of stages fit each other.

    Equal to :func:`pycls.models.widths.make_compatible` where there is a stage.

    Args:
        widths: S x n, 0 where a row has no such stage.
        bot_muls: n, or S x n.
        group_ws: n, or S x n.

    Returns:
        Widths and group widths, S x n.

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
    new_w, new_g = make_compatible(np.maximum(widths, 1), b, g)
    # With the bottleneck that a block computes from the width, which was rounded down.
    for stage, row in np.argwhere(exists & groups_misfit(new_w, b, new_g))[:1]:
        raise ConfigError(
            f"a width of {widths[stage, row]} with a bottleneck multiplier of {b[stage, row]} "
            f"and a group width of {int(g[stage, row])} fit no number of channels; change one"
        )
    return np.where(exists, new_w, 0), np.where(exists, new_g, 0)
