"""Kernels of batch normalisation, addition and ReLU on a GPU, in Triton.

An image is `rows` pixels of all images times channels, channels side by side. A program goes
through `span` rows of up to BC channels, BR rows at a time. Sums are made in two stages, without
atomic additions, so that they are the same each time. All is computed in float32.
"""

import triton
import triton.language as tl


@triton.jit
def _channels(units, UNIT: tl.constexpr, BC: tl.constexpr):
    """Return how many channels there are, those of a program, and which of them exist."""
    channels = units * UNIT
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    return channels, c, c < channels


@triton.jit
def _tile(first, rows, channels, c, inside, BR: tl.constexpr):
    """Return where BR rows of a program's channels are, and which of those places exist."""
    row = first + tl.arange(0, BR)
    at = row.to(tl.int64)[:, None] * channels + c[None, :]
    return at, (row < rows)[:, None] & inside[None, :]


@triton.jit
def _coefficients(saved, weight, bias, channels, c, inside):
    """Return mean, 1 / deviation, scale and shift of a program's channels."""
    mu = tl.load(saved + c, mask=inside, other=0.0)
    inverse = tl.load(saved + channels + c, mask=inside, other=0.0)
    scale = inverse * tl.load(weight + c, mask=inside, other=0.0)
    shift = tl.load(bias + c, mask=inside, other=0.0)
    return mu, inverse, scale, shift


@triton.jit
def sum_forward(
    x, parts, rows, span, units, UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr
):
    """Write the mean of each channel over a span, and the squared distances from it, added up.

    `parts` is spans x 2 x channels.
    """
    channels, c, inside = _channels(units, UNIT, BC)
    first = tl.program_id(0) * span
    count = tl.minimum(span, rows - first)
    at, mask = _tile(first, rows, channels, c, inside, BR)
    v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    # Distances from a number near the mean: nothing is lost where the mean is large.
    near = tl.sum(v, 0) / tl.minimum(count, BR).to(tl.float32)
    total = tl.zeros((BR, BC), tl.float32)
    squares = tl.zeros((BR, BC), tl.float32)
    for start in range(0, span, BR):
        at, mask = _tile(first + start, rows, channels, c, inside, BR)
        v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        v = tl.where(mask, v - near[None, :], 0.0)
        total += v
        squares += v * v
    offset = tl.sum(total, 0) / count.to(tl.float32)
    spread = tl.sum(squares, 0) - offset * offset * count.to(tl.float32)
    out = parts + tl.program_id(0) * 2 * channels + c
    tl.store(out, near + offset, mask=inside)
    tl.store(out + channels, tl.maximum(spread, 0.0), mask=inside)


@triton.jit
def finish_forward(
    parts, saved, running_mean, running_var, counter, spans, rows, span, momentum, eps, channels,
    BP: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Write mean and 1 / deviation of each channel to `saved`, and move the running statistics."""
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    inside = c < channels
    near = tl.load(parts + c, mask=inside, other=0.0)
    total = tl.zeros((BC,), tl.float32)
    for start in range(0, spans, BP):
        p = start + tl.arange(0, BP)
        mask = (p < spans)[:, None] & inside[None, :]
        count = tl.minimum(span, rows - p * span).to(tl.float32)
        mean = tl.load(parts + p[:, None] * 2 * channels + c[None, :], mask=mask, other=0.0)
        total += tl.sum(tl.where(mask, (mean - near[None, :]) * count[:, None], 0.0), 0)
    every = rows.to(tl.float32)
    offset = total / every
    squares = tl.zeros((BC,), tl.float32)
    for start in range(0, spans, BP):
        p = start + tl.arange(0, BP)
        mask = (p < spans)[:, None] & inside[None, :]
        count = tl.minimum(span, rows - p * span).to(tl.float32)
        at = parts + p[:, None] * 2 * channels + c[None, :]
        apart = tl.load(at, mask=mask, other=0.0) - near[None, :] - offset[None, :]
        own = tl.load(at + channels, mask=mask, other=0.0)
        squares += tl.sum(tl.where(mask, own + apart * apart * count[:, None], 0.0), 0)
    mean = near + offset
    tl.store(saved + c, mean, mask=inside)
    tl.store(saved + channels + c, 1.0 / tl.sqrt(squares / every + eps), mask=inside)
    old_mean = tl.load(running_mean + c, mask=inside, other=0.0)
    old_var = tl.load(running_var + c, mask=inside, other=0.0)
    tl.store(running_mean + c, old_mean * (1.0 - momentum) + mean * momentum, mask=inside)
    unbiased = squares / (every - 1.0)
    tl.store(running_var + c, old_var * (1.0 - momentum) + unbiased * momentum, mask=inside)
    if tl.program_id(0) == 0:
        tl.store(counter, tl.load(counter) + 1)


@triton.jit
def apply_forward(
    x, skip, y, mean, spread, weight, bias, rows, span, eps, units,
    UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
    IS_VARIANCE: tl.constexpr, ADDS: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """Write relu(norm(x) + skip); `spread` holds 1 / deviations, or variances."""
    channels, c, inside = _channels(units, UNIT, BC)
    mu = tl.load(mean + c, mask=inside, other=0.0)
    scale = tl.load(spread + c, mask=inside, other=1.0)
    if IS_VARIANCE:
        scale = 1.0 / tl.sqrt(scale + eps)
    scale = scale * tl.load(weight + c, mask=inside, other=0.0)
    shift = tl.load(bias + c, mask=inside, other=0.0)
    first = tl.program_id(0) * span
    for start in range(0, span, BR):
        at, mask = _tile(first + start, rows, channels, c, inside, BR)
        v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        v = (v - mu[None, :]) * scale[None, :] + shift[None, :]
        if ADDS:
            v += tl.load(skip + at, mask=mask, other=0.0).to(tl.float32)
        if RELU:
            v = tl.where(v <= 0.0, 0.0, v)  # what is not a number stays so
        tl.store(y + at, v.to(y.dtype.element_ty), mask=mask)


@triton.jit
def sum_backward(
    gradient, second, x, y, kept, parts, saved, weight, bias, rows, span, units,
    UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr,
    TWO: tl.constexpr, RELU: tl.constexpr, FROM_Y: tl.constexpr, KEEPS: tl.constexpr,
):  # fmt: skip
    """Write the sums of the gradient behind ReLU, and of its products with the normalised x.

    The gradient is `gradient`, or with TWO its sum with `second`. Where ReLU let through is known
    from the result (FROM_Y), or else from x. KEEPS: what is added up goes to `kept`, too.
    """
    channels, c, inside = _channels(units, UNIT, BC)
    mu, inverse, scale, shift = _coefficients(saved, weight, bias, channels, c, inside)
    total = tl.zeros((BR, BC), tl.float32)
    products = tl.zeros((BR, BC), tl.float32)
    first = tl.program_id(0) * span
    for start in range(0, span, BR):
        at, mask = _tile(first + start, rows, channels, c, inside, BR)
        g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
        if TWO:
            g += tl.load(second + at, mask=mask, other=0.0).to(tl.float32)
        v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mu[None, :]
        if RELU:
            if FROM_Y:
                out = tl.load(y + at, mask=mask, other=0.0).to(tl.float32)
            else:
                out = v * scale[None, :] + shift[None, :]
            g = tl.where(out <= 0.0, 0.0, g)
        if KEEPS:
            rounded = g.to(kept.dtype.element_ty)
            tl.store(kept + at, rounded, mask=mask)
            g = rounded.to(tl.float32)
        g = tl.where(mask, g, 0.0)
        total += g
        products += g * v * inverse[None, :]
    out = parts + tl.program_id(0) * 2 * channels + c
    tl.store(out, tl.sum(total, 0), mask=inside)
    tl.store(out + channels, tl.sum(products, 0), mask=inside)


@triton.jit
def finish_backward(parts, by_bias, by_weight, spans, channels, BP: tl.constexpr, BC: tl.constexpr):
    """Add up what :func:`sum_backward` wrote: the gradients of bias and weight."""
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    inside = c < channels
    total = tl.zeros((BP, BC), tl.float32)
    products = tl.zeros((BP, BC), tl.float32)
    for start in range(0, spans, BP):
        p = start + tl.arange(0, BP)
        mask = (p < spans)[:, None] & inside[None, :]
        at = parts + p[:, None] * 2 * channels + c[None, :]
        total += tl.load(at, mask=mask, other=0.0)
        products += tl.load(at + channels, mask=mask, other=0.0)
    tl.store(by_bias + c, tl.sum(total, 0), mask=inside)
    tl.store(by_weight + c, tl.sum(products, 0), mask=inside)


@triton.jit
def apply_backward(
    gradient, x, by_x, saved, weight, bias, by_weight, by_bias, rows, span, units,
    UNIT: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr, RELU: tl.constexpr,
):  # fmt: skip
    """Write the gradient of x; RELU: `gradient` is that of the result, not yet behind ReLU."""
    channels, c, inside = _channels(units, UNIT, BC)
    mu, inverse, scale, shift = _coefficients(saved, weight, bias, channels, c, inside)
    every = rows.to(tl.float32)
    mean_g = tl.load(by_bias + c, mask=inside, other=0.0) / every
    mean_product = tl.load(by_weight + c, mask=inside, other=0.0) / every
    first = tl.program_id(0) * span
    for start in range(0, span, BR):
        at, mask = _tile(first + start, rows, channels, c, inside, BR)
        g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
        v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) - mu[None, :]
        if RELU:
            g = tl.where(v * scale[None, :] + shift[None, :] <= 0.0, 0.0, g)
        v = v * inverse[None, :]
        g = (g - mean_g[None, :] - v * mean_product[None, :]) * scale[None, :]
        tl.store(by_x + at, g.to(by_x.dtype.element_ty), mask=mask)
