"""Weights that make a comparison tell: nothing is zero, one or the same everywhere."""

import torch


def randomise(model, seed=0):
    """Fill a network's parameters and statistics so that signals keep their size."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(7)
        elif name.endswith("running_var") or (name.endswith("weight") and tensor.dim() == 1):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.5)
        elif tensor.dim() >= 2:
            scale = (2 / tensor[0].numel()) ** 0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return model


def largest_difference(ours, theirs):
    """Return the largest difference relative to the largest logit."""
    return ((ours - theirs).abs().max() / ours.abs().max()).item()
