"""Progress on the terminal: a live line there, one line a finished run elsewhere."""

import sys
import time
from collections import defaultdict
from typing import TextIO


def format_duration(seconds: float) -> str:
    """Return a duration for a reader: "42 s", "3 min 05 s", "2 h 10 min"."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02} s"
    return f"{total // 3600} h {total % 3600 // 60:02} min"


def count(amount: int, what: str) -> str:
    """Return an amount with its noun: "1 job", "2,000 jobs"."""
    return f"{amount:,} {what}{'' if amount == 1 else 's'}"


class Progress:
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
        self._left = dict(planned)
        self._total = sum(planned.values()) + done_before
        self._finished = done_before
        self._workers = workers
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._start = time.monotonic()

    def finished(self, group: str, name: str, seconds: float | None, outcome: str) -> None:
        """Say that a run has ended for good.

        Args:
            group: its group.
            name: what to call it.
            seconds: how long it took; None: it was not this process that was at it.
            outcome: "done" or what went wrong.
        """
        self._left[group] -= 1
        self._finished += 1
        if seconds is not None:
            self._seconds[group].append(seconds)
        left = self.seconds_left()
        estimate = f", {format_duration(left)} left" if any(self._left.values()) else ""
        width = len(str(self._total))
        count = f"[{self._finished:{width}}/{self._total}]"
        took = "" if seconds is None else f" in {seconds:.1f} s"
        line = f"{count} {name} {outcome}{took}{estimate}"
        if self._is_terminal and outcome == "done":
            self._stream.write(f"\r\x1b[K{line}")
        elif self._is_terminal:
            self._stream.write(f"\r\x1b[K{line}\n")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def note(self, text: str) -> None:
        """Write a line of its own."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._is_terminal else text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """End the live line."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def seconds_left(self) -> float:
        """Return the estimated time until all runs are finished, in seconds."""
        every = [s for group in self._seconds.values() for s in group]
        overall = sum(every) / len(every) if every else 0.0
        total = 0.0
        for group, left in self._left.items():
            known = self._seconds.get(group)
            total += left * (sum(known) / len(known) if known else overall)
        return total / self._workers
