"""Sets what the C library does with freed memory, which decides how fast the CPU trains.

A training step allocates the same activations as the step before. glibc gives large blocks,
and the free end of its heap, back to the system at once, which then has to clear every page of
them again in the next step. A process that keeps them does not wait for that.
"""

import ctypes
import os
import platform
import resource
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Parameters of mallopt(3) and the values to try, in this order.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {
    # Up to which size blocks come from the heap: releases of glibc differ in what they take.
    _M_MMAP_THRESHOLD: (1 << 30, 32 << 20),
    _M_TRIM_THRESHOLD: (2**31 - 1,),
    _M_TOP_PAD: (64 << 20,),
}
_OWN_SETTINGS = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
)


def keep_freed_memory() -> str:
    """Keep what PyTorch frees on the CPU for its next allocation.

    Best called before the first tensor is made; later, only new blocks profit. The process then
    holds its largest size until it ends, or until :func:`release_freed_memory`. An environment
    that has such settings of its own (MALLOC_..., GLIBC_TUNABLES, another allocator in
    LD_PRELOAD) is left as it is.

    Returns:
        What was done, or why nothing was, as a sentence for the log. It never raises.
    """
    own = sorted(name for name, value in os.environ.items() if _is_setting(name, value))
    if own:
        return f"Memory is allocated as {', '.join(own)} says"
    library = _glibc()
    if library is None:
        return "Freed memory is kept or not as the C library sees fit: it is not glibc"
    if not all(_set(library, parameter, values) for parameter, values in _SETTINGS.items()):
        return "Freed memory is kept or not as the C library sees fit: it refused mallopt"
    return "Freed memory is kept for the next step"


def release_freed_memory() -> bool:
    """Give memory that was freed and kept back to the system; say whether that was possible."""
    library = _glibc()
    if library is None:
        return False
    library.malloc_trim(0)
    return True


def kernel_bytes(file: str, field: str) -> int:
    """Return a size that the kernel tells of (Linux), in bytes.

    Args:
        file: below /proc, for example self/status.
        field: for example VmRSS.

    Raises:
        OSError: the system has no such file, or no such field in it.
    """
    path = Path("/proc", file)
    for line in path.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{path} has no {field}")


@contextmanager
def refuse_beyond_available(enabled: bool = True) -> Iterator[None]:
    """Refuse allocations beyond the memory that is free now, where the system can (Linux).

    They fail with an error that can be handled; else the system would end the process.

    Args:
        enabled: False does nothing.
    """
    allowed = _allowed_data_bytes() if enabled else None
    if allowed is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    if soft != resource.RLIM_INFINITY:
        allowed = min(allowed, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _allowed_data_bytes() -> int | None:
    """Return the size that the process's data may grow to, in bytes; None where unknown."""
    try:
        return kernel_bytes("self/status", "VmData") + kernel_bytes("meminfo", "MemAvailable")
    except OSError:
        return None


def _set(library: ctypes.CDLL, parameter: int, values: Iterable[int]) -> bool:
    """Set a parameter of malloc to the first value that it takes."""
    return any(library.mallopt(parameter, value) for value in values)


def _is_setting(name: str, value: str) -> bool:
    """Say whether an environment variable decides already what becomes of freed memory."""
    if name in ("GLIBC_TUNABLES", "LD_PRELOAD"):
        return "malloc" in value
    return name in _OWN_SETTINGS


def _glibc() -> ctypes.CDLL | None:
    """Return the C library, where it is glibc."""
    try:
        if platform.libc_ver()[0] != "glibc":
            return None
        library = ctypes.CDLL(None)
        library.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
        library.mallopt.restype = ctypes.c_int
        library.malloc_trim.argtypes = (ctypes.c_size_t,)
        library.malloc_trim.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library
