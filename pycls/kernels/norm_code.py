"""Batch normalisation with addition and ReLU, in as few passes over memory as there can be.

The library takes a pass for the means, one for the variances, one to normalise, one for the
addition and one for ReLU, and as many back. Here it is two each way. Features are N x P x C,
channels last, taken as rows of C numbers. C is a multiple of the vector's length: others take
several rows as one ("folded"), and their channels' sums are put together at the end.

Means and variances are those of blocks of rows, put together in float64 (Chan, Golub and
LeVeque, 1983), so that they are as exact as two passes.
"""

from collections.abc import Callable, Sequence

from pycls.kernels.builder import LANES, KernelBuilder, Value, ir

_BLOCK = 32  # rows that stay in the cache from the sum to the squares
FORWARD = (
    "rows", "channels", "fold", "eps", "momentum", "x", "skip", "y", "weight", "bias",
    "running_mean", "running_var", "saved", "scratch", "scratch_size",
)  # fmt: skip
BACKWARD = (
    "rows", "channels", "fold", "x", "y", "gradient", "masked", "x_gradient", "weight", "saved",
    "weight_gradient", "bias_gradient", "scratch", "scratch_size",
)  # fmt: skip
APPLY = ("rows", "wide", "x", "skip", "y", "scale", "shift")


def scratch_length(wide: int) -> int:
    """Return how many float64 a thread needs, of rows of `wide` numbers.

    A vector's place for the number of its rows, two sums a channel, three coefficients a channel.
    """
    return LANES + 5 * wide


def forward(name: str, real: str, relu: bool, skip: bool) -> str:
    """Return the text of: y = relu(norm(x) + skip) of a batch, and new running statistics.

    `saved` gets the mean and the inverse deviation of each column; `eps` and `momentum` are the
    bits of float64.
    """
    b = KernelBuilder(name, FORWARD, real)
    args = b.args
    wide = b.mul(args["channels"], args["fold"])
    own = _own(b, b.thread)
    coefficients = b.address(own, b.add(b.mul(wide, 2), LANES), b.double)
    scale, shift = coefficients, b.address(coefficients, wide)
    first, last = b.share(args["rows"])
    _statistics(b, own, coefficients, wide, first, last)
    b.barrier()
    _settle(b, wide, scale, shift)
    with b.loop(first, last) as row, b.loop(0, wide, LANES) as column:
        _apply(b, row, column, wide, scale, shift, relu, skip)
    return b.finish()


def apply(name: str, real: str, relu: bool, skip: bool) -> str:
    """Return the text of: y = relu(x * scale + shift + skip)."""
    b = KernelBuilder(name, APPLY, real)
    args = b.args
    first, last = b.share(args["rows"])
    with b.loop(first, last) as row, b.loop(0, args["wide"], LANES) as column:
        _apply(b, row, column, args["wide"], args["scale"], args["shift"], relu, skip)
    return b.finish()


def backward(name: str, real: str, relu: bool, masks: bool) -> str:
    """Return the text of: the gradients by x, weight and bias.

    With `masks`, the gradient behind ReLU is also written to `masked`.
    """
    b = KernelBuilder(name, BACKWARD, real)
    args = b.args
    wide = b.mul(args["channels"], args["fold"])
    own = _own(b, b.thread)
    coefficients = b.address(own, b.add(b.mul(wide, 2), LANES), b.double)
    by_gradient, by_x, constant = (b.address(coefficients, b.mul(wide, i)) for i in range(3))
    mean = args["saved"]
    first, last = b.share(args["rows"])
    _gradient_sums(b, own, coefficients, wide, first, last, relu, masks)
    b.barrier()
    _settle_sums(b, wide, by_gradient, by_x, constant)
    with b.loop(first, last) as row, b.loop(0, wide, LANES) as column:
        at = b.add(b.mul(row, wide), column)
        if masks:
            gradient = b.load_vector(args["masked"], at)
        else:
            gradient = _gradient(b, at, relu)
        apart = b.minus(b.load_vector(args["x"], at), b.load_vector(mean, column))
        value = b.multiply_add(b.load_vector(by_x, column), apart, b.load_vector(constant, column))
        value = b.multiply_add(b.load_vector(by_gradient, column), gradient, value)
        b.store(value, args["x_gradient"], at)
    return b.finish()


def _own(b: KernelBuilder, thread: Value) -> ir.Value:
    """Return the address of a thread's own numbers: its rows, means or sums, squares or sums."""
    return b.address(b.args["scratch"], b.mul(thread, b.args["scratch_size"]), b.double)


def _apply(
    b: KernelBuilder, row: Value, column: Value, wide: Value, scale: Value, shift: Value,
    relu: bool, skip: bool,
) -> None:  # fmt: skip
    at = b.add(b.mul(row, wide), column)
    value = b.load_vector(b.args["x"], at)
    value = b.multiply_add(value, b.load_vector(scale, column), b.load_vector(shift, column))
    if skip:
        value = b.plus(value, b.load_vector(b.args["skip"], at))
    if relu:
        value = b.keep_where_positive(value, value)
    b.store(value, b.args["y"], at)


def _gradient(b: KernelBuilder, at: Value, relu: bool) -> ir.Value:
    """Return the gradient behind ReLU."""
    gradient = b.load_vector(b.args["gradient"], at)
    return b.keep_where_positive(gradient, b.load_vector(b.args["y"], at)) if relu else gradient


def _clear(b: KernelBuilder, wide: Value, kind: ir.Type, *arrays: Value) -> None:
    with b.loop(0, wide, LANES) as column:
        for array in arrays:
            b.store(ir.Constant(kind, None), array, column)


def _add_rows(
    b: KernelBuilder, wide: Value, start: Value, end: Value, sums: Sequence[Value],
    terms: Callable[[ir.Value, ir.Value], Sequence[ir.Value]],
) -> None:  # fmt: skip
    """Add terms(place, column) of all rows to the columns' sums, which lie in memory.

    Rows are read from end to end, as memory likes it, and some of them at a time.
    """
    together = 4
    whole = b.add(start, b.mul(b.div(b.sub(end, start), together), together))
    for first, last, rows in ((start, whole, together), (whole, end, 1)):
        with b.loop(first, last, rows) as row, b.loop(0, wide, LANES) as column:
            places = [b.add(b.mul(b.add(row, i), wide), column) for i in range(rows)]
            of_rows = [terms(place, column) for place in places]
            for array, values in zip(sums, zip(*of_rows, strict=True), strict=True):
                b.store(b.plus(b.load_vector(array, column), b.total(values)), array, column)


def _statistics(
    b: KernelBuilder, own: Value, spare: Value, wide: Value, first: Value, last: Value
) -> None:
    """Write a thread's rows, the means of their columns and the squared deviations."""
    means = b.address(own, LANES, b.double)
    squares = b.address(means, wide, b.double)
    sums, near = spare, b.address(spare, wide)
    x = b.args["x"]
    b.store(b.real_of(b.sub(last, first), b.double), own, 0)
    _clear(b, wide, b.doubles, means, squares)
    with b.loop(first, last, _BLOCK) as start:
        end = b.minimum(b.add(start, _BLOCK), last)
        count = b.splat(b.real_of(b.sub(end, start), b.double))
        before = b.splat(b.real_of(b.sub(start, first), b.double))
        weight_mean = b.over(count, b.splat(b.real_of(b.sub(end, first), b.double)))
        weight_square = b.times(before, weight_mean)
        _clear(b, wide, b.vector, sums)
        _add_rows(b, wide, start, end, [sums], lambda place, _: [b.load_vector(x, place)])
        with b.loop(0, wide, LANES) as column:
            mean = b.over(b.widen(b.load_vector(sums, column)), count)
            b.store(b.narrow(mean), near, column)
            b.store(b.zero, sums, column)
            mean_before = b.load_doubles(means, column)
            apart = b.minus(mean, mean_before)
            b.store(b.multiply_add(apart, weight_mean, mean_before), means, column)
            between = b.times(b.times(apart, apart), weight_square)
            b.store(b.plus(b.load_doubles(squares, column), between), squares, column)

        def squared(place: ir.Value, column: ir.Value) -> list[ir.Value]:
            apart = b.minus(b.load_vector(x, place), b.load_vector(near, column))
            return [b.times(apart, apart)]

        _add_rows(b, wide, start, end, [sums], squared)
        with b.loop(0, wide, LANES) as column:
            within = b.widen(b.load_vector(sums, column))
            b.store(b.plus(b.load_doubles(squares, column), within), squares, column)


def _settle(b: KernelBuilder, wide: Value, scale: Value, shift: Value) -> None:
    """Put the threads' statistics together; the first thread keeps them for others."""
    args = b.args
    one = ir.Constant(b.double, 1.0)
    eps, momentum = (b.double_of(args[name]) for name in ("eps", "momentum"))
    with b.loop(0, args["channels"]) as channel:
        count, mean, squares = b.registers(3, b.double)
        with b.loop(0, b.threads) as part, b.loop(0, args["fold"]) as copy:
            own = _own(b, part)
            at = b.add(b.mul(copy, args["channels"]), channel, LANES)
            rows = b.load_double(own, 0)
            with b.where_positive(rows):
                total = b.plus(count.get(), rows)
                apart = b.minus(b.load_double(own, at), mean.get())
                share = b.over(rows, total)
                both = b.times(b.times(apart, apart), b.times(count.get(), share))
                both = b.plus(b.load_double(own, b.add(at, wide)), both)
                squares.set(b.plus(squares.get(), both))
                mean.set(b.multiply_add(apart, share, mean.get()))
                count.set(total)
        variance = b.over(squares.get(), count.get())
        inverse = b.over(one, b.square_root(b.plus(variance, eps)))
        factor = b.times(b.widen(b.load(args["weight"], channel)), inverse)
        offset = b.minus(b.widen(b.load(args["bias"], channel)), b.times(mean.get(), factor))
        with b.loop(0, args["fold"]) as copy:
            at = b.add(b.mul(copy, args["channels"]), channel)
            b.store(b.narrow(factor), scale, at)
            b.store(b.narrow(offset), shift, at)
            with b.where(b.thread, "==", 0):
                b.store(b.narrow(mean.get()), args["saved"], at)
                b.store(b.narrow(inverse), args["saved"], b.add(at, wide))
        unbiased = b.over(squares.get(), b.minus(count.get(), one))
        with b.where(b.thread, "==", 0):
            for array, value in {"running_mean": mean.get(), "running_var": unbiased}.items():
                before = b.widen(b.load(args[array], channel))
                after = b.multiply_add(momentum, b.minus(value, before), before)
                b.store(b.narrow(after), args[array], channel)


def _gradient_sums(
    b: KernelBuilder, own: Value, spare: Value, wide: Value, first: Value, last: Value,
    relu: bool, masks: bool,
) -> None:  # fmt: skip
    """Write a thread's sums of the gradient, and of the gradient times the normalised x."""
    args = b.args
    of_gradient = b.address(own, LANES, b.double)
    of_product = b.address(of_gradient, wide, b.double)
    sums, products = spare, b.address(spare, wide)
    _clear(b, wide, b.doubles, of_gradient, of_product)

    def terms(place: ir.Value, column: ir.Value) -> list[ir.Value]:
        gradient = _gradient(b, place, relu)
        if masks:
            b.store(gradient, args["masked"], place)
        apart = b.minus(b.load_vector(args["x"], place), b.load_vector(args["saved"], column))
        return [gradient, b.times(gradient, apart)]

    with b.loop(first, last, _BLOCK) as start:
        end = b.minimum(b.add(start, _BLOCK), last)
        _clear(b, wide, b.vector, sums, products)
        _add_rows(b, wide, start, end, [sums, products], terms)
        with b.loop(0, wide, LANES) as column:
            value = b.widen(b.load_vector(sums, column))
            b.store(b.plus(b.load_doubles(of_gradient, column), value), of_gradient, column)
            inverse = b.widen(b.load_vector(args["saved"], b.add(column, wide)))
            value = b.times(b.widen(b.load_vector(products, column)), inverse)
            b.store(b.plus(b.load_doubles(of_product, column), value), of_product, column)


def _settle_sums(
    b: KernelBuilder, wide: Value, by_gradient: Value, by_x: Value, constant: Value
) -> None:
    """Put the threads' sums together: what the gradient by x is made of."""
    args = b.args
    count = b.real_of(b.mul(args["rows"], args["fold"]), b.double)
    less = ir.Constant(b.double, -1.0)
    with b.loop(0, args["channels"]) as channel:
        total, product = b.registers(2, b.double)
        with b.loop(0, b.threads) as part, b.loop(0, args["fold"]) as copy:
            own = _own(b, part)
            at = b.add(b.mul(copy, args["channels"]), channel, LANES)
            total.set(b.plus(total.get(), b.load_double(own, at)))
            product.set(b.plus(product.get(), b.load_double(own, b.add(at, wide))))
        with b.where(b.thread, "==", 0):
            b.store(b.narrow(product.get()), args["weight_gradient"], channel)
            b.store(b.narrow(total.get()), args["bias_gradient"], channel)
        inverse = b.widen(b.load(args["saved"], b.add(channel, wide)))
        factor = b.times(b.widen(b.load(args["weight"], channel)), inverse)
        values = (
            (by_gradient, factor),
            (by_x, b.times(b.times(b.times(factor, inverse), less), b.over(product.get(), count))),
            (constant, b.times(b.times(factor, less), b.over(total.get(), count))),
        )
        with b.loop(0, args["fold"]) as copy:
            at = b.add(b.mul(copy, args["channels"]), channel)
            for array, value in values:
                b.store(b.narrow(value), array, at)
