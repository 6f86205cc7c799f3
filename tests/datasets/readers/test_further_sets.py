"""Sets that people extend the study by: each published layout, in small, by its name."""

import io
from collections import Counter

import numpy as np
import pytest
from archives import make_image, pack, wrap, write_tree
from scipy.io import savemat

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.catalog.further import FURTHER
from pycls.datasets.preparation.plan import read_listing
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

IMAGE = make_image(0, height=4, width=4)
MEDMNIST = [entry.key for entry in FURTHER if "MedMNIST" in entry.source]


def medmnist(key):
    entry = find_entry(key)
    labels = np.arange(2 * entry.num_classes, dtype=np.uint8)[:, None] % entry.num_classes
    images = np.zeros((len(labels), 4, 4), dtype=np.uint8)
    arrays = {}
    for side in ("train", "val", "test"):
        arrays |= {f"{side}_images": images, f"{side}_labels": labels}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return {f"{key}.npz": file.getvalue()}, {0: 2, 1: 2, 2: 2}


def eurosat(key):
    names = find_entry(key).class_counts
    tree = {f"EuroSAT_RGB/{name}/{name}_{n}.jpg": IMAGE for name in names for n in range(3)}
    return {"EuroSAT_RGB.zip": pack("zip", tree)}, {None: 3}


def imagenette(key):
    wnids = [f"n{n:08}" for n in range(10)]
    tree = {
        f"{key}2-160/{side}/{wnid}/{side}_{n}.JPEG": IMAGE
        for side, count in (("train", 3), ("val", 2))
        for wnid in wnids
        for n in range(count)
    }
    tree[f"{key}2-160/noisy_{key}.csv"] = b"path,noisy_labels_0\n"
    return {f"{key}2-160.tgz": pack("tar.gz", tree)}, {0: 3, 1: 2}


def food101(key):
    names = [f"dish_{n}" for n in range(101)]
    tree = {f"images/{name}/{n}.jpg": IMAGE for name in names for n in range(4)}
    for side, numbers in (("train", (0, 1, 3)), ("test", (2,))):
        lines = [f"{name}/{n}" for name in names for n in numbers]
        tree[f"meta/{side}.txt"] = "\n".join(lines).encode()
    tree["meta/classes.txt"] = "\n".join(names).encode()
    return {"food-101.tar.gz": pack("tar.gz", wrap("food-101", tree))}, {0: 3, 1: 1}


def dtd(key):
    names = [f"word{n:02}" for n in range(47)]
    tree = {f"dtd/images/{w}/{w}_{n:04}.jpg": IMAGE for w in names for n in range(3)}
    for split in (1, 2, 10):
        for n, side in enumerate(("train", "val", "test")):
            lines = [f"{word}/{word}_{(n + split - 1) % 3:04}.jpg" for word in names]
            tree[f"dtd/labels/{side}{split}.txt"] = "\n".join(lines).encode()
    tree["dtd/labels/labels_joint_anno.txt"] = b"banded/banded_0002.jpg banded\n"
    return tree, {0: 1, 1: 1, 2: 1}


def pets(key):
    names = [f"{'Breed' if n % 3 else 'some_breed'}_{n}" for n in range(37)]
    tree = {f"images/{name}_{n}.jpg": IMAGE for name in names for n in (1, 2, 10)}
    tree["images/spare_1.jpg"] = IMAGE
    tree |= {f"trimaps/{name}_{n}.png": b"mask" for name in names for n in (1, 2, 10)}
    for file, numbers in (("trainval", (1, 10)), ("test", (2,))):
        rows = [f"{name}_{n} {at + 1} 1 1" for at, name in enumerate(names) for n in numbers]
        tree[f"annotations/{file}.txt"] = "\n".join(rows).encode()
    tree["annotations/list.txt"] = b"#Image CLASS-ID SPECIES BREED ID\n"
    return tree, {0: 2, 1: 1}


def mat(**arrays):
    file = io.BytesIO()
    savemat(file, arrays)
    return file.getvalue()


def flowers102(key):
    numbers = np.arange(1, 409)
    tree = {f"jpg/image_{n:05}.jpg": IMAGE for n in numbers}
    sides = {"trnid": numbers[:102], "valid": numbers[102:204], "tstid": numbers[204:]}
    files = {
        "102flowers.tgz": pack("tar.gz", tree),
        "imagelabels.mat": mat(labels=((numbers - 1) % 102 + 1)[None]),
        "setid.mat": mat(**{name: ids[None] for name, ids in sides.items()}),
    }
    return files, {0: 1, 1: 2, 2: 1}


def tiny_imagenet(key):
    wnids = [f"n{n:08}" for n in range(200)]
    tree = {f"train/{w}/images/{w}_{n}.JPEG": IMAGE for w in wnids for n in range(2)}
    tree |= {f"train/{w}/{w}_boxes.txt": b"x_0.JPEG\t0\t0\t9\t9\n" for w in wnids}
    lines = [f"val_{n}.JPEG\t{w}\t0\t32\t44\t62\n" for n, w in enumerate(wnids)]
    tree |= {f"val/images/val_{n}.JPEG": IMAGE for n in range(200)}
    tree["val/val_annotations.txt"] = "".join(lines).encode()
    tree |= {f"test/images/test_{n}.JPEG": IMAGE for n in range(3)}
    return {"tiny-imagenet-200.zip": pack("zip", wrap("tiny-imagenet-200", tree))}, {0: 2, 1: 1}


def isic2018(key, one_hot=False):
    kinds = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    rows = [(f"HAM_{n}", f"ISIC_{24306 + n:07}", kinds[n % 7]) for n in range(14)]
    tests = [(f"HAM_9{n}", f"ISIC_{34524 + n:07}", kinds[n % 7]) for n in range(7)]
    table = "lesion_id,image_id,dx\n" + "\n".join(map(",".join, tests))
    if one_hot:
        lines = [",".join([i, *(str(float(k == kind)) for k in kinds)]) for _, i, kind in tests]
        table = "\n".join([f"image,{','.join(kinds).upper()}", *lines])
    files = {
        "HAM10000_images_part_1.zip": pack("zip", {f"{i}.jpg": IMAGE for _, i, _ in rows}),
        "HAM10000_metadata": ("lesion_id,image_id,dx\n" + "\n".join(map(",".join, rows))).encode(),
        "ISIC2018_Task3_Test_Images.zip": pack("zip", {f"{i}.jpg": IMAGE for _, i, _ in tests}),
        "ISIC2018_Task3_Test_GroundTruth.csv": table.encode(),
    }
    return files, {0: 2, 1: 1}


MAKERS = {
    **dict.fromkeys(MEDMNIST, medmnist),
    **dict.fromkeys(("imagenette", "imagewoof"), imagenette),
    **{maker.__name__: maker for maker in (eurosat, food101, dtd, pets, flowers102)},
    **{maker.__name__: maker for maker in (tiny_imagenet, isic2018)},
}


def read(tmp_path, key, tree):
    entry = find_entry(key)
    return read_listing(entry, open_source(write_tree(tmp_path, tree)), entry.options)


def test_every_set_is_tried():
    assert set(MAKERS) == {entry.key for entry in FURTHER}


@pytest.mark.parametrize("key", MAKERS)
def test_classes_and_sides_are_the_published_ones(tmp_path, key):
    tree, per_class = MAKERS[key](key)
    listing = read(tmp_path, key, tree)
    assert len(listing.class_names) == find_entry(key).num_classes
    counts = Counter((item.side, item.label) for item in listing.items)
    classes = range(len(listing.class_names))
    assert counts == {(s, c): n for s, n in per_class.items() for c in classes}
    # Fewer than published, and said so.
    assert any("fewer than the published" in note for note in listing.notes)


def test_names_and_labels_go_together(tmp_path):
    listing = read(tmp_path / "pets", "pets", pets("pets")[0])
    for item in listing.items:
        assert item.name.rpartition("_")[0] == listing.class_names[item.label]
        assert item.side == int(item.name.endswith("_2.jpg"))
        assert item.member.file == item.name
    assert "1 images are in neither list and left out" in listing.notes
    listing = read(tmp_path / "flowers", "flowers102", flowers102("flowers102")[0])
    for item in listing.items:
        number = int(item.name[6:11])
        assert listing.class_names[item.label] == f"{(number - 1) % 102 + 1:03}"
        assert item.side == (0, 2, 1, 1)[(number - 1) // 102]
    listing = read(tmp_path / "derma", "dermamnist", medmnist("dermamnist")[0])
    assert listing.class_names[4] == "melanoma"
    assert [item.label for item in listing.items] == [n % 7 for n in range(14)] * 3
    listing = read(tmp_path / "tiny", "tiny_imagenet", tiny_imagenet("tiny_imagenet")[0])
    for item in listing.items:
        if item.side:
            assert listing.class_names[item.label] == f"n{int(item.member.stem[4:]):08}"


def test_the_challenges_table_with_a_column_a_class(tmp_path):
    listing = read(tmp_path, "isic2018", isic2018("isic2018", one_hot=True)[0])
    tested = [item for item in listing.items if item.side]
    assert [item.name for item in tested] == [f"test/ISIC_{34524 + n:07}" for n in range(7)]
    assert [item.label for item in tested] == list(range(7))


def test_another_number_of_classes_is_refused(tmp_path):
    tree = {f"EuroSAT_RGB/{name}/{n}.jpg": IMAGE for name in ("Forest", "River") for n in range(3)}
    with pytest.raises(DataError, match=r"read as 'eurosat': 2 classes, expected 10; give"):
        read(tmp_path, "eurosat", tree)


@pytest.mark.parametrize(
    ("key", "file", "data", "message"),
    [
        ("pets", "annotations/test.txt", None, r"without test\.txt"),
        ("pets", "annotations/test.txt", b"unknown_1 1 1 1\n", "there is no image 'unknown_1'"),
        ("flowers102", "setid.mat", b"no", "no MATLAB file with 'trnid', or damaged"),
        ("flowers102", "setid.mat", mat(trnid=[[1]], valid=[[2]], tstid=[[9999]]),
         "image_09999.jpg"),
        ("isic2018", "ISIC2018_Task3_Test_GroundTruth.csv", None, "the challenge's table"),
        ("isic2018", "ISIC2018_Task3_Test_GroundTruth.csv", b"image_id,dx\nISIC_1,nv\n",
         "line 2: no picture 'ISIC_1' of the test side"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, key, file, data, message):
    tree = dict(MAKERS[key](key)[0])
    tree.pop(file)
    with pytest.raises(DataError, match=message):
        read(tmp_path, key, tree if data is None else {**tree, file: data})
