"""Each published layout, prepared: images, labels, sides and groups are what went in."""

import csv
import io
import pickle
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from archives import JUNK, make_image, pack, wrap, write_tree
from scipy.io import savemat

from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.sources.decode import decode_image, fit_image
from pycls.datasets.store.store import verify_store

SIZE = 16


class Put(NamedTuple):
    """An image that was put into a download: its pixels, class, and side or group if any."""

    pixels: np.ndarray
    label: str
    side: int | None = None
    group: str | None = None


def concrete():
    tree = {
        f"{name}/{at:05d}{'_1' if at > 5 else ''}.jpg": make_image(100 * label + at, height=27)
        for label, name in enumerate(("Negative", "Positive"))
        for at in range(10)
    }
    files = {"5y9wdsg2zt-2.zip": pack("zip", wrap("5y9wdsg2zt-2", {**tree, **JUNK}))}
    return files, [Put(decode_image(d, n), n.split("/")[0]) for n, d in tree.items()]


def mlc2008():
    codes = ("CCA", "Turf", "Macro", "Sand", "Acrop", "Pavon", "Monti", "Pocill", "Porit")
    files, put = {}, []
    for photograph in range(6):
        data = make_image(photograph, "jpeg", height=80, width=120)
        name = f"mcr_lter1_out17m_pole{photograph}_20080415"
        points = [(20 + at, 30 + 6 * at, code) for at, code in enumerate(codes)]
        lines = [f"{r}; {c}; {code.lower() if photograph else code}" for r, c, code in points]
        files[f"2008/{name}.jpg"] = data
        files[f"2008/{name}.jpg.txt"] = "\n".join(["# Row; Col; Label", *lines]).encode()
        pixels = decode_image(data, name)
        for row, column, code in points:
            part = pixels[row - 8 : row + 8, column - 8 : column + 8]
            put.append(Put(part, code, group=name))
    return {"labelled.zip": pack("zip_stored", files)}, put


def imagenet():
    """All 1,000 classes, since fewer are refused; one image on either side."""
    wnids = [f"n{1440764 + 37 * number:08d}" for number in range(1000)]
    kinds = ["jpeg", "jpeg_cmyk", "jpeg_grey", "png"]
    put, tars, val = [], {}, {}
    for label, wnid in enumerate(wnids):
        name = f"{wnid}_{7 * label}.JPEG"
        data = make_image(label, kinds[label % 4], 12, 16)
        tars[f"{wnid}.tar"] = pack("tar", {name: data})
        put.append(Put(decode_image(data, name), wnid, 0))
    # The kit numbers the classes backwards; validation image k shows the class of number k.
    for number in range(1, 1001):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        val[name] = make_image(5000 + number, "jpeg", 12, 16)
        put.append(Put(decode_image(val[name], name), wnids[1000 - number], 1))
    kind = [
        ("ILSVRC2012_ID", "f8"), ("WNID", object), ("words", object), ("num_children", "f8"),
        ("num_train_images", "f8"),
    ]  # fmt: skip
    rows = [(1000 - label, wnid, f"thing {label}", 0, 1) for label, wnid in enumerate(wnids)]
    rows.append((1001, "n00001740", "entity", 1000, 0))
    mat = io.BytesIO()
    savemat(mat, {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    truth = "".join(f"{number}\n" for number in range(1, 1001)).encode()
    kit = {"data/ILSVRC2012_validation_ground_truth.txt": truth, "data/meta.mat": mat.getvalue()}
    files = {
        "ILSVRC2012_img_train.tar": pack("tar", tars),
        "ILSVRC2012_img_val.tar": pack("tar", val),
        "ILSVRC2012_devkit_t12.tar.gz": pack("tar.gz", wrap("ILSVRC2012_devkit_t12", kit)),
    }
    return files, put


def ham10000():
    labels = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    lines = ["lesion_id\timage_id\tdx\tdx_type\tage\tsex\tlocalization"]
    parts, put = ({}, {}), []
    for number in range(7 * 12):
        lesion, label = f"HAM_{number // 7 // 3}{number % 7}", labels[number % 7]
        name = f"ISIC_{24306 + number:07d}"
        parts[number % 2][f"{name}.jpg"] = data = make_image(number, height=45, width=60)
        lines.append(f"{lesion}\t{name}\t{label}\thisto\t80.0\tmale\tscalp")
        put.append(Put(decode_image(data, name), label, group=lesion))
    files = {
        "HAM10000_images_part_1.zip": pack("zip", {**parts[0], **JUNK}),
        "HAM10000_images_part_2.zip": pack("zip", parts[1]),
        "HAM10000_metadata": "\n".join(lines).encode(),
    }
    return files, put


def powerline():
    root = "Power_Line_Database (Infrared-IR and Visible Light-VL)"
    tree, put = {}, []
    for at in range(40):
        kind, label = ("IR", "VL")[at % 2], ("power line", "none")[at // 2 % 2]
        token = {"power line": "TV", "none": "TY"}[label]
        name = f"{kind}_{token}_{at:04d}.bmp" if at % 3 else f"{token}_{kind}_{at:04d}.bmp"
        folder = {"IR": "Infrared (IR)", "VL": "Visible Light (VL)"}[kind]
        data = make_image(at, ("bmp", "bmp32")[at % 5 == 0], 18, 18)
        tree[f"{root}/{folder}/{name}"] = data
        put.append(Put(decode_image(data, name), label))
    return {f"{root}.zip": pack("zip", tree)}, put


def insects():
    text = resources.files("pycls.datasets.readers").joinpath("insects_species.csv").read_text()
    keys = [row["gbif_key"] for row in csv.DictReader(io.StringIO(text))]
    tree, put = {}, []
    for number, key in enumerate([*keys, "99999999"]):
        for at in range(2):
            name = f"British Carabids/database/{key}/d{number:03d}s{at:04d}.jpg"
            tree[name] = data = make_image(2 * number + at, height=18 + number % 7, width=20)
            put.append(Put(decode_image(data, name), key))
    return {"carabids.zip": pack("zip_stored", tree)}, put


def natural():
    tree, put = {}, []
    for label, name in enumerate(("buildings", "forest", "glacier", "mountain", "sea", "street")):
        for side, count in ((0, 4), (1, 2)):
            folder = ("seg_train", "seg_test")[side]
            for at in range(count):
                data = make_image(100 * label + 10 * side + at, height=15 + at, width=16)
                tree[f"{folder}/{folder}/{name}/{at}.jpg"] = data
                put.append(Put(decode_image(data, name), name, side))
    tree["seg_pred/seg_pred/1.jpg"] = make_image(9999)
    return {"intel-image-classification.zip": pack("zip", tree)}, put


def cifar(folder, sizes, label_key, meta, names):
    tree, put = {f"{folder}/{meta[0]}": pickle.dumps({meta[1]: names}, 2)}, []
    for number, (batch, count) in enumerate(sizes.items()):
        pixels = np.random.default_rng(number).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        labels = [at % len(names) for at in range(count)]
        data = pixels.transpose(0, 3, 1, 2).reshape(count, 3072)
        tree[f"{folder}/{batch}"] = pickle.dumps({"data": data, label_key: labels}, 2)
        side = int(batch.startswith("test"))
        put += [Put(p, names[label], side) for p, label in zip(pixels, labels, strict=True)]
    return {f"{folder}.tar.gz": pack("tar.gz", tree)}, put


def cifar10():
    sizes = {**{f"data_batch_{number}": 20 for number in range(1, 6)}, "test_batch": 10}
    names = [f"class {number}" for number in range(10)]
    return cifar("cifar-10-batches-py", sizes, "labels", ("batches.meta", "label_names"), names)


def cifar100():
    names = [f"class {number:03d}" for number in range(100)]
    sizes = {"train": 200, "test": 100}
    return cifar("cifar-100-python", sizes, "fine_labels", ("meta", "fine_label_names"), names)


SETS = (
    concrete, mlc2008, imagenet, ham10000, powerline, insects, natural, cifar10, cifar100,
)  # fmt: skip


@pytest.mark.parametrize("make", SETS, ids=[make.__name__ for make in SETS])
def test_published_layout_is_prepared(make, tmp_path):
    files, put = make()
    key = make.__name__
    options = {"patch": SIZE} if key == "mlc2008" else {}
    raw = write_tree(tmp_path / "raw", files)
    path = prepare(key, tmp_path / "out", raw=raw, size=SIZE, workers=1, **options)
    store = verify_store(path)
    expected = {fit_image(image.pixels, SIZE, "crop").tobytes(): image for image in put}
    assert len(expected) == len(put) == len(store.images)
    sides_of = {}
    for image, label, side in zip(store.images, store.labels, store.split, strict=True):
        found = expected[image.tobytes()]
        assert store.class_names[label] == found.label
        assert found.side in (None, side)
        sides_of.setdefault(found.group or id(found), set()).add(side)
    assert all(len(sides) == 1 for sides in sides_of.values())
    dataset = open_dataset(path, "test")
    assert dataset.num_classes == len(store.class_names)
    assert len(dataset) == sum(store.meta["counts"]["test"].values())
    assert store.meta["groups"] == len({image.group for image in put} - {None})
    assert f"{len(put) - len(dataset):,} train" in Path(path, "report.txt").read_text()
