"""Tells apart what the computing itself can fail of; by words, as PyTorch has few classes for it.

No PyTorch here: a pool asks it too, of what the processes of a run have written.
"""

from enum import Enum

from pycls.core.processes.world import PeerLostError
from pycls.errors import chain_of


class Fault(Enum):
    """What a computation failed of."""

    OUT_OF_MEMORY = "out of memory"
    DUPLICATE_GPU = "two processes on one GPU"
    NO_KERNEL = "no kernel for the GPU"
    PEER_LOST = "another process is gone"


# PyTorch has an error of its own for GPUs only; its others, and those of C++, are in words.
OUT_OF_MEMORY_WORDS = ("out of memory", "allocate memory", "std::bad_alloc")
# In this order: an error of NCCL's may say any of them.
_WORDS = {
    Fault.OUT_OF_MEMORY: OUT_OF_MEMORY_WORDS,
    Fault.DUPLICATE_GPU: ("duplicate gpu",),
    Fault.NO_KERNEL: ("no kernel image is available", "not compatible with the current pytorch"),
    Fault.PEER_LOST: (
        "connection closed by peer", "connection reset by peer", "broken pipe",
        "timed out waiting", "gloo", "nccl",
    ),
}  # fmt: skip
_OUT_OF_MEMORY_CLASSES = ("OutOfMemoryError", "MemoryError")


def find_fault(error: BaseException) -> Fault | None:
    """Return what an error says that the computing failed of, None where it is something else."""
    for cause in chain_of(error):
        names = {kind.__name__ for kind in type(cause).__mro__}
        if names.intersection(_OUT_OF_MEMORY_CLASSES):
            return Fault.OUT_OF_MEMORY
        if isinstance(cause, PeerLostError):
            return Fault.PEER_LOST
        if not isinstance(cause, RuntimeError):
            continue
        text = str(cause).lower()
        for fault, words in _WORDS.items():
            if any(word in text for word in words):
                return fault
        if "DistError" in names:
            return Fault.PEER_LOST
    return None
