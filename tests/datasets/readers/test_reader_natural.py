"""The Intel scenes: folders doubled or not, the unlabelled part left out."""

import pytest
from archives import JUNK, PACKINGS, make_image, pack, pack_as, wrap, write_tree

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers.natural import TEST_COUNTS, TRAIN_COUNTS, read_natural
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")


def scenes(doubled=True, rename=lambda name: name):
    """Return the set as published: three train and two test images a class, and unlabelled."""
    tree = {}
    for side, count in (("seg_train", 3), ("seg_test", 2)):
        top = f"{side}/{side}" if doubled else side
        for label, name in enumerate(CLASSES):
            for number in range(count):
                data = make_image(
                    label * 10 + number + (side == "seg_test") * 5, height=15, width=15
                )
                tree[f"{top}/{rename(name)}/{number}.jpg"] = data
    tree["seg_pred/seg_pred/1.jpg" if doubled else "seg_pred/1.jpg"] = make_image(99)
    return tree


def read(folder, tree):
    source = open_source(write_tree(folder, tree))
    return source, read_natural(source)


def check(source, listing, names=CLASSES):
    assert listing.class_names == tuple(names)
    assert len(listing.items) == 30
    expected = scenes()
    for item in listing.items:
        side, name, file = item.name.split("/")
        assert item.side == ("seg_train", "seg_test").index(side)
        assert CLASSES[item.label] == name
        assert source.read(item.member) == expected[f"{side}/{side}/{name}/{file}"]
    assert "1 unlabelled images of seg_pred are left out" in listing.notes
    assert "seg_train/sea: 3, 2,271 fewer than the published 2,274" in listing.notes


@pytest.mark.parametrize("doubled", [True, False])
@pytest.mark.parametrize("way", PACKINGS)
def test_every_packing_gives_the_set(tmp_path, way, doubled):
    check(*read(tmp_path, pack_as(way, scenes(doubled), "intel-image-classification")))


def test_names_of_classes_are_those_on_disk(tmp_path):
    tree = {name.replace(".jpg", ".JPG"): data for name, data in scenes(rename=str.title).items()}
    _, listing = read(tmp_path, tree)
    assert listing.class_names == tuple(name.title() for name in CLASSES)
    assert len(listing.items) == 30


def test_archive_and_unpacked_folder_side_by_side(tmp_path):
    source, listing = read(tmp_path, {**scenes(), "a.zip": pack("zip", {**scenes(False), **JUNK})})
    assert "30 images are there twice; one of each is used" in listing.notes
    assert len(listing.items) == 30
    assert all(source.read(item.member) for item in listing.items)


def test_counts_are_the_catalogues():
    entry = find_entry("natural")
    both = {name: TRAIN_COUNTS[name] + TEST_COUNTS[name] for name in TRAIN_COUNTS}
    assert both == dict(entry.class_counts)
    assert (sum(TRAIN_COUNTS.values()), sum(TEST_COUNTS.values())) == entry.images


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {n: d for n, d in scenes().items() if "seg_test" not in n},
            "seg_test: no image of class 'buildings', .* and 1 more",
        ),
        (
            {n: d for n, d in scenes().items() if "seg_train/sea" not in n},
            "seg_train: no image of class 'sea'; expected images of 6 classes",
        ),
        (
            {**scenes(), "seg_train/seg_train/desert/1.jpg": make_image(1)},
            "'seg_train/seg_train/desert/1.jpg' lies in no folder of a known class",
        ),
        (
            {**scenes(), "extra/sea/1.jpg": make_image(1)},
            "images lie elsewhere: 'extra/sea/1.jpg'",
        ),
        (wrap("x", {"readme.md": b"hello"}), "expected the folders seg_train"),
        (
            {**scenes(), "copy/seg_train/sea/0.jpg": make_image(1, height=99)},
            "two different images are called 'seg_train/sea/0.jpg'",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, tree, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, tree)
