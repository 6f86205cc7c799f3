"""Progress of a pool: the runs that have finished, counted, and the time left."""

import sys
from collections import defaultdict
from typing import TextIO

from pycls.progress import Progress, format_duration


class RunCount(Progress):
    """Counts finished runs and estimates the time left.

    Args:
        planned: {group: runs to do}; runs of a group take about the same time.
        done_before: runs that were finished already.
        workers: runs that go on at the same time.
        stream: where to write; None: standard output.
    """

    def __init__(
        self,
        planned: dict[str, int],
        done_before: int,
        workers: int,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__(stream or sys.stdout)
        self._left = dict(planned)
        self._all = sum(planned.values()) + done_before
        self._finished = done_before
        self._workers = workers
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def finished(self, group: str, name: str, seconds: float | None, outcome: str) -> None:
        """Say that a run has ended for good; on a terminal, only failures stay.

        Args:
            group: its group.
            name: what to call it.
            seconds: how long it took; None: another process trained it.
            outcome: "done" or what went wrong.
        """
        self._left[group] -= 1
        self._finished += 1
        if seconds is not None:
            self._seconds[group].append(seconds)
        left = self.seconds_left()
        estimate = f", {format_duration(left)} left" if any(self._left.values()) else ""
        width = len(str(self._all))
        took = "" if seconds is None else f" in {seconds:.1f} s"
        line = f"[{self._finished:{width}}/{self._all}] {name} {outcome}{took}{estimate}"
        (self.show if outcome == "done" else self.say)(line)

    def seconds_left(self) -> float:
        """Return the estimated time until all runs are finished, in seconds."""
        every = [s for group in self._seconds.values() for s in group]
        overall = sum(every) / len(every) if every else 0.0
        total = 0.0
        for group, left in self._left.items():
            known = self._seconds.get(group)
            total += left * (sum(known) / len(known) if known else overall)
        return total / self._workers
