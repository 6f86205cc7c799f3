"""Captures work on a GPU as a CUDA graph: replayed, it costs one launch, however many kernels."""

from collections.abc import Callable
from typing import TypeVar

import torch

_WARM_UP_ROUNDS = 3

T = TypeVar("T")


def capture(
    work: Callable[[], T], before: Callable[[], None] = lambda: None
) -> tuple[torch.cuda.CUDAGraph, T]:
    """Return a graph of some work, and what the work returned, which each replay writes anew.

    Args:
        work: what to capture.
        before: what to do just before; no part of the graph.
    """
    # Libraries choose kernels and take work space in the first rounds: not in the graph.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_ROUNDS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    before()
    graph = torch.cuda.CUDAGraph()
    # Threads of the loader pin memory meanwhile, which is none of the capture's business.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return graph, result
