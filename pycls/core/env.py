"""Sets up and describes the process that a run lives in: device, threads, versions."""

import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.gpu import arithmetic, check_supported, describe_arithmetic
from pycls.core.precision import choose_format
from pycls.core.processes.group import cpu_threads, local_device, process_group
from pycls.core.processes.world import ONE_PROCESS, World
from pycls.core.runs.code_version import code_version, package_versions
from pycls.errors import ConfigError
from pycls.gpu_devices import is_gpu
from pycls.kernels.forms import LIBRARY, OWN, FormTable, find_table, own_table
from pycls.models.layers import use_forms

MEMORY_FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def select_device(name: str) -> torch.device:
    """Return the device that the DEVICE key means.

    Args:
        name: "auto" (a GPU where PyTorch sees one, else the CPU), "cpu", "cuda", "cuda:N".

    Raises:
        ConfigError: a GPU was asked for that is not there, or PyTorch is not built for it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if is_gpu(device) and not torch.cuda.is_available():
        raise ConfigError(f"DEVICE is {name!r}, but PyTorch sees no GPU here; use 'cpu' or 'auto'")
    if is_gpu(device) and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"DEVICE is {name!r}, but there are {torch.cuda.device_count()} GPUs (0 is the first)"
        )
    if is_gpu(device):
        check_supported(device)
    return device


@contextmanager
def run_settings(cfg: CfgNode, world: World = ONE_PROCESS) -> Iterator[torch.device]:
    """Set the process up for a run, and as it was again afterwards.

    The processes of `world` are connected for the time of the context.

    Yields:
        The device of this process.

    Raises:
        ConfigError: DEVICE asks for what is not there.
    """
    device = local_device(world, select_device(cfg.DEVICE))
    threads, flushed = torch.get_num_threads(), _flushes_denormals()
    try:
        torch.set_num_threads(cfg.NUM_THREADS or cpu_threads(world))
        # Values that decay to denormal numbers would make CPU arithmetic many times slower.
        torch.set_flush_denormal(True)
        with (
            arithmetic(cfg),
            torch.random.fork_rng([device] if is_gpu(device) else []),
            process_group(world, device, cfg.DIST_BACKEND),
        ):
            if is_gpu(device):
                # A process may train several runs in turn: each has a peak of its own.
                torch.cuda.reset_peak_memory_stats(device)
            yield device
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)


def _flushes_denormals() -> bool:
    return torch.tensor([5e-324], dtype=torch.float64).mul(1.0).item() == 0.0


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators that random layers draw from on a device.

    As `torch.manual_seed` does, which takes a hundred times as long on a CPU alone, since it
    notes the seed for all devices that there may be.
    """
    torch.default_generator.manual_seed(seed)
    if is_gpu(device):
        torch.cuda.manual_seed_all(seed)


def move_model(model: nn.Module, cfg: CfgNode, device: torch.device) -> nn.Module:
    """Move a network to a device, its weights in MEMORY_FORMAT, its layers in LAYER_FORMS."""
    use_forms(model, choose_forms(cfg, device))
    return model.to(device=device, memory_format=MEMORY_FORMATS[cfg.MEMORY_FORMAT])  # type: ignore[call-overload]


def choose_forms(cfg: CfgNode, device: torch.device) -> FormTable | None:
    """Return the table by which layers choose their forms; None: PyTorch's own throughout.

    The forms there are beside PyTorch's compute channels last, on the CPU in float32.
    """
    if cfg.LAYER_FORMS == LIBRARY or cfg.MEMORY_FORMAT != "channels_last" or cfg.TRAIN.COMPILE:
        return None
    on_gpu = is_gpu(device)
    if not on_gpu and (device.type != "cpu" or choose_format(cfg, device) != "float32"):
        return None
    if cfg.LAYER_FORMS == OWN:
        return find_table(device.type, OWN)
    table = own_table(device)
    # A run goes on in the forms that it began with, also when its GPU has been measured.
    return None if on_gpu and table.is_empty else table


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a run's record says of code and machine (never environment variables)."""
    commit, dirty = code_version()
    return {
        **package_versions(),
        "cuda": torch.version.cuda,
        "commit": commit,
        "dirty": dirty,
        "host": socket.gethostname(),
        "platform": f"{sys.platform}-{platform.machine()}",
        **_describe_device(device),
        "instruction_set": torch.backends.cpu.get_cpu_capability().lower(),
        "threads": torch.get_num_threads(),
    }


def _describe_device(device: torch.device) -> dict[str, Any]:
    if not is_gpu(device):
        return {"device": "cpu"}
    return {"device": torch.cuda.get_device_name(device), **describe_arithmetic()}
