"""Reads files of safetensors: a header in JSON, then the tensors' bytes.

The format is that of https://huggingface.co/docs/safetensors.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch

from pycls.errors import CheckpointError

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_LENGTH = 8  # bytes, little-endian, of the header's length
_MOST_HEADER = 100_000_000


def is_safetensors(path: Path) -> bool:
    """Say whether a file begins as one of safetensors does."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        return 2 <= length <= _MOST_HEADER and file.read(2) in (b'{"', b"{}", b"{ ")


def read_safetensors(path: Path, where: str, remedy: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names, on the CPU.

    Args:
        path: the file.
        where: what to call it in messages.
        remedy: what messages advise where it is damaged.

    Raises:
        CheckpointError: it is cut short or damaged, or holds a type that is not read.
    """
    data = path.read_bytes()
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    try:
        header = json.loads(data[_LENGTH:end])
        header.pop("__metadata__", None)
        body = memoryview(data)[end:]
        return {name: _tensor(body, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, KeyError) as error:
        raise CheckpointError(
            f"{where}: cannot be read as a file of safetensors, it is cut short or damaged "
            f"({type(error).__name__}: {error}); {remedy}"
        ) from None


def _tensor(body: memoryview, dtype: str, shape: list[int], data_offsets: Any) -> torch.Tensor:
    kind = _DTYPES[dtype]
    start, stop = data_offsets
    count = math.prod(shape)
    if min(shape, default=0) < 0 or not 0 <= start <= stop <= len(body):
        raise ValueError("a tensor lies outside of the file")
    if count * kind.itemsize != stop - start:
        raise ValueError("a tensor's bytes are not of its shape")
    if not count:
        return torch.empty(shape, dtype=kind)
    # A copy, for the bytes cannot be written to.
    return torch.frombuffer(bytearray(body[start:stop]), dtype=kind).reshape(shape)
