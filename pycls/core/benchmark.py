"""Measures iterations: of a run that is about to start, and of a network by itself."""

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.allocator import kernel_bytes, release_freed_memory
from pycls.core.config.trainable import captures_steps
from pycls.core.cuda_graph import GraphedStep
from pycls.core.env import MEMORY_FORMATS, move_model
from pycls.core.mixing import Mixer
from pycls.core.optimizer import build_optimizer
from pycls.core.precision import Precision
from pycls.core.step import TrainStep
from pycls.datasets.loading.loader import Loader
from pycls.gpu_devices import is_gpu
from pycls.models.builders import build_model

Batch = tuple[torch.Tensor, torch.Tensor]

_LR = 1e-3  # small enough for any network to stay finite for the time it is measured
_WARM_UP_ITERATIONS = 2

# Linux: writing 5 there sets the largest resident size to the present one (proc(5)).
_CLEAR_REFS, _RESET_PEAK = Path("/proc/self/clear_refs"), "5"


@dataclass(frozen=True)
class Timing:
    """How long something took that was done several times.

    Attributes:
        median: in seconds.
        spread: half the distance between the quartiles, in seconds.
        count: how often it was done.
    """

    median: float
    spread: float
    count: int

    @classmethod
    def of(cls, seconds: list[float]) -> "Timing":
        """Return the summary of single times, at least one."""
        low, median, high = (
            statistics.quantiles(seconds, n=4, method="inclusive")
            if len(seconds) > 1
            else seconds * 3
        )
        return cls(median, (high - low) / 2, len(seconds))


# ---------------------------------------------------------------- before a run
def measure_iteration(
    model: nn.Module, cfg: CfgNode, device: torch.device, loader: Loader | None = None
) -> dict[str, float]:
    """Measure an iteration's parts, as pycls does before the first one.

    The network is left as it was, to the bit, and so are the global random states.

    Args:
        model: the network, on `device`; not wrapped for several processes.
        cfg: the configuration. Batches are this process's share of TRAIN.BATCH_SIZE and
            TEST.BATCH_SIZE; each part is measured PREC_TIME.NUM_ITER times (at least 1),
            after PREC_TIME.WARMUP_ITER times that do not count.
        device: where the network is.
        loader: the batches to wait for, at most one epoch of them; None: train_loader_time is
            left out.

    Returns:
        Mean seconds: test_fw_time (forward in evaluation), train_fw_time, train_bw_time,
        train_fw_bw_time (forward with loss, backward, both; all parts of TRAIN.ACCUMULATE) and
        train_loader_time.
    """
    warm_up, iterations = cfg.PREC_TIME.WARMUP_ITER, max(1, cfg.PREC_TIME.NUM_ITER)
    train_batch, test_batch = (
        synthetic_batch(
            max(1, cfg[side].BATCH_SIZE // max(1, cfg.NUM_GPUS)),
            cfg.TRAIN.IM_SIZE,
            cfg.MODEL.NUM_CLASSES,
            device,
            cfg.MEMORY_FORMAT,
        )
        for side in ("TRAIN", "TEST")
    )
    with left_as_it_was(model, device):
        rounds = range(warm_up + iterations)
        tested = [_time_evaluation(model, test_batch, cfg, device) for _ in rounds]
        trained = [_time_passes(model, train_batch, cfg, device) for _ in rounds]
    forward, backward = (
        statistics.fmean(column) for column in zip(*trained[warm_up:], strict=True)
    )
    times = {
        "test_fw_time": statistics.fmean(tested[warm_up:]),
        "train_fw_time": forward,
        "train_bw_time": backward,
        "train_fw_bw_time": forward + backward,
    }
    if loader is not None:
        times["train_loader_time"] = _time_loader(loader, warm_up, iterations, device)
    return times


def epoch_times(
    iter_times: dict[str, float], train_iterations: int, test_iterations: int
) -> dict[str, float]:
    """Return what an epoch takes, of what :func:`measure_iteration` measured, under its keys."""
    return {
        name: seconds * (test_iterations if name.startswith("test_") else train_iterations)
        for name, seconds in iter_times.items()
    }


@contextmanager
def left_as_it_was(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Undo what forward and backward passes do to a network: buffers, gradients, modes, draws."""
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng([device] if is_gpu(device) else []):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, gradient in gradients:
            parameter.grad = gradient
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _time_evaluation(model: nn.Module, batch: Batch, cfg: CfgNode, device: torch.device) -> float:
    model.eval()
    with torch.no_grad(), Precision(cfg, device).autocast():
        return _seconds(lambda: model(batch[0]), device)


def _time_passes(
    model: nn.Module, batch: Batch, cfg: CfgNode, device: torch.device
) -> tuple[float, float]:
    """Return seconds of the forward passes of a mini-batch and of the backward passes."""
    model.train()
    precision, mixer = Precision(cfg, device), Mixer(cfg)
    size = max(1, len(batch[0]) // cfg.TRAIN.ACCUMULATE)
    forward_seconds = backward_seconds = 0.0
    for parameter in model.parameters():
        parameter.grad = None
    for images, labels in zip(batch[0].split(size), batch[1].split(size), strict=True):
        start = _now(device)
        with precision.autocast():
            loss = mixer.loss(model(images), labels)
        middle = _now(device)
        precision.backward(loss)
        forward_seconds += middle - start
        backward_seconds += _now(device) - middle
    return forward_seconds, backward_seconds


def _time_loader(loader: Loader, warm_up: int, iterations: int, device: torch.device) -> float:
    """Return the mean seconds between batches, as far as an epoch has them."""
    iterations = min(iterations, len(loader))
    warm_up = min(warm_up, len(loader) - iterations)
    seconds = list(_waits(itertools.islice(loader.epoch(0), warm_up + iterations), device))
    return statistics.fmean(seconds[warm_up:])


# ------------------------------------------------------------ a network by itself
def measure_network(
    cfg: CfgNode, device: torch.device, loader: Loader | None = None, seconds: float = 0.3
) -> dict[str, Any]:
    """Measure what the network of a configuration costs, from the forward pass to the step.

    Args:
        cfg: the configuration; one process computes the whole of TRAIN.BATCH_SIZE, in
            evaluation too.
        device: where to measure.
        loader: of the training side, to measure and to train with; None: images are random.
        seconds: how long to repeat each part at least; it is done 3 times at least.

    Returns:
        {"forward", "forward_backward", "step", "loader"} -> Timing of one batch (the forward
        pass in evaluation; the step is :class:`pycls.core.step.TrainStep` with the optimizer,
        compiled or captured as the configuration says; loader None where there is none), and
        "memory" -> bytes by kind, see :class:`MemoryUse`.
    """
    memory = MemoryUse(device)
    model, step, batch = prepare_network(cfg, device, loader)
    images, labels = batch
    precision = Precision(cfg, device)

    @torch.no_grad()
    def forward() -> None:
        with precision.autocast():
            model(images)

    def forward_backward() -> None:
        step.optimizer.zero_grad(set_to_none=True)
        step.forward_backward(images, labels)

    train = GraphedStep(step) if captures_steps(cfg, device) else step

    def whole_step() -> None:
        train(images, labels, _LR, 0, 0)

    measured: dict[str, Any] = {}
    model.train()
    measured["step"] = repeat(whole_step, device, seconds)
    images, labels = step.mix(*batch, 0, 0, 0)
    measured["forward_backward"] = repeat(forward_backward, device, seconds)
    model.eval()
    step.optimizer.zero_grad(set_to_none=True)
    measured["forward"] = repeat(forward, device, seconds)
    measured["loader"] = None if loader is None else _repeat_loader(loader, device, seconds)
    measured["memory"] = memory.take()
    return measured


class MemoryUse:
    """The most memory that the process takes from now on, over what it has.

    On a GPU PyTorch counts its own allocations; on the CPU the kernel (Linux) counts the pages
    of the process.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin to count; what was freed and kept is given back first, so as to be seen."""
        gc.collect()
        self._device = device
        if is_gpu(device):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self._before = {
                "allocated": torch.cuda.memory_allocated(device),
                "reserved": torch.cuda.memory_reserved(device),
            }
            return
        release_freed_memory()
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
            self._before = {"resident": kernel_bytes("self/status", "VmRSS")}
        except OSError:
            self._before = {}

    def take(self) -> dict[str, int]:
        """Return bytes by kind: "allocated" and "reserved" on a GPU, "resident" on the CPU.

        Empty where the system does not tell.
        """
        if is_gpu(self._device):
            most = {
                "allocated": torch.cuda.max_memory_allocated(self._device),
                "reserved": torch.cuda.max_memory_reserved(self._device),
            }
        elif self._before:
            most = {"resident": kernel_bytes("self/status", "VmHWM")}
        else:
            return {}
        return {kind: max(0, most[kind] - before) for kind, before in self._before.items()}


def prepare_network(
    cfg: CfgNode, device: torch.device, loader: Loader | None = None
) -> tuple[nn.Module, TrainStep, Batch]:
    """Return the network of a configuration on a device, its step and one mini-batch."""
    model = move_model(build_model(cfg), cfg, device)
    topk = min(5, cfg.MODEL.NUM_CLASSES)
    network: nn.Module = torch.compile(model) if cfg.TRAIN.COMPILE else model  # type: ignore[assignment]
    step = TrainStep(network, build_optimizer(model, cfg), Precision(cfg, device), cfg, topk)
    if loader is None:
        size, classes = cfg.TRAIN.IM_SIZE, cfg.MODEL.NUM_CLASSES
        batch = synthetic_batch(cfg.TRAIN.BATCH_SIZE, size, classes, device, cfg.MEMORY_FORMAT)
    else:
        images, labels = next(iter(loader.epoch(0)))
        batch = images.contiguous(memory_format=MEMORY_FORMATS[cfg.MEMORY_FORMAT]), labels
    return model, step, batch


def synthetic_batch(
    batch_size: int, im_size: int, num_classes: int, device: torch.device, memory_format: str
) -> Batch:
    """Return random images (float32, N x 3 x S x S) and labels, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, 3, im_size, im_size)
    images = torch.randn(shape, generator=generator).to(
        device, memory_format=MEMORY_FORMATS[memory_format]
    )
    labels = torch.randint(num_classes, (batch_size,), generator=generator)
    return images, labels.to(device)


def repeat(action: Callable[[], object], device: torch.device, seconds: float) -> Timing:
    """Time an action again and again, after warming up."""
    for _ in range(_WARM_UP_ITERATIONS):
        _seconds(action, device)
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        times.append(_seconds(action, device))
    return Timing.of(times)


def _repeat_loader(loader: Loader, device: torch.device, seconds: float) -> Timing:
    """Time batches of whole epochs: an epoch's plan is drawn before its first one."""
    times: list[float] = []
    epoch = 0
    while len(times) < 3 or sum(times) < seconds:
        times += _waits(loader.epoch(epoch), device)
        epoch += 1
    return Timing.of(times)


def _waits(batches: Iterable[Batch], device: torch.device) -> Iterator[float]:
    """Yield the seconds that each batch takes to be there."""
    start = _now(device)
    for _ in batches:
        yield _now(device) - start
        start = _now(device)


def _seconds(action: Callable[[], object], device: torch.device) -> float:
    start = _now(device)
    action()
    return _now(device) - start


def _now(device: torch.device) -> float:
    """Return the time when all that was given to the device is done."""
    if is_gpu(device):
        torch.cuda.synchronize(device)
    return time.perf_counter()
