"""Proof that no run was trained by two processes at once, and that none skipped or lost a step.

Neither way asks the lease. A process that trains has its run's log open to write, which /proc
shows. And with LOG_PERIOD 1 each iteration leaves a line: within a start they must follow each
other, so that a line of another process in between breaks the order, wherever that is.
"""

import json
import os
import re
import threading
from collections import defaultdict
from pathlib import Path

LOG = "stdout.log"
_LOOK_S = 0.1
_ORIGIN = re.compile(r"(?P<scratch>Starts from )|Resumed from .*, (?P<epochs>\d+) of \d+ epochs"
                     r"(?: and (?P<iterations>\d+) of \d+ iterations)? done")  # fmt: skip
_STATS = "json_stats: "
_ITERATION = _STATS + '{"_type": "train_iter"'


class Audit(threading.Thread):
    """Looks all the time who has the logs below a folder open to write.

    Attributes:
        double: (log, processes) whenever there were several.
        writers: {log: every process that ever had it}.
    """

    def __init__(self, root):
        super().__init__(daemon=True)
        self._root = f"{root}/"
        self._over = threading.Event()
        self.double = []
        self.writers = defaultdict(set)

    def run(self):
        while not self._over.wait(_LOOK_S):
            self._look()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self.join()

    def _look(self):
        found = defaultdict(set)
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit():
                for log in self._logs_of(name):
                    found[log].add(int(name))
        for log, pids in found.items():
            self.writers[log] |= pids
            # The one seen first may have closed the log before the other one opened it.
            if len(pids) > 1 and sum(log in self._logs_of(str(pid)) for pid in pids) > 1:
                self.double.append((log, sorted(pids)))

    def _logs_of(self, pid):
        """Return the logs that a process has open to write.

        Not by pathlib, which takes several times longer: there are thousands of descriptors.
        """
        found = set()
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                path = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115
                if path.startswith(self._root) and path.endswith(f"/{LOG}"):
                    text = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
                    if int(text.split("flags:")[1].split()[0], 8) & os.O_ACCMODE:
                        found.add(path)
        except OSError:
            pass  # it is gone
        return found


def read_starts(out_dir):
    """Return each start of a run as (first, last) iteration, counted over the whole run.

    `first` is the iteration that a start goes on after; both are the same where it did none.
    Fails where an iteration's line is not the one after the line before.
    """
    starts, place = [], None
    for line in (Path(out_dir) / LOG).read_text().splitlines():
        text = line.partition("]: ")[2]
        if origin := _ORIGIN.match(text):
            place = _Place(0 if origin["scratch"] else int(origin["epochs"]),
                           int(origin["iterations"] or 0))  # fmt: skip
            starts.append([place, place])
        elif text.startswith(_ITERATION):
            try:
                record = json.loads(text.removeprefix(_STATS))
            except ValueError:
                continue  # cut short by a kill
            (epoch, _), (iteration, of) = (
                map(int, record[name].split("/")) for name in ("epoch", "iter")
            )
            assert place is not None, f"{out_dir}: {line!r} comes before any start"
            assert place.leads_to(epoch - 1, iteration, of), (
                f"{out_dir}: iteration {iteration} of epoch {epoch} comes after {place}"
            )
            place = _Place(epoch - 1, iteration, of)
            starts[-1][1] = place
    return [(first, last) for first, last in starts]


class _Place:
    """Where a run is: iterations done of an epoch (from 0)."""

    def __init__(self, epoch, iteration, of=None):
        self.epoch, self.iteration, self.of = epoch, iteration, of

    def __repr__(self):
        return f"iteration {self.iteration} of epoch {self.epoch + 1}"

    def leads_to(self, epoch, iteration, of):
        """Say whether an iteration is the next one."""
        if (epoch, iteration) == (self.epoch, self.iteration + 1):
            return True
        ended = self.of or of
        return (epoch, iteration) == (self.epoch + 1, 1) and self.iteration == ended
