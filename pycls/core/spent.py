"""Where the seconds of a run go."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Spent:
    """Adds up the seconds spent on each of several things, in the host's time.

    On a GPU work is queued: time shows where the host waits for it.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Add the time in the context to `what`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start

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
