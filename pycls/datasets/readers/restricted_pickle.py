"""The reading of pickles of arrays without running what a pickle may run.

A pickle is a program: it may name any function of any module and call it. Here the few names
that an array of bytes or numbers needs lead to functions of this module, and every other is
refused before anything is called.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pycls.errors import DataError

# NumPy moved its insides in version 2; Python 2 called its built-in names another way.
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
# Kinds and sizes in bytes of the numbers an array may hold.
_DTYPES = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"})
_CODES = {ord(code.code): code for code in pickletools.opcodes}
# Size in bytes of the length that stands before an argument, and whether that has a sign.
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: (1, False),
    pickletools.TAKEN_FROM_ARGUMENT4: (4, True),
    pickletools.TAKEN_FROM_ARGUMENT4U: (4, False),
    pickletools.TAKEN_FROM_ARGUMENT8U: (8, False),
}


def load_pickle(data: bytes, where: str) -> Any:
    """Return what a pickle of plain values and arrays of numbers holds.

    Dictionaries, lists, tuples, sets, numbers, text and bytes come as they are (text of Python
    2 as bytes), arrays as NumPy's.

    Args:
        data: the pickle.
        where: what to call it in messages.

    Raises:
        DataError: it names anything else, which may be an attack (nothing of it is run), or is
            damaged or cut short.
    """
    try:
        _check_places(data)
        return _replace_arrays(_Unpickler(io.BytesIO(data), encoding="bytes").load(), {})
    except _RefusedError as error:
        raise DataError(
            f"{where}: refused, since it asks to call '{error}', which no array of images needs; "
            "nothing of it was run. Take the file from its publisher"
        ) from None
    except Exception as error:  # whatever the unpickler stumbles over in damaged data
        raise DataError(
            f"{where}: not a pickle of arrays, or damaged or cut short "
            f"({type(error).__name__}: {error}); download it again"
        ) from None


def _check_places(data: bytes) -> None:
    """Refuse a number to keep a value under that is beyond the values the bytes can hold.

    The unpickler's table is as long as the largest number asks for: through one changed byte it
    would fill the memory.
    """
    for place in _iter_places(data):
        if place > len(data):
            raise ValueError(f"value number {place} in {len(data)} bytes")


def _iter_places(data: bytes) -> Iterator[int]:
    """Yield the numbers a pickle keeps values under, as far as an unpickler would come.

    `pickletools.genops` is no help: it does not take all byte strings of Python 2.
    """
    at = 0
    while at < len(data) and (code := _CODES.get(data[at])) and code.name != "STOP":
        start = at + 1
        at = _find_end(data, start, code)
        if code.name == "PUT":
            yield int(data[start:at])
        elif code.name == "LONG_BINPUT":
            yield int.from_bytes(data[start:at], "little")


def _find_end(data: bytes, start: int, code: pickletools.OpcodeInfo) -> int:
    """Return where what belongs to a code of a pickle ends."""
    size = code.arg.n if code.arg else 0
    if size >= 0:
        return start + size
    if size == pickletools.UP_TO_NEWLINE:
        for _ in range(2 if code.name in ("GLOBAL", "INST") else 1):
            start = data.find(b"\n", start) + 1 or len(data)
        return start
    width, signed = _LENGTHS[size]
    length = int.from_bytes(data[start : start + width], "little", signed=signed)
    if length < 0:
        raise ValueError(f"a length of {length} bytes")
    return start + width + length


class _RefusedError(Exception):
    """A pickle names what it may not."""


class _Function:
    """A function that a pickle may call and can do nothing else with, such as change it."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]):
        object.__setattr__(self, "_call", call)

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _RefusedError(f"setattr {name}")


class _Dtype:
    """A data type as pickled: its code, then its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any):
        self.code = _as_text(code).lstrip("|<>=")
        self.order = "="
        if self.code not in _DTYPES:
            raise _RefusedError(f"numpy.dtype {self.code}")

    def __setstate__(self, state: Any) -> None:
        order = _as_text(state[1])
        if order not in ("|", "<", ">", "=") or any(part is not None for part in state[2:5]):
            raise _RefusedError("numpy.dtype with fields")
        self.order = order

    def to_numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """An array as pickled, made whole by its state."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        self.array = _make_array(data, dtype, shape, "F" if fortran else "C")


def _make_array(data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise ValueError("an array without bytes or data type")
    shape = (shape,) if isinstance(shape, int) else shape
    kind = dtype.to_numpy()
    if math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes for an array of {shape} of {kind}")
    return np.frombuffer(data, kind).reshape(shape, order=order)


def _reconstruct(subtype: Any, _shape: Any, _dtype: Any) -> _Array:
    if subtype is not _NDARRAY:
        raise _RefusedError("an array of another type than numpy.ndarray")
    return _Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Any:
    return _make_array(data, dtype, shape, _as_text(order))


def _encode(text: Any, encoding: Any) -> bytes:
    """Stand in for `_codecs.encode`, by which old protocols write bytes."""
    if not isinstance(text, str) or _as_text(encoding) != "latin1":
        raise _RefusedError("_codecs.encode")
    return text.encode("latin1")


def _make_bytes(*parts: Any) -> bytes:
    """Stand in for `bytes`, by which old protocols write empty bytes."""
    if parts:
        raise _RefusedError("bytes with arguments")
    return b""


# Named only as an argument of `_reconstruct`.
_NDARRAY = object()

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Function(lambda code, *_: _Dtype(code)),
    ("_codecs", "encode"): _Function(_encode),
    ("builtins", "bytes"): _Function(_make_bytes),
    ("__builtin__", "bytes"): _Function(_make_bytes),
    **{(module, "_reconstruct"): _Function(_reconstruct) for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _Function(_frombuffer) for module in _BUFFER_MODULES},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an allowed name; called for every name in a pickle."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def _replace_arrays(value: Any, done: dict[int, Any]) -> Any:
    """Put arrays in the place of their stand-ins, wherever lists and dictionaries hold them.

    `done` holds what became of the values met before, by their identity: of dictionaries that
    hold the one below twice each, sixty levels would have 2**60 ends.
    """
    if isinstance(value, _Array):
        return value.array
    if id(value) in done:
        return done[id(value)]
    found = value
    if isinstance(value, dict):
        found = {key: _replace_arrays(part, done) for key, part in value.items()}
    elif isinstance(value, list | tuple) and any(isinstance(part, _Array | dict) for part in value):
        found = type(value)(_replace_arrays(part, done) for part in value)
    done[id(value)] = found
    return found


def _as_text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
