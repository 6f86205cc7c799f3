"""Batches of images cut, resized, mirrored and normalised by one kernel on a GPU.

Padded crops and whole images get the bits that PyTorch's own operations give them. Resized crops
are rounded to whole numbers from 0 to 255, as those are, and may differ from them by one.
"""

import torch

from pycls.kernels import gpu_crop_code as code
from pycls.kernels.gpu_launch import launch

BLOCK = 1024  # numbers of a program


class BatchKernel:
    """Makes batches of squares: uint8 pixels times a scale plus a shift.

    Args:
        scale: float32, 3, of the channels of pixels in 0..255.
        shift: float32, 3.
        size: side of the squares, in pixels.
        channels_last: memory format of the batches; else contiguous.
        dtype: of the batches.
    """

    def __init__(
        self,
        scale: torch.Tensor,
        shift: torch.Tensor,
        size: int,
        channels_last: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._scale, self._shift = scale.contiguous(), shift.contiguous()
        self._size = size
        self._channels_last = channels_last
        self._dtype = dtype

    def normalise(self, images: torch.Tensor, light: torch.Tensor | None = None) -> torch.Tensor:
        """Return a batch of squares that are cut already, N x 3 x S x S.

        Args:
            images: uint8, N x S x S x 3.
            light: float32, N x 3, is added to the channels of each image in 0..1 before.
        """
        return self._launch(images.contiguous(), None, None, light, 0, 0)

    def cut(
        self,
        images: torch.Tensor,
        rows: torch.Tensor,
        drawn: torch.Tensor,
        light: torch.Tensor | None = None,
        border: int = 0,
        pad: int = 0,
    ) -> torch.Tensor:
        """Return a batch of squares that are cut out of images, N x 3 x S x S.

        Args:
            images: uint8, M x (H + 2 border) x (W + 2 border) x 3, contiguous.
            rows: int64, N, which images.
            drawn: int64, contiguous. N x 3: first row and first column of each square in the image
                with `pad` pixels around it, and whether to mirror it (1) or not (0). N x 5: first
                row, first column, height and width of a box in the image, which is resized, and
                the same.
            light: as for :meth:`normalise`; not for the padding, which is 0.
            border: pixels around the images as they are given, which are not read.
            pad: pixels around the image where a square may lie.
        """
        return self._launch(images, rows, drawn, light, border, pad)

    def _launch(
        self,
        images: torch.Tensor,
        rows: torch.Tensor | None,
        drawn: torch.Tensor | None,
        light: torch.Tensor | None,
        border: int,
        pad: int,
    ) -> torch.Tensor:
        count, size = len(images) if rows is None else len(rows), self._size
        shape = (count, size, size, 3) if self._channels_last else (count, 3, size, size)
        y = torch.empty(shape, dtype=self._dtype, device=images.device)
        height, width = (length - 2 * border for length in images.shape[1:3])
        # What a kind does not read is given as something that is there.
        given = (self._scale if tensor is None else tensor for tensor in (rows, drawn, light))
        resized = drawn is not None and drawn.shape[1] == 5
        launch(
            code.make_batch, (count, -(-3 * size * size // BLOCK)), images, y, *given,
            self._scale, self._shift, height, width, border, pad, size, 1 / (2 * size),
            BLOCK=BLOCK, CUT=drawn is not None, RESIZED=resized, LIT=light is not None,
            LAST=self._channels_last,
            # A product and a sum are rounded apart, as two operations of PyTorch are.
            enable_fp_fusion=False,
        )  # fmt: skip
        return y.permute(0, 3, 1, 2) if self._channels_last else y
