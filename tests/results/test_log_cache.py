"""Logs that are not read again, read on, or read anew: always to the same end."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_logs import parse_log, write_start

from pycls.results import log_cache
from pycls.results.log_cache import LogCache
from pycls.results.log_records import to_columns


def last_error(name, log):
    return {"name": name, "last": max(log.test, default=0)}


def read(folder, processes=1, **options):
    """Collect all logs of a folder, as a process of its own would; return cache and reading."""
    cache = LogCache(folder / ".cache", owner="test", derive=last_error, **options)
    cache.load()
    logs = {path.name: path for path in sorted(folder.glob("log*"))}
    reading = cache.read(logs, processes)
    cache.save()
    return cache, reading


def check(folder, cache):
    """Check that a cache says what reading the logs anew does."""
    logs = sorted(folder.glob("log*"))
    assert list(cache.entries) == [path.name for path in logs]
    for path in logs:
        entry, log = cache.entries[path.name], parse_log(path)
        assert json.loads(entry.job) == json.loads(json.dumps(to_columns(log)))
        assert entry.derived == last_error(path.name, log)
        assert entry.data().rows == log.rows


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        write_start(tmp_path / f"log{i}", [1, 2], 5)
    return tmp_path


def test_only_what_is_new_is_read(folder):
    cache, reading = read(folder)
    sizes = [path.stat().st_size for path in sorted(folder.glob("log*"))]
    assert (reading.unchanged, reading.read, reading.size) == (0, 3, sum(sizes))
    check(folder, cache)
    saved = (folder / ".cache").stat()
    cache, reading = read(folder)
    assert (reading.unchanged, reading.read, reading.size) == (3, 0, 0)
    assert (folder / ".cache").stat().st_ino == saved.st_ino  # not written again
    check(folder, cache)
    write_start(folder / "log1", [2, 3], 5, offset=0.5)
    grown = (folder / "log1").stat().st_size - sizes[1]
    cache, reading = read(folder)
    assert (reading.unchanged, reading.read, reading.size) == (2, 1, grown)
    check(folder, cache)
    assert cache.entries["log1"].data().test[2]["top1_err"] == 48.5


def test_logs_that_go_and_come(folder):
    read(folder)
    (folder / "log0").unlink()
    cache, reading = read(folder)
    assert reading.unchanged == 2
    check(folder, cache)
    write_start(folder / "log0", [1], 5)
    cache, reading = read(folder)
    assert reading.read == 1
    check(folder, cache)


def rewrite(path, content):
    """Write other content into the same file, the same inode."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)


def test_replaced_shrunk_and_rewritten_logs_are_read_anew(folder):
    read(folder)
    whole = (folder / "log0").read_bytes()
    for change in (
        lambda path: rewrite(path, whole[: len(whole) // 2]),
        lambda path: rewrite(path, whole.replace(b"49.0000", b"12.0000") + whole),
        lambda path: (path.unlink(), path.write_bytes(whole + whole)),
        lambda path: (path.write_bytes(whole), os.utime(path, ns=(1, 1))),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(whole),
    ):
        change(folder / "log0")
        cache, reading = read(folder)
        assert (reading.read, reading.size) == (1, (folder / "log0").stat().st_size)
        check(folder, cache)


def test_a_whole_record_without_line_end_counts_once(folder):
    path = folder / "log0"
    whole = path.read_bytes()
    assert whole.endswith(b"}\n")
    path.write_bytes(whole[:-1])
    cache, _ = read(folder)
    check(folder, cache)
    assert max(cache.entries["log0"].data().by_epoch("test_ema_epoch")) == 2
    with path.open("ab") as file:
        file.write(b"\n")
    cache, _ = read(folder)
    check(folder, cache)


@pytest.mark.parametrize("change", ["version", "owner", "torn", "text", "bytes", "short", "empty"])
def test_a_cache_that_cannot_be_used_is_not(folder, change):
    read(folder)
    path = folder / ".cache"
    head, *lines = path.read_text().splitlines(keepends=True)
    path.write_bytes(
        {
            "version": head.replace('"version": ', '"version": 1').encode(),
            "owner": head.replace('"owner": "', '"owner": "no ').encode(),
            "torn": (head + "".join(lines))[:-5000].encode(),
            "text": b"nothing\n",
            "bytes": b"\xff\x00\n",
            "short": (head + lines[0]).encode(),
            "empty": b"",
        }[change]
        + ("".join(lines).encode() if change in ("version", "owner") else b"")
    )
    cache, reading = read(folder)
    assert reading.read == 3
    check(folder, cache)
    assert read(folder)[1].unchanged == 3


def test_configurations_are_left_out_where_nobody_asks(folder):
    cache, _ = read(folder, with_cfg=False)
    assert json.loads(cache.entries["log0"].job)["cfg"] == {}
    assert "GROUP_WS" not in (folder / ".cache").read_text()


def test_processes_read_the_same(folder, monkeypatch):
    read(folder)
    lines = (folder / ".cache").read_text()
    (folder / ".cache").unlink()
    monkeypatch.setattr(log_cache, "_BYTES_WORTH_PROCESSES", 0)
    done = []
    cache = LogCache(folder / ".cache", owner="test", derive=last_error)
    logs = {path.name: path for path in sorted(folder.glob("log*"))}
    reading = cache.read(logs, 2, meanwhile=lambda: done.append(1))
    cache.save()
    assert (reading.read, done) == (3, [1])
    assert (folder / ".cache").read_text() == lines


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), max_size=6), st.integers(0, 3))
def test_read_in_parts_is_read_at_once(tmp_path_factory, cuts, again):
    folder = tmp_path_factory.mktemp("parts")
    path = write_start(folder / "whole", [1, 2, 3], 4)
    write_start(path, [4 - again, 4], 4, offset=0.5)
    content = path.read_bytes()
    for end in [*sorted(int(cut * len(content)) for cut in cuts), len(content)]:
        with (folder / "log").open("ab") as file:
            file.write(content[file.tell() : end])
        cache, _ = read(folder)
        check(folder, cache)
