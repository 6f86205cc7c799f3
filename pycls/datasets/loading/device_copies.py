"""Copies batches to a device; to a GPU beside what it computes."""

import torch
from torch import Tensor

from pycls.gpu_devices import is_gpu


class DeviceCopies:
    """Copies tensors to a device.

    To a GPU on a stream of their own, so that a batch is copied while the step before is computed.
    Of pinned memory, nothing waits for it.

    Args:
        device: where they are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._released: torch.cuda.Event | None = None

    def __call__(self, batch: Tensor) -> Tensor:
        """Return a copy, for the stream of the caller."""
        if not is_gpu(self._device):
            return batch.to(self._device)
        here, beside = self._streams()
        with torch.cuda.stream(beside):
            copy = batch.to(self._device, non_blocking=True)
        here.wait_stream(beside)
        # The memory is of the other stream, which may use it again once this one is done with it.
        copy.record_stream(here)
        return copy

    def into(self, place: Tensor, batch: Tensor) -> None:
        """Copy over a tensor on the device, once what was enqueued before `release` is done."""
        if not is_gpu(self._device):
            place.copy_(batch)
            return
        here, beside = self._streams()
        if self._released is None:
            beside.wait_stream(here)
        else:
            beside.wait_event(self._released)
        with torch.cuda.stream(beside):
            place.copy_(batch, non_blocking=True)
        here.wait_stream(beside)

    def release(self) -> None:
        """Say that what reads the tensor of `into` is enqueued."""
        if is_gpu(self._device):
            self._released = torch.cuda.Event()
            self._released.record(self._streams()[0])

    def _streams(self) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
        """Return the caller's stream and that of the copies."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        return torch.cuda.current_stream(self._device), self._stream
