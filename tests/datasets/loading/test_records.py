import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.loading import records
from pycls.datasets.loading.records import RecordReader
from pycls.errors import DataError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "images.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (50, 5, 4, 3), dtype=np.uint8))
    return np.load(path, mmap_mode="r")


def read(reader, positions):
    found = np.empty((len(positions), *reader.shape), dtype=np.uint8)
    reader.read(np.array(positions, dtype=np.int64), found)
    return found


@settings(max_examples=60)
@given(positions=st.lists(st.integers(0, 49), max_size=80))
def test_images_come_as_asked_for(images, positions):
    reader = RecordReader(images)
    reader.announce(np.array(positions, dtype=np.int64))
    np.testing.assert_array_equal(read(reader, positions), images[positions])


@pytest.mark.parametrize("most", [1, 7, 1024])
def test_neighbours_are_read_together(images, monkeypatch, most):
    monkeypatch.setattr(records, "_MAX_BUFFERS", most)
    calls = []
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *args: calls.append(args) or plain(*args))
    np.testing.assert_array_equal(read(RecordReader(images), range(5, 35)), images[5:35])
    assert len(calls) == -(-30 // most)


def test_a_call_that_reads_a_part_is_followed_by_others(images, monkeypatch):
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, to, at: plain(fd, [to[0].reshape(-1)[:7]], at))
    np.testing.assert_array_equal(read(RecordReader(images), [3, 4, 20]), images[[3, 4, 20]])


def test_a_file_that_was_cut_is_named(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((4, 5, 4, 3), dtype=np.uint8))
    reader = RecordReader(np.load(path, mmap_mode="r"))
    os.truncate(path, path.stat().st_size - 30)
    read(reader, [0, 1, 2])
    with pytest.raises(DataError, match=r"images.npy: the file ends at byte .* Prepare the set"):
        read(reader, [0, 3])


def test_the_file_is_closed_with_the_reader(images):
    path = Path(images.filename).resolve()

    def count_open():
        return sum(link.resolve() == path for link in Path("/proc/self/fd").iterdir())

    before = count_open()
    readers = [RecordReader(images) for _ in range(5)]
    assert count_open() == before + 5
    del readers
    assert count_open() == before


def test_views_are_of_the_file_itself(images):
    reader = RecordReader(images)
    views = reader.views(np.array([7, 3]))
    np.testing.assert_array_equal(views, images[[7, 3]])
    assert all(np.shares_memory(view, images) and not view.flags.writeable for view in views)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="no advice on this system")
def test_images_in_the_cache_are_not_announced(images, monkeypatch):
    reader, calls, flags = RecordReader(images), [], set()
    monkeypatch.setattr(os, "posix_fadvise", lambda *args: calls.append(args))
    plain = os.preadv

    # Not every file system answers, and the system may need the cache for others meanwhile.
    def be_cached(descriptor, buffers, offset, flag):
        flags.add(flag)
        return plain(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", be_cached)
    reader.announce(np.arange(20))
    assert (calls, flags) == ([], {os.RWF_NOWAIT})

    def wait(*args):
        raise BlockingIOError

    monkeypatch.setattr(os, "preadv", wait)
    reader.announce(np.array([5, 20, 6, 7]))
    start, size = images.offset, 60
    assert [call[1:3] for call in calls] == [
        (start + 5 * size, 3 * size),
        (start + 20 * size, size),
    ]


def test_arrays_in_memory_are_refused():
    with pytest.raises(TypeError, match="memory-mapped file"):
        RecordReader(np.zeros((2, 3, 3, 3), dtype=np.uint8))
