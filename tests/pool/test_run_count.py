"""Progress lines: counted, with an estimate, one a run off a terminal."""

import io

import pytest

from pycls.pool.run_count import RunCount
from pycls.progress import format_duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (3600, "1 h 00 min")],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_estimate_knows_that_sweeps_differ():
    progress = RunCount({"short": 2, "long": 3}, 0, 2, io.StringIO())
    progress.finished("short", "short/0", 1.0, "done")
    assert progress.seconds_left() == pytest.approx((1 * 1 + 3 * 1) / 2)
    progress.finished("long", "long/0", 10.0, "done")
    assert progress.seconds_left() == pytest.approx((1 * 1 + 2 * 10) / 2)


def test_a_line_a_run_on_a_pipe():
    stream = io.StringIO()
    progress = RunCount({"a": 2}, 5, 1, stream)
    progress.finished("a", "a/0", 3.21, "done")
    progress.finished("a", "a/1", 1.0, "FAILED (x)")
    assert stream.getvalue().splitlines() == [
        "[6/7] a/0 done in 3.2 s, 3 s left",
        "[7/7] a/1 FAILED (x) in 1.0 s",
    ]


def test_one_live_line_on_a_terminal_and_failures_stay():
    stream = Terminal()
    progress = RunCount({"a": 3}, 0, 1, stream)
    for i, outcome in enumerate(["done", "FAILED (x)", "done"]):
        progress.finished("a", f"a/{i}", 1.0, outcome)
    progress.clear()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\r\x1b[K")
