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
    assert listing.notes == ()
    assert not listing.left_out
    assert {item.name for item in listing.items if item.side == 2} == {
        "val/cats/2.jpg",
        "val/dogs/2.jpg",
    }
    # Nothing can be validated of a class that is not trained.
    more = images("val/eels/1.jpg")
    listing = read(tmp_path / "c", {**tree, **more})
    assert sides_of(listing) == {0: TWO, 1: TWO, 2: TWO}
    assert list(listing.left_out.values()) == [["val/eels/1.jpg"]]
    listing = read(tmp_path / "b", tree, test_folder="val")
    assert labelled(listing)["val/cats/2.jpg"] == ("cats", 1)
    assert not any(name.startswith("test/") for name in labelled(listing))


def test_unlabelled_test_images_are_left_out(tmp_path):
    listing = read(tmp_path / "a", {**SPLIT, **images("test/1.jpg", "test/2.jpg")})
    assert labelled(listing)["val/cats/2.jpg"] == ("cats", 1)
    assert listing.left_out == {"unlabelled, in the folder 'test'": ["test/1.jpg", "test/2.jpg"]}
    train = {name: data for name, data in SPLIT.items() if name.startswith("train")}
    listing = read(tmp_path / "b", {**train, **images("test/1.jpg", "loose.jpg")})
    assert set(labelled(listing).values()) == {("cats", None), ("dogs", None)}
    assert listing.left_out == {
        "unlabelled, in the folder 'test'": ["test/1.jpg"],
        "in no folder of a side: there is no test side": ["loose.jpg"],
    }


@pytest.mark.parametrize(
    ("tree", "options", "error", "message"),
    [
        (images("1.jpg", "2.jpg"), {}, DataError, "in no class's folder: '1.jpg', '2.jpg'"),
        ({**PLAIN, **images("9.jpg")}, {}, DataError, "in no class's folder: '9.jpg'"),
        (images("a/cats/1.jpg", "a/cats/2.jpg"), {}, DataError, "a single class, 'cats'"),
        (images("cats/1.jpg", "cats/b/2.jpg"), {}, DataError, "a single class, 'cats'"),
        (
            {**PLAIN, **images("train/1.webp"), "eels/a.txt": b"x", "eels/b/c.txt": b"x"},
            {},
            DataError,
            r"class folders without an image: 'eels' \(.txt 2\); remove .* --exclude 'eels'",
        ),
        (PLAIN, {"level": 3}, ConfigError, "level 3: expected 1 to 2"),
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


def sides_of(listing):
    found = {(listing.class_names[item.label], item.side) for item in listing.items}
    return {side: {name for name, s in found if s == side} for side in {s for _, s in found}}


TWO = {"cats", "dogs"}
BIRDS = ("001.Auk", "002.Jay")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("training_set/training_set", "test_set/test_set"), {0: TWO, 1: TWO}),
        (("train.X1", "train.X2", "val.X"), {0: TWO, 1: TWO}),
        (("Train", "valid"), {0: TWO, 1: TWO}),
        (("trainset", "testset"), {0: TWO, 1: TWO}),
        (("imagenet_train", "imagenet_val"), {0: TWO, 1: TWO}),
        (("train/images", "val/images"), {0: TWO, 1: TWO}),
        (("trn", "tst"), {0: TWO, 1: TWO}),
        (("trainval", "test"), {0: TWO, 1: TWO}),
        (("training", "evaluation"), {0: TWO, 1: TWO}),
        (("TrainImages", "TestImages"), {0: TWO, 1: TWO}),
        (("train.X1", "train.X2"), {None: TWO}),
        (("part1", "part2"), {None: TWO}),
        (("HAM_images_part_1", "HAM_images_part_2"), {None: TWO}),
        (("Set A", "Set B"), {None: TWO}),
        (("red", "blue"), {None: {"red", "blue"}}),
        (("test", "bullet train"), {None: {"test", "bullet train"}}),
    ],
)
def test_forms_of_sides_and_parts(tmp_path, folders, expected):
    tree = images(*(f"{folder}/{name}/1.jpg" for folder in folders for name in sorted(TWO)))
    listing = read(tmp_path, tree)
    assert sides_of(listing) == expected
    # What could have been meant otherwise is said.
    assert bool(listing.notes) == (None in expected)
    assert not listing.left_out


def test_of_train_and_trainval_the_former_counts(tmp_path):
    folders = ("train", "trainval", "val", "test")
    tree = images(*(f"{folder}/{name}/1.jpg" for folder in folders for name in sorted(TWO)))
    listing = read(tmp_path, tree)
    assert sides_of(listing) == {0: TWO, 1: TWO, 2: TWO}
    assert len(listing.items) == 6
    assert sum(map(len, listing.left_out.values())) == 2
    # "trainval" holds what there is to validate.
    del tree["train/cats/1.jpg"], tree["train/dogs/1.jpg"]
    listing = read(tmp_path / "both", tree)
    assert sides_of(listing) == {0: TWO, 1: TWO}
    assert list(listing.left_out) == ["in the folder 'val': the test side is 'test'"]


def test_sides_and_classes_in_one_name(tmp_path):
    for at, form in enumerate(("{side}-{name}", "{name}_{side}set", "{side}{name}")):
        folders = [form.format(side=side, name=name) for side in ("train", "test", "val")
                   for name in ("Cats", "Dogs")]  # fmt: skip
        listing = read(tmp_path / str(at), images(*(f"{folder}/1.jpg" for folder in folders)))
        assert sides_of(listing) == {side: {"Cats", "Dogs"} for side in range(3)}
        assert not listing.left_out


def test_level_says_which_folder_is_the_class(tmp_path):
    tree = images(*(f"{city}/{name}/1.jpg" for city in ("Bern", "Rome") for name in sorted(TWO)))
    assert read(tmp_path / "a", tree).class_names == ("Bern", "Rome")
    listing = read(tmp_path / "b", tree, level=2)
    assert listing.class_names == ("cats", "dogs")
    assert len(listing.items) == 4
    for at, form in enumerate(("{part}/{side}/", "{side}_{part}/")):
        paths = [form.format(part=part, side=side) for part in ("day", "night")
                 for side in ("train", "test")]  # fmt: skip
        tree = images(*(f"{path}{name}/1.jpg" for path in paths for name in sorted(TWO)))
        listing = read(tmp_path / f"c{at}", tree)
        assert sides_of(listing) == {0: {"day", "night"}, 1: {"day", "night"}}
        level = 3 - at
        assert f"if those are the classes, --set level={level}" in listing.notes[0]
        assert sides_of(read(tmp_path / f"d{at}", tree, level=level)) == {0: TWO, 1: TWO}


def test_sides_within_the_classes(tmp_path):
    names = [f"{name}/{side}/1.jpg" for name in TWO for side in ("train", "test", "val")]
    listing = read(tmp_path, images(*names))
    assert sides_of(listing) == {0: TWO, 1: TWO, 2: TWO}
    assert not listing.left_out


def test_the_annotations_of_tiny_imagenet(tmp_path):
    tree = images(
        *(f"tiny/train/n{label}/images/n{label}_{at}.JPEG" for label in (1, 2) for at in (0, 1)),
        *(f"tiny/val/images/val_{at}.JPEG" for at in range(3)),
        *(f"tiny/test/images/test_{at}.JPEG" for at in range(2)),
    )
    rows = [f"val_{at}.JPEG\tn{at % 2 + 1}\t0\t0\t9\t9" for at in range(3)]
    tree["tiny/val/val_annotations.txt"] = "\n".join(rows).encode()
    tree["tiny/train/n1/n1_boxes.txt"] = b"n1_0.JPEG\t0\t0\t9\t9"
    listing = read(tmp_path, tree)
    labels = labelled(listing)
    assert labels["val/images/val_0.JPEG"] == ("n1", 1)
    assert labels["val/images/val_1.JPEG"] == ("n2", 1)
    assert labels["train/n2/images/n2_0.JPEG"] == ("n2", 0)
    assert listing.left_out == {
        "unlabelled, in the folder 'test'": ["tiny/test/images/test_0.JPEG",
                                             "tiny/test/images/test_1.JPEG"],
        "as lists of labels, which are used": ["tiny/val/val_annotations.txt"],
        "not images": ["tiny/train/n1/n1_boxes.txt"],
    }  # fmt: skip


def test_lists_of_the_sides(tmp_path):
    names = [f"images/{kind}/{kind[4:]}_{at}.jpg" for kind in BIRDS for at in range(3)]
    tree = images(*names)
    numbered = "\n".join(f"{n} {name.removeprefix('images/')}" for n, name in enumerate(names, 1))
    split = "\n".join(f"{n} {int(n % 3 != 0)}" for n in range(1, 7))
    cub = {"images.txt": numbered.encode(), "train_test_split.txt": split.encode()}
    listing = read(tmp_path / "cub", wrap("CUB", {**tree, **cub}))
    assert {item.name for item in listing.items if item.side} == {
        "001.Auk/Auk_2.jpg",
        "002.Jay/Jay_2.jpg",
    }
    # Food-101's kind: without suffix, in another folder; what is in no list is left out.
    short = [name.removeprefix("images/").removesuffix(".jpg") for name in names]
    lists = {
        "meta/train.txt": "\n".join(short[1:3] + short[4:]).encode(),
        "meta/test.txt": short[3].encode() + b"\n" + short[0].encode(),
        "labels.txt": b"birds",
    }
    listing = read(tmp_path / "food", {**tree, **images("images/001.Auk/more.jpg"), **lists})
    assert {item.name for item in listing.items if item.side} == {
        "001.Auk/Auk_0.jpg",
        "002.Jay/Jay_0.jpg",
    }
    assert listing.left_out["since the lists of the sides do not name them"] == [
        "images/001.Auk/more.jpg"
    ]
    assert "meta/test.txt lists the test side" in listing.official_split


def test_lists_as_tables_and_without_a_train_side(tmp_path):
    names = [f"{name}/{at}.jpg" for name in sorted(TWO) for at in range(3)]
    test = "\n".join(names[::3])
    for at, lists in enumerate(
        (
            {"train.csv": f"path,label\n{names[1]},1\n{names[4]},2", "test.csv": f"path\n{test}"},
            {"testing_list.txt": test, "validation_list.txt": f"{names[2]}\n{names[5]}\n"},
        )
    ):
        tree = {**images(*names), **{name: text.encode() for name, text in lists.items()}}
        listing = read(tmp_path / str(at), tree)
        held = dict.fromkeys(names[2::3], 2) if at else {}
        assert {item.name: item.side for item in listing.items} == {
            names[0]: 1, names[1]: 0, names[3]: 1, names[4]: 0, **held
        }  # fmt: skip
        unlisted = listing.left_out.get("since the lists of the sides do not name them", [])
        assert unlisted == ([] if at else names[2::3])
    # A list whose images are in another one again is no side.
    lists = {"train.txt": names[1::3], "test.txt": names[::3], "val.txt": names[1:3]}
    tree = images(*names) | {name: "\n".join(each).encode() for name, each in lists.items()}
    listing = read(tmp_path / "again", tree)
    assert sides_of(listing) == {0: TWO, 1: TWO}
    assert "1 of its images are in others too" in listing.notes[0]
    tree = {**images(*names), "test.txt": f"{test}\nwrong.jpg".encode()}
    listing = read(tmp_path / "wrong", tree)
    assert sides_of(listing) == {None: TWO}
    assert "'test.txt' is not used" in listing.notes[0]
    assert "line 3, 'wrong.jpg', names no image" in listing.notes[0]


def test_labels_of_a_side_in_a_list(tmp_path):
    tree = images(*(f"train/{name}/1.jpg" for name in sorted(TWO)), "val/1.jpg", "val/2.jpg")
    for name, text in (("val/labels.csv", "file,label\n1.jpg,cats\n2.jpg,dogs"),
                       ("val.txt", "1.jpg cats\n2.jpg dogs"),
                       ("val.csv", "label,id\ncats,1\ndogs,2")):  # fmt: skip
        listing = read(tmp_path / name, {**tree, name: text.encode()})
        assert labelled(listing)["val/2.jpg"] == ("dogs", 1)
        assert sides_of(listing) == {0: TWO, 1: TWO}
        assert listing.left_out == {"as lists of labels, which are used": [name]}
    # GTSRB's kind: numbers of other columns may be names of classes too.
    names = [f"Train/{name}/{at}.png" for name in "012" for at in (0, 1)]
    tree = images(*names, *(f"Test/{at}.png" for at in range(3)))
    rows = [f"{(at + 1) % 3},0,{at},Test/{at}.png" for at in range(3)]
    tree["Test.csv"] = "\n".join(("Width,Roi.X1,ClassId,Path", *rows)).encode()
    assert labelled(read(tmp_path / "signs", tree))["Test/2.png"] == ("2", 1)


def test_what_looks_like_masks_is_said(tmp_path):
    for at, (names, patterns) in enumerate(
        (
            ([f"{kind}/{at}.png" for kind in ("images", "masks") for at in (1, 2)], "'masks'"),
            ([f"{kind}/{at}{end}.png" for kind in TWO for at in (1, 2) for end in ("", "_mask")],
             "'*_mask.*'"),
        )
    ):  # fmt: skip
        (note,) = read(tmp_path / str(at), images(*names)).notes
        assert note.startswith(f"{len(names) // 2} images of the set look like masks")
        assert note.endswith(f"leave them out with --exclude {patterns}")
    names = [f"{kind}/{at}.png" for kind in ("with_mask", "without_mask") for at in (1, 2)]
    assert not read(tmp_path / "none", images(*names)).notes


def test_a_folder_of_lists_that_are_used_is_no_empty_class(tmp_path):
    names = [f"{name}/{at}.jpg" for name in sorted(TWO) for at in range(2)]
    lists = {f"lists/{side}.txt": "\n".join(names[at::2]).encode()
             for at, side in enumerate(("train", "test"))}  # fmt: skip
    listing = read(tmp_path, {**images(*names), **lists})
    assert sides_of(listing) == {0: TWO, 1: TWO}
    assert listing.left_out == {"as lists of the sides, which are used": [*lists]}


def test_an_archive_beside_what_was_unpacked_from_it_is_no_class(tmp_path):
    tree = images("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/2.jpg")
    listing = read(tmp_path / "a", {**tree, "animals.zip": pack("zip", tree)})
    assert listing.class_names == ("cats", "dogs")
    assert [len(names) for names in listing.left_out.values()] == [4]
    listing = read(tmp_path / "c", {**wrap("pets", tree), "animals.zip": pack("zip", tree)})
    assert listing.class_names == ("cats", "dogs")
    assert [len(names) for names in listing.left_out.values()] == [4]
    other = {**tree, "cats/1.jpg": make_image(77)}
    with pytest.raises(DataError, match="two different images are called 'cats/1"):
        read(tmp_path / "b", {**tree, "cats.zip": pack("zip", {"1.jpg": other["cats/1.jpg"]})})
