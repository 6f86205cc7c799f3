"""Times what is done on a device."""

import statistics
import time
from collections.abc import Callable

import torch

from pycls.gpu_devices import is_gpu

Action = Callable[[], object]
_BLOCKS = 3


def wait(device: torch.device) -> None:
    """Wait until all is done that was given to a device."""
    if is_gpu(device):
        torch.cuda.synchronize(device)


def device_seconds(action: Action, device: torch.device, seconds: float) -> float:
    """Return what an action takes where one follows the other; the median of some blocks."""
    return both_seconds(action, device, seconds)[0]


def host_seconds(action: Action, device: torch.device, seconds: float) -> float:
    """Return how long the host is busy with an action."""
    return both_seconds(action, device, seconds)[1]


def both_seconds(action: Action, device: torch.device, seconds: float) -> tuple[float, float]:
    """Return what an action takes, and how long the host is busy with it."""
    for _ in range(2):
        wait(device)
        start = time.perf_counter()
        action()
        wait(device)
    once = max(time.perf_counter() - start, 1e-6)
    count = min(400, max(2, int(seconds / _BLOCKS / once)))
    whole, host = [], []
    for _ in range(_BLOCKS):
        start = time.perf_counter()
        for _ in range(count):
            action()
        host.append((time.perf_counter() - start) / count)
        wait(device)
        whole.append((time.perf_counter() - start) / count)
    return statistics.median(whole), statistics.median(host)
