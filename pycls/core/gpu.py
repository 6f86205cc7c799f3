"""Sets up what is a GPU's own: its kernels' arithmetic, and whether this PyTorch can use it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.errors import ConfigError

# What cuBLAS needs to give the same bits again; it is read when the first product is computed.
_CUBLAS_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# From this compute capability on a GPU computes bfloat16 by itself (A100 and later).
_BFLOAT16_FROM = (8, 0)


def check_supported(device: torch.device) -> None:
    """Check that the PyTorch that is installed has kernels for a GPU.

    Raises:
        ConfigError: it has none; the message says which GPUs it is built for.
    """
    built_for = torch.cuda.get_arch_list()
    capability = torch.cuda.get_device_capability(device)
    if not built_for or any(_runs_on(arch, capability) for arch in built_for):
        return
    raise ConfigError(
        f"the GPU {torch.cuda.get_device_name(device)} is of compute capability "
        f"{capability[0]}.{capability[1]}, and this PyTorch ({torch.__version__}) is built for "
        f"{', '.join(built_for)}; {_remedy(capability)}, or set DEVICE cpu"
    )


def _runs_on(arch: str, capability: tuple[int, int]) -> bool:
    """Say whether code for an architecture ("sm_80", "compute_90") runs on a GPU."""
    kind, _, number = arch.partition("_")
    digits = "".join(filter(str.isdigit, number))
    if len(digits) < 2:
        return False
    built = int(digits[:-1]), int(digits[-1])
    if number != digits:  # sm_90a and the like: for that one GPU only
        return built == capability
    if kind == "compute":  # the driver compiles it for whatever came later
        return built <= capability
    return built[0] == capability[0] and built[1] <= capability[1]


def _remedy(capability: tuple[int, int]) -> str:
    if capability < (7, 5):
        return (
            "GPUs below 7.5 (V100, P100 and older) need a wheel of PyTorch that is built with CUDA "
            "12.6 or older (its version ends in +cu126)"
        )
    return "install a newer wheel of PyTorch, built with a newer CUDA"


def has_bfloat16(device: torch.device) -> bool:
    """Say whether a GPU computes in bfloat16 by itself."""
    return torch.cuda.get_device_capability(device) >= _BFLOAT16_FROM


@contextmanager
def arithmetic(cfg: CfgNode) -> Iterator[None]:
    """Compute on GPUs as the CUDNN section says, for the time of a `with` block."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    warns_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        cudnn.benchmark = cfg.CUDNN.BENCHMARK
        cudnn.allow_tf32 = products.allow_tf32 = cfg.CUDNN.TF32
        if cfg.CUDNN.DETERMINISTIC:
            os.environ.setdefault(*_CUBLAS_WORKSPACE)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32 = before
        if cfg.CUDNN.DETERMINISTIC:  # else the call would only import the compiler, for a second
            torch.use_deterministic_algorithms(deterministic, warn_only=warns_only)
        torch.utils.deterministic.fill_uninitialized_memory = fills  # type: ignore[attr-defined]


def describe_arithmetic() -> dict[str, Any]:
    """Return the settings of :func:`arithmetic` that are in force, for a run's record."""
    return {
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
