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

from collections.abc import Callable, Iterator, Sequence

from pycls.kernels.builder import LANES, KernelBuilder, Value, ir

# The integers of a call. A list of pairs is three arrays: where the pairs of an item start, and
# the two other numbers of each.
FORWARD = (
    "images", "groups", "w_in", "w_out", "taps", "in_pixels", "out_pixels", "source", "weight",
    "weight_out", "weight_in", "weight_tap", "starts", "firsts", "seconds", "result",
    "scratch", "scratch_size",
)  # fmt: skip
WEIGHT = (
    "images", "groups", "w_in", "w_out", "taps", "in_pixels", "out_pixels", "source", "gradient",
    "starts", "firsts", "seconds", "sums", "sums_size", "scratch", "scratch_size",
    "weight_gradient", "weight_out", "weight_in", "weight_tap",
)  # fmt: skip


Widths = tuple[int, int] | None


def is_narrow(w_in: int, w_out: int) -> bool:
    """Say whether the lanes of a group's kernel are groups, and not its output channels."""
    return max(w_in, w_out) < LANES


def sum_over_taps(name: str, widths: Widths, real: str, turned: bool) -> str:
    """Return the text of: result[p, out] = sum of source[s, in] * weight[t, out, in].

    Args:
        name: of the function.
        widths: channels of a group of source and result where they are narrow, else None: one
            text for all widths.
        real: "float32" or "float64".
        turned: `weight` belongs to the convolution whose gradient this is, so that its output
            channels are the source's.
    """
    b = KernelBuilder(name, FORWARD, real)
    if widths is None:
        _within_groups(b, turned)
    else:
        _across_groups(b, *widths, turned)
    return b.finish()


def weight_gradient(name: str, widths: Widths, real: str) -> str:
    """Return the text of: weight_gradient[t, out, in] = sum of gradient[p, out] * source[s, in].

    The pairs are listed by tap. Each thread sums over its images, in the vectors' order.
    Arguments as :func:`sum_over_taps`.
    """
    b = KernelBuilder(name, WEIGHT, real)
    if widths is None:
        _sums_within_groups(b)
    else:
        _sums_across_groups(b, *widths)
    b.barrier()
    w_in, w_out = widths or (b.args["w_in"], b.args["w_out"])
    _add_threads(b, w_in, w_out, narrow=widths is not None)
    return b.finish()


def sums_length(groups: int, w_in: int, w_out: int, taps: int) -> int:
    """Return how many numbers the sums of a thread are, or the weights in the kernel's order."""
    if is_narrow(w_in, w_out):
        return taps * _ceil(groups) * w_in * w_out * LANES
    return taps * groups * w_in * _ceil(w_out) * LANES


def scratch_length(
    groups: int, w_in: int, w_out: int, pixels: int, out_pixels: int, taps: int
) -> int:
    """Return how many numbers a thread needs for the weights and the planes of an image."""
    weights = sums_length(groups, w_in, w_out, taps) + LANES * LANES
    if is_narrow(w_in, w_out):
        return weights + (pixels * w_in + out_pixels * w_out) * _ceil(groups) * LANES
    return weights + out_pixels * groups * _ceil(w_out) * LANES


def _ceil(count: int) -> int:
    return -(-count // LANES)


def _blocks(b: KernelBuilder, count: Value) -> ir.Value:
    """Return how many vectors hold `count` numbers."""
    return b.div(b.add(count, LANES - 1), LANES)


def _clear(b: KernelBuilder, base: Value, vectors: Value) -> None:
    with b.loop(0, vectors) as i:
        b.store(b.zero, base, b.mul(i, LANES))


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


def _within_groups(b: KernelBuilder, turned: bool) -> None:
    args, groups = b.args, b.args["groups"]
    w_in, w_out = args["w_in"], args["w_out"]
    vectors = _blocks(b, w_out)
    wide = b.mul(vectors, LANES)
    part_of_row = b.address(args["scratch"], b.mul(b.thread, args["scratch_size"]))
    weights = b.address(part_of_row, LANES)
    _clear(b, weights, b.mul(args["taps"], groups, w_in, vectors))
    with b.loop(0, args["taps"]) as tap, b.loop(0, groups) as group, b.loop(0, w_in) as in_:
        at = b.mul(b.add(b.mul(b.add(b.mul(tap, groups), group), w_in), in_), wide)
        with b.loop(0, w_out) as out:
            value = b.load(args["weight"], _weight_at(b, group, out, in_, tap, w_in, w_out, turned))
            b.store(value, weights, b.add(at, out))
    first, last = b.share(args["images"])
    with b.loop(first, last) as image, b.loop(0, args["out_pixels"]) as pixel:
        start = b.load_integer(args["starts"], pixel)
        end = b.load_integer(args["starts"], b.add(pixel, 1))
        to = b.mul(b.add(b.mul(image, args["out_pixels"]), pixel), groups, w_out)
        x_image = b.address(args["source"], b.mul(image, args["in_pixels"], groups, w_in))
        with b.loop(0, groups) as group:
            result = b.address(args["result"], b.add(to, b.mul(group, w_out)))

            def columns(lowest: Value, count: int) -> None:
                # Several sums for each vector: a sum waits for the one before it.
                chains = LANES // count
                sums = [b.registers(chains) for _ in range(count)]
                with b.loop(start, end) as pair:
                    source = b.load_integer(args["firsts"], pair)
                    tap = b.load_integer(args["seconds"], pair)
                    x = b.address(x_image, b.mul(b.add(b.mul(source, groups), group), w_in))
                    w_at = b.mul(b.add(b.mul(tap, groups), group), w_in, wide)
                    w = b.address(weights, b.add(w_at, b.mul(lowest, LANES)))
                    for in_, step in _unrolled(b, w_in, LANES):
                        value = b.load_splat(x, in_)
                        for number, own in enumerate(sums):
                            factor = b.load_vector(w, b.add(b.mul(in_, wide), number * LANES))
                            total = own[step % chains]
                            total.set(b.multiply_add(value, factor, total.get()))
                for number, own in enumerate(sums):
                    at = b.mul(b.add(lowest, number), LANES)
                    left = b.minimum(b.sub(w_out, at), LANES)
                    value = b.total([register.get() for register in own])
                    with b.where(left, "==", LANES):
                        b.store(value, result, at)
                    with b.where(left, "<", LANES):
                        b.store(value, part_of_row, 0)
                        with b.loop(0, left) as lane:
                            b.store(b.load(part_of_row, lane), result, b.add(at, lane))

            _in_blocks(b, vectors, (4, 2, 1), columns)


def _in_blocks(
    b: KernelBuilder, count: Value, sizes: Sequence[int], do: Callable[[ir.Value, int], None]
) -> None:
    """Call do(first, size) for all of `count` items, as many at a time as may be."""
    done: Value = 0
    for size in sizes:
        end = b.add(done, b.mul(b.div(b.sub(count, done), size), size))
        with b.loop(done, end, size) as first:
            do(first, size)
        done = end


def _unrolled(b: KernelBuilder, count: Value, most: int) -> Iterator[tuple[ir.Value, int]]:
    """Return (item, place among those written out) of `count` items, for a loop's inside."""
    done: Value = 0
    for size in (most, 1):
        end = b.add(done, b.mul(b.div(b.sub(count, done), size), size))
        with b.loop(done, end, size) as first:
            for step in range(size):
                yield b.add(first, step), step
        done = end


def _sums_within_groups(b: KernelBuilder) -> None:
    args, groups = b.args, b.args["groups"]
    w_in, w_out = args["w_in"], args["w_out"]
    vectors = _blocks(b, w_out)
    wide = b.mul(vectors, LANES)
    sums = b.address(args["sums"], b.mul(b.thread, args["sums_size"]))
    padded = b.address(args["scratch"], b.mul(b.thread, args["scratch_size"]))
    _clear(b, sums, b.mul(args["taps"], groups, w_in, vectors))
    _clear(b, padded, b.mul(args["out_pixels"], groups, vectors))
    first, last = b.share(args["images"])
    with b.loop(first, last) as image:
        x_image = b.address(args["source"], b.mul(image, args["in_pixels"], groups, w_in))
        rows = b.mul(args["out_pixels"], groups)
        gradient = b.address(args["gradient"], b.mul(image, rows, w_out))
        # So that a vector ends with its group.
        with b.where(w_out, "!=", wide), b.loop(0, rows) as row, b.loop(0, w_out) as out:
            value = b.load(gradient, b.add(b.mul(row, w_out), out))
            b.store(value, padded, b.add(b.mul(row, wide), out))
        gradient = b.choose(w_out, wide, gradient, padded)
        with b.loop(0, args["taps"]) as tap, b.loop(0, groups) as group:
            start = b.load_integer(args["starts"], tap)
            end = b.load_integer(args["starts"], b.add(tap, 1))
            own = b.mul(b.add(b.mul(tap, groups), group), w_in, wide)
            with b.loop(0, wide, LANES) as column:

                def inputs(low: Value, count: int) -> None:
                    registers = b.registers(count)
                    with b.loop(start, end) as pair:
                        pixel = b.load_integer(args["firsts"], pair)
                        source = b.load_integer(args["seconds"], pair)
                        at = b.mul(b.add(b.mul(pixel, groups), group), wide)
                        factor = b.load_vector(gradient, b.add(at, column))
                        at = b.add(b.mul(b.add(b.mul(source, groups), group), w_in), low)
                        for step, register in enumerate(registers):
                            value = b.load_splat(x_image, b.add(at, step))
                            register.set(b.multiply_add(value, factor, register.get()))
                    for step, register in enumerate(registers):
                        at = b.add(own, b.mul(b.add(low, step), wide), column)
                        b.store(b.plus(b.load_vector(sums, at), register.get()), sums, at)

                _in_blocks(b, w_in, (LANES, 4, 1), inputs)


def _add_threads(b: KernelBuilder, w_in: Value, w_out: Value, narrow: bool) -> None:
    """Add up the threads' sums, each thread for some of the groups, in the order of a weight."""
    args, groups = b.args, b.args["groups"]
    first, last = b.share(groups)
    with (
        b.loop(first, last) as group, b.loop(0, args["taps"]) as tap,
        b.loop(0, w_out) as out, b.loop(0, w_in) as in_,
    ):  # fmt: skip
        if narrow:
            row = b.add(b.mul(b.div(group, LANES), args["taps"]), tap)
            row = b.add(b.mul(b.add(b.mul(row, w_out), out), w_in), in_)
            at = b.add(b.mul(row, LANES), b.rem(group, LANES))
        else:
            row = b.add(b.mul(b.add(b.mul(tap, groups), group), w_in), in_)
            at = b.add(b.mul(row, _blocks(b, w_out), LANES), out)
        (total,) = b.registers(1, b.real)
        with b.loop(0, b.threads) as thread:
            at_thread = b.add(b.mul(thread, args["sums_size"]), at)
            total.set(b.plus(total.get(), b.load(args["sums"], at_thread)))
        to = _weight_at(b, group, out, in_, tap, w_in, w_out)
        b.store(total.get(), args["weight_gradient"], to)
