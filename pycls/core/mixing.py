"""Mixes images, softens labels and weights classes: label smoothing, mixup, cutmix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from yacs.config import CfgNode

from pycls.datasets.randomness import make_key
from pycls.datasets.store.store import IntArray

# What the draws of a mini-batch are mixed into the run's seed with.
_STREAM_MIXING = 101


def smooth_one_hot(labels: torch.Tensor, num_classes: int, smoothing: float) -> torch.Tensor:
    """Return soft labels: 1 - s + s / C for the class and s / C for all others.

    Args:
        labels: N class indices.
        num_classes: C.
        smoothing: s, from 0 (one-hot) to below 1 (Szegedy et al., 2016).

    Returns:
        N x C, float32.
    """
    off = smoothing / num_classes
    soft = torch.full((len(labels), num_classes), off, device=labels.device)
    return soft.scatter_(1, labels[:, None], 1.0 - smoothing + off)


def class_weights(
    given: str | Sequence[float], labels: IntArray, num_classes: int
) -> npt.NDArray[np.float32] | None:
    """Return the weights of the classes in the loss, of mean 1 over the training images.

    With that mean the learning rate keeps its meaning.

    Args:
        given: TRAIN.CLASS_WEIGHTS: a number a class, or "balanced" for n / (C n_c), by which
            every class has the same part in the loss; [] for none.
        labels: of the training images, N class indices.
        num_classes: C.

    Returns:
        C numbers; None where none are asked for.
    """
    if not given:
        return None
    counts = np.bincount(labels, minlength=num_classes)
    weights = 1.0 / np.maximum(counts, 1) if isinstance(given, str) else np.array(given)
    return (weights * (len(labels) / (weights * counts).sum())).astype(np.float32)


@dataclass(frozen=True)
class Mixing:
    """How a mini-batch is mixed with a permutation of itself.

    Attributes:
        share: lambda, the share of an image that is its own (of its area in cutmix).
        permutation: int64, N, the image that each image is mixed with.
        box: rows and columns (top, bottom, left, right) that cutmix takes from the other
            image; None: mixup.
    """

    share: float
    permutation: npt.NDArray[np.int64]
    box: tuple[int, int, int, int] | None = None

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return all of it in one array, which is one copy to a device: 7 + N.

        lambda and 1 - lambda, 1 for cutmix (0 for mixup), the box, the permutation.
        """
        box = (0, 0, 0, 0) if self.box is None else self.box
        head = (self.share, 1.0 - self.share, self.box is not None, *box)
        return np.concatenate((head, self.permutation))


class Mixer:
    """Mixes the images and labels of mini-batches as a configuration says.

    lambda is drawn from Beta(alpha, alpha), one for a mini-batch, and one permutation; with
    both mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019) a fair coin decides. Draws
    depend on RNG_SEED, epoch, iteration and part alone.

    Args:
        cfg: the configuration.
        class_weights: float32, C, on the device: weights of the classes in the loss; None: all
            are alike.
    """

    def __init__(self, cfg: CfgNode, class_weights: torch.Tensor | None = None) -> None:
        self._class_weights = class_weights
        self._mixup_alpha = cfg.TRAIN.MIXUP_ALPHA
        self._cutmix_alpha = cfg.TRAIN.CUTMIX_ALPHA
        self._smoothing = cfg.TRAIN.LABEL_SMOOTHING
        self._num_classes = cfg.MODEL.NUM_CLASSES
        self._seed = cfg.RNG_SEED

    @property
    def mixes(self) -> bool:
        """Whether images are mixed at all."""
        return self._mixup_alpha > 0 or self._cutmix_alpha > 0

    def draw(self, images: torch.Tensor, epoch: int, iteration: int, part: int) -> Mixing:
        """Draw how a mini-batch is mixed.

        Args:
            images: N x 3 x H x W, for sizes.
            epoch: 0-based.
            iteration: of the epoch, 0-based.
            part: of the mini-batch, where several processes or passes share it.
        """
        key = make_key(self._seed, _STREAM_MIXING, epoch, iteration, part)
        rng = np.random.Generator(np.random.Philox(key=key))
        use_cutmix = self._cutmix_alpha > 0
        if use_cutmix and self._mixup_alpha > 0:
            use_cutmix = bool(rng.random() < 0.5)
        alpha = self._cutmix_alpha if use_cutmix else self._mixup_alpha
        share = float(rng.beta(alpha, alpha))
        order = rng.permutation(len(images))
        if not use_cutmix:
            return Mixing(share, order)
        height, width = images.shape[2:]
        box = _draw_box(rng, share, height, width)
        top, bottom, left, right = box
        # What was really cut: the box may have met a border.
        share = 1.0 - (bottom - top) * (right - left) / (height * width)
        return Mixing(share, order, box)

    def apply(
        self, images: torch.Tensor, labels: torch.Tensor, numbers: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mixed images and soft labels; no shape depends on what was drawn.

        Args:
            images: N x 3 x H x W.
            labels: N class indices.
            numbers: of :meth:`Mixing.numbers`, on the device of the images.

        Returns:
            Images as they were shaped, and soft labels N x C.
        """
        share, rest = numbers[:2].to(torch.float32)
        order = numbers[7:].to(torch.int64)
        soft = smooth_one_hot(labels, self._num_classes, self._smoothing)
        soft = share * soft + rest * soft[order]
        others = images[order]
        mixed = images
        if self._mixup_alpha > 0:
            mixed = share * images + rest * others
        if self._cutmix_alpha > 0:
            is_cut, top, bottom, left, right = numbers[2:7]
            outside = ~(_between(top, bottom, images.shape[2]).unsqueeze(1)
                        & _between(left, right, images.shape[3]))  # fmt: skip
            if self._mixup_alpha > 0:
                mixed = torch.where(is_cut > 0, images, mixed)
            mixed = torch.where(outside, mixed, others)
        return mixed, soft

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross entropy against class indices (smoothed) or soft labels.

        Weighted, it is still divided by the number of images, as PyTorch does for soft labels
        only: parts of a mini-batch then add up to the whole one.
        """
        if labels.dim() == 2:
            return F.cross_entropy(logits, labels, self._class_weights)
        if self._class_weights is None:
            return F.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        total = F.cross_entropy(
            logits, labels, self._class_weights, label_smoothing=self._smoothing, reduction="sum"
        )
        return total / len(labels)


def _between(first: torch.Tensor, end: torch.Tensor, length: int) -> torch.Tensor:
    """Return bool, `length`: which places are from `first` up to `end`."""
    places = torch.arange(length, device=first.device)
    return (places >= first) & (places < end)


def _draw_box(
    rng: np.random.Generator, share: float, height: int, width: int
) -> tuple[int, int, int, int]:
    """Draw a box of 1 - `share` of the image's area around a uniform centre, clipped to it."""
    side = (1.0 - share) ** 0.5
    box_h, box_w = int(height * side), int(width * side)
    row, column = int(rng.integers(height)), int(rng.integers(width))
    top, bottom = max(0, row - box_h // 2), min(height, row + box_h // 2)
    left, right = max(0, column - box_w // 2), min(width, column + box_w // 2)
    return top, bottom, left, right
