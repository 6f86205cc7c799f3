"""Anyone's class folders: with or without folders for the sides."""

import pytest
from archives import PACKINGS, make_image, pack, pack_as, wrap, write_tree

from pycls.datasets.readers.folder import read_folder
from pycls.datasets.sources.sources import open_source
from pycls.errors import ConfigError, DataError


def images(*names):
    return {name: make_image(number) for number, name in enumerate(names)}


def read(folder, tree, **options):
    source = open_source(write_tree(folder, tree))
    listing = read_folder(source, **options)
    assert [item.name for item in listing.items] == sorted(item.name for item in listing.items)
    for item in listing.items:
        assert source.read(item.member).startswith((b"\xff\xd8", b"\x89PNG"))
    return listing


def labelled(listing):
    return {item.name: (listing.class_names[item.label], item.side) for item in listing.items}


PLAIN = images("cats/1.jpg", "cats/deep/2.PNG", "dogs/1.jpeg", "Eels/3.bmp.jpg")
SPLIT = images("train/cats/1.jpg", "train/dogs/1.jpg", "val/cats/2.jpg", "val/dogs/2.jpg")


@pytest.mark.parametrize("way", PACKINGS)
def test_class_folders_in_every_packing(tmp_path, way):
    listing = read(tmp_path, pack_as(way, {**PLAIN, "readme.txt": b"x"}))
    assert listing.class_names == ("Eels", "cats", "dogs")
    assert labelled(listing) == {
        "cats/1.jpg": ("cats", None),
        "cats/deep/2.PNG": ("cats", None),
        "dogs/1.jpeg": ("dogs", None),
        "Eels/3.bmp.jpg": ("Eels", None),
    }
    assert listing.official_split == ""
    assert listing.notes == ()


@pytest.mark.parametrize("way", PACKINGS)
def test_split_folders_in_every_packing(tmp_path, way):
    listing = read(tmp_path, pack_as(way, SPLIT))
    assert listing.class_names == ("cats", "dogs")
    assert labelled(listing) == {
        "train/cats/1.jpg": ("cats", 0),
        "train/dogs/1.jpg": ("dogs", 0),
        "val/cats/2.jpg": ("cats", 1),
        "val/dogs/2.jpg": ("dogs", 1),
    }
    assert "'val' is the test side" in listing.official_split


def test_an_archive_for_each_class_or_side(tmp_path):
    tree = {f"{name}.zip": pack("zip", images("1.jpg", "2.jpg")) for name in ("cats", "dogs")}
    assert read(tmp_path / "classes", tree).class_names == ("cats", "dogs")
    inner = {
        "Train": images("cats/1.jpg", "dogs/1.jpg"),
        "Test": images("cats/2.jpg", "dogs/2.jpg"),
    }
    tree = {f"{name}.tar.gz": pack("tar.gz", wrap(name, files)) for name, files in inner.items()}
    listing = read(tmp_path / "sides", tree)
    assert labelled(listing)["Test/dogs/2.jpg"] == ("dogs", 1)


def test_of_test_and_val_the_test_folder_counts_unless_asked(tmp_path):
    tree = {**SPLIT, **images("test/cats/3.jpg", "test/dogs/3.jpg")}
    listing = read(tmp_path / "a", tree)
    assert {item.name for item in listing.items if item.side == 1} == {
        "test/cats/3.jpg",
        "test/dogs/3.jpg",
    }
    assert listing.notes == ("2 images in the folder 'val' are left out: the test side is 'test'",)
    listing = read(tmp_path / "b", tree, test_folder="val")
    assert labelled(listing)["val/cats/2.jpg"] == ("cats", 1)
    assert not any(name.startswith("test/") for name in labelled(listing))


def test_unlabelled_test_images_are_left_out(tmp_path):
    listing = read(tmp_path / "a", {**SPLIT, **images("test/1.jpg", "test/2.jpg")})
    assert labelled(listing)["val/cats/2.jpg"] == ("cats", 1)
    assert "2 images in the folder 'test' are left out: unlabelled" in listing.notes[0]
    train = {name: data for name, data in SPLIT.items() if name.startswith("train")}
    listing = read(tmp_path / "b", {**train, **images("test/1.jpg", "loose.jpg")})
    assert set(labelled(listing).values()) == {("cats", None), ("dogs", None)}
    assert len(listing.notes) == 2


@pytest.mark.parametrize(
    ("tree", "options", "error", "message"),
    [
        (images("1.jpg", "2.jpg"), {}, DataError, "in no class's folder: '1.jpg', '2.jpg'"),
        ({**PLAIN, **images("9.jpg")}, {}, DataError, "in no class's folder: '9.jpg'"),
        (images("a/cats/1.jpg", "a/cats/2.jpg"), {}, DataError, "in no class's folder"),
        (
            images("train/1.jpg", "val/cats/2.jpg"),
            {},
            DataError,
            "no class's folder: 'train/1.jpg'",
        ),
        (images("train/cats/1.jpg", "val/cats/2.jpg"), {}, DataError, "a single class, 'cats'"),
        (
            {**SPLIT, **images("train/eels/1.jpg")},
            {},
            DataError,
            "no image on the test side of class 'eels'",
        ),
        (
            {**SPLIT, **images("val/eels/1.jpg")},
            {},
            DataError,
            "no image on the train side of class 'eels'",
        ),
        (SPLIT, {"test_folder": "held_out"}, ConfigError, "no such folder.*it has 'train', 'val'"),
        (PLAIN, {"test_folder": "val"}, ConfigError, "no such folder"),
        ({"readme.txt": b"x"}, {}, DataError, "expected images in a folder for each class"),
        (
            {"set.rar": b"Rar!"},
            {},
            DataError,
            "'set.rar', which must be unpacked first, with unrar",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, tree, options, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, tree, **options)
