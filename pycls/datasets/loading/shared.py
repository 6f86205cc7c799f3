"""Batches that are made once for several who go through the same epochs."""

import weakref
from collections import deque
from collections.abc import Iterator

import torch

from pycls.datasets.loading.loader import Batch, Loader
from pycls.gpu_devices import is_gpu


class SharedLoader(Loader):
    """A loader whose epochs several iterate over at about the same pace.

    Whoever comes to a batch first has it made; the others get copies, which are their own. A batch
    is kept until all who are in its epoch have had it, and the latest one for who may still come.

    Attributes:
        made: how many batches were made.
    """

    made = 0
    # Where batches are made: for all passes, which share what they are made in.
    _stream: torch.cuda.Stream | None = None

    def epoch(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch, as :meth:`Loader.epoch` says."""
        self._check_start(start)
        passes: weakref.WeakSet[_Pass] = self.__dict__.setdefault("_passes", weakref.WeakSet())
        # In testing all epochs are the same.
        number = epoch if self.train else 0
        for each in passes:
            if each.has(number, start):
                return each.batches(start)
        if self._stream is None and is_gpu(self.device):
            self._stream = torch.cuda.current_stream()
        one = _Pass(self, number, start, self._stream)
        passes.add(one)
        return one.batches(start)

    def make(self, epoch: int, start: int) -> Iterator[Batch]:
        """Make the batches of an epoch anew."""
        for batch in super().epoch(epoch, start):
            self.made += 1
            yield batch


class _Pass:
    """One way through an epoch, which several go."""

    def __init__(
        self, loader: SharedLoader, epoch: int, start: int, stream: torch.cuda.Stream | None
    ) -> None:
        self._epoch = epoch
        self._source = loader.make(epoch, start)
        self._stream = stream
        self._first = start
        self._kept: deque[tuple[Batch, torch.cuda.Event | None]] = deque()
        self._places: dict[object, int] = {}

    def has(self, epoch: int, start: int) -> bool:
        """Say whether one can still set out from a batch of an epoch here."""
        return epoch == self._epoch and 0 <= start - self._first <= len(self._kept)

    def batches(self, start: int) -> Iterator[Batch]:
        """Return the batches from one on, which :meth:`has`."""
        me = object()
        self._places[me] = start
        return self._go(me)

    def _go(self, me: object) -> Iterator[Batch]:
        try:
            while True:
                index = self._places[me] - self._first
                if index == len(self._kept) and not self._make():
                    return
                batch = self._copy(*self._kept[index])
                self._places[me] += 1
                while len(self._kept) > 1 and min(self._places.values()) > self._first:
                    self._kept.popleft()
                    self._first += 1
                yield batch
        finally:
            del self._places[me]

    def _make(self) -> bool:
        with torch.cuda.stream(self._stream):
            batch = next(self._source, None)
            if batch is None:
                return False
            made = None if self._stream is None else self._stream.record_event()
        self._kept.append((batch, made))
        return True

    def _copy(self, batch: Batch, made: torch.cuda.Event | None) -> Batch:
        images, labels = batch
        if made is not None:
            # Whoever takes it has a stream of its own, in which its memory is read, too.
            stream = torch.cuda.current_stream()
            stream.wait_event(made)
            images.record_stream(stream)
            labels.record_stream(stream)
        return images.clone(), labels.clone()
