"""The weights that pycls's vectors were computed with."""

import zlib

import torch


def fill(state):
    """Fill a state dict in place, each tensor by a generator seeded with its name.

    What is drawn has the tensor's own type: the vectors in float64 belong to float64 draws.
    """
    for name, tensor in state.items():
        dtype = tensor.dtype if tensor.is_floating_point() else None
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        rand = torch.rand(tensor.shape, generator=generator, dtype=dtype)
        generator.manual_seed(zlib.crc32(name.encode()))
        randn = torch.randn(tensor.shape, generator=generator, dtype=dtype)
        if name.endswith("num_batches_tracked"):
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.copy_(rand + 0.5)
        elif name.endswith("running_mean"):
            tensor.copy_(randn * 0.1)
        elif tensor.dim() >= 2:
            tensor.copy_(randn * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("weight"):
            tensor.copy_(rand * 0.5 + 0.25)
        else:
            tensor.copy_(randn * 0.1)
