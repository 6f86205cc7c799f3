"""Adds up errors and times over an epoch, in the fields of pycls's log records.

Sums stay on the device; a value crosses to the host only when a record is written.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from pycls.bits import pack_bits
from pycls.core.processes.group import sum_over
from pycls.core.processes.world import ONE_PROCESS, World
from pycls.gpu_devices import is_gpu
from pycls.pulse import beat

T = TypeVar("T")


class Clock:
    """Tells the time of one training, which stands still while the process is at others."""

    def __init__(self) -> None:
        self._away = 0.0
        self._left: float | None = None

    def now(self) -> float:
        """Return the time, in seconds from some moment on."""
        return (time.perf_counter() if self._left is None else self._left) - self._away

    def stop(self) -> None:
        """Stand still."""
        self._left = time.perf_counter()

    def go_on(self) -> None:
        """Go on after :meth:`stop`."""
        if self._left is not None:
            self._away += time.perf_counter() - self._left
            self._left = None


class Spent:
    """Adds up the seconds spent on each of several things, in the host's time.

    On a GPU work is queued: time shows where the host waits for it.

    Args:
        clock: the training's; None: one that never stops.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._clock = clock or Clock()

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time in the context to `what`."""
        start = self._clock.now()
        try:
            yield
        finally:
            self.seconds[what] += self._clock.now() - start

    def waiting(self, what: str, items: Iterable[T]) -> Iterator[T]:
        """Yield `items`, adding the time until each is there to `what`."""
        iterator = iter(items)
        while True:
            with self.on(what):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    def take(self) -> dict[str, float]:
        """Return the seconds so far, rounded to milliseconds, and begin anew."""
        taken = {what: round(seconds, 3) for what, seconds in self.seconds.items()}
        self.seconds.clear()
        return taken


def topk_right(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Say which predictions are right.

    Args:
        logits: N x C class scores.
        labels: N class indices.
        k: a prediction is right when its class is among the k best (k <= C).

    Returns:
        N x 2 truth values: right at 1, right at k.
    """
    right = logits.topk(k, dim=1).indices == labels[:, None]
    return torch.stack([right[:, 0], right.any(dim=1)], dim=1)


def topk_wrong(logits: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Count wrong predictions.

    Args:
        logits: N x C class scores.
        labels: N class indices.
        k: a prediction is right when its class is among the k best (k <= C).

    Returns:
        An int64 tensor of two counts: wrong at 1, wrong at k.
    """
    return len(labels) - topk_right(logits, labels, k).sum(dim=0)


def counts_row(wrong: torch.Tensor, loss: torch.Tensor | None, images: int) -> torch.Tensor:
    """Return what a meter keeps of an iteration.

    Args:
        wrong: what :func:`topk_wrong` counted.
        loss: mean loss of the mini-batch; None in evaluation.
        images: images of the mini-batch.

    Returns:
        float64, 3: wrong at 1, wrong at k, loss times images.
    """
    total_loss = (loss.detach() if loss is not None else wrong.new_zeros(())) * images
    return torch.cat([wrong.double(), total_loss.double()[None]])


class HalvesMeter:
    """Counts errors on two halves of the test images apart: every other image, as they are stored.

    How far rankings by the two agree says how far the ranking is one of the test images.

    Args:
        device: where the counts are kept.
        world: the processes that share the images.
    """

    def __init__(self, device: torch.device, world: World = ONE_PROCESS) -> None:
        self._world = world
        self._wrong = torch.zeros(2, 2, dtype=torch.float64, device=device)  # half x (1, k)
        self._images = [0, 0]

    def update(self, right: torch.Tensor) -> None:
        """Add a batch: of :func:`topk_right`."""
        first = sum(self._images) % 2
        for half in (0, 1):
            part = right[(half + first) % 2 :: 2]
            self._wrong[half] += len(part) - part.sum(dim=0)
            self._images[half] += len(part)

    def stats(self) -> dict[str, float]:
        """Return the errors in percent of both halves; none where one is empty."""
        images = torch.tensor(self._images, dtype=torch.float64, device=self._wrong.device)
        totals = sum_over(self._world, torch.cat([self._wrong.flatten(), images])).cpu().tolist()
        counts = totals[4:]
        if not all(counts):
            return {}
        return {
            f"half_{half + 1}_{name}": 100.0 * totals[2 * half + i] / counts[half]
            for half in (0, 1)
            for i, name in enumerate(("top1_err", "top5_err"))
        }


class BalancedMeter:
    """Counts the errors of each class: the mean of these is the balanced error.

    1 minus the balanced accuracy of Brodersen et al. (2010).

    Args:
        classes: their number.
        device: where the counts are kept.
        world: the processes that share the images.
    """

    def __init__(self, classes: int, device: torch.device, world: World = ONE_PROCESS) -> None:
        self._world = world
        self._counts = torch.zeros(2, classes, dtype=torch.float64, device=device)  # wrong, all

    def update(self, right: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: of :func:`topk_right`, and its N class indices."""
        wrong = torch.stack([~right[:, 0], torch.ones_like(right[:, 0])]).double()
        self._counts.index_add_(1, labels, wrong)

    def error(self) -> float:
        """Return the mean, in percent, over the classes that have images."""
        wrong, images = sum_over(self._world, self._counts).cpu()
        return float(100.0 * (wrong / images)[images > 0].mean())


class AnswersMeter:
    """Keeps which test images a network errs on.

    Args:
        images: those of all processes.
        own: which of them this process tests.
        device: where the answers are.
        world: the processes that share the images.
    """

    def __init__(
        self, images: int, own: slice, device: torch.device, world: World = ONE_PROCESS
    ) -> None:
        self._world = world
        self._wrong = torch.zeros(images, 2, dtype=torch.uint8, device=device)
        self._next = own.start

    def update(self, right: torch.Tensor) -> None:
        """Add a batch: of :func:`topk_right`."""
        self._wrong[self._next : self._next + len(right)] = (~right).to(torch.uint8)
        self._next += len(right)

    def answers(self) -> dict[str, Any]:
        """Return which images are wrong, in their order.

        Returns:
            "images", their number, "top1" and "topk", see :func:`pycls.bits.pack_bits`.
        """
        wrong = sum_over(self._world, self._wrong).cpu().numpy().T
        names = zip(("top1", "topk"), wrong, strict=True)
        return {"images": wrong.shape[1]} | {name: pack_bits(bits) for name, bits in names}


def format_eta(seconds: float) -> str:
    """Return a duration as pycls writes it: DD,HH:MM:SS."""
    total = int(seconds)
    days, rest = divmod(total, 86400)
    hours, rest = divmod(rest, 3600)
    return f"{days:02},{hours:02}:{rest // 60:02}:{rest % 60:02}"


def memory_mb(device: torch.device) -> int:
    """Return the most memory allocated on the GPU so far, in MB (0 on the CPU)."""
    if not is_gpu(device):
        return 0
    return int(torch.cuda.max_memory_allocated(device) / 1024**2)


class Meter:
    """Accumulates the errors, losses and times of one epoch.

    Args:
        iterations: iterations of the epoch.
        max_epoch: epochs of the run.
        log_period: iterations between two iteration records.
        device: where the sums are kept.
        world: the processes that share the images; their counts are added up in records. All
            of them ask for records of training iterations and of epochs, or none does.
        clock: the training's; None: one that never stops.
    """

    def __init__(
        self,
        iterations: int,
        max_epoch: int,
        log_period: int,
        device: torch.device,
        world: World = ONE_PROCESS,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._world = world
        self._iterations = iterations
        self._max_epoch = max_epoch
        self._log_period = log_period
        self._device = device
        self.reset()

    def halves(self) -> HalvesMeter:
        """Return what counts on halves of the same images."""
        return HalvesMeter(self._device, self._world)

    def balanced(self, classes: int) -> BalancedMeter:
        """Return what counts the errors of each class on the same images."""
        return BalancedMeter(classes, self._device, self._world)

    def reset(self) -> None:
        """Begin an epoch."""
        # One row an iteration: wrong at 1, wrong at k, loss * images; and the images.
        self._rows: list[torch.Tensor] = []
        self._images: list[int] = []
        self._start = self._last = self._clock.now()
        self._time_diff = 0.0
        self._earlier_iterations = 0
        self._earlier_seconds = 0.0

    def state(self) -> dict[str, Any]:
        """Return what an interrupted epoch needs to go on with, of all processes together."""
        rows = torch.stack(self._rows) if self._rows else torch.empty(0, 3, device=self._device)
        return {
            "rows": sum_over(self._world, rows).cpu(),
            "images": list(self._images),
            "seconds": self._elapsed(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with an epoch that was interrupted."""
        self.reset()
        # They are everybody's, and will be added up again.
        rows = state["rows"] if self._world.is_main else torch.zeros_like(state["rows"])
        self._rows = list(rows.to(self._device))
        self._images = list(state["images"])
        self._earlier_iterations = len(self._rows)
        self._earlier_seconds = state["seconds"]

    def update(self, wrong: torch.Tensor, loss: torch.Tensor | None, images: int) -> None:
        """Add one iteration.

        Args:
            wrong: what :func:`topk_wrong` counted.
            loss: mean loss of the mini-batch; None in evaluation.
            images: images of the mini-batch.
        """
        self.update_row(counts_row(wrong, loss, images), images)

    def update_row(self, row: torch.Tensor, images: int) -> None:
        """Add one iteration by its row, see :func:`counts_row`."""
        beat()
        self._rows.append(row)
        self._images.append(images)
        now = self._clock.now()
        self._time_diff = now - self._last
        self._last = now

    def is_log_iter(self) -> bool:
        """Say whether the last iteration ends a log period."""
        return len(self._rows) % self._log_period == 0

    def iter_stats(self, epoch: int, *, add_up: bool = True) -> dict[str, Any]:
        """Return the record of the last log period: medians over its iterations, errors in %.

        The epoch is 0-based. Without `add_up` it is of this process's images only.
        """
        world = self._world if add_up else ONE_PROCESS
        rows = sum_over(world, torch.stack(self._rows[-self._log_period :])).cpu().tolist()
        images = [n * world.size for n in self._images[-self._log_period :]]
        per_image = [[x / n for x in row] for row, n in zip(rows, images, strict=True)]
        top1, topk, loss = (statistics.median(column) for column in zip(*per_image, strict=True))
        done = len(self._rows)
        average = self._time_average()
        left = (self._max_epoch - epoch) * self._iterations - done
        return {
            "epoch": f"{epoch + 1}/{self._max_epoch}",
            "iter": f"{done}/{self._iterations}",
            "time_avg": average,
            "time_diff": self._time_diff,
            "eta": format_eta(average * left),
            "top1_err": 100.0 * top1,
            "top5_err": 100.0 * topk,
            "loss": loss,
            "mem": memory_mb(self._device),
        }

    def epoch_stats(self, epoch: int) -> dict[str, Any]:
        """Return the record of the whole epoch: means over its images, errors in %."""
        rows = torch.stack(self._rows) if self._rows else torch.zeros(1, 3, device=self._device)
        images_here = torch.tensor([float(sum(self._images))], device=self._device)
        totals = torch.cat([rows.double().sum(0), images_here.double()])
        *sums, images = sum_over(self._world, totals).cpu().tolist()
        average = self._time_average()
        left = (self._max_epoch - epoch - 1) * self._iterations
        return {
            "epoch": f"{epoch + 1}/{self._max_epoch}",
            "time_avg": average,
            "time_epoch": self._elapsed(),
            "eta": format_eta(average * left),
            "top1_err": 100.0 * sums[0] / images,
            "top5_err": 100.0 * sums[1] / images,
            "loss": sums[2] / images,
            "mem": memory_mb(self._device),
        }

    def _time_average(self) -> float:
        return (self._last - self._start) / max(len(self._rows) - self._earlier_iterations, 1)

    def _elapsed(self) -> float:
        return self._earlier_seconds + self._clock.now() - self._start
