"""Copies of prepared sets on a node's own disk, and sets where nothing can be written."""

import multiprocessing
import shutil
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

from pycls.datasets import open_dataset
from pycls.datasets.opening import staged
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import open_store


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """Return a folder where copies are made."""
    place = tmp_path / "stage"
    place.mkdir()
    monkeypatch.setenv(staged.STAGE_VARIABLE, str(place))
    monkeypatch.setattr(staged, "_in_vain", {})
    return place


@pytest.fixture
def opened(digits_dir):
    """Return a function () -> (folder that the digits are read from, what was warned of)."""

    def look():
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            dataset = open_dataset("digits", "train", digits_dir)
        assert dataset.fingerprint == open_store(digits_dir / "digits").fingerprint
        return dataset.store.path, " ".join(str(each.message) for each in found)

    return look


def _open(digits_dir, barrier, paths):
    made = staged._make

    def count(store, copy):
        paths.put("made")
        made(store, copy)

    staged._make = count
    barrier.wait(300)
    paths.put(str(open_dataset("digits", "train", digits_dir).store.path))


def test_several_processes_make_one_copy(stage, digits_dir, opened):
    context = multiprocessing.get_context("fork")
    barrier, paths = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_open, args=(digits_dir, barrier, paths)) for _ in range(4)]
    for process in processes:
        process.start()
    said = [paths.get(timeout=300) for _ in range(5)]
    for process in processes:
        process.join(300)
    assert said.count("made") == 1
    (copy,) = {text for text in said if text != "made"}
    assert Path(copy).is_relative_to(stage)
    assert opened() == (Path(copy), "")


def test_a_damaged_copy_is_made_again(stage, opened):
    copy, _ = opened()
    images = (copy / "images.npy").read_bytes()
    for damage in (images[:-1], images[:-1] + bytes([images[-1] ^ 1])):
        (copy / "images.npy").write_bytes(damage)
        assert opened()[0] == copy
        assert (copy / "images.npy").read_bytes() == images
    (copy / "images.npy").touch()  # changed, and the same
    assert opened() == (copy, "")
    (copy / "labels.npy").unlink()
    assert "is damaged; it is copied again" in opened()[1]
    shutil.rmtree(copy)  # by who cleans the disk
    assert opened() == (copy, "")


def test_where_no_copy_can_be_the_shared_set_is_read(stage, digits_dir, opened, monkeypatch):
    shared = digits_dir / "digits"

    def refused(reason):
        monkeypatch.setattr(staged, "_in_vain", {})
        path, said = opened()
        assert path == shared
        assert reason in said
        assert opened() == (shared, "")  # it is said once
        assert not [p for p in stage.rglob("*") if p.name.startswith(".digits")]

    with monkeypatch.context() as patch:
        patch.setenv(staged.STAGE_VARIABLE, str(stage / "nothing"))
        refused("there is no such folder")
    with monkeypatch.context() as patch:
        patch.setattr(staged.os, "getuid", lambda: 12345)
        refused("is another user's")
    with monkeypatch.context() as patch:
        patch.setattr(staged.Path, "mkdir", _denied)
        refused("Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(staged, "_copy_file", _wrongly)
        refused("damaged")
    monkeypatch.setattr(staged, "_in_vain", {})
    assert opened()[0].is_relative_to(stage)


def _denied(path, **_):
    raise PermissionError(13, "Permission denied", str(path))


def _wrongly(source, target):
    target.write_bytes(source.read_bytes()[:-1] + b"?")


def test_a_full_disk_is_no_reason_to_fail(stage, digits_dir, opened, monkeypatch):
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(stage)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        path, said = opened()
        assert path == digits_dir / "digits"
        assert "there is room for" in said
        # As where others fill it meanwhile.
        monkeypatch.setattr(staged, "_in_vain", {})
        monkeypatch.setattr(staged.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
        path, said = opened()
        assert path == digits_dir / "digits"
        assert "No space left on device" in said
        assert not list(stage.rglob(".digits*"))
    finally:
        subprocess.run(["umount", "--lazy", str(stage)], check=False)


def test_a_folder_that_cannot_be_written_is_enough_where_sets_are_prepared(digits_dir, tmp_path):
    place = tmp_path / "read-only"
    place.mkdir()
    for words in (["--bind", str(digits_dir)], ["-o", "remount,bind,ro"]):
        command = ["mount", *words, str(place)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
    try:
        assert prepare("digits", place) == place / "digits"
        assert len(open_dataset("digits", "train", place))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
