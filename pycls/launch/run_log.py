"""The log of one run, with what is known of where it is trained."""

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from pycls.core.runs.packed import open_file
from pycls.core.runs.record import failures_of, read_record
from pycls.errors import ConfigError
from pycls.launch.work import Work
from pycls.results.run_states import find_state
from pycls.schema import ERR_FILE, LOG_FILE
from pycls.yaml_sections import near_miss

_LINES = 40
_LONGEST_LINE = 300
_LOOK_S = 1.0
_TAIL_BYTES = 256 << 10


def show_log(
    work: Work,
    name: str,
    *,
    follow: bool = False,
    find_job: Callable[[str], str] = lambda _: "",
    out: TextIO | None = None,
) -> int:
    """Print where a run is trained, and the end of its log; return the exit code.

    Args:
        work: the study or sweep.
        name: the run's.
        follow: go on with what is written, until the run is settled or Ctrl-C.
        find_job: returns the Slurm job that has a run, "" where none has.
        out: where to print; None: standard output.

    Raises:
        ConfigError: there is no such run.
    """
    out = out or sys.stdout
    runs = {run.id: run for run in work.runs()}
    if name not in runs:
        raise ConfigError(
            f"no run is called {name}; {near_miss(name, runs)}'status --json' lists them all, the "
            f"first is {next(iter(runs), '(there are none)')}"
        )
    folder = runs[name].out_dir
    print(_describe(name, folder, find_job(name), work.options.max_retry), file=out)
    (errors, _), (log, end) = _tail(folder / ERR_FILE), _tail(folder / LOG_FILE)
    if errors and find_state(folder, read_record(folder)).state != "done":
        print(f"{folder / ERR_FILE}:\n{errors}", file=out)
    print(f"{folder / LOG_FILE}:" if log else "it has no log yet", file=out)
    print(log, end="\n" if log else "", file=out, flush=True)
    if not follow:
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        _follow(folder, end, work.options.max_retry, out)
    return 0


def _describe(name: str, folder: Path, job: str, max_retry: int) -> str:
    record = read_record(folder)
    state = find_state(folder, record, max_retry=max_retry)
    failures = failures_of(record)
    environment = (record or {}).get("environment", {})
    last = failures[-1] if failures else {}
    owner = state.owner
    parts = {
        "job": job or (owner.job if owner else str(last.get("job", ""))),
        "node": owner.host if owner else str(environment.get("host") or last.get("host", "")),
        "device": str(environment.get("device", "")),
    }
    known = [f"{what} {value}" for what, value in parts.items() if value]
    reason = f"\n  {state.reason}" if state.reason else ""
    return f"{name}: {', '.join([state.state, *known])}{reason}"


def _tail(path: Path) -> tuple[str, int]:
    """Return the last lines of a file, long ones cut, and where it ended; else ""."""
    try:
        with open_file(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()[-_LINES:]
            end = file.tell()
    except FileNotFoundError:
        return "", 0
    cut = (line[:_LONGEST_LINE] + "…" * (len(line) > _LONGEST_LINE) for line in lines)
    return "\n".join(cut), end


def _follow(folder: Path, place: int, max_retry: int, out: TextIO) -> None:
    path = folder / LOG_FILE
    while True:
        state = find_state(folder, read_record(folder), max_retry=max_retry).state
        if path.is_file():
            with path.open("rb") as file:
                file.seek(place if path.stat().st_size >= place else 0)
                new = file.read()
                place = file.tell()
            out.write(new.decode("utf-8", "replace"))
            out.flush()
        if state in ("done", "failed"):
            print(state, file=out, flush=True)
            return
        time.sleep(_LOOK_S)
