"""Truth values as text: a bit each, as hexadecimal digits."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pack_bits(values: ArrayLike) -> str:
    """Return truth values, (n,), as text."""
    return np.packbits(np.asarray(values, dtype=bool)).tobytes().hex()


def unpack_bits(text: str, n: int) -> NDArray[np.bool_]:
    """Return the truth values of :func:`pack_bits`.

    Raises:
        ValueError: the text is not of so many.
    """
    packed = np.frombuffer(bytes.fromhex(text), np.uint8)
    if len(packed) != -(-n // 8):
        raise ValueError(f"{8 * len(packed)} bits, expected those of {n} values")
    return np.unpackbits(packed, count=n).astype(bool)
