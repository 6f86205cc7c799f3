"""Memory for batches that is used again once nobody holds the batch.

The system clears every page of new memory, which takes longer than normalising an image into it;
and large blocks that come and go in several threads leave holes in the C library's heap.
"""

import threading
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Smaller batches come fast enough from the C library.
_MIN_BYTES = 1 << 20
_ALIGNMENT = 64
_TYPES = {torch.uint8: np.uint8, torch.float32: np.float32}


class BufferPool:
    """Gives out empty tensors on the CPU; any thread may ask.

    A tensor's memory comes back when the last tensor that shares it is gone, and goes to the
    next one of the same size.

    Args:
        most_free: blocks of one size that are kept while nobody uses them.
    """

    def __init__(self, most_free: int = 2) -> None:
        self._most_free = most_free
        self._free: dict[int, list[np.ndarray]] = {}
        # Memory may come back amid a call, in the same thread.
        self._lock = threading.RLock()

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return an empty contiguous tensor of uint8 or float32."""
        size = int(np.prod(shape)) * dtype.itemsize
        if size < _MIN_BYTES:
            return torch.empty(tuple(shape), dtype=dtype)
        with self._lock:
            free = self._free.get(size)
            block = free.pop() if free else np.empty(size + _ALIGNMENT, dtype=np.uint8)
        first = -block.ctypes.data % _ALIGNMENT
        array = block[first : first + size].view(_TYPES[dtype]).reshape(tuple(shape))
        # The tensor's storage holds this very array, as long as there is a tensor with it.
        weakref.finalize(array, self._take_back, size, block).atexit = False
        return torch.from_numpy(array)

    def _take_back(self, size: int, block: np.ndarray) -> None:
        with self._lock:
            free = self._free.setdefault(size, [])
            if len(free) < self._most_free:
                free.append(block)
