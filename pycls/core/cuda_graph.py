"""Captures a training step once as a CUDA graph and replays it: no launch cost a kernel.

Worth it where kernels are short: small images, narrow networks. The shapes of a run's
batches never change, which is what a graph needs.
"""

import copy
from typing import Any

import torch

from pycls.core.optimizer import set_lr
from pycls.core.step import StepResult, TrainStep

_WARM_UP_STEPS = 3


class GraphedStep:
    """Does what a :class:`TrainStep` does, by replaying its first batch's work.

    Images are mixed outside the graph; the learning rate is a tensor that the graph reads.
    """

    def __init__(self, step: TrainStep) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, lr: float, epoch: int, iteration: int
    ) -> StepResult:
        """Train by one mini-batch; arguments as :meth:`TrainStep.__call__`.

        Of the result, `wrong` and `loss` are written over by the next step.
        """
        images, targets = self._step.mix(images, labels, epoch, iteration, 0)
        set_lr(self._step.optimizer, lr)
        if self._graph is None:
            self._capture(images, targets)
        self._images.copy_(images)
        self._targets.copy_(targets)
        if self._graph is not None:
            self._graph.replay()
        return self._result._replace(row=self._result.row.clone())

    def _capture(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        """Capture one step; network and optimizer are left as they were."""
        self._images, self._targets = images.clone(), targets.clone()
        model, optimizer = self._step.model, self._step.optimizer
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        before = _tensors_of(optimizer)
        # Libraries choose kernels and take work space in the first steps: not in the graph.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                self._update()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)
        # Threads of the loader pin memory meanwhile, which is none of the capture's business.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._update()
        self._graph = graph
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(weights[name])
            _restore(optimizer, before)

    def _update(self) -> StepResult:
        self._step.optimizer.zero_grad(set_to_none=True)
        result = self._step.forward_backward(self._images, self._targets)
        self._step.update()
        return result


def _tensors_of(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Any]]:
    """Copy the state of each parameter; empty before the first step."""
    return {id(p): copy.deepcopy(state) for p, state in optimizer.state.items()}


def _restore(optimizer: torch.optim.Optimizer, before: dict[int, dict[str, Any]]) -> None:
    """Set the state tensors, in place, to what they were; new ones to zero."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                old = before.get(id(parameter), {}).get(name)
                if old is None:
                    value.zero_()
                else:
                    value.copy_(old)
