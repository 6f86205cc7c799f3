"""Images a second of networks of the population: format by format, alone and several at once."""

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from count_step import count_step
from yacs.config import CfgNode

from gpu_check.results import Results
from gpu_check.scale import Scale
from gpu_check.timing import both_seconds, wait
from pycls.core.benchmark import prepare_network
from pycls.core.config.trainable import captures_steps
from pycls.core.cuda_graph import GraphedStep
from pycls.core.gpu import arithmetic
from pycls.gpu_devices import is_gpu

_LR = 1e-3
# Choosing kernels by time, building and capturing take up to so many seconds a network.
_NEEDED_S = 5.0

Step = Callable[[], Any]


def speed_large(scale: Scale, results: Results) -> None:
    """Ten networks at 224 pixels in bfloat16, launch by launch and as a graph."""
    ways = [("bfloat16", "graph"), ("bfloat16", "launches")]
    _measure_all(scale, results, scale.large, ways)


def own_layers(scale: Scale, results: Results) -> None:
    """The same networks with our own kernels (LAYER_FORMS own), as graphs."""
    _measure_all(scale, results, scale.large, [("bfloat16", "graph, own layers")], 5)


def speed_small(scale: Scale, results: Results) -> None:
    """Ten networks at 32 pixels in bfloat16, launch by launch and as a graph."""
    ways = [("bfloat16", "graph"), ("bfloat16", "launches")]
    _measure_all(scale, results, scale.small, ways)


def formats(scale: Scale, results: Results) -> None:
    """Networks in TF32 and float32, at both sizes, as graphs."""
    for size in (scale.large, scale.small):
        _measure_all(scale, results, size, [("tf32", "graph"), ("float32", "graph")], 3)


def several(scale: Scale, results: Results) -> None:
    """Several networks at once in one process, a stream and a graph each."""
    device = scale.device
    for size in (scale.small, scale.large):
        running: list[tuple[Any, Step]] = []
        networks = scale.networks()
        for count in (1, 2, 4, 8)[: 2 if scale.tiny else 4]:
            if not results.left(0 if scale.tiny else 3 * count):
                return
            with results.guarded(f"{count} at {size}"):
                while len(running) < count:
                    keys = networks[len(running) % len(networks)][1]
                    cfg = scale.cfg(keys, size, "bfloat16", "TRAIN.CUDA_GRAPH", "auto")
                    with arithmetic(cfg):
                        step = prepare_step(cfg, device)
                        step()
                        wait(device)
                    stream = torch.cuda.Stream(device) if is_gpu(device) else None
                    running.append((stream, step))
                seconds, host = both_seconds(_in_turns(running), device, scale.seconds)
                rate = count * scale.batch / seconds
                results.row(size=size, at_once=count, img_s=rate, host_ms=1e3 * host)
        del running
        _free(device)


def prepare_step(cfg: CfgNode, device: torch.device) -> Step:
    """Return what trains a configuration's network by one batch, the same one each time."""
    model, step, (images, labels) = prepare_network(cfg, device)
    model.train()
    train = GraphedStep(step) if captures_steps(cfg, device) else step
    return lambda: train(images, labels, _LR, 0, 0)


def _in_turns(running: Iterable[tuple[Any, Step]]) -> Callable[[], None]:
    def turns() -> None:
        for stream, step in running:
            with torch.cuda.stream(stream):
                step()

    return turns


def _measure_all(
    scale: Scale, results: Results, size: int, ways: list[tuple[str, str]], count: int = 10
) -> None:
    for name, keys in scale.networks(count):
        for number_format, way in ways:
            if not results.left(0 if scale.tiny else _NEEDED_S):
                return
            with results.guarded(f"{name}, {size}, {number_format}, {way}"):
                words = ["TRAIN.CUDA_GRAPH", "auto" if way.startswith("graph") else False]
                words += ["LAYER_FORMS", "own"] if way.endswith("own layers") else []
                cfg = scale.cfg(keys, size, number_format, *words)
                measured = _measure(scale, cfg)
                results.row(network=name, size=size, format=number_format, way=way, **measured)
            _free(scale.device)


def _measure(scale: Scale, cfg: CfgNode) -> dict[str, float]:
    device = scale.device
    count = count_step(cfg)
    moved = count.mixed if cfg.TRAIN.MIXED_PRECISION else count.float32
    if cfg.LAYER_FORMS == "own" and is_gpu(device):
        moved = count.fused
    with arithmetic(cfg):
        if is_gpu(device):
            torch.cuda.reset_peak_memory_stats(device)
        start = time.perf_counter()
        step = prepare_step(cfg, device)
        loss = step().loss
        wait(device)
        first = time.perf_counter() - start
        seconds, host = both_seconds(step, device, scale.seconds)
        measured = {
            "img_s": scale.batch / seconds,
            "gb_s": moved * scale.batch / seconds / 1e9,
            "host_ms": 1e3 * host,
            "first_s": first,
            "loss": float(loss),
        }
        if is_gpu(device):
            measured["peak_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    return measured


def _free(device: torch.device) -> None:
    gc.collect()
    if is_gpu(device):
        torch.cuda.empty_cache()
