"""Progress of long work: one line kept up to date on a terminal, elsewhere a line at times."""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TextIO, TypeVar

Item = TypeVar("Item")

_REDRAW_EVERY_S = 0.2
_CLEAR = "\r\x1b[K"


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


def align(rows: Sequence[Sequence[str]], text_columns: int) -> list[str]:
    """Return rows as lines; the first columns are flush left, the rest flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def draw_progress(wanted: int, what: str) -> Callable[[int, int], None]:
    """Return a function of (found, drawn) that says, at times, how far a search by draws is."""
    progress = Progress(sys.stderr)
    every_s = 2.0 if sys.stderr.isatty() else 30.0
    began = last = time.monotonic()

    def show(found: int, drawn: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > every_s:
            last = now
            progress.show(f"{found:,} of {wanted:,} {what} found in {drawn:,} draws")
        if found >= wanted and last > began:
            progress.clear()

    return show


def tracked(
    items: Collection[Item], stage: str, unit: str, stream: TextIO | None = None
) -> Iterator[Item]:
    """Yield items, and show on a terminal how many of them have been dealt with.

    Args:
        items: what is gone through.
        stage: what is done to them, such as "report".
        unit: what they are, in the plural.
        stream: where to show it; None: standard error.
    """
    out = sys.stderr if stream is None else stream
    progress = Progress(out if out.isatty() else None)
    progress.begin(stage, len(items), unit=unit)
    for item in items:
        yield item
        progress.advance(1)
    progress.clear()


class Progress:
    """Messages about long work, and the stages that it goes through, counted in units.

    Args:
        stream: where to write; None: it stays silent.
        clock: gives the time, in seconds.
        every_s: time between two lines about a stage where there is no terminal, in seconds.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = 10.0,
    ) -> None:
        self._stream, self._clock = stream, clock
        self._redraws = stream is not None and stream.isatty()
        self._every_s = _REDRAW_EVERY_S if self._redraws else every_s
        self._is_shown = False
        self._shown_at = float("-inf")
        self._stage, self._unit = "", ""
        self._total = self._done = self._before = 0
        self._start = 0.0

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._write(f"{text}\n")
        self._is_shown = False

    def show(self, text: str) -> None:
        """Write a line that gives way to the next one, on a terminal."""
        self._shown_at = self._clock()
        self._is_shown = self._redraws
        self._write(text if self._redraws else f"{text}\n")

    def clear(self) -> None:
        """Take the line that gives way off the terminal."""
        self._write("")
        self._is_shown = False

    def is_due(self) -> bool:
        """Say whether it is time to show something again."""
        return self._stream is not None and self._clock() - self._shown_at >= self._every_s

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(_CLEAR * self._is_shown + text)
            self._stream.flush()

    # ------------------------------------------------------------ stages

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Start a stage of `total` units, `done` of which an earlier attempt did.

        Its first line comes with its first progress.
        """
        self._stage, self._unit = stage, unit
        self._total, self._done, self._before = total, done, done
        self._start = self._shown_at = self._clock()
        if done:
            self.say(f"{stage}: going on after {self._number(done)} of {self._count(total)}")

    def advance(self, count: int) -> None:
        """Count `count` more units as done, and show so when it is time."""
        self._done += count
        if self.is_due():
            self.show(self._describe())

    def end(self, finished: bool = True) -> None:
        """Say what the stage took, or how far it came."""
        if not finished:
            self.say(self._describe())
            return
        spent = self._clock() - self._start
        count = self._done - self._before
        rate = self._per_second(count, spent)
        self.say(f"{self._stage}: {self._count(self._done)} done{rate}, {format_duration(spent)}")

    def _describe(self) -> str:
        text = (
            f"{self._stage}: {self._number(self._done)} of {self._count(self._total)} "
            f"({100 * self._done // max(self._total, 1)} %)"
        )
        count, spent = self._done - self._before, self._clock() - self._start
        if count and spent > 0:
            left = (self._total - self._done) * spent / count
            text += f"{self._per_second(count, spent)}, {format_duration(left)} left"
        return text

    def _per_second(self, count: int, spent: float) -> str:
        """Return how many a second as it stands behind other words; "" where that rounds to 0."""
        number = self._count(count / spent) if spent > 0 else "0 "
        return "" if number.startswith("0 ") else f", {number}/s"

    def _count(self, number: float) -> str:
        return f"{self._number(number)} {'MB' if self._unit == 'bytes' else self._unit}"

    def _number(self, number: float) -> str:
        return f"{number / 1e6 if self._unit == 'bytes' else number:,.0f}"
