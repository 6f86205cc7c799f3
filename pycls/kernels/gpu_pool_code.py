"""Kernels of max pooling on a GPU, in Triton: windows of up to 255 taps, channels side by side."""

import triton
import triton.language as tl


@triton.jit
def pool_forward(
    x, y, places, pixels, height, width, out_height, out_width, units,
    UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
    K: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
):  # fmt: skip
    """Write the largest of each window of K x K pixels, and which of them it is."""
    channels = units * UNIT
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    p = tl.program_id(0) * BR + tl.arange(0, BR)
    inside = (p < pixels)[:, None] & (c < channels)[None, :]
    image = p // (out_height * out_width)
    top = (p // out_width) % out_height * STRIDE - PAD
    left = p % out_width * STRIDE - PAD
    best = tl.full((BR, BC), float("-inf"), tl.float32)
    place = tl.zeros((BR, BC), tl.int32) - 1
    for tap in tl.static_range(K * K):
        h = top + tap // K
        w = left + tap % K
        there = (h >= 0) & (h < height) & (w >= 0) & (w < width)
        mask = inside & there[:, None]
        at = ((image * height + h) * width + w).to(tl.int64)[:, None] * channels + c[None, :]
        v = tl.load(x + at, mask=mask, other=float("-inf")).to(tl.float32)
        # The first of equals; what is not a number is above all, as in PyTorch.
        better = mask & ((v > best) | (v != v) | (place < 0))
        best = tl.where(better, v, best)
        place = tl.where(better, tap, place)
    at = p.to(tl.int64)[:, None] * channels + c[None, :]
    tl.store(y + at, best.to(y.dtype.element_ty), mask=inside)
    tl.store(places + at, place.to(tl.uint8), mask=inside)


@triton.jit
def pool_backward(
    gradient, second, places, by_x, pixels, height, width, out_height, out_width, units,
    UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
    K: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr, TWO: tl.constexpr,
):  # fmt: skip
    """Write the gradient of x: each pixel collects from the windows whose largest it is."""
    channels = units * UNIT
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    p = tl.program_id(0) * BR + tl.arange(0, BR)
    inside = (p < pixels)[:, None] & (c < channels)[None, :]
    image = p // (height * width)
    row = (p // width) % height + PAD
    column = p % width + PAD
    total = tl.zeros((BR, BC), tl.float32)
    for tap in tl.static_range(K * K):
        down = row - tap // K
        right = column - tap % K
        h = down // STRIDE
        w = right // STRIDE
        there = (down >= 0) & (right >= 0) & (down % STRIDE == 0) & (right % STRIDE == 0)
        there = there & (h < out_height) & (w < out_width)
        mask = inside & there[:, None]
        at = ((image * out_height + h) * out_width + w).to(tl.int64)[:, None] * channels
        at = at + c[None, :]
        mask = mask & (tl.load(places + at, mask=mask, other=255) == tap)
        total += tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
        if TWO:
            total += tl.load(second + at, mask=mask, other=0.0).to(tl.float32)
    at = p.to(tl.int64)[:, None] * channels + c[None, :]
    tl.store(by_x + at, total.to(by_x.dtype.element_ty), mask=inside)
