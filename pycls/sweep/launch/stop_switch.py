"""Telling a pool of workers to stop: by signals, or by whoever holds the switch."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pycls.core.interruption import STOP_SIGNALS


class StopSwitch:
    """Whether, and by what, a pool was asked to stop.

    Attributes:
        names: what asked, in this order: names of signals, or other words.
        at_once: whether not even the saving of runs is to be waited for.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.at_once = False

    def __bool__(self) -> bool:
        return bool(self.names)

    def press(self, name: str, at_once: bool = False) -> None:
        """Ask to stop; may be called from signal handlers and from other threads."""
        self.names.append(name)
        self.at_once = self.at_once or at_once

    @contextmanager
    def signals_taken(self) -> Iterator[None]:
        """Be pressed by the stop signals while the context lasts (in the main thread only).

        A second Ctrl-C means at once. A signal that is ignored stays so: a shell does that for
        what it runs in the background.
        """
        taken = [s for s in STOP_SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._receive) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.press(name, at_once=number == signal.SIGINT and name in self.names)
