import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from archives import make_image, write_tree

from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.sources.decode import decode_image, fit_image
from pycls.datasets.store.store import ARRAY_FILES, is_store, open_store, verify_store
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import DataError

FACTS = SetFacts("tiny", "Tiny", "noise", "here", "none", "by hand", seed=3)


def arrays(count=8, size=(5, 4)):
    images = np.random.default_rng(1).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    split = np.arange(count) // 2 % 2
    return images, labels, split


def test_what_is_written_is_read_back(tmp_path):
    images, labels, split = arrays()
    store = verify_store(write_store(tmp_path / "tiny", images, labels, split, "ab", FACTS))
    assert isinstance(store.images, np.memmap)
    np.testing.assert_array_equal(store.images, images)
    np.testing.assert_array_equal(store.labels, labels)
    np.testing.assert_array_equal(store.split, split)
    assert store.class_names == ("a", "b")
    assert store.meta["counts"] == {"train": {"a": 2, "b": 2}, "test": {"a": 2, "b": 2}}
    assert store.meta["seed"] == 3
    train = images[split == 0] / 255
    np.testing.assert_allclose(store.meta["mean"], train.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(store.meta["std"], train.std(axis=(0, 1, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_a_set_prepared_by_version_0_3_0_opens_and_is_left_as_it_is(tmp_path):
    """The set is what that version's `prepare folder` made of 13 PNGs of 12 x 12 pixels."""
    committed = Path(__file__).parents[2] / "data" / "prepared_0_3_0"
    before = {file.name: file.read_bytes() for file in committed.iterdir()}
    path = shutil.copytree(committed, tmp_path / "out" / "old")
    store = verify_store(path)
    assert store.fingerprint == "f5c2d9c4ce49ee9adad716883389494669edc21f3dbcd436c300297d29d8ea71"
    assert (store.names, store.class_names) == (None, ("cat", "dog", "eel"))
    train, test = (open_dataset("old", side, tmp_path / "out") for side in ("train", "test"))
    assert (len(train), len(test)) == (10, 3)
    # The files it was made of, and its pixels.
    tree = {
        f"{name}/{at}.png": make_image(10 * label + at, "png", height=12, width=12)
        for label, name in enumerate(store.class_names)
        for at in range(4)
    }
    tree["dog/copy.png"] = tree["dog/1.png"]
    raw = write_tree(tmp_path / "raw", tree)
    expected = [fit_image(decode_image(tree[name], ""), 8, "crop") for name in sorted(tree)]
    np.testing.assert_array_equal(store.images, expected)
    given = {"raw": raw, "name": "old", "size": 8, "test_share": 0.25}
    assert prepare("folder", tmp_path / "out", **given) == path
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    new = open_store(prepare("folder", tmp_path / "out", replace=True, workers=1, **given))
    assert len(new.names) == 13
    np.testing.assert_array_equal(new.images, store.images)
    np.testing.assert_array_equal(new.split, store.split)


def test_images_may_come_one_by_one(tmp_path):
    images, labels, split = arrays()
    whole = open_store(write_store(tmp_path / "whole", images, labels, split, "ab", FACTS))
    stream = (image for image in images)
    parts = open_store(write_store(tmp_path / "parts", stream, labels, split, "ab", FACTS))
    assert parts.meta == whole.meta


def test_fingerprint_follows_contents_split_and_class_names(tmp_path):
    images, labels, split = arrays()
    other_images = images.copy()
    other_images[3, 2, 1, 0] ^= 1
    other_split = split.copy()
    other_split[[0, 2]] = other_split[[2, 0]]
    variants = [
        (images, labels, split, "ab"),
        (other_images, labels, split, "ab"),
        (images, labels[::-1], split, "ab"),
        (images, labels, other_split, "ab"),
        (images, labels, split, "ac"),
    ]
    found = {
        open_store(write_store(tmp_path / str(number), *variant, FACTS)).fingerprint
        for number, variant in enumerate(variants)
    }
    assert len(found) == len(variants)
    again = open_store(write_store(tmp_path / "again", *variants[0], FACTS))
    assert again.fingerprint == open_store(tmp_path / "0").fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, y, s: (i[:-1], y, s), "7 images for 8 labels"),
        (lambda i, y, s: (i, y[:-1], s[:-1]), "more images than the 7 labels"),
        (lambda i, y, s: (i.astype(np.float32), y, s), "float32"),
        (lambda i, y, s: (i[..., :1], y, s), "height x width x 3"),
        (lambda i, y, s: ([*i[:4], *i[4:, :3]], y, s), "image 4 is of shape"),
        (lambda i, y, s: (i, y + 1, s), "labels from 1 to 2"),
        (lambda i, y, s: (i, y, s * 3), "split holds 3"),
        (lambda i, y, s: (i, y, s * 0), "no image on the test side of class a, b"),
        (lambda i, y, s: (i[:0], y[:0], s[:0]), "at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        write_store(tmp_path / "tiny", *change(*arrays()), "ab", FACTS)
    assert list(tmp_path.iterdir()) == []


def test_repeated_class_name_is_refused(tmp_path):
    with pytest.raises(DataError, match="class name occurs twice"):
        write_store(tmp_path / "tiny", *arrays(), "aa", FACTS)


KILLED_WRITER = """
import os, signal, sys
import numpy as np
from pycls.datasets.store.writer import SetFacts, write_store

def images():
    for index in range(8):
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.zeros((5, 4, 3), np.uint8)

facts = SetFacts("tiny", "Tiny", "noise", "here", "none", "by hand")
write_store(sys.argv[1], images(), [0, 1] * 4, [0, 0, 1, 1] * 2, "ab", facts)
"""


def test_killed_writer_leaves_nothing_that_opens_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "tiny"
    result = subprocess.run([sys.executable, "-c", KILLED_WRITER, path], check=False)
    assert result.returncode == -9
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="not found"):
        open_store(path)
    neighbour = tmp_path / ".tiny2.77.partial"
    neighbour.mkdir()
    write_store(path, *arrays(), "ab", FACTS)
    assert sorted(tmp_path.iterdir()) == [neighbour, path]
    verify_store(path)


def test_full_disk_leaves_nothing_and_the_old_set_stays(tmp_path):
    path = write_store(tmp_path / "tiny", *arrays(), "ab", FACTS)
    before = open_store(path).fingerprint
    big = arrays(count=4000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            write_store(path, *big, "ab", FACTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename is not None
    assert list(tmp_path.iterdir()) == [path]
    assert verify_store(path).fingerprint == before


def test_writing_again_replaces(tmp_path):
    path = write_store(tmp_path / "tiny", *arrays(), "ab", FACTS)
    write_store(path, *arrays(count=12), "ab", FACTS)
    assert len(verify_store(path).labels) == 12
    assert list(tmp_path.iterdir()) == [path]


def test_missing_and_foreign_folders_are_told_apart(tmp_path):
    with pytest.raises(DataError, match=r"none: not found; prepare"):
        open_store(tmp_path / "none")
    with pytest.raises(DataError, match=r"is not a prepared data set \(it has no meta.json\)"):
        open_store(tmp_path)
    assert not is_store(tmp_path)


@pytest.mark.parametrize("name", ARRAY_FILES)
def test_missing_or_cut_array_file_is_named(make_store, name):
    path = make_store() / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=rf"{name}: {len(content) - 1} bytes, expected"):
        open_store(path.parent)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: missing; .*prepare"):
        open_store(path.parent)


@pytest.mark.parametrize("name", ARRAY_FILES)
def test_verify_finds_a_single_changed_byte(make_store, name):
    path = make_store() / name
    content = bytearray(path.read_bytes())
    content[-16] ^= 1
    path.write_bytes(content)
    open_store(path.parent)
    with pytest.raises(DataError, match=rf"{name}: damaged"):
        verify_store(path.parent)


def test_verify_finds_a_renamed_class(make_store):
    edit_meta(path := make_store(), class_names=["cat", "cow", "eel"])
    with pytest.raises(DataError, match="fingerprint"):
        verify_store(path)


def edit_meta(path: Path, **changes):
    meta = json.loads((path / "meta.json").read_text())
    meta.update(changes)
    (path / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "format version 99, this program reads 1"),
        ({"arrays": {}}, "nothing recorded of images.npy"),
        ({"num_images": 35}, r"uint8 of shape \(36, 6, 6, 3\), expected"),
        ({"class_names": ["cat", "dog"], "num_classes": 2}, "labels from 0 to 2"),
        ({"class_names": ["cat", "dog"]}, "class names or image size"),
        ({"mean": None}, "'mean' is missing or damaged"),
    ],
)
def test_inconsistent_meta_is_refused(make_store, changes, message):
    edit_meta(path := make_store(), **changes)
    with pytest.raises(DataError, match=message):
        open_store(path)


def test_meta_that_is_not_json_is_refused(make_store):
    path = make_store()
    (path / "meta.json").write_text('{"format": 1, ')
    with pytest.raises(DataError, match=r"meta.json: damaged .*prepare the set again"):
        open_store(path)


def test_array_of_objects_is_not_unpickled(make_store):
    path = make_store()
    np.save(path / "labels.npy", np.array([print] * 36, dtype=object), allow_pickle=True)
    size = (path / "labels.npy").stat().st_size
    meta = json.loads((path / "meta.json").read_text())
    meta["arrays"]["labels.npy"]["bytes"] = size
    edit_meta(path, arrays=meta["arrays"])
    with pytest.raises(DataError, match="damaged"):
        open_store(path)


def test_a_set_of_format_1_opens_and_a_third_side_has_its_place(make_store):
    path = make_store()
    fingerprint = open_store(path).fingerprint
    meta = json.loads((path / "meta.json").read_text())
    old = {key: value for key, value in meta.items() if key not in ("records", "sides")}
    (path / "digests.npy").unlink()
    (path / "meta.json").write_text(json.dumps({**old, "format": 1}))
    store = verify_store(path)
    assert (store.fingerprint, store.sides, store.names) == (fingerprint, ("train", "test"), None)

    split = np.load(path / "split.npy")
    split[0] = 2
    np.save(path / "split.npy", split)
    with pytest.raises(DataError, match="values other than 0 to 1"):
        open_store(path)
    (path / "meta.json").write_text(json.dumps({**meta, "sides": ["train", "test", "choice"]}))
    store = open_store(path)
    assert store.sides[store.split[0]] == "choice"
    assert len(open_dataset(path, "train")) + len(open_dataset(path, "test")) == len(split) - 1
