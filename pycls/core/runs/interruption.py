"""Requests to stop: signals become a flag that the training looks at between steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pycls.errors import RunInterruptedError

# SIGTERM: schedulers before they kill. SIGUSR1 and SIGUSR2: what `sbatch --signal` sends.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class StopRequest:
    """Whether, and by which signal, the process was asked to stop."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Remember a signal; a second Ctrl-C stops at once."""
        if number == signal.SIGINT and self.name:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name

    def to_error(self) -> RunInterruptedError:
        """Return the error that a run which has saved its state ends with."""
        return RunInterruptedError(
            f"stopped by {self.name or 'a signal'}, state saved; the same command goes on there"
        )


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Take the stop signals while the context lasts (in the main thread only)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    with stop_signals_to(request.receive):
        yield request


@contextmanager
def stop_signals_to(receive: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a function called at the stop signals while the context lasts, in the main thread.

    A signal that is ignored stays so: a worker leaves Ctrl-C to its driver, and a shell ignores
    it for what it runs in the background.
    """
    taken = [s for s in STOP_SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
