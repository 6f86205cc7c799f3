"""The watch over a worker: when it showed that its training goes on, and when that is too long ago.

Time in which the watching process itself does not run (a job that is suspended) counts as nothing.
"""

import time

# A pool looks several times a second; between two looks no more time than this has counted.
_LONGEST_LOOK_S = 5.0
_TIMES_THE_LONGEST = 20


class Watch:
    """Measures the time since a worker's last sign.

    Args:
        limit_s: how long it may stay without one at least, in seconds; 0: for ever.

    Attributes:
        silent_s: seconds since the last sign.
        longest_s: the longest time between two signs so far.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._looked = time.monotonic()
        self.silent_s = self.longest_s = 0.0

    def begin(self) -> None:
        """Count from now: what was before, a start, is no measure of what follows."""
        self.silent_s = 0.0

    def note_sign(self) -> None:
        """Take note of a sign."""
        self.longest_s, self.silent_s = max(self.longest_s, self.silent_s), 0.0

    def is_over(self) -> bool:
        """Look at the clock; say whether the last sign is too long ago."""
        now = time.monotonic()
        self.silent_s += min(now - self._looked, _LONGEST_LOOK_S)
        self._looked = now
        limit_s = max(self._limit_s, _TIMES_THE_LONGEST * self.longest_s)
        return bool(self._limit_s) and self.silent_s > limit_s
