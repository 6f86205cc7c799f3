"""Kernels of grouped 3 x 3 convolutions on a GPU, in Triton.

Whole groups are packed into tiles of up to 32 channels, T of them used, which the matrix units
take at once: a product of 32 x 32 numbers for each tap, zero between groups. The kernels read the
weights as they are and pack them on the way. Padding is 1; sums are in float32.
"""

import triton
import triton.language as tl


@triton.jit
def convolve(
    x, weight, y, count, height, width, out_height, out_width, units, by_out, by_in, by_tap,
    UNIT: tl.constexpr, G: tl.constexpr, T: tl.constexpr, STRIDE: tl.constexpr,
    BACK: tl.constexpr, BR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the result y of an image x; BACK: of the gradient x of the result, that of the image.

    `height` and `width` are those of x, `count` the pixels of y; G channels are a group's;
    `by_out`, `by_in` and `by_tap` are the weight's strides.
    """
    channels = units * UNIT
    tile = tl.program_id(1)
    p = tl.program_id(0) * BR + tl.arange(0, BR)
    image = p // (out_height * out_width)
    row = (p // out_width) % out_height
    column = p % out_width
    k = tl.arange(0, 32)
    c = tile * T + k
    inside = (k < T) & (c < channels)
    # Of the packed weights: a row is a channel of x, a column one of y.
    packed = (k[:, None] // G == k[None, :] // G) & inside[:, None] & inside[None, :]
    if BACK:
        at_weight = c[:, None] * by_out + (k % G)[None, :] * by_in
    else:
        at_weight = c[None, :] * by_out + (k % G)[:, None] * by_in
    total = tl.zeros((BR, 32), tl.float32)
    for tap in tl.static_range(9):
        if BACK:
            down = row + 1 - tap // 3
            right = column + 1 - tap % 3
            h = down // STRIDE
            w = right // STRIDE
            there = (down >= 0) & (right >= 0) & (down % STRIDE == 0) & (right % STRIDE == 0)
        else:
            h = row * STRIDE + tap // 3 - 1
            w = column * STRIDE + tap % 3 - 1
            there = (h >= 0) & (w >= 0)
        there = there & (h < height) & (w < width) & (p < count)
        at = ((image * height + h) * width + w).to(tl.int64)[:, None] * channels + c[None, :]
        v = tl.load(x + at, mask=there[:, None] & inside[None, :], other=0.0)
        u = tl.load(weight + at_weight + tap * by_tap, mask=packed, other=0.0).to(v.dtype)
        total = tl.dot(v, u, total, input_precision=PRECISION)
    at = p.to(tl.int64)[:, None] * channels + c[None, :]
    tl.store(y + at, total.to(y.dtype.element_ty), mask=(p < count)[:, None] & inside[None, :])


@triton.jit
def sum_weights(
    x, gradient, parts, count, height, width, out_height, out_width, span, units,
    UNIT: tl.constexpr, G: tl.constexpr, T: tl.constexpr, STRIDE: tl.constexpr,
    BR: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the weight's gradient over a span of the result's pixels.

    `parts` is spans x channels x G x 9; `count` are the pixels of the result.
    """
    channels = units * UNIT
    tile = tl.program_id(1)
    tap = tl.program_id(2)
    k = tl.arange(0, 32)
    c = tile * T + k
    inside = (k < T) & (c < channels)
    total = tl.zeros((32, 32), tl.float32)
    first = tl.program_id(0) * span
    for start in range(0, span, BR):
        p = first + start + tl.arange(0, BR)
        image = p // (out_height * out_width)
        h = (p // out_width) % out_height * STRIDE + tap // 3 - 1
        w = p % out_width * STRIDE + tap % 3 - 1
        there = (p < count) & (h >= 0) & (h < height) & (w >= 0) & (w < width)
        at = ((image * height + h) * width + w).to(tl.int64)[:, None] * channels + c[None, :]
        v = tl.load(x + at, mask=there[:, None] & inside[None, :], other=0.0)
        at = p.to(tl.int64)[:, None] * channels + c[None, :]
        g = tl.load(gradient + at, mask=(p < count)[:, None] & inside[None, :], other=0.0)
        total = tl.dot(tl.trans(v), g, total, input_precision=PRECISION)
    packed = (k[:, None] // G == k[None, :] // G) & inside[:, None] & inside[None, :]
    at = (tl.program_id(0) * channels + c[None, :]) * G + (k % G)[:, None]
    tl.store(parts + at.to(tl.int64) * 9 + tap, total, mask=packed)
