"""A small language for loops over vectors of numbers, compiled for the processor at hand.

A kernel is a function of plain integers and addresses. Python writes it once: loops become
loops of the machine, Python lists of vectors become registers, so that what is unrolled and
what is looped over stands in the text. LLVM (by way of llvmlite) turns it into machine code of
the processor that runs it: AVX2, AVX-512 or whatever there is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from llvmlite import ir

from pycls.kernels.layout import LANES

BARRIER = "GOMP_barrier"  # the machine gives it, or one that does nothing
I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_POINTER = ir.PointerType()
_REALS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
# A product and a sum may become one instruction, where the processor has it.
_CONTRACT = ("contract",)

Value: TypeAlias = "ir.Value | int"


class KernelBuilder:
    """Writes the function `name(args, thread, threads)`.

    `args` is an array of 64-bit integers: sizes, and addresses of arrays of `real`, or of
    64-bit integers. Every thread calls the function with its own number.

    Args:
        name: of the function.
        params: the names of the integers in `args`, in their order.
        real: "float32" or "float64", of the arrays and of the arithmetic.
    """

    def __init__(self, name: str, params: Sequence[str], real: str) -> None:
        self.module = ir.Module(name=name)
        signature = ir.FunctionType(ir.VoidType(), [_POINTER, I64, I64])
        function = ir.Function(self.module, signature, name=name)
        self._entry = function.append_basic_block("entry")
        self._b = ir.IRBuilder(function.append_basic_block("start"))
        self._end_of_entry = self._b.block
        args, self.thread, self.threads = function.args
        self.real = _REALS[real]
        self.vector = ir.VectorType(self.real, LANES)
        self.double = _REALS["float64"]
        self.doubles = ir.VectorType(self.double, LANES)
        self.args = {
            name: self._b.load(self._at(args, number, I64), typ=I64)
            for number, name in enumerate(params)
        }

    def finish(self) -> str:
        """End the function; return the text that LLVM reads."""
        self._b.ret_void()
        ir.IRBuilder(self._entry).branch(self._end_of_entry)
        return str(self.module)

    # ------------------------------------------------------------ integers

    def add(self, *values: Value) -> ir.Value:
        """Return a sum of integers."""
        total = _integer(values[0])
        for value in values[1:]:
            total = self._b.add(total, _integer(value))
        return total

    def sub(self, a: Value, b: Value) -> ir.Value:
        """Return a - b, of integers."""
        return self._b.sub(_integer(a), _integer(b))

    def mul(self, *values: Value) -> ir.Value:
        """Return a product of integers."""
        product = _integer(values[0])
        for value in values[1:]:
            product = self._b.mul(product, _integer(value))
        return product

    def div(self, value: Value, by: Value) -> ir.Value:
        """Return a quotient of integers that are not negative, rounded down."""
        return self._b.udiv(_integer(value), _integer(by))

    def rem(self, value: Value, by: Value) -> ir.Value:
        """Return the remainder of :meth:`div`."""
        return self._b.urem(_integer(value), _integer(by))

    def minimum(self, a: Value, b: Value) -> ir.Value:
        """Return the smaller of two integers."""
        a, b = _integer(a), _integer(b)
        return self._b.select(self._b.icmp_signed("<", a, b), a, b)

    def choose(self, a: Value, b: Value, if_equal: Value, else_: Value) -> ir.Value:
        """Return one of two integers, the first where a == b."""
        equal = self._b.icmp_signed("==", _integer(a), _integer(b))
        return self._b.select(equal, _integer(if_equal), _integer(else_))

    # -------------------------------------------------------- control flow

    @contextmanager
    def loop(self, start: Value, end: Value, step: Value = 1) -> Iterator[ir.Value]:
        """Repeat what is written inside for start, start + step, ... below `end`."""
        before = self._b.block
        head = self._b.append_basic_block("head")
        body = self._b.append_basic_block("body")
        after = self._b.append_basic_block("after")
        self._b.branch(head)
        self._b.position_at_end(head)
        index = self._b.phi(I64)
        index.add_incoming(_integer(start), before)
        self._b.cbranch(self._b.icmp_signed("<", index, _integer(end)), body, after)
        self._b.position_at_end(body)
        yield index
        index.add_incoming(self._b.add(index, _integer(step)), self._b.block)
        self._b.branch(head)
        self._b.position_at_end(after)

    @contextmanager
    def where(self, a: Value, relation: str, b: Value) -> Iterator[None]:
        """Do what is written inside only where a `relation` b, of integers."""
        with self._b.if_then(self._b.icmp_signed(relation, _integer(a), _integer(b))):
            yield

    @contextmanager
    def where_positive(self, value: ir.Value) -> Iterator[None]:
        """Do what is written inside only where a number is above zero."""
        with self._b.if_then(self._b.fcmp_ordered(">", value, ir.Constant(value.type, 0.0))):
            yield

    def barrier(self) -> None:
        """Wait until all threads have come here."""
        found = self.module.globals.get(BARRIER)
        kind = ir.FunctionType(ir.VoidType(), [])
        self._b.call(found or ir.Function(self.module, kind, name=BARRIER), [])

    def share(self, total: Value) -> tuple[ir.Value, ir.Value]:
        """Return (start, end) of this thread's part of `total` items."""
        start = self.div(self.mul(total, self.thread), self.threads)
        end = self.div(self.mul(total, self.add(self.thread, 1)), self.threads)
        return start, end

    def registers(self, count: int, kind: ir.Type | None = None) -> list["Register"]:
        """Return variables that keep their values through loops, set to zero here."""
        made = [Register(self, kind or self.vector) for _ in range(count)]
        for register in made:
            register.set(ir.Constant(register.kind, None))
        return made

    # -------------------------------------------------------------- memory

    def address(self, base: Value, index: Value, kind: ir.Type | None = None) -> ir.Value:
        """Return the address of item `index` of an array of `kind` that starts at `base`."""
        size = 4 if (kind or self.real) is _REALS["float32"] else 8
        return self.add(base, self.mul(index, size))

    def load(self, base: Value, index: Value) -> ir.Value:
        """Return a number of an array."""
        return self._b.load(self._at(self._pointer(base), index, self.real), typ=self.real)

    def load_integer(self, base: Value, index: Value) -> ir.Value:
        """Return an item of an array of 64-bit integers."""
        return self._b.load(self._at(self._pointer(base), index, I64), typ=I64)

    def load_vector(self, base: Value, index: Value, length: int = LANES) -> ir.Value:
        """Return `length` numbers of an array, from item `index` on."""
        kind = ir.VectorType(self.real, length)
        return self._b.load(
            self._at(self._pointer(base), index, self.real), typ=kind, align=self._align(self.real)
        )

    def load_doubles(self, base: Value, index: Value) -> ir.Value:
        """Return a vector of an array of float64, from item `index` on."""
        at = self._at(self._pointer(base), index, self.double)
        return self._b.load(at, typ=self.doubles, align=8)

    def load_double(self, base: Value, index: Value) -> ir.Value:
        """Return an item of an array of float64."""
        return self._b.load(self._at(self._pointer(base), index, self.double), typ=self.double)

    def splat(self, value: ir.Value) -> ir.Value:
        """Return a vector of one number."""
        kind = ir.VectorType(value.type, LANES)
        one = self._b.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
        return self._b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _mask([0] * LANES))

    def load_splat(self, base: Value, index: Value) -> ir.Value:
        """Return a vector of one number of an array."""
        return self.splat(self.load(base, index))

    def store(self, value: ir.Value, base: Value, index: Value) -> None:
        """Write a number, or a vector, to an array from item `index` on."""
        kind = getattr(value.type, "element", value.type)
        self._b.store(value, self._at(self._pointer(base), index, kind), align=self._align(kind))

    # ---------------------------------------------------------- arithmetic

    def real_of(self, value: Value, kind: ir.Type | None = None) -> ir.Value:
        """Return an integer as a number."""
        return self._b.sitofp(_integer(value), kind or self.real)

    def double_of(self, bits: ir.Value) -> ir.Value:
        """Return the float64 whose bits are an integer's."""
        return self._b.bitcast(bits, self.double)

    def plus(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return a + b."""
        return self._b.fadd(a, b, flags=_CONTRACT)

    def minus(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return a - b."""
        return self._b.fsub(a, b, flags=_CONTRACT)

    def times(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return a * b."""
        return self._b.fmul(a, b, flags=_CONTRACT)

    def total(self, values: Sequence[ir.Value]) -> ir.Value:
        """Return the sum of some values, in pairs."""
        while len(values) > 1:
            pairs = [self.plus(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
            values = [*pairs, *values[2 * len(pairs) :]]
        return values[0]

    def over(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Return a / b."""
        return self._b.fdiv(a, b)

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Return a * b + c."""
        return self.plus(self.times(a, b), c)

    def keep_where_positive(self, value: ir.Value, sign: ir.Value) -> ir.Value:
        """Return `value` where `sign` > 0, or is not a number, else zero: ReLU and its gradient."""
        zero = ir.Constant(value.type, None)
        return self._b.select(self._b.fcmp_unordered("ugt", sign, zero), value, zero)

    def square_root(self, value: ir.Value) -> ir.Value:
        """Return the square root of a float64."""
        name = "llvm.sqrt.f64"
        found = self.module.globals.get(name)
        kind = ir.FunctionType(value.type, [value.type])
        function = found or ir.Function(self.module, kind, name=name)
        return self._b.call(function, [value])

    def widen(self, value: ir.Value) -> ir.Value:
        """Return a number, or a vector of them, as float64."""
        if self.real is self.double:
            return value
        kind = self.doubles if value.type == self.vector else self.double
        return self._b.fpext(value, kind)

    def narrow(self, value: ir.Value) -> ir.Value:
        """Return float64, or a vector of it, as numbers of the kernel's kind."""
        if self.real is self.double:
            return value
        return self._b.fptrunc(value, self.vector if value.type == self.doubles else self.real)

    # --------------------------------------------------- order of the lanes

    def deal(self, row: ir.Value, hands: int) -> list[ir.Value]:
        """Return `hands` vectors of a row's items: the j-th has items j, j + hands, ..."""
        undefined = ir.Constant(row.type, ir.Undefined)
        return [
            self._b.shuffle_vector(row, undefined, _mask(range(hand, LANES * hands, hands)))
            for hand in range(hands)
        ]

    def gather(self, hands: Sequence[ir.Value]) -> ir.Value:
        """Return the row that :meth:`deal` made the vectors of."""
        row, count = hands[0], len(hands)
        for number, hand in enumerate(hands[1:], 1):
            undefined = ir.Constant(hand.type, ir.Undefined)
            reach = [lane if lane < LANES else 0 for lane in range(LANES * number)]
            padded = self._b.shuffle_vector(hand, undefined, _mask(reach))
            both = [*range(LANES * number), *range(LANES * number, LANES * (number + 1))]
            row = self._b.shuffle_vector(row, padded, _mask(both))
        undefined = ir.Constant(row.type, ir.Undefined)
        order = [hand * LANES + lane for lane in range(LANES) for hand in range(count)]
        return self._b.shuffle_vector(row, undefined, _mask(order))

    @property
    def zero(self) -> ir.Constant:
        """A vector of zeros."""
        return ir.Constant(self.vector, None)

    def _pointer(self, address: Value) -> ir.Value:
        return self._b.inttoptr(_integer(address), _POINTER)

    def _at(self, pointer: ir.Value, index: Value, kind: ir.Type) -> ir.Value:
        return self._b.gep(pointer, [_integer(index)], source_etype=kind)

    def _align(self, kind: ir.Type) -> int:
        return 4 if isinstance(kind, ir.FloatType) else 8

    def _alloca(self, kind: ir.Type) -> ir.Value:
        # In the entry block, so that a loop does not allocate again and again.
        return ir.IRBuilder(self._entry).alloca(kind)


class Register:
    """A variable of a kernel; LLVM keeps it in a register where one is free."""

    def __init__(self, builder: KernelBuilder, kind: ir.Type) -> None:
        self.kind = kind
        self._b = builder._b
        self._slot = builder._alloca(kind)

    def get(self) -> ir.Value:
        """Return the present value."""
        return self._b.load(self._slot, typ=self.kind)

    def set(self, value: ir.Value) -> None:
        """Replace the value."""
        self._b.store(value, self._slot)


def _integer(value: Value) -> ir.Value:
    return ir.Constant(I64, value) if isinstance(value, int) else value


def _mask(lanes: "Sequence[int] | range") -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(lanes)), [_I32(lane) for lane in lanes])
