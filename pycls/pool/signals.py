"""Stop signals of a pool and of its workers: what they ask for, and those that come early."""

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pycls.core.runs.interruption import STOP_SIGNALS
from pycls.errors import RunInterruptedError

_AGAIN_S = 0.2


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

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Be pressed by a signal; a second Ctrl-C means at once."""
        name = signal.Signals(number).name
        self.press(name, at_once=number == signal.SIGINT and name in self.names)


class EarlySignals:
    """Takes the stop signals of a process from its start to its end.

    A trainer takes them over for its time. One that comes while there is none yet (libraries are
    being imported, a configuration read) is raised again a moment later, and again, until
    somebody else has it.

    Attributes:
        name: the last signal that came here; "" before.
    """

    def __init__(self) -> None:
        self.name = ""
        self._leaves = False
        # Its put() may be called in a signal handler; starting a thread there might lock up.
        self._again: queue.SimpleQueue[int] = queue.SimpleQueue()

    def take(self) -> None:
        """Take the signals; those that were blocked for the start of Python come now."""
        # Ctrl-C is meant for whoever started this process, who passes on what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in STOP_SIGNALS:
            if number != signal.SIGINT:
                signal.signal(number, self._receive)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        # Not before: what a thread raises itself waits where it has it blocked.
        threading.Thread(target=self._send_again, daemon=True).start()

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Leave the process at a signal, earlier ones included, while the context lasts."""
        self._leaves = True
        if self.name:
            leave()
        try:
            yield
        finally:
            self._leaves = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        if self._leaves:
            leave()
        self._again.put(number)

    def _send_again(self) -> None:
        while True:
            number = self._again.get()
            time.sleep(_AGAIN_S)
            signal.raise_signal(number)


def leave() -> None:
    """End this process, which was asked to stop and has nothing unsaved.

    Not by sys.exit: a thread that waits for standard input would abort the interpreter's end.
    """
    os._exit(RunInterruptedError.exit_code)
