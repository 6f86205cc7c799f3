"""Downloads to prepared sets: what is stored, and what happens when something is wrong."""

import json
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest
from archives import encode, make_image, pack, picture, write_tree

from pycls.datasets.preparation.decode_work import DecodeFiles
from pycls.datasets.preparation.decoded import Decoded
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.readers.base import Item
from pycls.datasets.sources.decode import decode_image, fit_image
from pycls.datasets.sources.sources import open_source
from pycls.datasets.store.store import compute_digest, open_store, verify_store
from pycls.datasets.store.writer import SetFacts, write_store
from pycls.errors import ConfigError, DataError
from pycls.progress import Progress

KINDS = ("jpeg", "jpeg_grey", "jpeg_cmyk", "png", "bmp", "bmp32")
CLASSES = ("cat", "dog", "eel")


class Recorder(Progress):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.said, self.stages = [], {}

    def say(self, text):
        self.said.append(text)

    def begin(self, stage, total, done=0, unit="images"):
        self._stage = stage
        self.stages[stage] = [total, done, 0]

    def advance(self, count):
        self.stages[self._stage][2] += count


def make_tree(per_class=20):
    return {
        f"{name}/{at:03d}.{kind.split('_')[0].rstrip('32')}": make_image(
            100 * label + at, kind, height=24 + at % 5, width=30
        )
        for label, name in enumerate(CLASSES)
        for at in range(per_class)
        for kind in [KINDS[at % len(KINDS)]]
    }


TREE = make_tree()


def prepare_tree(folder, tree, key="folder", **options):
    raw = write_tree(folder / "raw", tree)
    options = {"size": 16, "workers": 1, **options}
    return prepare(key, folder / "out", raw=raw, name="mine", **options)


def contents(path):
    """What a set holds, but for the record of its files, which has their times."""
    return {file.name: file.read_bytes() for file in path.iterdir() if file.name != "source.json"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare_tree(tmp_path_factory.mktemp("plain"), TREE)


def test_images_are_decoded_fitted_and_labelled_in_the_order_of_their_names(prepared):
    store = verify_store(prepared)
    assert store.class_names == CLASSES
    assert store.images.shape == (60, 16, 16, 3)
    for row, name in enumerate(sorted(TREE)):
        expected = fit_image(decode_image(TREE[name], name), 16, "crop")
        np.testing.assert_array_equal(store.images[row], expected)
        assert CLASSES[store.labels[row]] == name.split("/")[0]
    assert store.meta["counts"]["test"] == dict.fromkeys(CLASSES, 2)
    assert sorted(file.name for file in prepared.iterdir()) == [
        "digests.npy", "images.npy", "labels.npy", "meta.json", "names.json", "report.txt",
        "source.json", "split.npy",
    ]  # fmt: skip
    assert store.names == tuple(sorted(TREE))
    assert sorted(file.name for file in prepared.parent.iterdir()) == [".mine.lock", "mine"]


def test_statistics_are_those_of_the_writer_that_counts_values(prepared, tmp_path):
    store = open_store(prepared)
    facts = SetFacts("again", "Again", "copy", "here", "none", "as it was")
    again = open_store(
        write_store(tmp_path / "again", store.images, store.labels, store.split, CLASSES, facts)
    )
    for key in ("mean", "std", "arrays", "fingerprint", "counts", "im_size"):
        assert store.meta[key] == again.meta[key]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_packing_order_and_workers_change_nothing(prepared, tmp_path, kind, workers):
    tree = dict(reversed(TREE.items()))
    if kind != "folder":
        tree = {f"mine.{kind}": pack(kind, tree)}
    assert contents(prepare_tree(tmp_path, tree, workers=workers)) == contents(prepared)


def test_aspect_and_size_are_options(tmp_path):
    wide = {
        f"{name}/{at}.png": encode(picture(10 * label + at, 20, 40), "png")
        for label, name in enumerate(CLASSES)
        for at in (0, 1)
    }
    for aspect in ("crop", "squash", "pad"):
        path = prepare_tree(tmp_path / aspect, wide, aspect=aspect, size=30)
        first = decode_image(wide["cat/0.png"], "")
        np.testing.assert_array_equal(open_store(path).images[0], fit_image(first, 30, aspect))


def test_no_group_and_no_copy_is_on_both_sides(tmp_path):
    tree, rows = {}, ["path,label,group"]
    for at in range(90):
        # Every tenth image is a copy of the one nine before it, which is of another group.
        seed = at - 9 if at % 10 == 9 else at
        tree[f"images/{at}.jpg"] = make_image(seed)
        rows.append(f"images/{at}.jpg,{CLASSES[seed % 3]},photograph {at // 4}")
    write_tree(tmp_path, {"table.csv": "\n".join(rows).encode(), **tree})
    path = prepare("csv", tmp_path, raw=tmp_path / "table.csv", name="mine", size=12, seed=3)
    store = open_store(path)
    by_group = {}
    for name, side in zip(store.names, store.split, strict=True):
        at = int(name.split("/")[1].removesuffix(".jpg"))
        by_group.setdefault(at // 4, set()).add(side)
        by_group.setdefault(tree[name], set()).add(side)
    assert all(len(sides) == 1 for sides in by_group.values())
    assert store.meta["groups"] == 23
    assert any("18 images have identical ones of the same label" in n for n in store.meta["notes"])
    assert "images/0.jpg = images/9.jpg" in (path / "report.txt").read_text()


def test_copies_are_settled_before_an_official_split_is_stored(tmp_path):
    tree = {
        f"{side}/{name}/{at}.jpg": make_image(1000 * (side == "test") + 100 * label + at)
        for side, count in (("train", 8), ("test", 3))
        for label, name in enumerate(CLASSES)
        for at in range(count)
    }
    tree["train/cat/0.jpg"] = tree["test/cat/1.jpg"]  # across the split
    tree["train/dog/0.jpg"] = tree["test/eel/1.jpg"]  # across the split, of another label
    tree["train/dog/1.jpg"] = tree["train/eel/1.jpg"]  # two labels
    tree["train/dog/2.jpg"] = tree["train/dog/3.jpg"]  # harmless
    store = open_store(prepare_tree(tmp_path, tree))
    assert store.meta["counts"] == {
        "train": {"cat": 7, "dog": 6, "eel": 7},
        "test": {"cat": 3, "dog": 3, "eel": 3},
    }
    report = (tmp_path / "out" / "mine" / "report.txt").read_text()
    assert "train/cat/0.jpg = test/cat/1.jpg" in report
    assert "train/dog/0.jpg = test/eel/1.jpg" in report
    assert "train/dog/1.jpg = train/eel/1.jpg" in report
    assert "train/dog/2.jpg = train/dog/3.jpg" in report


def break_some(tree, names):
    return {**tree, **{name: tree[name][: len(tree[name]) // 2] for name in names}}


def test_unreadable_images_are_named_at_the_end_and_the_rest_is_kept(prepared, tmp_path):
    names = ["cat/000.jpeg", "eel/013.jpeg"]
    with pytest.raises(DataError) as caught:
        prepare_tree(tmp_path, break_some(TREE, names))
    message = str(caught.value)
    assert message.startswith("2 of 60 images cannot be read")
    assert all(name in message for name in names)
    assert "--drop-unreadable" in message
    assert not (tmp_path / "out" / "mine").exists()

    path = prepare_tree(tmp_path, {}, drop_unreadable=True)
    store, whole = verify_store(path), open_store(prepared)
    left = [row for row, name in enumerate(sorted(TREE)) if name not in names]
    assert len(store.labels) == 58
    expected = {whole.images[row].tobytes(): (whole.labels[row], whole.split[row]) for row in left}
    found = {
        image.tobytes(): (label, side)
        for image, label, side in zip(store.images, store.labels, store.split, strict=True)
    }
    assert found == expected
    assert any("2 images left out, because unreadable" in n for n in store.meta["notes"])
    train = store.images[store.split == 0] / 255
    np.testing.assert_allclose(store.meta["mean"], train.mean(axis=(0, 1, 2)))
    assert not list(path.parent.glob("*.preparing"))
    again = prepare_tree(
        tmp_path / "again", break_some(TREE, names), drop_unreadable=True, workers=3
    )
    assert contents(again) == contents(path)


def test_mended_images_are_taken_up(prepared, tmp_path):
    name = "dog/001.jpeg"
    broken = bytearray(TREE[name])
    broken[len(broken) // 2 :] = bytes(len(broken) - len(broken) // 2)
    with pytest.raises(DataError, match=r"1 of 60 images cannot be read.*\n.*dog/001.jpeg"):
        prepare_tree(tmp_path, {**TREE, name: bytes(broken)})
    progress = Recorder()
    path = prepare_tree(tmp_path, {name: TREE[name]}, progress=progress)
    assert "going on with the preparation that was interrupted" in progress.said
    assert contents(path) == contents(prepared)


@pytest.mark.parametrize("sided", [False, True])
def test_equal_pixels_in_other_files_never_lie_on_both_sides(tmp_path, sided):
    tree = {}
    for label, name in enumerate(CLASSES):
        for at in range(12):
            jpeg = make_image(100 * label + at)
            kind, again = [
                ("png", encode(decode_image(jpeg, ""), "png")),
                ("bmp", encode(decode_image(jpeg, ""), "bmp")),
                ("jpeg", jpeg[:2] + b"\xff\xfe\x00\x06note" + jpeg[2:]),
            ][at % 3]
            sides = ("train/", "test/") if sided else ("", "")
            tree[f"{sides[0]}{name}/{at}.jpg"] = jpeg
            tree[f"{sides[1]}{name}/{at}.{kind}"] = again
            tree[f"{sides[0]}{name}/other {at}.jpg"] = make_image(5000 + 100 * label + at)
    store = open_store(prepare_tree(tmp_path, tree, test_share=0.4))
    sides = [{image.tobytes() for image in store.images[store.split == side]} for side in (0, 1)]
    assert not sides[0] & sides[1]
    assert len(store.labels) == (72 if sided else 108)


def test_a_class_whose_only_test_image_cannot_be_read_is_divided_without_it(tmp_path):
    tree = {
        f"{name}/{at}.jpg": make_image(10 * ord(name) + at) for name in "abc" for at in range(3)
    }
    store = open_store(prepare_tree(tmp_path / "whole", tree))
    tested = [name for name, side in zip(store.names, store.split, strict=True) if side]
    broken = break_some(tree, [name for name in tested if name.startswith("a")])
    store = open_store(prepare_tree(tmp_path, broken, drop_unreadable=True))
    assert store.meta["counts"]["test"] == dict.fromkeys("abc", 1)
    sided = {f"{side}/{name}": tree[name] for side in ("train", "test") for name in tree}
    sided = {**sided, **{name: data + b"x" for name, data in sided.items()}}
    official = {
        name: data for name, data in sided.items() if name.endswith("0.jpg") == ("test" in name)
    }
    with pytest.raises(DataError, match="class a: of its images on the test side"):
        prepare_tree(
            tmp_path / "sided", break_some(official, ["test/a/0.jpg"]), drop_unreadable=True
        )


def test_copy_that_could_not_be_read_at_first_is_found_when_it_is_mended(tmp_path):
    tree = {
        **make_tree(),
        "cat/a.bmp": make_image(5000, "bmp"),
        "cat/b.bmp": make_image(5001, "bmp"),
    }
    tree["dog/a.bmp"] = tree["cat/a.bmp"]  # two labels: both are left out
    tree["cat/c.bmp"] = tree["cat/b.bmp"]  # one group
    whole = pack("zip", tree)
    undisturbed = prepare_tree(tmp_path / "undisturbed", {"mine.zip": whole})
    assert "dog/a.bmp" in (undisturbed / "report.txt").read_text()
    broken = bytearray(whole)
    for name in (b"dog/a.bmp", b"cat/c.bmp"):
        place = whole.index(name) + len(name)
        broken[place + 40 : place + 60] = bytes(20)
    with pytest.raises(DataError, match=r"2 of 64 images cannot be read"):
        prepare_tree(tmp_path, {"mine.zip": bytes(broken)})
    progress = Recorder()
    path = prepare_tree(tmp_path, {"mine.zip": whole}, progress=progress)
    assert "going on with the preparation that was interrupted" in progress.said
    assert contents(path) == contents(undisturbed)


def test_other_files_or_options_start_over_with_a_word(tmp_path):
    broken = break_some(TREE, ["cat/000.jpeg"])
    for change in ({}, {"size": 18}, {"tree": {"cat/new.jpeg": make_image(77)}}):
        progress = Recorder()
        with pytest.raises(DataError, match="cannot be read"):
            prepare_tree(
                tmp_path, change.get("tree", broken), size=change.get("size", 16), progress=progress
            )
        assert any("starts over" in text for text in progress.said) == bool(change)


class Stopper(Progress):
    """Interrupts as a stage begins."""

    def __init__(self, stage):
        super().__init__()
        self._last = stage

    def begin(self, stage, total, done=0, unit="images"):
        if stage == self._last:
            raise KeyboardInterrupt


def test_interrupted_after_the_places_of_unreadable_images_are_closed(tmp_path):
    names = ["cat/000.jpeg", "cat/006.jpeg", "eel/013.jpeg"]
    tree = break_some(TREE, names)
    undisturbed = prepare_tree(tmp_path / "undisturbed", tree, drop_unreadable=True)
    for goes_on in (True, False):
        folder = tmp_path / str(goes_on)
        stopper = Stopper("computing the checksum")
        with pytest.raises(KeyboardInterrupt):
            prepare_tree(folder, tree, drop_unreadable=True, progress=stopper)
        if not goes_on:
            # Without the flag they are wanted again.
            with pytest.raises(DataError, match="3 of 60 images cannot be read"):
                prepare_tree(folder, {})
        path = prepare_tree(folder, {}, drop_unreadable=True)
        assert contents(path) == contents(undisturbed)


def test_a_set_with_images_left_out_is_made_again_when_they_are_mended(prepared, tmp_path):
    raw = break_some(TREE, ["cat/000.jpeg"])
    path = prepare_tree(tmp_path, raw, drop_unreadable=True)
    write_tree(tmp_path / "raw", TREE)
    with pytest.raises(DataError, match=r"others than when .*: 1 changed \(cat/000.jpeg\)"):
        prepare_tree(tmp_path, {})
    prepare_tree(tmp_path, {}, replace=True)
    assert contents(path) == contents(prepared)


def test_arrays_are_prepared_without_files(tmp_path):
    import pickle

    rng = np.random.default_rng(0)
    folder = tmp_path / "raw" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = [f"class {label}" for label in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    batches = {f"data_batch_{n}": 20 for n in range(1, 6)} | {"test_batch": 20}
    data = {
        name: rng.integers(0, 256, (count, 3072), dtype=np.uint8) for name, count in batches.items()
    }
    data["data_batch_2"][3] = data["test_batch"][3]
    for name, pixels in data.items():
        labels = [at % 10 for at in range(len(pixels))]
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": labels}))
    store = verify_store(prepare("cifar10", tmp_path / "out", raw=tmp_path / "raw"))
    assert sum(store.meta["counts"]["train"].values()) == 99
    stored = {image.tobytes() for image in store.images[store.split == 1]}
    assert stored == {
        row.reshape(3, 32, 32).transpose(1, 2, 0).tobytes() for row in data["test_batch"]
    }
    small = open_store(prepare("cifar10", tmp_path / "small", raw=tmp_path / "raw", size=8))
    assert small.images.shape[1:] == (8, 8, 3)


def test_parts_of_a_picture_are_cut_and_those_outside_it_refused(tmp_path):
    pixels = picture(1, 20, 30)
    source = open_source(write_tree(tmp_path / "raw", {"a.png": encode(pixels, "png")}))
    boxes = [(2, 3, 8, 8), (22, 12, 8, 8), (23, 12, 8, 8), (-1, 0, 8, 8)]
    items = [Item(source.members[0], str(n), 0, box=box) for n, box in enumerate(boxes)]
    path = tmp_path / "images"
    path.write_bytes(bytes(4 * 8 * 8 * 3))
    result = DecodeFiles(source, path, 0, 8, "crop")((range(4), items))
    found = Decoded.unpack(result)
    images = np.frombuffer(path.read_bytes(), np.uint8).reshape(4, 8, 8, 3)
    np.testing.assert_array_equal(images[0], pixels[3:11, 2:10])
    np.testing.assert_array_equal(images[1], pixels[12:, 22:])
    assert list(found.unreadable) == [2, 3]
    assert "is not within the picture of 30 x 20 pixels" in found.unreadable[2]
    np.testing.assert_array_equal(found.sums[0, :3], images[0].sum(axis=(0, 1)))
    assert found.digests[0].tobytes() == compute_digest(images[0].tobytes())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 0}, ConfigError, "size 0: expected 1 to 4096"),
        ({"aspect": "zoom"}, ConfigError, "aspect 'zoom': expected one of crop, squash, pad"),
        ({"test_share": 1.0}, ConfigError, "test_share 1.0: expected a number between 0 and 1"),
        ({"workers": 0}, ConfigError, "workers 0: expected at least 1"),
        ({"colour": 1}, ConfigError, "has no option 'colour'"),
    ],
)
def test_mistakes_are_explained_before_anything_is_written(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        prepare_tree(tmp_path, TREE, **options)
    out = tmp_path / "out"
    assert not out.exists() or [path.name for path in out.iterdir()] == [".mine.lock"]


def test_what_is_needed_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"--raw PATH. Download: 'Concrete Crack Images"):
        prepare("concrete", tmp_path)
    with pytest.raises(ConfigError, match="a name with --name"):
        prepare("folder", tmp_path, raw=tmp_path)
    with pytest.raises(ConfigError, match="inside an installed package; leave --raw out"):
        prepare("digits", tmp_path, raw=tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        prepare("concrete", tmp_path, raw=tmp_path / "nothing")


def test_a_class_that_cannot_be_divided_is_named(tmp_path):
    tree = {name: data for name, data in TREE.items() if not name.startswith("eel")}
    with pytest.raises(DataError, match="cannot split class eel: it has 1 image"):
        prepare_tree(tmp_path, {**tree, "eel/1.jpg": make_image(5)})


def test_a_complete_set_needs_no_source_and_another_source_is_noticed(tmp_path):
    path = prepare_tree(tmp_path, TREE)
    before = contents(path)
    shutil.move(tmp_path / "raw", tmp_path / "moved")
    assert prepare("folder", tmp_path / "out", name="mine", size=16) == path
    other = write_tree(tmp_path / "other", {**TREE, "cat/new.jpg": make_image(1234)})
    with pytest.raises(DataError, match=r"are others than .*: 1 new \(cat/new.jpg\); use --rep"):
        prepare("folder", tmp_path / "out", name="mine", size=16, raw=other)
    assert contents(path) == before


def test_the_same_files_elsewhere_or_touched_are_the_same_and_changed_bytes_are_not(tmp_path):
    tree = {
        f"{name}/{at}.bmp": make_image(10 * ord(name) + at, "bmp") for name in "ab" for at in (0, 1)
    }
    path = prepare_tree(tmp_path, tree)
    os.utime(tmp_path / "raw" / "a" / "0.bmp", ns=(0, 0))
    assert prepare_tree(tmp_path, {}) == path
    other = write_tree(tmp_path / "packed", {"all.zip": pack("zip", tree)})
    assert prepare("folder", tmp_path / "out", raw=other, name="mine", size=16) == path
    # Of equal size, as BMPs of one shape always are.
    write_tree(tmp_path / "raw", {"a/0.bmp": make_image(999, "bmp")})
    with pytest.raises(DataError, match=r"1 changed \(a/0.bmp\)"):
        prepare_tree(tmp_path, {})


def test_an_interrupted_preparation_decodes_what_was_changed_meanwhile_anew(tmp_path):
    tree = {
        f"{name}/{at}.bmp": make_image(10 * ord(name) + at, "bmp") for name in "ab" for at in (0, 1)
    }
    changed = {**tree, "a/0.bmp": make_image(999, "bmp")}
    expected = contents(prepare_tree(tmp_path / "undisturbed", changed))
    for stop in (("decoding", 1), ("computing the checksum", 0)):
        folder = tmp_path / stop[0]
        with pytest.raises(KeyboardInterrupt):
            prepare_tree(folder, tree, progress=Stopper("computing the checksum"))
        if stop[1]:
            (folder / "out" / ".mine.preparing" / "finish.json").unlink()
        write_tree(folder / "raw", {"a/0.bmp": changed["a/0.bmp"]})
        assert contents(prepare_tree(folder, {})) == expected


def test_replace_makes_the_set_anew_and_keeps_the_old_one_until_then(tmp_path):
    some = {name: data for name, data in TREE.items() if name[4:7] < "006"}
    path = prepare_tree(tmp_path, some)
    before = contents(path)
    with pytest.raises(DataError, match="no such file or folder"):
        prepare("folder", tmp_path / "out", raw=tmp_path / "no", name="mine", replace=True)
    with pytest.raises(ConfigError, match="--raw PATH"):
        prepare("folder", tmp_path / "out", name="mine", replace=True)
    with pytest.raises(KeyboardInterrupt):
        prepare_tree(tmp_path, TREE, replace=True, progress=Stopper("computing the checksum"))
    assert contents(path) == before
    assert len(open_store(prepare_tree(tmp_path, {}, replace=True)).labels) == len(TREE)


def test_replace_takes_the_complete_download_of_a_published_set(tmp_path):
    def scenes(count):
        classes = ("buildings", "forest", "glacier", "mountain", "sea", "street")
        return {
            f"{side}/{name}/{side[-5:]}{name}{at}.jpg": make_image(
                1000 * (side == "seg_test") + 100 * label + at
            )
            for label, name in enumerate(classes)
            for side, last in (("seg_train", count), ("seg_test", 1))
            for at in range(last)
        }

    raw = write_tree(tmp_path / "raw", scenes(1))
    assert len(open_store(prepare("natural", tmp_path, raw=raw, size=8)).labels) == 12
    write_tree(raw, scenes(3))
    with pytest.raises(DataError, match="others than when it was prepared: "):
        prepare("natural", tmp_path, raw=raw, size=8)
    path = prepare("natural", tmp_path, raw=raw, size=8, replace=True)
    assert sum(open_store(path).meta["counts"]["train"].values()) == 18


def test_leftovers_of_a_process_killed_at_the_very_end_are_removed(tmp_path):
    path = prepare_tree(tmp_path, TREE)
    work = path.with_name(".mine.preparing")
    work.mkdir()
    recipe = json.loads((path / "meta.json").read_text())["recipe"]
    (work / "plan.json").write_text(json.dumps({"recipe": recipe}))
    prepare_tree(tmp_path, {})
    assert not work.exists()


def test_half_written_files_of_a_killed_process_do_not_get_into_the_set(prepared, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        prepare_tree(tmp_path, TREE, progress=Stopper("computing the checksum"))
    (tmp_path / "out" / ".mine.preparing" / "set" / ".report.txt.77.partial").write_text("cut")
    assert contents(prepare_tree(tmp_path, {})) == contents(prepared)


@pytest.mark.parametrize("lost", ["set", "set/images.npy"])
def test_work_whose_images_are_gone_is_not_taken_up(prepared, tmp_path, lost):
    with pytest.raises(KeyboardInterrupt):
        prepare_tree(tmp_path, TREE, progress=Stopper("computing the checksum"))
    work = tmp_path / "out" / ".mine.preparing"
    assert (work / "images.jsonl").exists()
    assert (work / "finish.json").exists()
    if lost == "set":
        shutil.rmtree(work / lost)
    else:
        (work / lost).unlink()
    assert contents(prepare_tree(tmp_path, {})) == contents(prepared)


def test_file_size_limit_leaves_nothing_complete_and_the_next_attempt_succeeds(prepared, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            prepare_tree(tmp_path, TREE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename is not None
    assert not (tmp_path / "out" / "mine").exists()
    assert contents(prepare_tree(tmp_path, {})) == contents(prepared)


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a file system of 3 MB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_too_little_space_is_said_before_anything_is_decoded(small_disk, tmp_path):
    raw = write_tree(tmp_path / "raw", TREE)
    with pytest.raises(DataError, match=r"60 images of 200 x 200 pixels need 0.01 GB more"):
        prepare("folder", small_disk, raw=raw, name="mine", size=200)


class Filler(Progress):
    """Fills a disk as soon as decoding begins."""

    def __init__(self, folder):
        super().__init__()
        self._path = folder / "filler"

    def begin(self, stage, total, done=0, unit="images"):
        if stage != "decoding":
            return
        with self._path.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass


@pytest.mark.parametrize("workers", [1, 2])
def test_disk_that_fills_up_meanwhile(small_disk, tmp_path, workers):
    raw = write_tree(tmp_path / "raw", TREE)
    options = {"raw": raw, "name": "mine", "size": 100, "workers": workers}
    with pytest.raises(OSError, match="No space left") as caught:
        prepare("folder", small_disk, progress=Filler(small_disk), **options)
    assert caught.value.filename is not None
    assert not (small_disk / "mine").exists()
    (small_disk / "filler").unlink()
    path = prepare("folder", small_disk, **options)
    assert contents(path) == contents(prepare("folder", tmp_path / "else", **options))
