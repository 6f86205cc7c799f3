"""Says which devices are GPUs: the one place that decides it, for training and for data."""

from typing import Protocol


class Device(Protocol):
    """A device of PyTorch's, which need not be imported to ask."""

    @property
    def type(self) -> str:
        """Its kind: "cpu", "cuda"."""


# Tests add a device that stands for a GPU, so that what is done for one alone is seen without one.
GPU_TYPES = {"cuda"}


def is_gpu(device: Device) -> bool:
    """Say whether a device is a GPU: its work is queued, and copies to it want pinned memory."""
    return device.type in GPU_TYPES
