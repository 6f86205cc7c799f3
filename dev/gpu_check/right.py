"""Whether what a GPU computes is right: tests, the CPU's losses, the same bits again."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from gpu_check.results import Results
from gpu_check.scale import REPO, Scale
from gpu_check.speed import prepare_step
from pycls.core.benchmark import prepare_network
from pycls.core.config.load import load_cfg
from pycls.core.gpu import arithmetic
from pycls.core.meters import Meter
from pycls.core.processes.group import process_group, sum_over
from pycls.core.processes.launch_local import launch
from pycls.core.processes.world import World
from pycls.core.trainer import train_model
from pycls.core.training_launch import train_several
from pycls.core.training_run import TrainingRun
from pycls.core.weights.resume_point import load_newest
from pycls.datasets.preparation.prepare import prepare
from pycls.errors import RunError, RunInterruptedError
from pycls.gpu_devices import is_gpu

_TESTS = ("tests/core/test_on_gpu.py", "tests/kernels/interpreted_kernels.py",
          "tests/core/processes", "tests/datasets/loading")  # fmt: skip


def gpu_tests(scale: Scale, results: Results) -> None:
    """Run the project's tests that want a GPU; without one there is nothing to run."""
    if not is_gpu(scale.device):
        results.facts(skipped="these tests need a GPU")
        return
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    command += ["-k", "gpu or interpreted_kernels", *_TESTS]
    process = subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    timer = threading.Timer(max(1.0, results.until - time.monotonic() - 2), process.kill)
    timer.start()
    outcomes: dict[str, str] = {}
    last: list[str] = []
    for line in process.stdout:
        last = [*last[-60:], line.rstrip()]
        if found := re.match(r"(\S+::\S+.*?)\s+(PASSED|FAILED|ERROR|SKIPPED)", line):
            outcomes[found[1]] = found[2]
    timer.cancel()
    kinds = list(outcomes.values())
    results.facts(
        code=process.wait(), last=last,
        counts={kind: kinds.count(kind) for kind in ("PASSED", "FAILED", "ERROR", "SKIPPED")},
        failed=[name for name, kind in outcomes.items() if kind in ("FAILED", "ERROR")],
    )  # fmt: skip


def agreement(scale: Scale, results: Results) -> None:
    """Compare the losses of five steps with those of the CPU in float32."""
    keys = scale.networks(1)[0][1]
    small = Scale(scale.device, scale.tiny, 64, scale.small, 8)
    ways = [("float32", False), ("tf32", False), ("tf32", True), ("bfloat16", False),
            ("bfloat16", True)]  # fmt: skip
    here = Scale(torch.device("cpu"), scale.tiny, 64, scale.small, 8)
    on_cpu = _losses(here, keys, "float32", False)
    for number_format, graph in ways:
        with results.guarded(f"{number_format}, {graph}"):
            losses = _losses(small, keys, number_format, graph)
            worst = max(abs(a / b - 1) for a, b in zip(losses, on_cpu, strict=True))
            results.row(format=number_format, graph=graph, difference=worst, losses=losses)


def _losses(scale: Scale, keys: list[Any], number_format: str, graph: bool) -> list[float]:
    more = ("CUDNN.BENCHMARK", False, "TRAIN.CUDA_GRAPH", "auto" if graph else False)
    cfg = scale.cfg(keys, scale.small, number_format, *more)
    with arithmetic(cfg):
        step = prepare_step(cfg, scale.device)
        return [float(step().loss) for _ in range(5)]


def waits(scale: Scale, results: Results) -> None:
    """Name the calls of a training step that wait for the GPU."""
    if not is_gpu(scale.device):
        results.facts(skipped="only a GPU can be waited for")
        return
    for words in ((), ("TRAIN.MIXUP_ALPHA", 0.2), ("TRAIN.CUTMIX_ALPHA", 1.0),
                  ("OPTIM.CLIP_GRAD_NORM", 1.0)):  # fmt: skip
        with results.guarded(str(words)):
            cfg = scale.cfg(scale.networks(1)[0][1], scale.small, "bfloat16", *words)
            model, step, (images, labels) = prepare_network(cfg, scale.device)
            model.train()
            meter = Meter(10, 1, 100, scale.device)
            found: set[str] = set()
            for number in range(4):
                torch.cuda.set_sync_debug_mode("warn" if number > 1 else "default")
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    result = step(images, labels, 1e-3, 0, number)
                    meter.update(result.wrong, result.loss, len(labels))
                found |= {f"{Path(w.filename).name}:{w.lineno}" for w in caught
                          if "synchroniz" in str(w.message)}  # fmt: skip
            torch.cuda.set_sync_debug_mode("default")
            results.row(keys=" ".join(map(str, words)), waits=sorted(found))


def resuming(scale: Scale, results: Results) -> None:
    """Compare the ends of trainings that were stopped inside an epoch with undisturbed ones."""
    exact = ("CUDNN.BENCHMARK", False, "CUDNN.DETERMINISTIC", True)
    cases: dict[str, tuple[Any, ...]] = {
        "kernels by time": (),
        "deterministic": exact,
        "deterministic, graph": (*exact, "TRAIN.CUDA_GRAPH", "auto"),
        "deterministic, bfloat16": (*exact, "TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE",
                                    "bfloat16"),
        "deterministic, average": (*exact, "OPTIM.EMA_UPDATE_PERIOD", 2, "BN.USE_PRECISE_STATS",
                                   True),
    }  # fmt: skip
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepare("digits", folder / "data")
        for number, (case, words) in enumerate(cases.items()):
            if scale.tiny and number != 1:
                continue
            if not results.left(0 if scale.tiny else 8):
                return
            with results.guarded(case):
                parts = [
                    _digits_cfg(scale, folder, f"{which}{number}", *words)
                    for which in ("whole", "parts")
                ]
                train_model(parts[0])
                stopped = _train_stopped(parts[1])
                train_model(parts[1])
                results.row(case=case, stopped=stopped, difference=_difference(*parts))


def peers(scale: Scale, results: Results) -> None:
    """Kill one of two processes in the middle of an exchange; see how soon the other ends."""
    if is_gpu(scale.device) and torch.cuda.device_count() < 2:
        results.facts(skipped="this needs two GPUs")
        return
    start = time.perf_counter()
    try:
        launch(exchange_until_killed, [scale.device.type], 2)
    except RunError as error:
        seconds = time.perf_counter() - start
        results.row(seconds=seconds, backend="nccl" if is_gpu(scale.device) else "gloo",
                    error=str(error))  # fmt: skip


def exchange_until_killed(world: World, device_type: str) -> None:
    """Add numbers up with the other processes, until the last one dies without a word."""
    device = torch.device(device_type)
    if is_gpu(device):
        device = torch.device(device_type, world.local_rank)
    with process_group(world, device):
        numbers = torch.ones(1000, device=device)
        for number in range(1_000_000):
            float(sum_over(world, numbers)[0])
            if number == 20 and world.rank == world.size - 1:
                os.kill(os.getpid(), signal.SIGKILL)


def together(scale: Scale, results: Results) -> None:
    """Compare networks that were trained in one process with the same ones alone."""
    exact = ("CUDNN.BENCHMARK", False, "CUDNN.DETERMINISTIC", True)
    with TemporaryDirectory() as name, results.guarded("together"):
        folder = Path(name)
        prepare("digits", folder / "data")
        changes = [(), ("ANYNET.STEM_W", 8)]
        alone, beside = (
            [
                _digits_cfg(scale, folder, f"{which}{number}", *exact, *change)
                for number, change in enumerate(changes)
            ]
            for which in ("alone", "beside")
        )
        for cfg in alone:
            train_model(cfg)
        list(train_several(beside, lambda index: _Around()))
        for number, pair in enumerate(zip(alone, beside, strict=True)):
            results.row(network=number, difference=_difference(*pair))


class _Around:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def _digits_cfg(scale: Scale, folder: Path, name: str, *words: Any) -> Any:
    return load_cfg(
        REPO / "configs/embedded/digits_anynet.yaml",
        ["DATA.DIR", str(folder / "data"), "OUT_DIR", str(folder / name), "LOG_DEST", "file",
         "DEVICE", str(scale.device), "OPTIM.MAX_EPOCH", 1 if scale.tiny else 3, "NUM_THREADS", 1,
         "PREC_TIME.NUM_ITER", 0, *words],
    )  # fmt: skip


def _train_stopped(cfg: Any) -> bool:
    """Train until the fifth step, in which a signal asks to stop; say whether it did."""
    own, steps = TrainingRun.train_step, [0]

    def stopping(run: TrainingRun, images: torch.Tensor, labels: torch.Tensor, lr: float) -> None:
        own(run, images, labels, lr)
        steps[0] += 1
        if steps[0] == 5:
            os.kill(os.getpid(), signal.SIGUSR1)

    TrainingRun.train_step = stopping  # type: ignore[method-assign]
    try:
        train_model(cfg)
    except RunInterruptedError:
        return True
    finally:
        TrainingRun.train_step = own  # type: ignore[method-assign]
    return False


def _difference(first: Any, second: Any) -> float:
    """Return the largest difference between the last weights of two runs."""
    states = []
    for cfg in (first, second):
        newest = load_newest(cfg.OUT_DIR)
        assert newest is not None
        states.append(newest[1]["model_state"])
    return max(
        float((value.double() - states[1][name].double()).abs().max())
        for name, value in states[0].items()
    )
