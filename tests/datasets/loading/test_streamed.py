"""Sets that are read while they are used: crops, threads, processes, memory."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import HANG_S

from pycls.datasets import randomness
from pycls.datasets.loading import crops, streamed
from pycls.datasets.loading.held import HeldImages
from pycls.datasets.loading.loader import Loader
from pycls.datasets.loading.records import RecordReader
from pycls.datasets.loading.streamed import StreamedImages
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import ConfigError, DataError

CPU = torch.device("cpu")
OPTIONS = {"batch_size": 6, "im_size": 40, "seed": 3}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("sets") / "large")


def make_set(path, count=50, size=(70, 72), seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    split = (np.arange(count) % 5 == 4).astype(np.uint8)
    facts = SetFacts("large", "Large", "random pixels", "a generator", "none", "every fifth")
    return write_store(path, images, np.arange(count) % 2, split, ("a", "b"), facts)


def pixels(loader, epoch=0, start=0):
    return [(images.clone(), labels) for images, labels in loader.pixels(epoch, start)]


def batches(loader, epoch=0, start=0):
    return [(images.clone(), labels) for images, labels in loader.epoch(epoch, start)]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for (a, la), (b, lb) in zip(found, expected, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name.startswith("pycls-prefetch")]


def test_large_images_are_cut_resized_and_mirrored(path):
    dataset = open_dataset(path, "train")
    loader = Loader(dataset, train=True, **OPTIONS)
    assert len(loader) == 6
    order = randomness.epoch_order(3, 2, dataset.indices)[:36]
    positions = dataset.indices[order]
    flips = randomness.sample_uniform(3, 2, randomness.STREAM_FLIP, positions) < 0.5
    expected = np.empty((36, 40, 40, 3), dtype=np.uint8)
    boxes = crops.sample_boxes(3, 2, positions, (70, 72))
    crops.cut_boxes(dataset.images[positions], boxes, flips, expected)
    squares, labels = map(torch.cat, zip(*pixels(loader, 2), strict=True))
    np.testing.assert_array_equal(squares, expected)
    np.testing.assert_array_equal(labels, dataset.labels[order])
    normalised = (expected / 255 - dataset.mean) / dataset.std
    found = torch.cat([images for images, _ in loader.epoch(2)])
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), normalised, atol=1e-5)
    # Half of the flips are drawn, and the mirrored images are the mirrored ones of no flip.
    plain = torch.cat([s for s, _ in pixels(Loader(dataset, train=True, flip=False, **OPTIONS), 2)])
    assert 8 < flips.sum() < 28
    assert (squares[flips].int() - plain[flips].flip(2).int()).abs().max() <= 1
    assert torch.equal(squares[~flips], plain[~flips])


def test_kind_of_crop_follows_size_and_choice(path, make_store):
    large, small = open_dataset(path, "train"), open_dataset(make_store(size=(64, 64)), "train")
    for dataset, crop, resized in (
        (large, "auto", True), (large, "padded", False), (small, "auto", False),
        (small, "resized", True),
    ):  # fmt: skip
        loader = Loader(dataset, train=True, crop=crop, pad=4, **OPTIONS)
        held = "read through the page cache; resized" if resized else "held in memory (cpu); padded"
        assert held in loader.describe()
        assert loader.transform.resized == resized
        assert loader.transform.pad == (0 if resized else 4)
        assert all(images.shape[1:] == (40, 40, 3) for images, _ in loader.pixels())
    # A crop may be larger than the image, where it is resized.
    assert len(batches(Loader(large, train=True, **{**OPTIONS, "im_size": 90}))) == 6
    with pytest.raises(ConfigError, match="crop 'random': expected one of auto, padded, resized"):
        Loader(large, train=True, crop="random", **OPTIONS)
    for area in ((0, 1), (0.5, 0.4), (0.5, 1.5)):
        with pytest.raises(ConfigError, match="area of crops"):
            Loader(large, train=True, area=area, **OPTIONS)
    with pytest.raises(ConfigError, match=r"aspect of crops 2 to 1"):
        Loader(large, train=True, aspect=(2, 1), **OPTIONS)


def test_area_and_aspect_are_obeyed(path):
    dataset = open_dataset(path, "train")
    whole = Loader(dataset, train=True, area=(1, 1), aspect=(1, 1), flip=False, **OPTIONS)
    centre = Loader(dataset, train=False, **{**OPTIONS, "im_size": 70})
    # Nothing but the central square fits.
    stored = {p: image for p, (image, _) in zip(dataset.indices, unbatched(centre), strict=True)}
    order = dataset.indices[randomness.epoch_order(3, 0, dataset.indices)]
    for position, (image, _) in zip(order, unbatched(whole), strict=False):
        square = np.empty((1, 40, 40, 3), dtype=np.uint8)
        box = np.array([[0, 0, 70, 70]])
        crops.cut_boxes([stored[position].numpy()], box, np.array([False]), square)
        np.testing.assert_array_equal(image, square[0])


def unbatched(loader):
    return [pair for images, labels in loader.pixels() for pair in zip(images, labels, strict=True)]


@settings(max_examples=25)
@given(
    threads=st.integers(1, 4),
    crop=st.sampled_from(["resized", "padded"]),
    augment=st.sampled_from(["", "RandAugment_N1_M0.5"]),
    lighting=st.sampled_from([0.0, 0.1]),
    start=st.integers(0, 6),
)
def test_threads_and_where_it_begins_change_nothing(path, threads, crop, start, **options):
    dataset = open_dataset(path, "train")
    options = {**OPTIONS, "train": True, "crop": crop, "pad": 2, **options}
    whole = batches(Loader(dataset, max_resident_bytes=0, **options), 1)
    loader = Loader(dataset, max_resident_bytes=0, threads=threads, **options)
    assert_same([*whole[:start], *batches(loader, 1, start)], whole)
    if crop == "padded":
        assert_same(batches(Loader(dataset, **options), 1), whole)


@pytest.mark.parametrize(("batch_size", "world_size"), [(12, 1), (18, 1), (6, 2), (12, 3)])
def test_an_image_is_cut_alike_in_any_batch_and_process(path, batch_size, world_size):
    dataset = open_dataset(path, "train")
    options = {**OPTIONS, "train": True}
    expected = torch.cat([images for images, _ in pixels(Loader(dataset, **options), 4)])
    options["batch_size"] = batch_size
    shares = [
        pixels(Loader(dataset, rank=rank, world_size=world_size, **options), 4)
        for rank in range(world_size)
    ]
    found = torch.cat([images for parts in zip(*shares, strict=True) for images, _ in parts])
    assert torch.equal(found, expected[: len(found)])


def test_a_view_keeps_the_boxes_of_the_whole_set(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (60, 66, 66, 3), dtype=np.uint8)
    facts = SetFacts("three", "Three", "random pixels", "a generator", "none", "some")
    split = (np.arange(60) >= 48).astype(np.uint8)
    path = write_store(tmp_path / "three", images, np.arange(60) % 3, split, "abc", facts)
    by_position = []
    for classes in ((), ("a", "c")):
        dataset = open_dataset(path, "train", classes=classes)
        found = unbatched(Loader(dataset, train=True, **{**OPTIONS, "batch_size": 1}))
        order = dataset.indices[randomness.epoch_order(3, 0, dataset.indices)]
        by_position.append(dict(zip(order.tolist(), (image for image, _ in found), strict=True)))
    whole, view = by_position
    assert len(view) == 32
    assert all(torch.equal(whole[position], image) for position, image in view.items())


@pytest.mark.parametrize("test_im_size", [None, 70, 52, 80])
@pytest.mark.parametrize("world_size", [1, 3])
def test_testing_gives_every_image_once_as_if_held(path, test_im_size, world_size):
    dataset = open_dataset(path, "train")
    options = {**OPTIONS, "train": False, "test_im_size": test_im_size}
    held = HeldImages(RecordReader(dataset.images), dataset.indices, CPU)
    centre = Loader(dataset, **options)._centre
    expected = torch.cat(list(held.test_batches([slice(0, 30), slice(30, 50)], centre)))
    loaders = [
        Loader(dataset, rank=rank, world_size=world_size, threads=2, **options)
        for rank in range(world_size)
    ]
    found = torch.cat([images for loader in loaders for images, _ in pixels(loader)])
    assert torch.equal(found, expected)
    assert found.shape == (40, 40, 40, 3)
    if test_im_size is None or test_im_size == 70:
        np.testing.assert_array_equal(found, dataset.images[dataset.indices][:, 15:55, 16:56])


def test_images_in_the_memory_map_and_copied_from_the_file_are_the_same(path, monkeypatch):
    dataset = open_dataset(path, "train")
    monkeypatch.setattr(streamed, "memory_limit", lambda: 2 * dataset.images.nbytes)
    mapped = pixels(Loader(dataset, train=True, threads=2, **OPTIONS), 3)
    # What is larger than half of the memory is read without the map.
    monkeypatch.setattr(streamed, "memory_limit", lambda: dataset.images.nbytes)
    monkeypatch.delattr(RecordReader, "views")
    assert_same(pixels(Loader(dataset, train=True, threads=2, **OPTIONS), 3), mapped)


def test_images_held_as_on_a_gpu_are_cut_alike_but_for_rounding(path):
    # The CPU itself never does it this way.
    dataset = open_dataset(path, "train")
    loader = Loader(dataset, train=True, **OPTIONS)
    held = HeldImages(RecordReader(dataset.images), dataset.indices, CPU)
    plan = loader._plan_epoch(1, 2)
    found = torch.cat(list(held.train_batches(plan, loader.transform)))
    expected = torch.cat([images for images, _ in pixels(loader, 1, 2)])
    difference = (found.int() - expected.int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.2
    # Whether a GPU holds the set depends on its memory: no pixel may.
    images = StreamedImages(RecordReader(dataset.images), dataset.indices, CPU, threads=2)
    size = loader.transform.im_size
    on_device = torch.cat(list(images._resized_on_device(plan, plan.boxes, size)))
    assert torch.equal(on_device, found)


def test_what_is_tested_is_a_copy(path):
    dataset = open_dataset(path, "test")
    loader = Loader(dataset, train=False, crop="padded", **OPTIONS)
    for images, _ in loader.pixels():
        images.zero_()
    assert all(images.any() for images, _ in loader.pixels())


def test_leaving_an_epoch_early_ends_its_threads(path):
    loader = Loader(open_dataset(path, "train"), train=True, threads=3, **OPTIONS)
    for _ in loader.epoch(0):
        assert prefetching()
        break
    assert not prefetching()
    expected = batches(loader, 0)
    taken = loader.epoch(0)
    next(taken)
    # Another epoch in the midst of one.
    assert_same(batches(loader, 0), expected)
    del taken
    assert not prefetching()


@pytest.mark.parametrize("limit", [1 << 30, 0], ids=["mapped", "copied"])
def test_a_damaged_file_stops_the_epoch_with_its_message(tmp_path, monkeypatch, limit):
    path = make_set(tmp_path / "cut")
    monkeypatch.setattr(streamed, "memory_limit", lambda: limit)
    loader = Loader(open_dataset(path, "train"), train=True, threads=2, **OPTIONS)
    os.truncate(path / "images.npy", 40 * 70 * 72 * 3)
    with pytest.raises(DataError, match=r"cut/images.npy: the file ends at byte"):
        batches(loader)
    assert not prefetching()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_within_an_epoch_reads_its_own(path):
    loader = Loader(open_dataset(path, "train"), train=True, threads=2, **OPTIONS)
    expected = pixels(loader, 1)
    taken = loader.pixels(1)
    next(taken)
    child = os.fork()
    if not child:
        signal.alarm(HANG_S)
        try:
            same = all(torch.equal(a, b) for (a, _), (b, _) in
                       zip(pixels(loader, 1), expected, strict=True))  # fmt: skip
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    rest = [(images.clone(), labels) for images, labels in taken]
    assert_same(rest, expected[1:])


READ_AN_EPOCH = """
import sys
import torch
from pycls.datasets import open_dataset
from pycls.datasets.loading.loader import Loader

def read_epoch(path):
    train, test = (open_dataset(path, side) for side in ("train", "test"))
    options = {"batch_size": 16, "im_size": 64, "seed": int(sys.argv[3]), "test_im_size": 96}
    loaders = [Loader(train, train=True, **options), Loader(test, train=False, **options)]
    return loaders, sum(len(labels) for loader in loaders for _, labels in loader.epoch(0))

torch.set_num_threads(1)
read_epoch(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
loaders, count = read_epoch(sys.argv[2])
print(count, flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no smaps_rollup")
def test_processes_share_one_copy(tmp_path):
    count = 600
    path = make_set(tmp_path / "shared", count, (192, 192))
    # Read before, so that what is imported or allocated once is there by then.
    small = make_set(tmp_path / "small", 40, (192, 192))
    set_mb = (path / "images.npy").stat().st_size / 2**20
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", READ_AN_EPOCH, str(small), str(path), str(seed)],
                         text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        for seed in range(2)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    before = sum(own_mb(process.pid) for process in processes)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    assert [int(process.stdout.readline()) for process in processes] == [count] * 2
    grown_mb = sum(own_mb(process.pid) for process in processes) - before
    mapped_mb = sum(mapped_mb_of(path / "images.npy", process.pid) for process in processes)
    for process in processes:
        process.communicate("\n")
    # One copy; beside it the batches under way. Not two.
    assert grown_mb + mapped_mb < 1.6 * set_mb


def own_mb(pid):
    """Return a process's memory in MB without that of files, which others may use too."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Pss_(?:Anon|Shmem): *(\d+) kB", text, re.MULTILINE))) / 1024


def mapped_mb_of(path, pid):
    """Return what a process has of a file in its memory, in MB; of what it shares its part."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    parts = re.findall(rf" {re.escape(str(path))}\n(?:\w+:.*\n)*?Pss: *(\d+) kB", text)
    return sum(map(int, parts)) / 1024
