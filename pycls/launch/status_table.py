"""The status of a launched study or sweep as text."""

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from pycls.errors import ConfigError
from pycls.launch.live_jobs import STATES
from pycls.launch.status import QueueStatus, RunStatus, Status, TimeLeft, Watch
from pycls.launch.work import Work
from pycls.progress import align, format_duration
from pycls.slurm.client import Slurm

_MOST_RUNNING = 20
_MOST_REASONS = 10
_SHORTEST_NAME = 8
_SHORTEST_WRAP = 40
_LONGEST_WATCH_S = 86_400.0
_ELLIPSIS = "…"

# Slurm's reasons for which a job does not start until somebody does something, and what.
_HELD = (
    ("launchfailed", "Slurm could not start it on a node and holds it: 'scontrol release {job}' "
     "lets it try again; where that fails too, ask the administrator"),
    ("dependencyneversatisfied", "it waits for a job that ended otherwise and will never start: "
     "'scancel {job}', then launch again"),
    ("jobheldadmin", "the administrator holds it; ask why"),
    ("jobhelduser", "it is held: 'scontrol release {job}' lets it start"),
    ("badconstraints", "no node is like that (LAUNCH.GPU_TYPE, LAUNCH.GRES): cancel, and launch "
     "again with others"),
    ("partitiontimelimit", "LAUNCH.TIME_LIMIT is above the partition's: cancel, and launch again "
     "with less"),
)  # fmt: skip


# Slurm's usual reasons for which a job waits.
_REASONS = {
    "Dependency": "until others have ended",
    "Priority": "behind others",
    "Resources": "for a free node",
    "JobArrayTaskLimit": "as LAUNCH.PARALLEL_JOBS says",
    "BeginTime": "for the time that they are to start at",
    "JobHeldUser": "as they are held",
}

# Of a terminal: what each state's number is set in (SGR), if it is not 0.
_COLOURS = {
    "planned": "2", "queued": "33", "running": "34;1", "stopped": "33", "failed": "31;1",
    "done": "32",
}  # fmt: skip
_BAR = 12  # columns, at most
_FULL, _EMPTY = "█", "░"


def table(status: Status, width: int | None = None, *, in_colour: bool = False) -> str:
    """Return a status as text for a terminal of `width` columns; None: lines of any length.

    With `in_colour`, numbers of runs have the colours of their states, and each sweep has a bar of
    what is done where there is room.
    """
    running = [run for run in status.runs if run.state == "running"]
    when = status.when[:16].replace("T", " ")
    parts = [
        [_clip(f"{status.title}, {when} UTC, {status.folder}", width)],
        _count_lines(status, width, in_colour),
        _running_lines(running, width),
        *(_reason_lines(status.runs, state, width) for state in ("failed", "stopped")),
        _slurm_lines(status.slurm, width),
        _node_lines(status.slurm, width),
        _device_lines(status.devices, width),
        _left_lines(status.left, width),
        _advice_lines(status, width),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def fit_to_screen(text: str, height: int) -> str:
    """Return what draws a text over the last one on a terminal, from its upper left corner.

    Of more lines than the terminal's `height` the last are left out, and said to be.
    """
    lines = text.splitlines()
    room = max(2, height - 1)
    if len(lines) > room:
        more = len(lines) - room + 1
        lines = [*lines[: room - 1], f"... {more} more lines; without --watch all are shown"]
    # Line by line, each cleared to its end: clearing the whole screen first would flicker.
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


def _count_lines(status: Status, width: int | None, in_colour: bool = False) -> list[str]:
    rows: list[tuple[str, ...]] = [("sweep", "runs", *STATES)]
    shares = []
    for sweep, states in [*status.sweeps.items(), ("total", status.counts)]:
        numbers = [sum(states.values()), *(states[state] for state in STATES)]
        rows.append((sweep, *map(str, numbers)))
        shares.append(states["done"] / max(1, numbers[0]))
    lines = _align(rows, width, text_columns=1)
    if in_colour:
        room = min(_BAR, (width or 10_000) - max(map(len, lines)) - 2)
        lines[1:] = [
            line if _ELLIPSIS in line else _coloured(line, row[2:]) + _bar(share, room)
            for line, row, share in zip(lines[1:], rows[1:], shares, strict=True)
        ]
    for sweep, reason in status.waiting.items():
        lines += _wrap(f"not yet: {sweep} {reason}", width)
    return lines


def _coloured(line: str, numbers: Sequence[str]) -> str:
    """Return a line whose last columns are numbers of STATES, those above 0 in their colours."""
    behind = ""
    for state, number in reversed(list(zip(STATES, numbers, strict=True))):
        line, _, between = line.rpartition(number)
        shown = number if number == "0" else _in_colour(number, _COLOURS[state])
        behind = f"{shown}{between}{behind}"
    return line + behind


def _in_colour(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _bar(share: float, room: int) -> str:
    """Return what shows a share, from 0 to 1, in so many columns; nothing in fewer than four."""
    if room < 4:
        return ""
    full = int(share * room)
    return f"  {_in_colour(_FULL * full, _COLOURS['done'])}{_EMPTY * (room - full)}"


def _running_lines(running: Sequence[RunStatus], width: int | None) -> list[str]:
    if not running:
        return []
    rows = [("running", "job", "host", "epoch", "images/s", "time left", "last sign")]
    for run in running[:_MOST_RUNNING]:
        epoch = "" if run.epoch is None else f"{run.epoch}/{run.epochs or '?'}"
        rate = "" if run.images_per_second is None else f"{run.images_per_second:,.0f}"
        left = "" if run.seconds_left is None else format_duration(run.seconds_left)
        silent = run.seconds_silent
        sign = "" if silent is None else f"{format_duration(silent)} ago"
        rows.append((run.run, run.job, run.host, epoch, rate, left, sign))
    return [*_align(rows, width, text_columns=3), *_more(len(running), _MOST_RUNNING)]


def _reason_lines(runs: Sequence[RunStatus], state: str, width: int | None) -> list[str]:
    found = [run for run in runs if run.state == state]
    lines = [f"{state}:"] if found else []
    for run in found[:_MOST_REASONS]:
        where = " on ".join(filter(None, [run.job and f"job {run.job}", run.host]))
        tries = f"{run.failures} times" if run.failures > 1 else ""
        notes = ", ".join(filter(None, [tries, where]))
        name = f"{run.run} ({notes})" if notes else run.run
        lines += _wrap(f"  {name}: {' '.join(run.reason.split())}", width)
    return [*lines, *_more(len(found), _MOST_REASONS)]


def _slurm_lines(slurm: QueueStatus, width: int | None) -> list[str]:
    if slurm.problem:
        text = (
            f"Slurm could not be asked: {slurm.problem}. Runs whose jobs wait in its queue are "
            "counted as planned or stopped"
        )
        return _wrap(" ".join(text.split()), width)
    looks_after = f"looks after the others: {slurm.follow_up}" if slurm.follow_up else ""
    follow_up = _wrap(looks_after, width) if looks_after else []
    if not slurm.jobs:
        return follow_up
    states = ", ".join(f"{n:,} {name.lower()}" for name, n in sorted(slurm.jobs.items()))
    reasons = ", ".join(f"{jobs.count:,} {_in_words(jobs.reason)}" for jobs in slurm.pending)
    lines = _wrap(f"jobs in Slurm: {states}{f' (waiting: {reasons})' if reasons else ''}", width)
    for jobs in slurm.pending:
        others = f" and {jobs.count - 1:,} more" if jobs.count > 1 else ""
        if jobs.fault:
            how = "held" if jobs.is_held else "to be tried again by itself"
            lines += _wrap(f"  attention: {jobs.first}{others}: {how}: {jobs.fault}", width)
            continue
        plain = "".join(letter for letter in jobs.reason.lower() if letter.isalpha())
        for start, text in _HELD:
            if plain.startswith(start):
                what = f"{jobs.first}{others}: {jobs.reason}: {text.format(job=jobs.first)}"
                lines += _wrap(f"  attention: {what}", width)
    return lines + follow_up


def _in_words(reason: str) -> str:
    return _REASONS.get(reason, f"for the reason {reason}" if reason else "for no reason given")


def _node_lines(slurm: QueueStatus, width: int | None) -> list[str]:
    if not slurm.bad_nodes:
        return []
    lines = ["nodes that are left out, until 'retry':"]
    shown = list(slurm.bad_nodes.items())[:_MOST_REASONS]
    for node, reason in shown:
        lines += _wrap(f"  {node}: {reason}", width)
    return [*lines, *_more(len(slurm.bad_nodes), len(shown))]


def _device_lines(devices: Mapping[str, Mapping[str, int]], width: int | None) -> list[str]:
    if len({device for found in devices.values() for device in found}) < 2:
        return []
    lines = _wrap("trained on devices that differ, so that last digits may:", width)
    for sweep, found in devices.items():
        told = ", ".join(f"{device} ({number:,})" for device, number in found.items())
        lines += _wrap(f"  {sweep}: {told}", width)
    return lines


def _left_lines(left: TimeLeft, width: int | None) -> list[str]:
    if not left.runs:
        return []
    if left.seconds is None:
        text = f"about {format_duration(left.training_seconds)} of training left"
    else:
        runs = f"{left.at_once:,} runs" if left.at_once > 1 else "one run"
        text = f"about {format_duration(left.seconds)} left with {runs} at a time, as now"
    if left.unknown:
        text += f"; {left.unknown:,} runs of which nothing is known yet are not counted"
    return _wrap(text, width)


def _advice_lines(status: Status, width: int | None) -> list[str]:
    lines = []
    for why, command in status.advice:
        # Commands are to be copied: they are neither cut nor wrapped.
        lines += _wrap(why, width)
        if command:
            lines.append(f"  {command}")
    return lines


def _more(count: int, shown: int) -> list[str]:
    return [f"  and {count - shown:,} more"] if count > shown else []


def _align(rows: Sequence[Sequence[str]], width: int | None, text_columns: int) -> list[str]:
    """Return rows as lines with even columns, texts to the left; names cut to the width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is not None:
        # The last column of texts, a host, gives way first, and the name of a run at the end.
        for i in reversed(range(text_columns)):
            excess = sum(widths) + 2 * (len(widths) - 1) - width
            if excess > 0:
                widths[i] = min(widths[i], max(_SHORTEST_NAME, widths[i] - excess))
    fitting = [list(map(_clip, row, widths)) for row in rows]
    return [_clip(line, width) for line in align(fitting, text_columns)]


def _clip(text: str, width: int | None) -> str:
    if width is None or len(text) <= width:
        return text
    return text[: max(0, width - 1)] + _ELLIPSIS


def _wrap(text: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(
        text, max(_SHORTEST_WRAP, width), subsequent_indent=indent, break_on_hyphens=False
    )


# ------------------------------------------------------------ showing it
def show(
    work: Work,
    slurm: Slurm | None = None,
    as_json: bool = False,
    watch: float | None = None,
    out: TextIO | None = None,
) -> int:
    """Print how far a study or sweep is, once or again and again.

    Args:
        work: the study or sweep.
        slurm: see :func:`find_status`.
        as_json: one line of JSON instead of a table.
        watch: seconds between two looks, until all runs are settled or Ctrl-C; None: one look.
        out: where to print; None: standard output.

    Returns:
        The exit code.

    Raises:
        ConfigError: `watch` is no time to wait.
    """
    if watch is not None and not 0 < watch <= _LONGEST_WATCH_S:
        raise ConfigError(
            f"--watch {watch:g}: expected seconds between two looks, above 0 and at most "
            f"{_LONGEST_WATCH_S:g}"
        )
    out = out or sys.stdout
    looks = Watch(work, slurm)
    try:
        while True:
            status = looks.look()
            _print(status, as_json, watch is not None, out)
            if watch is None or status.is_settled:
                return 0
            time.sleep(watch)
    except KeyboardInterrupt:
        if watch is None:
            raise
        return 0


def _print(status: Status, as_json: bool, again: bool, out: TextIO) -> None:
    if as_json:
        out.write(json.dumps(status.as_dict()) + "\n")
    elif out.isatty():
        size = shutil.get_terminal_size()
        text = table(status, size.columns, in_colour=not os.environ.get("NO_COLOR"))
        out.write(fit_to_screen(text, size.lines) if again else text)
    else:
        out.write(table(status) + ("\n" if again else ""))
    out.flush()
