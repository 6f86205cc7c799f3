"""ImageNet as published and as usually unpacked: classes, labels of the validation images."""

import functools
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import JUNK, encode, make_image, pack, picture, wrap, write_tree
from scipy.io import savemat

from pycls.datasets.readers.imagenet import read_imagenet
from pycls.datasets.sources.decode import decode_image
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

WNIDS = ["n01440764", "n01443537", "n02105855", "n04152593"]
# Not the alphabetical order: numbers of the development kit differ from labels.
IDS = {"n04152593": 1, "n01440764": 2, "n02105855": 3, "n01443537": 4}
WORDS = {wnid: f"thing {wnid}, a synonym" for wnid in WNIDS}
KINDS = ["jpeg", "jpeg_cmyk", "jpeg_grey", "png"]
PER_CLASS = 3
# Classes of the validation images in the order of their names.
TRUTH = [WNIDS[(number * 7) % 4] for number in range(8)]


@functools.cache
def train_files():
    """Return wnid to file names and bytes; some CMYK, some grey, some PNG named .JPEG."""
    return {
        wnid: {
            f"{wnid}_{10 * number}.JPEG": make_image(10 * label + number, KINDS[number + label & 3])
            for number in range(PER_CLASS)
        }
        for label, wnid in enumerate(WNIDS)
    }


def val_name(number):
    return f"ILSVRC2012_val_{number + 1:08}.JPEG"


@functools.cache
def val_files():
    return {val_name(number): make_image(100 + number) for number in range(len(TRUTH))}


def meta_mat(ids=None):
    """Return meta.mat: the classes, and an inner node with children."""
    kind = [
        ("ILSVRC2012_ID", "f8"),
        ("WNID", object),
        ("words", object),
        ("gloss", object),
        ("num_children", "f8"),
        ("children", object),
        ("wordnet_height", "f8"),
        ("num_train_images", "f8"),
    ]
    rows = [
        (number, wnid, WORDS[wnid], "a gloss", 0, np.zeros((1, 0)), 0, PER_CLASS)
        for wnid, number in (ids or IDS).items()
    ]
    rows.append((1001, "n00001740", "entity", "all", 2, np.array([[1.0, 2.0]]), 9, 0))
    file = io.BytesIO()
    savemat(file, {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    return file.getvalue()


def devkit(truth=None, mat=None):
    lines = truth or "".join(f"{IDS[wnid]}\n" for wnid in TRUTH)
    tree = {
        "readme.txt": b"ImageNet",
        "data/ILSVRC2012_validation_ground_truth.txt": lines.encode(),
        "data/meta.mat": mat or meta_mat(),
    }
    return wrap("ILSVRC2012_devkit_t12", tree)


@functools.cache
def published(**changes):
    """Return the three archives as published."""
    inner = {f"{wnid}.tar": pack("tar", files) for wnid, files in train_files().items()}
    tree = {
        "ILSVRC2012_img_train.tar": pack("tar", inner),
        "ILSVRC2012_img_val.tar": pack("tar", val_files()),
        "ILSVRC2012_devkit_t12.tar.gz": pack("tar.gz", devkit()),
        **changes,
    }
    return {name: data for name, data in tree.items() if data is not None}


@functools.cache
def unpacked_train():
    return {
        f"train/{w}/{name}": d for w, files in train_files().items() for name, d in files.items()
    }


@functools.cache
def class_folders():
    val = val_files()
    files = {f"val/{wnid}/{val_name(n)}": val[val_name(n)] for n, wnid in enumerate(TRUTH)}
    return {**unpacked_train(), **files}


TEST_IMAGE = {"ILSVRC2012_test_00000001.JPEG": make_image(200)}


@functools.cache
def kaggle():
    """Return Kaggle's copy: validation images in one folder, their classes in a table."""
    root = "ILSVRC/Data/CLS-LOC"
    lines = [
        f"{val_name(n)[:-5]},{wnid} 85 1 499 272 {wnid} 3 4 5 6 " for n, wnid in enumerate(TRUTH)
    ]
    return {
        **wrap(root, {**unpacked_train(), **wrap("val", val_files()), **wrap("test", TEST_IMAGE)}),
        f"ILSVRC/Annotations/CLS-LOC/val/{val_name(0)[:-5]}.xml": b"<annotation/>",
        "LOC_val_solution.csv": "\n".join(["ImageId,PredictionString", *lines[::-1]]).encode(),
        "LOC_synset_mapping.txt": "\n".join(f"{w} {WORDS[w]}" for w in WNIDS).encode(),
        "LOC_sample_submission.csv": b"ImageId,PredictionString\n",
    }


@functools.cache
def hugging_face_archives():
    """Return Hugging Face's archives: flat, the class at the end of every name."""
    train = {
        f"{name[:-5]}_{wnid}.JPEG": data
        for wnid, files in train_files().items()
        for name, data in files.items()
    }
    val = {f"{n[:-5]}_{w}.JPEG": d for (n, d), w in zip(val_files().items(), TRUTH, strict=True)}
    names = sorted(train, key=lambda name: name[::-1])
    return {
        "data/train_images_0.tar.gz": pack("tar.gz", {name: train[name] for name in names[::2]}),
        "data/train_images_1.tar.gz": pack("tar.gz", {name: train[name] for name in names[1::2]}),
        "data/val_images.tar.gz": pack("tar.gz", val),
        "data/test_images.tar.gz": pack("tar.gz", TEST_IMAGE),
    }


@functools.cache
def hugging_face_parquet():
    train = [
        (name, data, label)
        for label, files in enumerate(train_files().values())
        for name, data in files.items()
    ]
    train.sort(key=lambda row: row[0][::-1])
    val = [(n, d, WNIDS.index(w)) for (n, d), w in zip(val_files().items(), TRUTH, strict=True)]
    test = [(name, data, -1) for name, data in TEST_IMAGE.items()]
    return {
        "data/train-00000-of-00002.parquet": parquet(train[::2]),
        "data/train-00001-of-00002.parquet": parquet(train[1::2]),
        "data/validation-00000-of-00001.parquet": parquet(val),
        "data/test-00000-of-00001.parquet": parquet(test),
    }


def parquet(rows):
    images = [{"bytes": data, "path": name} for name, data, _ in rows]
    table = pa.table({"image": images, "label": [label for _, _, label in rows]})
    feature = {"label": {"names": [WORDS[wnid] for wnid in WNIDS], "_type": "ClassLabel"}}
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": feature}})}
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=2)
    return file.getvalue()


@functools.cache
def layouts():
    train_tars = {f"{wnid}.tar": pack("tar", files) for wnid, files in train_files().items()}
    return {
        "published": published(),
        "wrapped": wrap("imagenet", {**published(), **JUNK}),
        "inner tars unpacked": {
            **published(**{"ILSVRC2012_img_train.tar": None}),
            **wrap("t", train_tars),
        },
        "all unpacked, val flat": {**unpacked_train(), **wrap("val", val_files()), **devkit()},
        "class folders": class_folders(),
        "class folders in a tar": {"imagenet.tar": pack("tar", wrap("ILSVRC", class_folders()))},
        "kaggle": kaggle(),
        "kaggle in a zip": {"imagenet-object-localization-challenge.zip": pack("zip", kaggle())},
        "archives of Hugging Face": hugging_face_archives(),
        "parquet of Hugging Face": hugging_face_parquet(),
        "archives and folders": {**published(), **class_folders()},
    }


def read(tmp_path, tree, num_classes=4):
    source = open_source(write_tree(tmp_path, tree))
    return source, read_imagenet(source, num_classes=num_classes)


@pytest.mark.parametrize("layout", layouts())
def test_every_layout_gives_the_same_set(tmp_path, layout):
    source, listing = read(tmp_path, layouts()[layout])
    assert listing.class_names == tuple(WNIDS)
    found = {item.name: item for item in listing.items}
    assert list(found) == sorted(found)
    assert len(found) == 4 * PER_CLASS + len(TRUTH)
    for label, (wnid, files) in enumerate(train_files().items()):
        for name, data in files.items():
            item = found[f"train/{wnid}/{name}"]
            assert (item.label, item.side) == (label, 0)
            assert source.read(item.member) == data
    for number, wnid in enumerate(TRUTH):
        item = found[f"val/{val_name(number)}"]
        assert (item.label, item.side) == (WNIDS.index(wnid), 1)
        assert source.read(item.member) == val_files()[val_name(number)]
    has_words = not layout.startswith(("class folders", "archives of"))
    assert dict(listing.class_titles) == (WORDS if has_words else {})
    if layout == "archives and folders":
        assert listing.notes == ("20 images are there twice; one of each is used",)
    elif layout.startswith("kaggle") or "Hugging Face" in layout:
        assert listing.notes == ("1 images of neither side (such as the test images)",)
    else:
        assert listing.notes == ()


def test_images_of_every_kind_decode_to_what_went_in(tmp_path):
    source, listing = read(tmp_path, published())
    item = next(item for item in listing.items if item.name.endswith("n01443537_20.JPEG"))
    data = source.read(item.member)
    assert data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode_image(data, item.name), picture(12))
    for item in listing.items:
        assert decode_image(source.read(item.member), item.name).shape == (24, 32, 3)


def test_a_subset_of_the_classes_beside_all_validation_images(tmp_path):
    tree = {name: data for name, data in unpacked_train().items() if WNIDS[1] not in name}
    _, listing = read(tmp_path, {**tree, **wrap("val", val_files()), **devkit()}, num_classes=3)
    assert listing.class_names == (WNIDS[0], WNIDS[2], WNIDS[3])
    assert {item.label for item in listing.items if item.side == 1} == {0, 1, 2}
    left_out = TRUTH.count(WNIDS[1])
    assert any(note.startswith(f"{left_out} images of neither side") for note in listing.notes)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (published(**{"ILSVRC2012_devkit_t12.tar.gz": None}), "put the development kit"),
        (published(**{"ILSVRC2012_img_val.tar": None}), "no validation image found"),
        (published(**{"ILSVRC2012_img_train.tar": None}), "no training image found"),
        (
            published(
                **{"ILSVRC2012_img_train.tar": published()["ILSVRC2012_img_train.tar"][:4000]}
            ),
            r"ILSVRC2012_img_train\.tar.*damaged or cut short",
        ),
        (
            {**unpacked_train(), **wrap("val", val_files()), **devkit(truth="1\n2\n")},
            r"2 lines, but the images go up to number 8",
        ),
        (
            {**unpacked_train(), **wrap("val", val_files()), **devkit(truth="9\n" * 8)},
            r"line 1: '9' is no class of meta\.mat",
        ),
        (
            {**unpacked_train(), **wrap("val", val_files()), **devkit(mat=b"not a mat file")},
            r"meta\.mat: not the development kit's table",
        ),
        (
            {n: d for n, d in class_folders().items() if not n.startswith("train/n02105855")},
            "training images of 3 classes, expected 4",
        ),
        (
            {n: d for n, d in class_folders().items() if not n.startswith("val/n02105855")},
            "validation side: no image of class 'n02105855'",
        ),
        (
            {
                n: d
                for n, d in {**class_folders(), **devkit()}.items()
                if "train/n02105855" not in n
            },
            "training side: no image of class 'n02105855'",
        ),
        (
            {**kaggle(), "LOC_val_solution.csv": b"ImageId,PredictionString\nx,n0 1 2 3 4\n"},
            r"LOC_val_solution\.csv, line 2: 'n0 1 2 3 4'; expected one class",
        ),
        (
            {**kaggle(), "LOC_val_solution.csv": b"ImageId,PredictionString\nx,n01440764 1 2 3 4"},
            r"no row of 'ILSVRC2012_val_00000001'",
        ),
        (
            {
                **hugging_face_parquet(),
                "data/train-00002-of-00003.parquet": parquet([("n02105855_7.JPEG", b"x", 0)]),
            },
            r"'n02105855_7\.JPEG' has the label 0, which is that of 'n01440764'",
        ),
        ({"readme.txt": b"nothing"}, r"expected ILSVRC2012_img_train\.tar.*found 'readme\.txt'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, tree, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, tree)


def test_counts_of_the_whole_set_are_compared(tmp_path):
    """A thousand classes of one tiny image each, as the archives have them."""
    wnids = [f"n{10_000_000 + 37 * number}" for number in range(1000)]
    image = encode(picture(0, 2, 2))
    train = {f"{wnid}.tar": pack("tar", {f"{wnid}_1.JPEG": image}) for wnid in wnids}
    val = {f"val/{wnid}/{val_name(number)}": image for number, wnid in enumerate(wnids)}
    tree = {"ILSVRC2012_img_train.tar": pack("tar", train), "val.zip": pack("zip", val)}
    listing = read(tmp_path, tree, num_classes=1000)[1]
    assert len(listing.class_names) == 1000
    assert "training images: 1,000, 1,280,167 fewer than the published 1,281,167" in listing.notes
    assert "validation images: 1,000, 49,000 fewer than the published 50,000" in listing.notes
