"""The progress of a run under way, from its record and the end of its log."""

import functools
import math
import os
import re
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pycls.core.runs.log import find_records, read_pair
from pycls.core.runs.record import seconds_of_epochs
from pycls.schema import LOG_FILE

CFG_FILE = "config.yaml"

# Of a log's end: most often the first is enough.
_TAIL_BYTES = (3 << 10, 16 << 10)
_PARTS = ("train", "test", "test_ema", "train_full")
_KINDS = frozenset(["cfg", *(f"{part}_{unit}" for part in _PARTS for unit in ("iter", "epoch"))])
_ETA = re.compile(r"([0-9]+),([0-9]{2}):([0-9]{2}):([0-9]{2})")
# Our configurations are dumped with sorted keys, each section in one style or the other.
_BATCH_SIZE = re.compile(r"^TRAIN:.*?\bBATCH_SIZE: ([0-9]+)", re.MULTILINE | re.DOTALL)
_MAX_EPOCH = re.compile(r"^OPTIM:.*?\bMAX_EPOCH: ([0-9]+)", re.MULTILINE | re.DOTALL)
# Records hold four decimals: below this, an iteration's time is mostly rounding.
_SHORTEST_ITERATION_S = 0.001
EPOCHS_LOOKED_AT = 5


@dataclass(frozen=True)
class RunProgress:
    """How far a run is; what is not known is None.

    Attributes:
        epoch: the present one, 1-based.
        epochs: those of the whole run.
        images_per_second: training images.
        seconds_left: an estimate.
        seconds_silent: since its log was written last.
    """

    epoch: int | None = None
    epochs: int | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    seconds_silent: float | None = None


@dataclass
class _Place:
    """Where a log's end is.

    Attributes:
        epoch: 1-based; 0: not known.
        epochs: those of the whole run; 0: not known.
        share: of the epoch's training that is done, from 0 to 1.
        time_avg: seconds of a training iteration; None where this start has logged none.
        eta: seconds of training left by the log's own word; None as before.
        is_fresh: whether this start of the run has logged where it is.
    """

    epoch: int = 0
    epochs: int = 0
    share: float = 0.0
    time_avg: float | None = None
    eta: float | None = None
    is_fresh: bool = False


def read_progress(out_dir: str | os.PathLike[str], record: Mapping[str, Any]) -> RunProgress:
    """Return how far a run under way is.

    Time left is by what its epochs took so far, tests and checkpoints included; before the
    first has ended, by the log's own estimate, which is of training only.
    """
    batch_size, epochs = _find_cfg(f"{out_dir}/{CFG_FILE}")
    place, age_s = _find_end(f"{out_dir}/{LOG_FILE}")
    silent = None if age_s is None else round(age_s, 1)
    ended = record.get("epochs") or []
    if not place.epoch and ended:
        place = replace(place, epoch=ended[-1]["epoch"] + 1)
    epochs = place.epochs or epochs
    if not place.epoch:
        return RunProgress(epochs=epochs, seconds_silent=silent)
    epoch = min(place.epoch, epochs) if epochs else place.epoch
    rate = None
    if batch_size and place.time_avg is not None and place.time_avg >= _SHORTEST_ITERATION_S:
        rate = round(batch_size / place.time_avg, 1)
    left = _seconds_left(replace(place, epochs=epochs or 0), ended, age_s)
    left = None if left is None else round(left, 1)
    return RunProgress(epoch, epochs, rate, left, silent)


def _seconds_left(place: _Place, ended: list[dict[str, Any]], age_s: float | None) -> float | None:
    age_s = age_s or 0.0
    took = seconds_of_epochs({"epochs": ended[-EPOCHS_LOOKED_AT:]})
    if not took or not place.epochs:
        return None if place.eta is None else max(0.0, place.eta - age_s)
    whole = statistics.median(took)
    other = statistics.median(
        sum(entry.get(name, 0.0) for name in ("evaluation", "checkpoint"))
        for entry in ended[-EPOCHS_LOOKED_AT:]
    )
    begun = place.share * max(0.0, whole - other)
    if place.is_fresh:
        # What has passed since the log's last line; clocks of machines differ.
        begun = min(whole, begun + age_s)
    return max(0.0, whole * (place.epochs - place.epoch + 1) - begun)


def _find_place(tail: bytes) -> _Place:
    """Return where a log ends, from its last bytes."""
    place = _Place()
    for kind, record in find_records(tail, _KINDS):
        if kind == "cfg":
            # An earlier start may have been on another machine.
            place = replace(place, share=0.0, time_avg=None, eta=None, is_fresh=False)
        else:
            _follow(place, kind, record)
    return place


def _follow(place: _Place, kind: str, record: Mapping[str, Any]) -> None:
    """Move to the place that the log's next record tells."""
    epoch = read_pair(record.get("epoch"))
    if epoch is None or (kind.startswith("test_ema") and epoch[0] == place.epoch - 1):
        return  # the average is tested after the network, which ended the epoch
    # What is tested after training is a later part of the same epoch.
    place.share = 1.0
    if kind == "train_iter":
        iteration = read_pair(record.get("iter"))
        if iteration is not None and iteration[1]:
            place.share = min(1.0, iteration[0] / iteration[1])
    place.epoch, place.epochs = epoch
    place.is_fresh = True
    if kind == "test_epoch" and place.epoch < place.epochs:
        place.epoch, place.share = place.epoch + 1, 0.0
    if not kind.startswith("train_") or kind.startswith("train_full"):
        return
    average = record.get("time_avg")
    if isinstance(average, int | float) and math.isfinite(average):
        place.time_avg = float(average)
    place.eta = _parse_eta(record.get("eta"))


def _parse_eta(text: Any) -> float | None:
    """Return the seconds of pycls's DD,HH:MM:SS."""
    match = _ETA.fullmatch(str(text))
    if match is None:
        return None
    days, hours, minutes, seconds = map(int, match.groups())
    return float(((24 * days + hours) * 60 + minutes) * 60 + seconds)


def _find_end(path: str) -> tuple[_Place, float | None]:
    """Return where a log ends, and the seconds since it was written; None where it is not."""
    try:
        stat = os.stat(path)  # noqa: PTH116 (again and again)
        # Most looks of a watch find a log as it was.
        place = _read_end(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError):
        return _Place(), None
    return place, max(0.0, time.time() - stat.st_mtime) if stat.st_size else None


@functools.lru_cache(10_000)
def _read_end(path: str, signature: tuple[int, int, int]) -> _Place:
    place = _Place()
    with Path(path).open("rb") as file:
        for size in _TAIL_BYTES:
            file.seek(max(0, signature[1] - size))
            place = _find_place(file.read(size))
            if place.is_fresh and place.time_avg is not None:
                break
    return place


def _find_cfg(path: str) -> tuple[int | None, int | None]:
    """Return batch size and epochs of a run's configuration, which stays as it is."""
    try:
        return _read_cfg(path, os.stat(path).st_ino)  # noqa: PTH116 (again and again)
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None, None


@functools.lru_cache(10_000)
def _read_cfg(path: str, _inode: int) -> tuple[int | None, int | None]:
    """Read these two without parsing all of it."""
    text = Path(path).read_text(encoding="utf-8")
    found = [pattern.search(text) for pattern in (_BATCH_SIZE, _MAX_EPOCH)]
    batch_size, epochs = (int(match[1]) if match else None for match in found)
    return batch_size, epochs
