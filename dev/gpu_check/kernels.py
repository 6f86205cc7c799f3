"""The kernels that a training step spends its time in."""

import torch
from torch.profiler import ProfilerActivity

from gpu_check.results import Results
from gpu_check.scale import Scale
from gpu_check.speed import prepare_step
from gpu_check.timing import wait
from pycls.core.gpu import arithmetic
from pycls.gpu_devices import is_gpu

_STEPS = 3
_SHOWN = 20


def profile(scale: Scale, results: Results) -> None:
    """Count and rank the kernels of three networks' steps, launch by launch."""
    device = scale.device
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu(device) else [])]
    for name, keys in scale.networks(3):
        if not results.left(0 if scale.tiny else 8):
            return
        with results.guarded(name):
            cfg = scale.cfg(keys, scale.large, "bfloat16")
            with arithmetic(cfg):
                step = prepare_step(cfg, device)
                step()
                wait(device)
                with torch.profiler.profile(activities=activities) as profiler:
                    for _ in range(_STEPS):
                        step()
                    wait(device)
            spent = [
                (_microseconds(event, device), event.count / _STEPS, event.key)
                for event in profiler.key_averages()
            ]
            kernels = sorted((entry for entry in spent if entry[0] > 0), reverse=True)
            results.row(
                network=name,
                kernels=sum(count for _, count, _ in kernels),
                busy_ms=sum(us for us, _, _ in kernels) / 1e3,
                top=[
                    {"name": key[:150], "calls": count, "us": us}
                    for us, count, key in kernels[:_SHOWN]
                ],
            )


def _microseconds(event: object, device: torch.device) -> float:
    """Return what a kind of kernel takes in a step; of the host's own work 0 on a GPU."""
    if not is_gpu(device):
        return float(event.self_cpu_time_total) / _STEPS  # type: ignore[attr-defined]
    if "CUDA" not in str(getattr(event, "device_type", "")):
        return 0.0
    return float(event.self_device_time_total) / _STEPS  # type: ignore[attr-defined]
