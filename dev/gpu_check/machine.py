"""What the machine is, and what its memory and its host are capable of."""

import os
import platform
import subprocess

import torch

from gpu_check.results import Results
from gpu_check.scale import Scale
from gpu_check.timing import device_seconds, host_seconds
from pycls.core.gpu import check_supported
from pycls.gpu_devices import is_gpu

_FIELDS = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit"


def machine(scale: Scale, results: Results) -> None:
    """Name machine and versions; measure copies, products, transfers and launches."""
    device = scale.device
    results.facts(
        python=platform.python_version(), torch=torch.__version__, cuda=torch.version.cuda,
        cores=os.cpu_count(), cudnn=torch.backends.cudnn.version(), triton=_version("triton"),
        numpy=_version("numpy"), device=str(device),
    )  # fmt: skip
    if is_gpu(device):
        check_supported(device)
        asked = ["nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader"]
        with results.guarded("nvidia-smi"):
            done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
            results.facts(gpu=done.stdout.strip())
    count = 1 << (10 if scale.tiny else 30)
    with results.guarded("copy"):
        source = torch.ones(count, dtype=torch.bfloat16, device=device)
        target = torch.empty_like(source)
        seconds = device_seconds(lambda: target.copy_(source), device, scale.seconds)
        results.facts(copy_gb_s=4 * count / seconds / 1e9)
    with results.guarded("product"):
        side = 64 if scale.tiny else 8192
        matrix = torch.ones(side, side, dtype=torch.bfloat16, device=device)
        seconds = device_seconds(lambda: matrix @ matrix, device, scale.seconds)
        results.facts(bfloat16_tflops=2 * side**3 / seconds / 1e12)
    with results.guarded("transfer"):
        host = torch.empty(count // 4, dtype=torch.uint8, pin_memory=is_gpu(device))
        there = torch.empty_like(host, device=device)
        seconds = device_seconds(
            lambda: there.copy_(host, non_blocking=True), device, scale.seconds
        )
        results.facts(to_device_gb_s=len(host) / seconds / 1e9)
    with results.guarded("launch"):
        few = torch.zeros(32, device=device)

        def launch() -> None:
            for _ in range(100):
                few.add_(1)

        results.facts(launch_us=1e6 * host_seconds(launch, device, scale.seconds) / 100)


def _version(name: str) -> str | None:
    try:
        return str(__import__(name).__version__)
    except ImportError:
        return None
