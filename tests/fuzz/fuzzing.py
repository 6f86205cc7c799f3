"""How files of any content are tried, and what reading one of them may come to.

A file is read, or refused by an error that names it: there is no traceback, and nothing hangs.
50 examples each, `make soak`: 10,000.
"""

import os
import signal
from contextlib import contextmanager

from hypothesis import settings

from pycls.errors import PyclsError

fuzzed = settings(max_examples=int(os.environ.get("PYCLS_SOAK_FUZZ", "50")))
# Of seconds: what takes as long as this, hangs.
LIMIT = 300


def _stop(*_):
    raise AssertionError(f"it hangs: {LIMIT} s have passed")


@contextmanager
def read_or_refused(path):
    """Let a file be read, or refused by its name and with a reason, and in time."""
    before = signal.signal(signal.SIGALRM, _stop)
    signal.alarm(LIMIT)
    try:
        yield
    except PyclsError as error:
        message = str(error)
        assert str(path) in message
        assert len(message) > len(str(path)) + 10
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
