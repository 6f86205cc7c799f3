import io
import re

import pytest

from pycls.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    """Return a list whose only number is the time, in seconds."""
    return [100.0]


def work(stream, clock, seconds=30):
    printer = Progress(stream, lambda: clock[0])
    printer.begin("decoding", 1000, 400)
    for _ in range(seconds):
        clock[0] += 1
        printer.advance(10)
    return printer


def test_lines_come_now_and_then_and_count_only_what_was_done_now(clock):
    stream = io.StringIO()
    work(stream, clock).end()
    assert stream.getvalue().splitlines() == [
        "decoding: going on after 400 of 1,000 images",
        "decoding: 500 of 1,000 images (50 %), 10 images/s, 50 s left",
        "decoding: 600 of 1,000 images (60 %), 10 images/s, 40 s left",
        "decoding: 700 of 1,000 images (70 %), 10 images/s, 30 s left",
        "decoding: 700 images done, 10 images/s, 30 s",
    ]


def test_terminal_line_is_redrawn_and_gives_way_to_messages(clock):
    stream = Terminal()
    printer = work(stream, clock)
    printer.say("a word")
    printer.end(finished=False)
    shown = [re.sub(r".*\r\x1b\[K", "", line) for line in stream.getvalue().split("\n")]
    assert shown[1:-1] == [
        "a word",
        "decoding: 700 of 1,000 images (70 %), 10 images/s, 30 s left",
    ]
    assert stream.getvalue().count("\r") == 31


def test_long_waits_and_sizes_are_in_units_a_reader_can_take_in(clock):
    stream = io.StringIO()
    printer = Progress(stream, lambda: clock[0])
    printer.begin("computing the checksum", 100_000_000_000, unit="bytes")
    clock[0] += 100
    printer.advance(1_000_000_000)
    assert stream.getvalue() == (
        "computing the checksum: 1,000 of 100,000 MB (1 %), 10 MB/s, 2 h 45 min left\n"
    )
