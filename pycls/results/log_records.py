"""The records of a run's log, ours or pycls's, arranged by epoch.

Iteration records, most of a log, are left out; so is what is not a whole record.

A log holds one start of the run after another. A start begins with a `cfg` record, with a
second `complexity` record where the `cfg` line is lost, and, where both are, with an epoch
that is not above the one before. The rules:

* The records of an epoch (training, test, test of the average) all come from one start.
* Of an epoch that occurs in two starts, the later start's counts, from its `test_epoch` record
  on; until then the earlier one stands, whole.
* Epochs that a later start has not come to again stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pycls.core.runs import log
from pycls.core.runs.log import Record
from pycls.schema import HALVES_KIND

ONCE = ("cfg", "complexity", "iter_times", "epoch_times")
EPOCH_KINDS = ("train_epoch", "test_epoch", "test_ema_epoch")
FULL = "train_full_epoch"
# Of the weights after an epoch, whichever start they are of.
ALONE = (FULL, HALVES_KIND)
_KINDS = frozenset((*ONCE, *EPOCH_KINDS, *ALONE))
_NUMBERS = (int, float)
_TEXTS = ("epoch", "eta")  # of an epoch's record; all else are numbers


def find_records(
    data: bytes, on_damaged: Callable[[object], object] | None = None
) -> Iterator[tuple[str, Record]]:
    """Yield kind and fields of every sound record in lines of a log, iterations left out.

    Args:
        data: the lines; the last one may lack its end.
        on_damaged: called for each record that is not whole, or does not hold what its kind does.
    """
    for found in log.find_records(data, _KINDS, on_damaged):
        if _is_sound(*found):
            yield found
        elif on_damaged is not None:
            on_damaged(found)


def _is_sound(kind: str, record: Record) -> bool:
    """Say whether a record holds what its kind holds."""
    if kind == "cfg":
        return True
    if kind not in ONCE:
        epoch = log.read_pair(record.get("epoch"))
        if epoch is None or epoch[0] == 0:
            return False
    for name, value in record.items():
        if not isinstance(value, _NUMBERS) and (kind in ONCE or name not in _TEXTS):
            return False
    return True


def epoch_of(record: Record) -> tuple[int, int]:
    """Return the epoch of a record (1-based) and the epochs of its run."""
    epoch, last = record["epoch"].split("/")
    return int(epoch), int(last)


@dataclass
class LogData:
    """What a run's log says, by the rules at the top of this module.

    Attributes:
        first: {kind: record} of `cfg`, `complexity`, `iter_times` and `epoch_times`, the first
            of each.
        last: the same, the last of each.
        rows: {epoch (1-based): {kind: record}}, the kinds `train_epoch`, `test_epoch` and
            `test_ema_epoch`, all of one start.
        alone: {kind of ALONE: {epoch: record}}; measured on the weights after it.
        damaged: records that could not be read.
    """

    first: dict[str, Record] = field(default_factory=dict)
    last: dict[str, Record] = field(default_factory=dict)
    rows: dict[int, dict[str, Record]] = field(default_factory=dict)
    alone: dict[str, dict[int, Record]] = field(default_factory=dict)
    damaged: int = 0
    # The present start: its epochs that are in `rows`, those that an earlier start's tested row
    # still stands for, the last epoch of each kind, and the kinds of ONCE that it has.
    _own: set[int] = field(default_factory=set)
    _pending: dict[int, dict[str, Record]] = field(default_factory=dict)
    _reached: dict[str, int] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)

    @property
    def complexity(self) -> Record:
        """Return {"flops", "params", "acts"} of the last start; empty where it is missing."""
        return self.last.get("complexity", {})

    @property
    def train(self) -> dict[int, Record]:
        """Return {epoch: train_epoch record}."""
        return self.by_epoch("train_epoch")

    @property
    def test(self) -> dict[int, Record]:
        """Return {epoch: test_epoch record}."""
        return self.by_epoch("test_epoch")

    @property
    def full(self) -> Record:
        """Return the train_full_epoch record of the highest epoch; empty where there is none."""
        return self._highest(FULL)

    @property
    def halves(self) -> Record:
        """Return the record of the last test on two halves; empty where there is none."""
        return self._highest(HALVES_KIND)

    def _highest(self, kind: str) -> Record:
        by_epoch = self.alone.get(kind, {})
        return by_epoch[max(by_epoch)] if by_epoch else {}

    def by_epoch(self, kind: str) -> dict[int, Record]:
        """Return {epoch: record} of one kind, in the order of epochs."""
        if kind in ALONE:
            return dict(sorted(self.alone.get(kind, {}).items()))
        return {epoch: row[kind] for epoch, row in sorted(self.rows.items()) if kind in row}

    def add(self, kind: str, record: Record) -> None:
        """Take in the log's next record."""
        if kind in ONCE:
            if kind == "cfg" or (kind == "complexity" and (self._reached or kind in self._opened)):
                self._begin_start()
            self._opened.add(kind)
            self.first.setdefault(kind, record)
            self.last[kind] = record
        elif kind in ALONE:
            self.alone.setdefault(kind, {})[epoch_of(record)[0]] = record
        else:
            self._add_to_row(kind, epoch_of(record)[0], record)

    def _begin_start(self) -> None:
        self._own.clear()
        self._pending.clear()
        self._reached.clear()
        self._opened.clear()

    def _add_to_row(self, kind: str, epoch: int, record: Record) -> None:
        if epoch <= self._reached.get(kind, 0):
            self._begin_start()
        self._reached[kind] = epoch
        if epoch in self._own:
            self.rows[epoch][kind] = record
            return
        row = self._pending.setdefault(epoch, {})
        row[kind] = record
        if kind == "test_epoch" or "test_epoch" not in self.rows.get(epoch, {}):
            self.rows[epoch] = self._pending.pop(epoch)
            self._own.add(epoch)

    def start_state(self) -> dict[str, Any]:
        """Return, for JSON, what :meth:`add` needs beside :func:`to_columns` to go on."""
        return {
            "last": {k: r for k, r in self.last.items() if r != self.first[k]},
            "own": sorted(self._own),
            "pending": list(self._pending.items()),
            "reached": self._reached,
            "opened": sorted(self._opened),
            "damaged": self.damaged,
        }

    def restore_start(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`start_state` returned."""
        self.last = {**self.first, **state["last"]}
        self._own = set(state["own"])
        self._pending = dict(state["pending"])
        self._reached = dict(state["reached"])
        self._opened = set(state["opened"])
        self.damaged = state["damaged"]


def to_columns(data: LogData) -> dict[str, Any]:
    """Return a log as a job of pycls's `sweep.json` has it.

    Returns:
        {kind: record} of `cfg`, `complexity`, `iter_times` and `epoch_times` (the first of
        each), and {kind: {metric: [value by epoch]}} of the others, with `epoch_ind` and
        `epoch_max`. A metric that some epochs lack is None there.
    """
    job: dict[str, Any] = dict(data.first)
    for kind in (*EPOCH_KINDS, *ALONE):
        records = list(data.by_epoch(kind).values())
        if not records:
            continue
        names = sorted(set().union(*records))
        columns = {name: [record.get(name) for record in records] for name in names}
        ends = [epoch_of(record) for record in records]
        columns["epoch_ind"] = [epoch for epoch, _ in ends]
        columns["epoch_max"] = [last for _, last in ends]
        job[kind] = columns
    return job


def from_columns(job: dict[str, Any]) -> LogData:
    """Return the log that :func:`to_columns` made a job of."""
    data = LogData()
    for kind in ONCE:
        if kind in job:
            data.first[kind] = data.last[kind] = job[kind]
    for kind in (*EPOCH_KINDS, *ALONE):
        columns = dict(job.get(kind, {}))
        epochs = columns.pop("epoch_ind", [])
        columns.pop("epoch_max", None)
        for i, epoch in enumerate(epochs):
            record = {name: values[i] for name, values in columns.items() if values[i] is not None}
            if kind in ALONE:
                data.alone.setdefault(kind, {})[epoch] = record
            else:
                data.rows.setdefault(epoch, {})[kind] = record
    return data
