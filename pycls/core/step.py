"""Performs one training step: forward, loss, backward, update. Nothing else has them."""

import contextlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.env import seed_generators
from pycls.core.meters import counts_row, topk_wrong
from pycls.core.mixing import Mixer
from pycls.core.optimizer import set_lr
from pycls.core.precision import Precision, half_weights
from pycls.datasets.loading.transforms import to_device
from pycls.datasets.randomness import make_key

_STREAM_LAYERS = 102


class StepResult(NamedTuple):
    """What a step measured, on the device.

    Attributes:
        wrong: int64, wrong predictions of the (mixed) batch at 1 and at k.
        loss: mean loss.
        row: both as a meter keeps them, see :func:`pycls.core.meters.counts_row`.
    """

    wrong: torch.Tensor
    loss: torch.Tensor
    row: torch.Tensor

    @classmethod
    def of(cls, wrong: torch.Tensor, loss: torch.Tensor, images: int) -> "StepResult":
        """Return the result of a batch of so many images."""
        return cls(wrong, loss, counts_row(wrong, loss, images))


class TrainStep:
    """Trains a network by one mini-batch a call.

    The mini-batch of a process may be split into parts (TRAIN.ACCUMULATE) whose gradients
    add up: the same step with less memory, but for batch norm, which sees one part at a time.
    Random layers and mixing draw from the part's number among all parts of all processes, so
    that one process of two parts does what two processes of one do.

    Args:
        model: the network, perhaps wrapped for several processes.
        optimizer: over its parameters.
        precision: the number formats.
        cfg: the configuration.
        topk: the k of the second error.
        rank: number of this process among those that share the batch.
        class_weights: of the classes in the loss, as :class:`pycls.core.mixing.Mixer` takes them.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        cfg: CfgNode,
        topk: int,
        rank: int = 0,
        class_weights: torch.Tensor | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self._precision = precision
        self.mixer = Mixer(cfg, class_weights)
        self._parts = cfg.TRAIN.ACCUMULATE
        self._max_norm = cfg.OPTIM.CLIP_GRAD_NORM
        self._seed = cfg.RNG_SEED
        self._topk = topk
        self._rank = rank
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._halves = half_weights(model, cfg, precision.dtype)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, lr: float, epoch: int, iteration: int
    ) -> StepResult:
        """Train by one mini-batch.

        Args:
            images: N x 3 x H x W, N a multiple of TRAIN.ACCUMULATE.
            labels: N class indices.
            lr: learning rate.
            epoch: 0-based.
            iteration: of the epoch, 0-based.
        """
        set_lr(self.optimizer, lr)
        self.optimizer.zero_grad(set_to_none=True)
        if self._parts == 1:
            result = self._part(images, labels, epoch, iteration, 0)
        else:
            size = len(images) // self._parts
            results = [
                self._part(part_images, part_labels, epoch, iteration, part)
                for part, (part_images, part_labels) in enumerate(
                    zip(images.split(size), labels.split(size), strict=True)
                )
            ]
            result = StepResult.of(
                torch.stack([r.wrong for r in results]).sum(0),
                torch.stack([r.loss for r in results]).mean(),
                len(labels),
            )
        self.update()
        return result

    def mix(
        self, images: torch.Tensor, labels: torch.Tensor, epoch: int, iteration: int, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images and labels (or soft labels) as the configuration mixes them."""
        drawn = self.draw_mixing(images, epoch, iteration, number)
        if drawn is None:
            return images, labels
        return self.mixer.apply(images, labels, to_device(drawn, images.device))

    def draw_mixing(
        self, images: torch.Tensor, epoch: int, iteration: int, number: int
    ) -> npt.NDArray[np.float64] | None:
        """Draw how a part of a mini-batch is mixed; None where it is not."""
        if not self.mixer.mixes:
            return None
        return self.mixer.draw(images, epoch, iteration, number).numbers()

    def seed_layers(self, epoch: int, iteration: int, number: int) -> None:
        """Make the random layers of a part draw the same whenever it is trained.

        All networks are seeded: those of other libraries draw in layers of any kind.
        """
        key = make_key(self._seed, _STREAM_LAYERS, epoch, iteration, number)
        seed_generators(key, self._parameters[0].device)

    def forward_backward(self, images: torch.Tensor, targets: torch.Tensor) -> StepResult:
        """Add the gradients of images and their (soft) labels."""
        with contextlib.nullcontext() if self._halves is None else self._halves.in_use():
            with self._precision.autocast():
                logits = self.model(images)
                loss = self.mixer.loss(logits, targets)
            self._precision.backward(loss if self._parts == 1 else loss / self._parts)
        # Mixed images count as of the class with the larger share, as in pycls.
        labels = targets.argmax(1) if targets.dim() == 2 else targets
        wrong = topk_wrong(logits.detach(), labels, self._topk)
        return StepResult.of(wrong, loss.detach(), len(labels))

    def update(self) -> None:
        """Update the weights by the gradients."""
        self._precision.step(self.optimizer, self._parameters, self._max_norm)

    def _part(
        self, images: torch.Tensor, labels: torch.Tensor, epoch: int, iteration: int, part: int
    ) -> StepResult:
        """Add the gradients of one part of the mini-batch; exchange them after the last."""
        number = self._rank * self._parts + part
        images, targets = self.mix(images, labels, epoch, iteration, number)
        self.seed_layers(epoch, iteration, number)
        is_last = part == self._parts - 1
        with contextlib.nullcontext() if is_last else self._no_exchange():
            return self.forward_backward(images, targets)

    def _no_exchange(self) -> contextlib.AbstractContextManager[None]:
        no_sync = getattr(self.model, "no_sync", None)
        return contextlib.nullcontext() if no_sync is None else no_sync()
