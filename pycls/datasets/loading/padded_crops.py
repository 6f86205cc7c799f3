"""The crops of padded images that an epoch's plan asks for."""

import numpy as np
import torch
from torch import Tensor

from pycls.datasets.loading import transforms
from pycls.datasets.loading.epoch_plan import EpochPlan
from pycls.datasets.loading.transforms import to_device


class PaddedCrops:
    """Cuts and mirrors squares; what was drawn is on the device before the first batch.

    Args:
        plan: the epoch, with offsets.
        size: side of the squares in pixels.
        device: where the images are.
    """

    def __init__(self, plan: EpochPlan, size: int, device: torch.device) -> None:
        if plan.offsets is None:
            raise ValueError("the plan has no offsets")
        self._plan = plan
        self._size = size
        self._tops, self._lefts = (to_device(plan.offsets[:, axis], device) for axis in range(2))
        numbers, places = np.nonzero(plan.flips.reshape(-1, plan.share))
        # Where the flips are is known here: the device need not be asked for their number.
        self._flipped = to_device(places, device).split(
            np.bincount(numbers, minlength=len(plan)).tolist()
        )

    def cut(self, number: int, images: Tensor, rows: Tensor) -> Tensor:
        """Return a batch.

        Args:
            number: of the batch in the plan.
            images: uint8, M x H x W x 3, padded.
            rows: int64, N, where its images are among them.

        Returns:
            uint8, N x S x S x 3.
        """
        part = self._plan.part(number)
        squares = transforms.crop(images, rows, self._tops[part], self._lefts[part], self._size)
        transforms.mirror(squares, self._flipped[number])
        return squares
