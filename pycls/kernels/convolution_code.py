"""Grouped convolutions as loops over vectors: the kernels' text.

A convolution is a list of pairs: output pixel p takes input pixel s through tap t of the kernel
(:mod:`pycls.kernels.taps`). Edges, strides and dilation are in the list; images of one
pixel have one pair. The gradient by the input is the same sum over the list turned round, so
that one text makes both.

Two ways to fill the lanes of a vector:

- *across groups*, for narrow groups: a lane is a group. Images are dealt into one plane for each
  channel of a group first, so that neighbouring lanes are neighbouring numbers.
- *within groups*, for wide ones: a lane is an output channel of one group.

Images are N x P x C, channels last. A thread has a part of the images, and an array of its own
for the gradient by the weights, which are added up in the order of the threads.
"""

from pycls.kernels.builder import LANES, KernelBuilder, Value, ir

# The integers of a call. A list of pairs is three arrays: where the pairs of an item start, and
# the two other numbers of each.
FORWARD = (
    "images", "groups", "taps", "in_pixels", "out_pixels", "source", "weight",
    "weight_out", "weight_in", "weight_tap", "starts", "firsts", "seconds", "result",
    "scratch", "scratch_size",
)  # fmt: skip
WEIGHT = (
    "images", "groups", "taps", "in_pixels", "out_pixels", "source", "gradient",
    "starts", "firsts", "seconds", "sums", "sums_size", "scratch", "scratch_size",
    "weight_gradient", "weight_out", "weight_in", "weight_tap",
)  # fmt: skip


def is_narrow(w_in: int, w_out: int) -> bool:
    """Say whether the lanes of a group's kernel are groups, and not its output channels."""
    return max(w_in, w_out) < LANES


def sum_over_taps(name: str, w_in: int, w_out: int, real: str, turned: bool) -> str:
    """Return the text of: result[p, out] = sum of source[s, in] * weight[t, out, in].

    Args:
        name: of the function.
        w_in: channels of a group of the source.
        w_out: channels of a group of the result.
        real: "float32" or "float64".
        turned: `weight` belongs to the convolution whose gradient this is, so that its output
            channels are the source's.
    """
    b = KernelBuilder(name, FORWARD, real)
    if is_narrow(w_in, w_out):
        _across_groups(b, w_in, w_out, turned)
    else:
        _within_groups(b, w_in, w_out, turned)
    return b.finish()


def weight_gradient(name: str, w_in: int, w_out: int, real: str) -> str:
    """Return the text of: weight_gradient[t, out, in] = sum of gradient[p, out] * source[s, in].

    The pairs are listed by tap. Each thread sums over its images, in the vectors' order.
    """
    b = KernelBuilder(name, WEIGHT, real)
    if is_narrow(w_in, w_out):
        _sums_across_groups(b, w_in, w_out)
    else:
        _sums_within_groups(b, w_in, w_out)
    b.barrier()
    _add_threads(b, w_in, w_out)
    return b.finish()


def sums_length(groups: int, w_in: int, w_out: int, taps: int) -> int:
    """Return how many numbers the sums of a thread are, or the weights in the kernel's order."""
    if is_narrow(w_in, w_out):
        return taps * _ceil(groups) * w_in * w_out * LANES
    return taps * groups * w_in * _ceil(w_out) * LANES


def scratch_length(groups: int, w_in: int, w_out: int, pixels: int, taps: int) -> int:
    """Return how many numbers a thread needs for the weights and the planes of an image."""
    planes = pixels * _ceil(groups) * LANES if is_narrow(w_in, w_out) else 0
    return sums_length(groups, w_in, w_out, taps) + (planes + LANES) * (w_in + w_out)


def _ceil(count: int) -> int:
    return -(-count // LANES)


def _blocks(b: KernelBuilder, count: Value) -> ir.Value:
    """Return how many vectors hold `count` numbers."""
    return b.div(b.add(count, LANES - 1), LANES)


def _clear(b: KernelBuilder, base: Value, vectors: Value) -> None:
    with b.loop(0, vectors) as i:
        b.store(b.zero, base, b.mul(i, LANES))


def _turned(w_in: int, w_out: int, turned: bool) -> tuple[int, int]:
    """Return (outputs, inputs) of the weight's own groups."""
    return (w_in, w_out) if turned else (w_out, w_in)


# ------------------------------------------------------------- across groups


def _across_groups(b: KernelBuilder, w_in: int, w_out: int, turned: bool) -> None:
    args, groups = b.args, b.args["groups"]
    blocks = _blocks(b, groups)
    matrix = w_in * w_out * LANES
    row_of_result = b.address(args["scratch"], b.mul(b.thread, args["scratch_size"]))
    weights = b.address(row_of_result, w_out * LANES)
    planes = b.address(weights, b.mul(args["taps"], blocks, matrix))
    _clear(b, weights, b.mul(args["taps"], blocks, w_in * w_out))
    with b.loop(0, groups) as group, b.loop(0, args["taps"]) as tap:
        at = b.mul(b.add(b.mul(b.div(group, LANES), args["taps"]), tap), matrix)
        at = b.add(at, b.rem(group, LANES))
        for out in range(w_out):
            for in_ in range(w_in):
                value = b.load(
                    args["weight"], _weight_at(b, group, out, in_, tap, w_in, w_out, turned)
                )
                b.store(value, weights, b.add(at, (out * w_in + in_) * LANES))
    first, last = b.share(args["images"])
    _clear(b, planes, b.mul(args["in_pixels"], blocks, w_in))
    with b.loop(first, last) as image:
        _deal_image(b, args["source"], image, args["in_pixels"], w_in, planes)
        result = b.address(args["result"], b.mul(image, args["out_pixels"], groups, w_out))
        with b.loop(0, blocks) as block:
            x_base = b.address(planes, b.mul(block, args["in_pixels"], w_in * LANES))
            w_base = b.address(weights, b.mul(block, args["taps"], matrix))
            left = b.minimum(b.add(groups, b.mul(block, -LANES)), LANES)
            with b.loop(0, args["out_pixels"]) as pixel:
                start = b.load_integer(args["starts"], pixel)
                end = b.load_integer(args["starts"], b.add(pixel, 1))
                # Several sums for each channel: a sum waits for the one before it.
                unrolled = max(1, 4 // w_in)
                chains = max(1, LANES // w_out)
                sums = [b.registers(chains) for _ in range(w_out)]

                def add_pair(pair: Value, step: int = 0) -> None:
                    x_at = b.mul(b.load_integer(args["firsts"], pair), w_in * LANES)
                    w_at = b.mul(b.load_integer(args["seconds"], pair), matrix)
                    x = [b.load_vector(x_base, b.add(x_at, j * LANES)) for j in range(w_in)]
                    for out in range(w_out):
                        for in_ in range(w_in):
                            w = b.load_vector(w_base, b.add(w_at, (out * w_in + in_) * LANES))
                            total = sums[out][(step * w_in + in_) % chains]
                            total.set(b.multiply_add(x[in_], w, total.get()))

                whole = b.add(start, b.mul(b.div(b.add(end, b.mul(start, -1)), unrolled), unrolled))
                with b.loop(start, whole, unrolled) as pair:
                    for step in range(unrolled):
                        add_pair(b.add(pair, step), step)
                if unrolled > 1:
                    with b.loop(whole, end) as pair:
                        add_pair(pair)
                row = b.gather([b.total([s.get() for s in own]) for own in sums])
                at = b.add(b.mul(pixel, groups, w_out), b.mul(block, LANES * w_out))
                with b.where(left, "==", LANES):
                    b.store(row, result, at)
                with b.where(left, "<", LANES):
                    b.store(row, row_of_result, 0)
                    with b.loop(0, b.mul(left, w_out)) as i:
                        b.store(b.load(row_of_result, i), result, b.add(at, i))


def _weight_at(
    b: KernelBuilder, group: Value, out: Value, in_: Value, tap: Value, w_in: int, w_out: int,
    turned: bool = False,
) -> ir.Value:  # fmt: skip
    """Return where the weight from source channel `in_` to result channel `out` of a group is."""
    if turned:
        out, in_, w_out = in_, out, w_in
    return b.add(
        b.mul(b.add(b.mul(group, w_out), out), b.args["weight_out"]),
        b.mul(in_, b.args["weight_in"]),
        b.mul(tap, b.args["weight_tap"]),
    )


def _deal_image(
    b: KernelBuilder, source: Value, image: Value, pixels: Value, width: int, planes: Value
) -> None:
    """Deal an image's channels into vectors of groups: planes[block, pixel, channel of a group]."""
    groups = b.args["groups"]
    full = b.div(groups, LANES)
    with b.loop(0, pixels) as pixel:
        row = b.mul(b.add(b.mul(image, pixels), pixel), groups, width)
        with b.loop(0, full) as block:
            hands = b.deal(
                b.load_vector(source, b.add(row, b.mul(block, width * LANES)), LANES * width), width
            )
            to = b.mul(b.add(b.mul(block, pixels), pixel), width * LANES)
            for number, hand in enumerate(hands):
                b.store(hand, planes, b.add(to, number * LANES))
        to = b.mul(b.add(b.mul(full, pixels), pixel), width * LANES)
        with b.loop(b.mul(full, LANES), groups) as group:
            for number in range(width):
                value = b.load(source, b.add(row, b.mul(group, width), number))
                b.store(value, planes, b.add(to, number * LANES, b.rem(group, LANES)))


def _sums_across_groups(b: KernelBuilder, w_in: int, w_out: int) -> None:
    args, groups = b.args, b.args["groups"]
    blocks = _blocks(b, groups)
    sums = b.address(args["sums"], b.mul(b.thread, args["sums_size"]))
    planes = b.address(args["scratch"], b.mul(b.thread, args["scratch_size"]))
    out_planes = b.address(planes, b.mul(args["in_pixels"], blocks, w_in * LANES))
    pixels = b.add(b.mul(args["in_pixels"], w_in), b.mul(args["out_pixels"], w_out))
    _clear(b, planes, b.mul(pixels, blocks))
    _clear(b, sums, b.mul(args["taps"], blocks, w_in * w_out))
    first, last = b.share(args["images"])
    rows = max(1, 8 // w_in)  # output channels at a time: so many sums fit into registers
    with b.loop(first, last) as image:
        _deal_image(b, args["source"], image, args["in_pixels"], w_in, planes)
        _deal_image(b, args["gradient"], image, args["out_pixels"], w_out, out_planes)
        with b.loop(0, blocks) as block, b.loop(0, args["taps"]) as tap:
            start = b.load_integer(args["starts"], tap)
            end = b.load_integer(args["starts"], b.add(tap, 1))
            x_base = b.address(planes, b.mul(block, args["in_pixels"], w_in * LANES))
            g_base = b.address(out_planes, b.mul(block, args["out_pixels"], w_out * LANES))
            base = b.mul(b.add(b.mul(block, args["taps"]), tap), w_in * w_out * LANES)
            for lowest in range(0, w_out, rows):
                outs = range(lowest, min(lowest + rows, w_out))
                registers = b.registers(len(outs) * w_in)
                with b.loop(start, end) as pair:
                    g_at = b.mul(b.load_integer(args["firsts"], pair), w_out * LANES)
                    x_at = b.mul(b.load_integer(args["seconds"], pair), w_in * LANES)
                    x = [b.load_vector(x_base, b.add(x_at, j * LANES)) for j in range(w_in)]
                    for row, out in enumerate(outs):
                        g = b.load_vector(g_base, b.add(g_at, out * LANES))
                        for in_ in range(w_in):
                            register = registers[row * w_in + in_]
                            register.set(b.multiply_add(x[in_], g, register.get()))
                for number, register in enumerate(registers):
                    at = b.add(base, (lowest * w_in + number) * LANES)
                    b.store(b.plus(b.load_vector(sums, at), register.get()), sums, at)


# ------------------------------------------------------------- within groups


def _within_groups(b: KernelBuilder, w_in: int, w_out: int, turned: bool) -> None:
    args, groups = b.args, b.args["groups"]
    vectors = _ceil(w_out)
    weights = b.address(args["scratch"], b.mul(b.thread, args["scratch_size"]))
    if w_out % LANES:
        _clear(b, weights, b.mul(args["taps"], groups, w_in * vectors))
    with b.loop(0, args["taps"]) as tap, b.loop(0, groups) as group, b.loop(0, w_in) as in_:
        at = b.mul(b.add(b.mul(b.add(b.mul(tap, groups), group), w_in), in_), vectors * LANES)
        with b.loop(0, w_out) as out:
            value = b.load(args["weight"], _weight_at(b, group, out, in_, tap, w_in, w_out, turned))
            b.store(value, weights, b.add(at, out))
    first, last = b.share(args["images"])
    with b.loop(first, last) as image, b.loop(0, args["out_pixels"]) as pixel:
        start = b.load_integer(args["starts"], pixel)
        end = b.load_integer(args["starts"], b.add(pixel, 1))
        to = b.mul(b.add(b.mul(image, args["out_pixels"]), pixel), groups, w_out)
        with b.loop(0, groups) as group:
            for lowest in range(0, vectors, 4):
                block = range(lowest, min(lowest + 4, vectors))
                # Several sums for each vector: a sum waits for the one before it.
                chains = max(1, LANES // len(block))
                sums = b.registers(len(block) * chains)
                with b.loop(start, end) as pair:
                    source = b.load_integer(args["firsts"], pair)
                    tap = b.load_integer(args["seconds"], pair)
                    row = b.add(b.mul(image, args["in_pixels"]), source)
                    x_at = b.mul(b.add(b.mul(row, groups), group), w_in)
                    w_at = b.mul(b.add(b.mul(tap, groups), group), w_in * vectors * LANES)
                    _multiply_rows(b, weights, x_at, w_at, w_in, vectors, block, sums)
                at = b.add(to, b.mul(group, w_out))
                for order, number in enumerate(block):
                    total = b.total([s.get() for s in sums[order :: len(block)]])
                    _store_part(
                        b, total, args["result"], b.add(at, number * LANES), w_out - number * LANES
                    )


def _multiply_rows(
    b: KernelBuilder, weights: Value, x_at: Value, w_at: Value, w_in: int, vectors: int,
    block: range, sums: list,
) -> None:  # fmt: skip
    """Sums += source[x_at + j] * weights[w_at, j], for all input channels j of a group."""

    def row(in_: Value, step: int) -> None:
        chain = step * len(block) % len(sums)
        x = b.load_splat(b.args["source"], b.add(x_at, in_))
        at = b.add(w_at, b.mul(in_, vectors * LANES))
        for register, number in zip(sums[chain : chain + len(block)], block, strict=True):
            w = b.load_vector(weights, b.add(at, number * LANES))
            register.set(b.multiply_add(x, w, register.get()))

    whole = w_in - w_in % 8
    if whole:
        with b.loop(0, whole, 8) as low:
            for step in range(8):
                row(b.add(low, step), step)
    for in_ in range(whole, w_in):
        row(in_, in_ - whole)


def _store_part(b: KernelBuilder, value: ir.Value, base: Value, at: Value, length: int) -> None:
    """Store a vector, or the first numbers of it where fewer are left."""
    if length >= LANES:
        b.store(value, base, at)
        return
    for lane in range(length):
        b.store(b.lane(value, lane), base, b.add(at, lane))


def _load_part(b: KernelBuilder, base: Value, at: Value, length: int) -> ir.Value:
    """Load a vector, or so many numbers and zeros."""
    if length >= LANES:
        return b.load_vector(base, at)
    value: ir.Value = b.zero
    for lane in range(length):
        value = b.with_lane(value, lane, b.load(base, b.add(at, lane)))
    return value


def _sums_within_groups(b: KernelBuilder, w_in: int, w_out: int) -> None:
    args, groups = b.args, b.args["groups"]
    vectors = _ceil(w_out)
    sums = b.address(args["sums"], b.mul(b.thread, args["sums_size"]))
    _clear(b, sums, b.mul(args["taps"], groups, w_in * vectors))
    first, last = b.share(args["images"])
    with b.loop(first, last) as image, b.loop(0, args["taps"]) as tap:
        start = b.load_integer(args["starts"], tap)
        end = b.load_integer(args["starts"], b.add(tap, 1))
        with b.loop(0, groups) as group:
            base = b.mul(b.add(b.mul(tap, groups), group), w_in * vectors * LANES)
            for number in range(vectors):
                whole = w_in - w_in % LANES

                def rows(
                    low: Value,
                    count: int,
                    number: int = number,
                    base: Value = base,
                    start: Value = start,
                    end: Value = end,
                    group: Value = group,
                    image: Value = image,
                ) -> None:
                    registers = b.registers(count)
                    with b.loop(start, end) as pair:
                        pixel = b.load_integer(args["firsts"], pair)
                        source = b.load_integer(args["seconds"], pair)
                        row = b.add(b.mul(image, args["out_pixels"]), pixel)
                        at = b.add(b.mul(b.add(b.mul(row, groups), group), w_out), number * LANES)
                        g = _load_part(b, args["gradient"], at, w_out - number * LANES)
                        row = b.add(b.mul(image, args["in_pixels"]), source)
                        at = b.add(b.mul(b.add(b.mul(row, groups), group), w_in), low)
                        for step, register in enumerate(registers):
                            x = b.load_splat(args["source"], b.add(at, step))
                            register.set(b.multiply_add(x, g, register.get()))
                    for step, register in enumerate(registers):
                        at = b.mul(b.add(b.mul(b.add(low, step), vectors), number), LANES)
                        at = b.add(base, at)
                        b.store(b.plus(b.load_vector(sums, at), register.get()), sums, at)

                if whole:
                    with b.loop(0, whole, LANES) as low:
                        rows(low, LANES)
                if w_in % LANES:
                    rows(whole, w_in % LANES)


def _add_threads(b: KernelBuilder, w_in: int, w_out: int) -> None:
    """Add up the threads' sums, each thread for some of the groups, in the order of a weight."""
    args, groups = b.args, b.args["groups"]
    first, last = b.share(groups)
    with (
        b.loop(first, last) as group, b.loop(0, args["taps"]) as tap,
        b.loop(0, w_out) as out, b.loop(0, w_in) as in_,
    ):  # fmt: skip
        if is_narrow(w_in, w_out):
            row = b.add(b.mul(b.div(group, LANES), args["taps"]), tap)
            row = b.add(b.mul(b.add(b.mul(row, w_out), out), w_in), in_)
            at = b.add(b.mul(row, LANES), b.rem(group, LANES))
        else:
            row = b.add(b.mul(b.add(b.mul(tap, groups), group), w_in), in_)
            at = b.add(b.mul(row, _ceil(w_out) * LANES), out)
        (total,) = b.registers(1, b.real)
        with b.loop(0, b.threads) as thread:
            at_thread = b.add(b.mul(thread, args["sums_size"]), at)
            total.set(b.plus(total.get(), b.load(args["sums"], at_thread)))
        to = _weight_at(b, group, out, in_, tap, w_in, w_out)
        b.store(total.get(), args["weight_gradient"], to)
