"""Captures what is done again and again once as a CUDA graph: no launch costs a kernel.

Worth it where kernels are short: small images, narrow networks. The shapes of a run's
batches never change, which is what a graph needs.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from pycls.core.ema import Ema
from pycls.core.optimizer import set_lr
from pycls.core.precision import Precision
from pycls.core.step import StepResult, TrainStep
from pycls.gpu_devices import is_gpu
from pycls.kernels import gpu_graph


class GraphedStep:
    """Does what a :class:`TrainStep` does, by replaying its first batch's work.

    How images are mixed is drawn outside of the graph, which reads it, and the learning rate with
    it, from one tensor. Where nothing is mixed, the rate is set as a plain step sets it.
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
        mixing = self._step.draw_mixing(images, epoch, iteration, 0)
        drawn = None
        if mixing is None:
            set_lr(self._step.optimizer, lr)
        else:
            drawn = torch.from_numpy(np.concatenate(([lr], mixing)))
            drawn = drawn.pin_memory() if is_gpu(images.device) else drawn
        if self._graph is None:
            self._capture(images, labels, drawn)
        self._images.copy_(images)
        self._labels.copy_(labels)
        if drawn is not None:
            assert self._drawn is not None
            self._drawn.copy_(drawn, non_blocking=True)
        if self._graph is not None:
            # A replay reads the generator's seed anew.
            self._step.seed_layers(epoch, iteration, 0)
            self._graph.replay()
        return self._result._replace(row=self._result.row.clone())

    def _capture(
        self, images: torch.Tensor, labels: torch.Tensor, drawn: torch.Tensor | None
    ) -> None:
        """Capture one step; network and optimizer are left as they were."""
        self._images, self._labels = images.clone(), labels.clone()
        self._drawn = None if drawn is None else drawn.to(images.device, non_blocking=True)
        model, optimizer = self._step.model, self._step.optimizer
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        before = _tensors_of(optimizer)
        self._graph, self._result = gpu_graph.capture(self._update, optimizer.zero_grad)
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(weights[name])
            _restore(optimizer, before)

    def _update(self) -> StepResult:
        self._step.optimizer.zero_grad(set_to_none=True)
        images, targets = self._images, self._labels
        if self._drawn is not None:
            set_lr(self._step.optimizer, self._drawn[0])
            images, targets = self._step.mixer.apply(images, targets, self._drawn[1:])
        result = self._step.forward_backward(images, targets)
        self._step.update()
        return result


class GraphedForward:
    """Computes a network's results for images, by replaying the work of the first batch.

    Args:
        model: the network, in the mode that it is in at the first call.
        precision: the number formats.
    """

    def __init__(self, model: nn.Module, precision: Precision) -> None:
        self._model, self._precision = model, precision
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the results, which the next call writes over.

        Args:
            images: N x 3 x H x W, at most as many as at the first call; where there are fewer,
                others are computed with them, and left out.
        """
        if self._graph is None:
            self._images = images.clone()
            self._graph, self._results = gpu_graph.capture(self._compute)
        self._images[: len(images)].copy_(images)
        self._graph.replay()
        return self._results[: len(images)]

    @torch.no_grad()
    def _compute(self) -> torch.Tensor:
        with self._precision.autocast():
            results: torch.Tensor = self._model(self._images)
        return results


class GraphedEma:
    """Updates an average as :meth:`pycls.core.ema.Ema.update` does, by replaying its work.

    Args:
        ema: the average.
        model: the network that it follows.
    """

    def __init__(self, ema: Ema, model: nn.Module) -> None:
        self._ema, self._model = ema, model
        # By the weight of the network's own state: a run has two, of warm-up and of the rest.
        self._graphs: dict[float, torch.cuda.CUDAGraph] = {}

    def update(self, alpha: float) -> None:
        """Move the average towards the network."""
        graph = self._graphs.get(alpha)
        if graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._ema.update(self._model, alpha)
            self._graphs[alpha] = graph
        graph.replay()


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
