"""The runs of a sweep, read from pycls's `sweep.json` and checked.

The file is a list with an object a run: `cfg`, `complexity`, `epoch_times` and so on, and
`train_epoch`, `test_epoch`, `test_ema_epoch` as {metric: [a value an epoch]}.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from pycls.analysis.wording import count
from pycls.errors import ConfigError

# Which of a run's errors counts: the records it is of, whether the last or the lowest of all
# epochs, and its name for people.
ERRORS = {
    "final": ("test_epoch", "last", "top-1 test error at the last epoch"),
    "min": ("test_epoch", "lowest", "lowest top-1 test error of all epochs"),
    "ema_final": ("test_ema_epoch", "last", "top-1 test error of the EMA at the last epoch"),
    "ema_min": ("test_ema_epoch", "lowest", "lowest top-1 test error of the EMA of all epochs"),
}
DEFAULT_ERROR = "final"
PYCLS_ERROR = "ema_min"
_MAX_REASON = 160  # letters


@dataclass(frozen=True)
class SweepRun:
    """One run.

    Attributes:
        name: the name of its folder, such as 000012.
        record: what `sweep.json` holds of it.
        error: in percent.
    """

    name: str
    record: Mapping[str, Any]
    error: float

    @property
    def epochs(self) -> tuple[int, int]:
        """Return the last epoch that was tested, and how many were planned."""
        return _epochs(self.record["test_epoch"])

    @property
    def is_finished(self) -> bool:
        """Say whether the last planned epoch was tested."""
        last, planned = self.epochs
        return last >= planned


@dataclass(frozen=True)
class SweepRuns:
    """The runs of one sweep, or of a part of it.

    Attributes:
        name: of the sweep or part.
        runs: those that have an error, in the file's order.
        left_out: (run, reason) of the others.
    """

    name: str
    runs: tuple[SweepRun, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    def by_error(self, worst_first: bool = False) -> list[SweepRun]:
        """Return the runs by error; of equal errors the first in the file comes first."""
        return sorted(self.runs, key=lambda run: -run.error if worst_first else run.error)


def load_sweep(
    path: str | os.PathLike[str],
    name: str,
    error: str = DEFAULT_ERROR,
    planned: Sequence[str] = (),
) -> SweepRuns:
    """Read `sweep.json`.

    Args:
        path: the file.
        name: of the sweep, for the figures.
        error: which error counts, a key of ERRORS. pycls takes "ema_min".
        planned: names of all runs that were set up; those the file does not have are named
            among the runs left out.

    Raises:
        ConfigError: the file is missing or not a list of runs, no run has the error, or
            `error` is unknown.
    """
    if error not in ERRORS:
        raise ConfigError(f"unknown error {error!r}; expected one of {', '.join(ERRORS)}")
    path = Path(path)
    runs: dict[str, SweepRun] = {}
    left_out = []
    for place, record in enumerate(_read(path), 1):
        run_name = _run_name(record, place)
        reason = f"occurs twice in {path.name}; the first counts" if run_name in runs else ""
        reason = reason or _why_unusable(record, error)
        if reason:
            left_out.append((run_name, reason))
        else:
            runs[run_name] = SweepRun(run_name, record, error_of(record, error))
    seen = {*runs, *(run_name for run_name, _ in left_out)}
    left_out += [(run_name, "has no log") for run_name in planned if run_name not in seen]
    if not runs:
        raise ConfigError(
            f"{path}: none of {len(seen | set(planned))} runs has a {ERRORS[error][2]}"
            f"{_most_common(left_out)}"
        )
    return SweepRuns(name, tuple(runs.values()), tuple(sorted(left_out)))


def error_of(record: Mapping[str, Any], error: str) -> float:
    """Return one of the errors of ERRORS in percent; NaN where there is none."""
    records, which, _ = ERRORS[error]
    values = numbers(_section(record, records).get("top1_err"))
    if which == "last":
        return values[-1] if values else math.nan
    return lowest(values)


def lowest(values: Any) -> float:
    """Return the lowest finite number of a list; NaN where there is none."""
    return min((value for value in numbers(values) if math.isfinite(value)), default=math.nan)


def numbers(values: Any) -> list[float]:
    """Return a list of numbers, NaN where something else stands; no list gives no numbers."""
    if not isinstance(values, list):
        return []
    return [float(v) if isinstance(v, int | float) else math.nan for v in values]


def is_number(value: Any) -> bool:
    """Say whether a value is a number, of Python or NumPy, and not a truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def sweep_notes(sweep: SweepRuns) -> list[str]:
    """Return what a reader must know before trusting a sweep's numbers, a sentence each."""
    notes = []
    if sweep.left_out:
        listed = "; ".join(f"{name} ({reason})" for name, reason in sweep.left_out)
        notes.append(f"{count(len(sweep.left_out), 'run')} without an error that counts: {listed}.")
    unfinished = [run for run in sweep.runs if not run.is_finished]
    if unfinished:
        listed = ", ".join(f"{run.name} ({run.epochs[0]} of {run.epochs[1]})" for run in unfinished)
        notes.append(
            f"{count(len(unfinished), 'run')} unfinished, with the error of the epochs there are: "
            f"{listed}. PRE_FILTERS {{done: [1, 1, 1]}} leaves them out."
        )
    lengths = Counter(run.epochs[1] for run in sweep.runs)
    if len(lengths) > 1:
        listed = ", ".join(f"{amount} of {epochs}" for epochs, amount in sorted(lengths.items()))
        notes.append(f"Runs of different numbers of epochs are compared: {listed}.")
    if len(sweep.runs) > 1 and len({run.error for run in sweep.runs}) == 1:
        notes.append("All runs have the same error, so nothing can be said about good values.")
    return [f"{sweep.name}: {note}" for note in notes]


def _read(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: not there; collect the runs first: tools/sweep_collect.py --sweep-cfg FILE"
        ) from None
    except UnicodeDecodeError as problem:
        raise ConfigError(f"{path}: {problem}; expected JSON; collect the runs again") from None
    try:
        found = json.loads(text)  # NaN and Infinity are read as such
    except json.JSONDecodeError as problem:
        raise ConfigError(
            f"{path}: line {problem.lineno}: {problem.msg}; expected JSON; collect the runs again"
        ) from None
    if not isinstance(found, list):
        raise ConfigError(f"{path}: expected a list with an object a run; collect the runs again")
    return found


def _run_name(record: Any, place: int) -> str:
    """Return the name of the folder of a run's log."""
    log = record.get("log_file") if isinstance(record, Mapping) else None
    name = Path(log).parent.name if isinstance(log, str) else ""
    return name or f"entry {place}"


def _why_unusable(record: Any, error: str) -> str:
    """Return why a run has no error that counts, or ""."""
    if not isinstance(record, Mapping):
        return "is not an object"
    if not isinstance(record.get("cfg"), Mapping):
        return f"has no configuration in its log{_last_line(record)}"
    records, _, _ = ERRORS[error]
    for needed in dict.fromkeys(("test_epoch", records)):
        if not numbers(_section(record, needed).get("top1_err")):
            what = "epoch" if needed == "test_epoch" else "epoch of the EMA"
            return f"no {what} was tested{_last_line(record)}"
    last, planned = _epochs(record["test_epoch"])
    if not (last and planned):
        return "does not say which epochs were tested"
    if not math.isfinite(error_of(record, error)):
        return f"its error is not a number, last at epoch {last} of {planned}{_last_line(record)}"
    return ""


def _section(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = record.get(name)
    return section if isinstance(section, Mapping) else {}


def _epochs(test_epoch: Mapping[str, Any]) -> tuple[int, int]:
    last, planned = (numbers(test_epoch.get(key)) for key in ("epoch_ind", "epoch_max"))
    if not (last and planned and math.isfinite(last[-1] + planned[-1])):
        return 0, 0
    return int(last[-1]), int(planned[-1])


def _last_line(record: Mapping[str, Any]) -> str:
    """Return the last line that a run wrote to stderr, which mostly says why it failed."""
    text = record.get("err")
    lines = text.splitlines() if isinstance(text, str) else []
    lines = [line.strip() for line in lines if line.strip()]
    return f"; last on stderr: {lines[-1][:_MAX_REASON]}" if lines else ""


def _most_common(left_out: Sequence[tuple[str, str]]) -> str:
    if not left_out:
        return "; the file is empty: has any run begun?"
    reason, _ = Counter(reason for _, reason in left_out).most_common(1)[0]
    name = next(name for name, its_reason in left_out if its_reason == reason)
    return f"; {name}: {reason}"
