"""The operations of augmentation with shapes that nothing drawn changes: work for a CUDA graph.

Every image goes through all of them, and keeps the result of the one that was drawn for it. The
results are those of :func:`pycls.datasets.loading.image_ops.apply_operations`.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pycls.datasets.loading import image_ops
from pycls.datasets.loading.augment import Draws

# An image's in a step: operation, argument, and where a pixel comes from, 6.
NUMBERS = 8


def tabulate_draws(draws: Draws, size: int) -> npt.NDArray[np.float64]:
    """Return what happens to N images in K steps as numbers, N x 8 K.

    Args:
        draws: the operations and their arguments.
        size: side of the images in pixels.
    """
    columns: list[npt.NDArray[np.generic]] = []
    for step in range(draws.operations.shape[1]):
        operations, arguments = draws.operations[:, step], draws.arguments[:, step]
        matrices = image_ops.warp_matrices(operations, arguments, size, size)
        columns += [operations, arguments, *matrices]
    return np.column_stack(columns).astype(np.float64)


def apply_numbers(images: Tensor, numbers: Tensor) -> Tensor:
    """Return augmented images.

    Args:
        images: uint8, N x S x S x 3, contiguous.
        numbers: N x 8 K, of :func:`tabulate_draws`, on the device of the images.

    Returns:
        As the images.
    """
    for step in numbers.split(NUMBERS, dim=1):
        images = _apply_step(images, step)
    return images


def _apply_step(images: Tensor, numbers: Tensor) -> Tensor:
    operations, arguments = numbers[:, 0].to(torch.int64), numbers[:, 1]
    values = torch.arange(256, device=images.device)
    table = values.expand(len(images), 3, 256)
    for name, make_table in image_ops.TABLES.items():
        chosen, given = _choose(name, operations, arguments, 3)
        table = torch.where(chosen, make_table(images, values, given), table)
    result = image_ops.look_up(images, table)
    for name, make_other in image_ops.BLENDS.items():
        chosen, given = _choose(name, operations, arguments, 4)
        blended = image_ops.blend(make_other(images), images, given)
        result = torch.where(chosen, image_ops.to_pixels(blended), result)
    matrices = numbers[:, 2:].T.to(torch.float32).view(6, -1, 1, 1)
    is_warped = operations >= image_ops.NAMES.index(next(iter(image_ops.WARPS)))
    moved = image_ops.take_pixels(images, matrices)
    return torch.where(is_warped.view(-1, 1, 1, 1), moved, result).contiguous()


def _choose(name: str, operations: Tensor, arguments: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Return which images have an operation, and its arguments; 1 for the others.

    Args:
        name: of the operation.
        operations: int64, N.
        arguments: float64, N.
        dims: of what is returned, N x 1 x ...
    """
    shape = (-1, *[1] * (dims - 1))
    chosen = operations == image_ops.NAMES.index(name)
    return chosen.view(shape), torch.where(chosen, arguments, 1.0).view(shape)
