"""Compiles kernels for this processor, and runs them on PyTorch's own threads."""

import contextlib
import ctypes
import functools
import hashlib
import platform
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from llvmlite import binding as llvm

from pycls.files import cache_folder, write_bytes
from pycls.kernels.builder import BARRIER, KernelBuilder

_LOCK = threading.Lock()
_LEVELS = {"avx2": "x86-64-v3", "avx512": "x86-64-v4"}

# What a thread of OpenMP calls: it asks for its number, and goes on to the kernel. The block
# holds two addresses, the kernel's and its arguments'.
_MEMBER = """
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()
define void @member(ptr %block) {
  %kernel = load ptr, ptr %block
  %second = getelementptr ptr, ptr %block, i64 1
  %args = load ptr, ptr %second
  %number = call i32 @omp_get_thread_num()
  %count = call i32 @omp_get_num_threads()
  %thread = zext i32 %number to i64
  %threads = zext i32 %count to i64
  call void %kernel(ptr %args, i64 %thread, i64 %threads)
  ret void
}
"""
_NO_BARRIER = "define void @no_barrier() { ret void }"
_SYMBOLS = (BARRIER, "omp_get_thread_num", "omp_get_num_threads")


class CompiledKernel:
    """A kernel as machine code.

    Args:
        name: of its function in `text`.
        text: what :meth:`pycls.kernels.builder.KernelBuilder.finish` returned.
    """

    def __init__(self, name: str, text: str) -> None:
        _openmp()  # it tells LLVM of the barrier
        self._address = _load(name, text)
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._function = kind(self._address)

    def __call__(self, args: Sequence[int]) -> None:
        """Run the kernel with its integer arguments, by as many threads as PyTorch uses."""
        block = (ctypes.c_int64 * len(args))(*args)
        address = ctypes.addressof(block)
        threads = torch.get_num_threads()
        parallel = _openmp()
        if threads == 1 or parallel is None:
            self._function(address, 0, 1)
        else:
            pair = (ctypes.c_int64 * 2)(self._address, address)
            parallel(ctypes.addressof(pair), threads)


class Scratch(threading.local):
    """Memory for what kernels need while they run, kept for the next; one of each Python thread."""

    def __init__(self) -> None:
        self._numbers = torch.empty(0, dtype=torch.float64)

    def reserve(self, numbers: int) -> int:
        """Return the address of so many float64, of no particular value."""
        if len(self._numbers) < numbers:
            self._numbers = torch.empty(2 * numbers, dtype=torch.float64)
        return self._numbers.data_ptr()


scratch = Scratch()


@functools.cache
def _openmp() -> Callable[[int, int], None] | None:
    """Return what runs a function on PyTorch's OpenMP threads: a second set would compete.

    None: PyTorch has other ones here (macOS), and a kernel runs on one thread.
    """
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    library = ctypes.CDLL(str(path)) if path.is_file() else None
    if library is None or not hasattr(library, "GOMP_parallel"):
        llvm.add_symbol(BARRIER, _load("no_barrier", _NO_BARRIER))
        return None
    for name in _SYMBOLS:
        llvm.add_symbol(name, ctypes.cast(getattr(library, name), ctypes.c_void_p).value)
    parallel = library.GOMP_parallel
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    member = _load("member", _MEMBER)
    return lambda pair, threads: parallel(member, pair, threads, 0)


def try_kernel() -> None:
    """Compile and run a kernel that does nothing.

    Raises:
        OSError, RuntimeError: that is not possible here.
    """
    CompiledKernel("nothing", KernelBuilder("nothing", (), "float32").finish())(())


def instruction_set() -> str:
    """Return the kind of processor: avx512, avx2, or else what the system calls it.

    It is the one that PyTorch computes for (ATEN_CPU_CAPABILITY lowers it), so that one kind
    can stand in for another in a test.
    """
    capability = torch.backends.cpu.get_cpu_capability().lower()
    return capability if capability in _LEVELS else platform.machine().lower()


def _cpu(kind: str) -> str:
    """Return LLVM's name of the processor to compile for.

    Levels, not models: the same machine code, and the same bits, on all of a level.
    """
    if kind in _LEVELS:
        return _LEVELS[kind]
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    return "x86-64" if is_x86 else llvm.get_host_cpu_name()


@functools.cache
def _target(kind: str) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=_cpu(kind), opt=2, jit=True, codemodel="jitdefault"
    )


@functools.cache
def _engine() -> llvm.ExecutionEngine:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target(instruction_set()))


def _load(name: str, text: str) -> int:
    """Return the address of a function, compiled now or before."""
    with _LOCK:  # LLVM's engine is for one thread at a time
        return _load_once(name, text)


@functools.cache
def _load_once(name: str, text: str) -> int:
    engine = _engine()
    kind = instruction_set()
    version = ".".join(map(str, llvm.llvm_version_info))
    digest = hashlib.sha256("\n".join((text, _cpu(kind), platform.machine(), version)).encode())
    path = cache_folder() / "kernels" / f"{name}-{digest.hexdigest()[:32]}.o"
    code = _read_checked(path)
    if code is None:
        code = _compile(text, _target(kind))
        with contextlib.suppress(OSError):  # without a cache, each process compiles
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, hashlib.sha256(code).digest() + code)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(name)
    return address


def _read_checked(path: Path) -> bytes | None:
    """Return what a file of the cache holds behind its digest; None where it is not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _compile(text: str, machine: llvm.TargetMachine) -> bytes:
    module = llvm.parse_assembly(text)
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code
