"""Plain loaders that the benchmarks compare with: one image after the other, as in pycls."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from pycls.datasets.opening import dataset as prepared

Batch = tuple[torch.Tensor, torch.Tensor]
Floats = npt.NDArray[np.float32]

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_AXIS_VALUES = np.array([0.2175, 0.0188, 0.0045])
_AXES = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


def padded_batches(
    dataset: prepared.Dataset, size: int, pad: int, device: str, epoch: int, batch: int
) -> Iterator[Batch]:
    """Yield padded random crops of a small set held in memory, in NumPy."""
    generator = np.random.default_rng(epoch)
    mean = dataset.mean.astype(np.float32)
    std = dataset.std.astype(np.float32)
    held = np.array(dataset.images[dataset.indices])
    order = generator.permutation(len(held))
    for start in range(0, len(held) - batch + 1, batch):
        images = []
        for row in order[start : start + batch]:
            image = (held[row].astype(np.float32) / 255 - mean) / std
            image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
            top, left = generator.integers(0, 2 * pad + 1, 2)
            image = image[top : top + size, left : left + size]
            if generator.random() < 0.5:
                image = image[:, ::-1]
            images.append(image.transpose(2, 0, 1))
        labels = torch.from_numpy(dataset.labels[order[start : start + batch]])
        yield torch.from_numpy(np.stack(images)).to(device), labels.to(device)


class ImageFiles(Dataset[tuple[Floats, int]]):
    """Random resized crops of image files, by OpenCV and NumPy, for PyTorch's DataLoader."""

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths = paths
        self.size = size
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Floats, int]:
        generator = self.generator
        image = cv2.imread(str(self.paths[index]))[:, :, ::-1].astype(np.float32) / 255
        image = _random_resized_crop(image, self.size, generator)
        if generator.random() < 0.5:
            image = image[:, ::-1].copy()
        light = _AXES @ (generator.normal(0, 0.1, 3) * _AXIS_VALUES)
        for channel in range(3):
            image[:, :, channel] = image[:, :, channel] + light[channel]
        for channel in range(3):
            image[:, :, channel] = (image[:, :, channel] - _MEAN[channel]) / _STD[channel]
        return np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)), index % 2


def file_batches(paths: Sequence[Path], size: int, batch: int, workers: int = 0) -> Iterator[Batch]:
    """Yield batches of :class:`ImageFiles`, made in this process or by workers."""
    images = ImageFiles(paths, size)
    return iter(DataLoader(images, batch, shuffle=True, drop_last=True, num_workers=workers))


def _random_resized_crop(image: Floats, size: int, generator: np.random.Generator) -> Floats:
    height, width = image.shape[:2]
    for _ in range(10):
        area = generator.uniform(0.08, 1) * height * width
        aspect = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
        if h <= height and w <= width:
            top, left = generator.integers(0, height - h + 1), generator.integers(0, width - w + 1)
            image = image[top : top + h, left : left + w]
            break
    else:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR))
