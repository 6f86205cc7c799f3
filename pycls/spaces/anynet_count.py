"""The complexity of many AnyNet architectures at once, from arrays of their parameters.

The rules are those of the module walk in `pycls.models`: flops are multiply-adds of
convolutions and linear layers (biases included), params everything learnable, acts the
output elements of convolutions, max pooling and linear layers. Depth enters in closed
form: a stage is its first block and depth - 1 equal others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError
from pycls.models.vocabulary import BLOCK_TYPES, STEM_TYPES, STEMS, block_types, has_groups
from pycls.spaces.arguments import check_int

IntArray = NDArray[np.int64]

_BLOCKS_WITH_PROJECTION = ("res_basic_block", "res_bottleneck_block")


@dataclass(frozen=True)
class AnyNetFrame:
    """What the members of an AnyNet design space share.

    Attributes:
        strides: stride of each stage's first block; its length is the number of stages.
        stem_type: `res_stem_cifar`, `res_stem_in` or `simple_stem_in`.
        stem_w: width of the stem, in channels.
        block_type: a block of :data:`pycls.models.blocks.BLOCKS`.
        resolution: height and width of the input, in pixels.
        num_classes: outputs of the last linear layer.
        head_w: width of a 1x1 convolution before the pooling; 0 for none.
    """

    strides: tuple[int, ...] = (1, 2, 2, 2)
    stem_type: str = "res_stem_in"
    stem_w: int = 64
    block_type: str = "res_bottleneck_block"
    resolution: int = 224
    num_classes: int = 1000
    head_w: int = 0

    def __post_init__(self) -> None:
        """Refuse values no network can be built from.

        Raises:
            ConfigError: names the argument, its value and what is allowed.
        """
        for name, allowed in (
            ("stem_type", STEM_TYPES),
            ("block_type", block_types(self.block_type)),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}"
                )
        for name, least in (("stem_w", 1), ("resolution", 1), ("num_classes", 1), ("head_w", 0)):
            object.__setattr__(self, name, check_int(name, getattr(self, name), least))
        if not isinstance(self.strides, (tuple, list)) or not self.strides:
            raise ConfigError(f"strides is {self.strides!r}, expected one integer per stage")
        strides = tuple(check_int("strides", stride, 1) for stride in self.strides)
        object.__setattr__(self, "strides", strides)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return len(self.strides)

    @property
    def has_groups(self) -> bool:
        """Whether the blocks have a bottleneck and groups (BOT_MULS and GROUP_WS)."""
        return has_groups(self.block_type)


def make_compatible(
    widths: ArrayLike, bot_muls: ArrayLike, group_ws: ArrayLike
) -> tuple[IntArray, IntArray]:
    """Adjust widths and group widths so that groups divide the bottleneck widths.

    pycls's rule: the group width is cut to the bottleneck width, the bottleneck width is
    rounded (half to even) to a multiple of the group width, and the width follows from it.
    Where a multiplier is above 1 the multiple is one of the multiplier too, as otherwise
    the width could not follow.

    Args:
        widths: positive integers, any shape.
        bot_muls: bottleneck multipliers of the same shape: below 1, or whole numbers.
        group_ws: positive integers of the same shape.

    Returns:
        Widths and group widths, int64, of the same shape.
    """
    # Integers held in float64, which is faster.
    w, b, g = (np.asarray(array, dtype=np.float64) for array in (widths, bot_muls, group_ws))
    v = np.trunc(np.maximum(w * b, 1.0))
    g = np.minimum(g, v)
    multiple = g
    if (b > 1).any():
        whole = np.maximum(b, 1.0).astype(np.int64)
        multiple = np.lcm(g.astype(np.int64), whole).astype(np.float64)
    v = np.maximum(np.rint(v / multiple) * multiple, multiple)
    return np.trunc(v / b).astype(np.int64), g.astype(np.int64)


def bottleneck_widths(widths: ArrayLike, bot_muls: ArrayLike) -> IntArray:
    """Return the bottleneck width that a block gives itself: round(width * multiplier)."""
    return np.rint(np.asarray(widths) * np.asarray(bot_muls, dtype=np.float64)).astype(np.int64)


def groups_misfit(widths: IntArray, bot_muls: ArrayLike, group_ws: IntArray) -> NDArray[np.bool_]:
    """Return where a group width does not divide the bottleneck width."""
    inner = bottleneck_widths(widths, bot_muls)
    return (inner < group_ws) | (inner % group_ws != 0)


def check_countable(depth: int, width: int, frame: AnyNetFrame) -> None:
    """Refuse sizes whose counts might not fit 64-bit integers.

    Args:
        depth: blocks over all stages, at most.
        width: channels of any layer, at most.
        frame: what the architectures share.

    Raises:
        ConfigError: an upper bound of the flops is 2**63 or more.
    """
    width = max(width, frame.stem_w, frame.head_w)
    # A block has at most two dense 3x3 convolutions, a projection and a head beside it.
    bound = 20 * (depth + 8) * width * max(width, 8) * frame.resolution**2
    if bound + width * frame.num_classes >= 2**63:
        raise ConfigError(
            f"networks of width {width}, depth {depth} and resolution {frame.resolution} are "
            "too large to be counted in 64-bit integers; lower one of them"
        )


def count_stages(
    depths: IntArray,
    widths: IntArray,
    bot_muls: ArrayLike,
    group_ws: IntArray,
    frame: AnyNetFrame,
    se_r: float = 0.0,
) -> tuple[IntArray, IntArray, IntArray]:
    """Count flops, params and acts of n architectures.

    Args:
        depths: S x n; 0 for stages that an architecture does not have, always its last ones.
        widths: S x n, as all that follow; 0 likewise.
        bot_muls: bottleneck multipliers; ignored by blocks that have none.
        group_ws: group widths, each dividing its bottleneck width; ignored likewise.
        frame: what the architectures share, with S strides.
        se_r: width of the squeeze-excitation as a multiple of a block's input width; 0: none.

    Returns:
        flops, params, acts: n int64 each.

    Raises:
        ConfigError: the counts could pass 2**63.
    """
    inner = bottleneck_widths(widths, bot_muls) if frame.has_groups else widths
    if depths.size:
        largest = max(int(widths.max()), int(inner.max()))
        check_countable(int(depths.sum(axis=0).max()), largest, frame)
    stem, side = count_stem(frame)
    flops, params, acts = (np.full(depths.shape[1], count, dtype=np.int64) for count in stem)
    w_in: IntArray | int = frame.stem_w
    area: IntArray | int = side**2
    is_ragged = not depths[-1].all()
    for d, w, v, g, stride in zip(depths, widths, inner, group_ws, frame.strides, strict=True):
        side_in, side = side, (side - 1) // stride + 1
        counts = count_stage(w_in, w, d, (side_in, side), stride, v, g, frame, se_r)
        flops += counts[0]
        params += counts[1]
        acts += counts[2]
        w_in = np.where(d > 0, w, w_in) if is_ragged else w
        area = np.where(d > 0, side**2, area) if is_ragged else side**2
    for total, part in zip((flops, params, acts), count_head(w_in, area, frame), strict=True):
        total += part
    return flops, params, acts


def count_stem(frame: AnyNetFrame) -> tuple[tuple[int, int, int], int]:
    """Return the stem's counts and the side of its output, in pixels."""
    kernel, stride, pool_stride = STEMS[frame.stem_type]
    w = frame.stem_w
    side = (frame.resolution - 1) // stride + 1
    weights = kernel * kernel * 3 * w
    flops, acts = weights * side**2, w * side**2
    if pool_stride:
        side = (side - 1) // pool_stride + 1
        acts += w * side**2
    return (flops, weights + 2 * w, acts), side


def count_stage(
    w_in: IntArray | int,
    w: IntArray,
    d: IntArray,
    sides: tuple[int, int],
    stride: int,
    inner: IntArray,
    g: IntArray,
    frame: AnyNetFrame,
    se_r: float,
) -> tuple[IntArray, IntArray, IntArray]:
    """Count one stage of n architectures; a stage of no blocks and width 0 counts nothing.

    Args:
        w_in: width before it.
        w: its width.
        d: its blocks.
        sides: height (and width) of the image before and in it, in pixels.
        stride: of its first block.
        inner: bottleneck width.
        g: group width.
        frame: block type.
        se_r: width of the squeeze-excitation as a multiple of a block's input width; 0: none.
    """
    if frame.block_type not in BLOCK_TYPES:
        return _count_other_stage(w_in, w, d, sides, stride, inner, g, frame.block_type, se_r)
    area_in, area = sides[0] ** 2, sides[1] ** 2
    if frame.has_groups:  # 1x1 (w_in to inner), 3x3 grouped and strided, 1x1 (inner to w)
        first = w_in * inner
        outward = inner * w
        # All 3x3 and last 1x1 convolutions, and the first 1x1 of all blocks but the first.
        rest = d * (9 * inner * g + 2 * outward) - outward
        inner_d, w_d = inner * d, w * d
        flops = first * area_in + rest * area
        params = first + rest + 4 * inner_d + 2 * w_d
        acts = inner * (area_in - area) + (2 * inner_d + w_d) * area
        if se_r:
            _add_squeeze(flops, params, acts, w_in, w, d, inner, se_r)
    else:  # two dense 3x3 convolutions a block, the stride on the first
        weights = 9 * w * (w_in + w * (2 * d - 1))
        flops = weights * area
        params = weights + 4 * w * d
        acts = 2 * w * d * area
    if frame.block_type in _BLOCKS_WITH_PROJECTION:
        # The shortcut's 1x1 convolution and batch normalisation, where the shape changes.
        w_out = w if stride != 1 else w * (w != w_in)
        weights = w_in * w_out
        flops += weights * area
        params += weights + 2 * w_out
        acts += w_out * area
    return flops, params, acts


def _count_other_stage(
    w_in: IntArray | int,
    w: IntArray,
    d: IntArray,
    sides: tuple[int, int],
    stride: int,
    inner: IntArray,
    g: IntArray,
    block_type: str,
    se_r: float,
) -> tuple[IntArray, IntArray, IntArray]:
    """Count blocks without a rule for arrays, by their modules, one architecture at a time."""
    from pycls.models.counting import count_block  # PyTorch: for such blocks only

    counts = np.zeros((3, len(w)), dtype=np.int64)
    rows = np.broadcast_arrays(w_in, w, d, inner, g)
    for i, (before, width, depth, v, group_w) in enumerate(
        zip(*map(np.ndarray.tolist, rows), strict=True)
    ):
        if depth:
            options = (v / width, group_w, se_r or None)
            counts[:, i] = count_block(block_type, before, width, stride, sides[0], *options)
        if depth > 1:
            one = count_block(block_type, width, width, 1, sides[1], *options)
            counts[:, i] += (depth - 1) * np.array(one)
    flops, params, acts = counts
    return flops, params, acts


def count_head(
    w: IntArray | int, area: IntArray | int, frame: AnyNetFrame
) -> tuple[IntArray | int, IntArray | int, IntArray | int]:
    """Return the counts of the optional 1x1 convolution and of the linear layer."""
    weights = w * frame.head_w
    linear = (frame.head_w or w) * frame.num_classes + frame.num_classes
    params = weights + 2 * frame.head_w + linear
    return weights * area + linear, params, frame.head_w * area + frame.num_classes


def _add_squeeze(
    flops: IntArray,
    params: IntArray,
    acts: IntArray,
    w_in: IntArray | int,
    w: IntArray,
    d: IntArray,
    inner: IntArray,
    se_r: float,
) -> None:
    """Add, in place, two 1x1 convolutions with biases on one pixel in each block of a stage."""
    for width, blocks in ((w_in, np.minimum(d, 1)), (w, np.maximum(d - 1, 0))):
        squeezed = np.rint(width * se_r).astype(np.int64)
        has_squeeze = blocks * (squeezed > 0)
        weights = has_squeeze * (2 * squeezed * inner + squeezed + inner)
        flops += weights
        params += weights
        acts += has_squeeze * (squeezed + inner)
