"""The reading of pickles of arrays without running what a pickle may run.

A pickle is a program: it may name any function of any module and call it. Here the few names
that an array of bytes or numbers needs lead to functions of this module, and every other is
refused before anything is called.
"""

import io
import math
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from pycls.errors import DataError

# NumPy moved its insides in version 2; Python 2 called its built-in names another way.
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")
# Kinds and sizes in bytes of the numbers an array may hold.
_DTYPES = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"})
_KEYS = (str, bytes, int, float, type(None))
# Values in lists in a dictionary.
_MOST_LEVELS = 2
_MOST_SHOWN = 80


def load_pickle(data: bytes, where: str) -> Any:
    """Return what a pickle of plain values and arrays of numbers holds.

    Dictionaries, lists, tuples, numbers, text and bytes come as they are (text of Python 2 as
    bytes), arrays as NumPy's. What a small pickle may blow up is refused: keys that are more than
    plain values, and more than two levels of lists and dictionaries.

    Args:
        data: the pickle.
        where: what to call it in messages.

    Raises:
        DataError: it names anything else, which may be an attack (nothing of it is run), or is
            damaged or cut short.
    """
    try:
        return _replace_arrays(_Unpickler(data).load(), {}, 0)
    except _RefusedError as error:
        raise DataError(
            f"{where}: refused, since it asks to call '{str(error)[:_MOST_SHOWN]}', which no array "
            "of images needs; nothing of it was run. Take the file from its publisher"
        ) from None
    except Exception as error:  # whatever the unpickler stumbles over in damaged data
        raise DataError(
            f"{where}: not a pickle of arrays, or damaged or cut short "
            f"({type(error).__name__}: {error}); download it again"
        ) from None


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
    if not isinstance(shape, tuple) or not all(isinstance(size, int) for size in shape):
        raise ValueError("an array without a shape")
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
    ("builtins", "bytes"): _Function(_make_bytes),
    ("__builtin__", "bytes"): _Function(_make_bytes),
    **{(module, "_reconstruct"): _Function(_reconstruct) for module in _ARRAY_MODULES},
    **{(module, "_frombuffer"): _Function(_frombuffer) for module in _BUFFER_MODULES},
}


class _Unpickler(pickle._Unpickler):
    """The unpickler that is written in Python.

    The one in C hashes a tuple of tuples for as long as it takes, and reserves as much memory as
    the numbers in a pickle ask for.
    """

    # Of the base class.
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    load_setitem: Callable[[], None]
    load_setitems: Callable[[], None]
    load_dict: Callable[[], None]

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._size = self._left = len(data)

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an allowed name; called for every name in a pickle."""
        if (module, name) == ("_codecs", "encode"):
            return _Function(self._encode)
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """Stand in for `_codecs.encode`, by which old protocols write bytes."""
        if not isinstance(text, str) or _as_text(encoding) != "latin1":
            raise _RefusedError("_codecs.encode")
        # One text may be encoded again and again.
        self._left -= len(text)
        if self._left < 0:
            raise ValueError(f"{self._size} bytes that become more")
        return text.encode("latin1")

    def _check_keys(self, keys: list[Any]) -> None:
        if not all(isinstance(key, _KEYS) for key in keys):
            raise ValueError("a dictionary with keys that are no plain values")

    def _set_item(self) -> None:
        self._check_keys(self.stack[-2:-1])
        self.load_setitem()

    def _set_items(self) -> None:
        self._check_keys(self.stack[::2])
        self.load_setitems()

    def _make_dict(self) -> None:
        self._check_keys(self.stack[::2])
        self.load_dict()

    def _make_bytearray(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        if length > self._size:
            raise ValueError(f"a length of {length} bytes")
        self.append(bytearray(self.read(length)))

    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _make_dict
    dispatch[pickle.BYTEARRAY8[0]] = _make_bytearray
    for _code in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET):
        del dispatch[_code[0]]


def _replace_arrays(value: Any, done: dict[int, Any], level: int) -> Any:
    """Put arrays in the place of their stand-ins in lists and dictionaries.

    `done` holds what became of the values met before, by their identity.
    """
    if isinstance(value, _Array):
        return value.array
    if not isinstance(value, dict | list | tuple):
        return value
    if level == _MOST_LEVELS:
        raise ValueError(f"more than {level} levels of lists and dictionaries")
    if id(value) not in done:
        if isinstance(value, dict):
            found: Any = {k: _replace_arrays(part, done, level + 1) for k, part in value.items()}
        else:
            found = type(value)(_replace_arrays(part, done, level + 1) for part in value)
        done[id(value)] = found
    return done[id(value)]


def _as_text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise ValueError("something else than text")
    return value.decode("latin1") if isinstance(value, bytes) else value
