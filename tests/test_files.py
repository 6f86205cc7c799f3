"""Atomic writes and locks: old content or new, one holder at a time."""

import errno
import subprocess
import sys

import pytest

from pycls.errors import PyclsError
from pycls.files import (
    atomic_path,
    exclusive_lock,
    is_locked,
    remove_partials,
    write_json,
    write_text,
    write_text_if_changed,
    write_texts,
)


def test_a_failed_write_keeps_the_old_content_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def write_and_fail():
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match=str(path)) as caught, atomic_path(path):
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(path)


def test_unchanged_text_is_not_written(tmp_path):
    path = tmp_path / "a.txt"
    assert write_text_if_changed(path, "é\n")
    before = path.stat().st_mtime_ns
    assert not write_text_if_changed(path, "é\n")
    assert path.stat().st_mtime_ns == before
    assert write_text_if_changed(path, "e\n")


def test_many_texts_are_written_where_they_differ(tmp_path):
    folder = tmp_path / "new"
    assert write_texts(folder, {"a.txt": "é\n", "in/b.txt": "b"}) == ["a.txt", "in/b.txt"]
    assert (folder / "a.txt").read_text(encoding="utf-8") == "é\n"
    before = (folder / "a.txt").stat().st_mtime_ns
    assert write_texts(folder, {"a.txt": "é\n", "in/b.txt": "c"}) == ["in/b.txt"]
    assert (folder / "a.txt").stat().st_mtime_ns == before
    assert (folder / "in" / "b.txt").read_text() == "c"
    assert sorted(path.name for path in folder.rglob("*")) == ["a.txt", "b.txt", "in"]
    assert write_texts(folder, {}) == []


def test_many_texts_of_which_one_cannot_be_written_change_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(OSError, match="too long"):
        write_texts(tmp_path, {"a.txt": "new", "x" * 300: ""})
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_sorted_and_ends_in_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    2\n  ],\n  "b": 1\n}\n'


def test_partials_of_killed_writers_are_removed(tmp_path):
    (tmp_path / ".a.txt.123.partial").write_text("x")
    (tmp_path / ".set.123.partial").mkdir()
    (tmp_path / "keep.partial").write_text("x")
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.partial"]


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path):
    path = tmp_path / ".lock"
    assert not is_locked(path)
    code = (
        "import sys, time; from pycls.files import exclusive_lock\n"
        "with exclusive_lock(sys.argv[1], 'x'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(path)
    message = "another process is training here"
    with (
        pytest.raises(PyclsError, match=message),
        exclusive_lock(path, "training here", wait_s=0.1),
    ):
        pass
    holder.kill()
    holder.wait()
    with exclusive_lock(path, "training here", wait_s=5):
        assert is_locked(path)
    assert not is_locked(path)
