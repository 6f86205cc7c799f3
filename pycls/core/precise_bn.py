"""Batch-norm statistics over many batches, instead of a running average."""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import nn


@torch.no_grad()
def update_bn_stats(
    model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], iterations: int
) -> None:
    """Set the statistics of all batch norms to the mean over batches (Wu and Johnson, 2021).

    Args:
        model: the network; left in training mode.
        batches: images (N x 3 x H x W) and labels.
        iterations: how many batches to take.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    means = [torch.zeros_like(_running(norm)[0]) for norm in norms]
    variances = [torch.zeros_like(_running(norm)[1]) for norm in norms]
    model.train()
    try:
        for norm in norms:
            norm.momentum = 1.0  # the running statistics become those of the batch
        count = 0
        for images, _ in islice(batches, iterations):
            model(images)
            count += 1
            for norm, mean, variance in zip(norms, means, variances, strict=True):
                batch_mean, batch_variance = _running(norm)
                mean += batch_mean
                variance += batch_variance
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for norm, mean, variance in zip(norms, means, variances, strict=True):
        running_mean, running_var = _running(norm)
        running_mean.copy_(mean / count)
        running_var.copy_(variance / count)


def _running(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("a batch norm without running statistics")
    return norm.running_mean, norm.running_var
