"""How a preparation is carried out."""

from dataclasses import dataclass

from pycls.datasets.preparation.progress import Progress


@dataclass(frozen=True)
class Execution:
    """How to work; but for `drop_unreadable`, nothing of it changes the result.

    Attributes:
        workers: number of processes; None: one for each usable core.
        progress: is told how far the work is.
        drop_unreadable: leave out images that cannot be read, instead of failing at the end.
        lock: descriptor of the set's lock, which workers hold too.
    """

    workers: int | None
    progress: Progress
    drop_unreadable: bool
    lock: int
