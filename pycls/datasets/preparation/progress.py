"""Progress of long work on a data set: images done, images a second, time left."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_LINE_EVERY_S = 10.0
_REDRAW_EVERY_S = 0.2


class Progress:
    """What long work tells about itself; this one keeps silent."""

    def say(self, text: str) -> None:
        """Tell something that is not a number."""

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Start a stage of `total` units, `done` of which an earlier attempt did."""

    def advance(self, count: int) -> None:
        """Tell that `count` more units are done."""

    def end(self, finished: bool = True) -> None:
        """Leave the stage, finished or not."""


class ProgressPrinter(Progress):
    """Prints progress: one line that is redrawn on a terminal, else a line every 10 seconds."""

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._stream = sys.stderr if stream is None else stream
        self._redraws = self._stream.isatty()
        self._stage, self._unit = "", ""
        self._total = self._done = self._before = 0
        self._start = self._shown_at = 0.0
        self._shown = ""

    def say(self, text: str) -> None:
        """Print a line."""
        self._clear()
        print(text, file=self._stream, flush=True)

    def begin(self, stage: str, total: int, done: int = 0, unit: str = "images") -> None:
        """Start a stage; its first line comes with its first progress."""
        self._stage, self._unit = stage, unit
        self._total, self._done, self._before = total, done, done
        self._start = self._shown_at = self._clock()
        if done:
            self.say(f"{stage}: going on after {self._number(done)} of {self._count(total)}")

    def advance(self, count: int) -> None:
        """Count, and print when it is time."""
        self._done += count
        now = self._clock()
        if now - self._shown_at >= (_REDRAW_EVERY_S if self._redraws else _LINE_EVERY_S):
            self._shown_at = now
            self._show(self._describe(now))

    def end(self, finished: bool = True) -> None:
        """Print what the stage took, or how far it came."""
        if not finished:
            self.say(self._describe(self._clock()))
            return
        spent = self._clock() - self._start
        count = self._done - self._before
        self.say(
            f"{self._stage}: {self._count(self._done)} done"
            + (f", {self._count(count / spent)}/s" if count and spent > 0 else "")
            + f", {_format_seconds(spent)}"
        )

    def _describe(self, now: float) -> str:
        text = (
            f"{self._stage}: {self._number(self._done)} of {self._count(self._total)} "
            f"({100 * self._done // max(self._total, 1)} %)"
        )
        count, spent = self._done - self._before, now - self._start
        if count and spent > 0:
            left = (self._total - self._done) * spent / count
            text += f", {self._count(count / spent)}/s, {_format_seconds(left)} left"
        return text

    def _count(self, number: float) -> str:
        return f"{self._number(number)} {'MB' if self._unit == 'bytes' else self._unit}"

    def _number(self, number: float) -> str:
        return f"{number / 1e6 if self._unit == 'bytes' else number:,.0f}"

    def _show(self, text: str) -> None:
        if self._redraws:
            self._clear()
            print(text, end="", file=self._stream, flush=True)
            self._shown = text
        else:
            print(text, file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._shown:
            print("\r" + " " * len(self._shown) + "\r", end="", file=self._stream)
            self._shown = ""


def _format_seconds(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"
