"""Computes batch-norm statistics over many batches, instead of a running average."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import islice

import torch
from torch import nn

from pycls.core.precision import Precision
from pycls.core.processes.group import mean_over
from pycls.core.processes.world import ONE_PROCESS, World


@torch.no_grad()
def update_bn_stats(
    model: nn.Module,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    iterations: int,
    *,
    parts: int = 1,
    world: World = ONE_PROCESS,
    precision: Precision | None = None,
    compute: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[None]:
    """Set the statistics of all batch norms to the mean over batches (Wu and Johnson, 2021).

    It is done when what is returned, which stops after each batch, has been gone through.

    Args:
        model: the network; left in training mode.
        batches: images (N x 3 x H x W) and labels.
        iterations: how many batches to take.
        parts: parts that each batch is computed in, as in training.
        world: the processes that share the batches; all end with the same statistics.
        precision: the number formats to compute in; None: float32.
        compute: passes images through the network, in its place; None: the network itself.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    counters = [_running(norm)[2].clone() for norm in norms]
    means = [torch.zeros_like(_running(norm)[0]) for norm in norms]
    variances = [torch.zeros_like(_running(norm)[1]) for norm in norms]
    of_batch = [_running(norm)[:2] for norm in norms]
    model.train()
    try:
        for norm in norms:
            norm.momentum = 1.0  # the running statistics become those of the batch
        count = 0
        for images, _ in islice(batches, iterations):
            for part in images.split(len(images) // parts):
                if compute is None:
                    with nullcontext() if precision is None else precision.autocast():
                        model(part)
                else:
                    compute(part)
                count += 1
                torch._foreach_add_(means, [mean for mean, _ in of_batch])
                torch._foreach_add_(variances, [variance for _, variance in of_batch])
            yield
    finally:
        # The counters too: doing this twice, after an interruption, must leave no trace.
        for norm, momentum, counter in zip(norms, momenta, counters, strict=True):
            norm.momentum = momentum
            _running(norm)[2].copy_(counter)
    for norm, mean, variance in zip(norms, means, variances, strict=True):
        running_mean, running_var, _ = _running(norm)
        running_mean.copy_(mean_over(world, mean / count))
        running_var.copy_(mean_over(world, variance / count))


def _running(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the running mean, the running variance and the counter of batches."""
    mean, variance, counter = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if mean is None or variance is None or counter is None:
        raise TypeError("a batch norm without running statistics")
    return mean, variance, counter
