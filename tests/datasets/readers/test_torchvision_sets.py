"""Sets on disk as torchvision's own classes read them: pixels, labels, sides and names."""

import bz2
import json
import pickle
import struct

import numpy as np
import pytest
from archives import encode, make_image, picture, write_tree
from PIL import Image
from scipy.io import savemat

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.catalog.torchvision_sets import UNUSABLE, USABLE
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.plan import read_listing
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.sources.sources import open_source
from pycls.datasets.store.store import open_store
from pycls.errors import ConfigError, DataError
from pycls.torchvision_import import import_torchvision

import_torchvision()
import torchvision.datasets  # noqa: E402

SIDES = ("train", "test")
RNG = np.random.default_rng(0)


def grey(count, size, levels=256):
    return RNG.integers(0, levels, (count, size, size), dtype=np.uint8)


def idx(array):
    """Return the bytes of an array in MNIST's format."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def mnist(folder, patch):
    found = {}
    for side, word in zip(SIDES, ("train", "t10k"), strict=True):
        pixels, labels = grey(12, 28), np.arange(12, dtype=np.uint8) % 10
        raw = folder / "FashionMNIST" / "raw"
        write_tree(raw, {f"{word}-images-idx3-ubyte": idx(pixels)})
        write_tree(raw, {f"{word}-labels-idx1-ubyte": idx(labels)})
        found[side] = list(zip(pixels, labels.tolist(), strict=True))
    return found


def usps(folder, patch):
    found = {}
    for side, file in zip(SIDES, ("usps.bz2", "usps.t.bz2"), strict=True):
        labels, values = np.arange(10), RNG.choice([-1.0, 0.0, 1.0], (10, 256))
        lines = [
            f"{label + 1} " + " ".join(f"{n + 1}:{value}" for n, value in enumerate(row))
            for label, row in zip(labels, values, strict=True)
        ]
        (folder / file).write_bytes(bz2.compress("\n".join(lines).encode()))
        pixels = ((values + 1) / 2 * 255).astype(np.uint8).reshape(-1, 16, 16)
        found[side] = list(zip(pixels, labels.tolist(), strict=True))
    return found


def gtsrb(folder, patch):
    found = {side: [] for side in SIDES}
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for label in range(3):
        for n in range(2):
            for number, (side, where) in enumerate(
                zip(SIDES, (f"Training/{label:05}", "Final_Test/Images"), strict=True)
            ):
                pixels = picture(100 * number + 10 * label + n, 9 + n, 9)
                name = f"{label:02}{n:03}.ppm"
                path = folder / "gtsrb" / "GTSRB" / where / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
                found[side].append((pixels, label))
            rows.append(f"{name};9;9;1;1;8;8;{label}")
    (folder / "gtsrb" / "GT-final_test.csv").write_text("\n".join(rows))
    return found


def in_folders(folder, root, sides=("",), classes=("Forest", "River", "Sea"), file="{}_{}.png"):
    """Write class folders of PNG files; return their pixels by side."""
    found = {}
    for number, side in enumerate(sides):
        found[side or "all"] = []
        for label, name in enumerate(classes):
            for n in range(1, 4):
                pixels = picture(100 * number + 10 * label + n, 9, 9)
                path = "/".join(filter(None, (root, side, name, file.format(name, n))))
                write_tree(folder, {path: encode(pixels, "png")})
                found[side or "all"].append((pixels, label))
    return found


def eurosat(folder, patch):
    return in_folders(folder, "eurosat/2750")


def country211(folder, patch):
    return in_folders(folder, "country211", SIDES)


def caltech101(folder, patch):
    root = "caltech101/101_ObjectCategories"
    (folder / root / "BACKGROUND_Google").mkdir(parents=True)
    (folder / "caltech101" / "Annotations").mkdir()
    names = ("accordion", "airplanes", "anchor")
    return in_folders(folder, root, classes=names, file="image_{1:04}.jpg")


def food101(folder, patch):
    found = in_folders(folder, "food-101/images", classes=("apple_pie", "ramen"), file="{1}.jpg")
    lists = {"train": (1, 3), "test": (2,)}
    for side, numbers in lists.items():
        named = {c: [f"{c}/{n}" for n in numbers] for c in ("apple_pie", "ramen")}
        write_tree(folder, {f"food-101/meta/{side}.json": json.dumps(named).encode()})
    every = found["all"]
    return {
        side: [every[3 * c + n - 1] for c in range(2) for n in ns] for side, ns in lists.items()
    }


def svhn(folder, patch):
    found = {}
    for side in SIDES:
        pixels = RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
        labels = np.arange(1, 11)
        savemat(
            folder / f"{side}_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": labels[:, None]}
        )
        # Its files call the digit 0 by the number 10.
        found[side] = list(zip(pixels, (labels % 10).tolist(), strict=True))
    lists = {side: [url, file, None]
             for side, (url, file, _) in torchvision.datasets.SVHN.split_list.items()}  # fmt: skip
    patch.setattr(torchvision.datasets.SVHN, "split_list", lists)
    return found


def stl10(folder, patch):
    found, tree = {}, {"class_names.txt": b"\n".join(b"class%d" % n for n in range(10)), "x": b""}
    for side in SIDES:
        pixels = RNG.integers(0, 256, (10, 96, 96, 3), dtype=np.uint8)
        tree[f"{side}_X.bin"] = pixels.transpose(0, 3, 2, 1).tobytes()
        tree[f"{side}_y.bin"] = np.arange(1, 11, dtype=np.uint8).tobytes()
        found[side] = list(zip(pixels, range(10), strict=True))
    write_tree(folder / "stl10_binary", tree)
    kind = torchvision.datasets.STL10
    kept = [name for name, _ in kind.train_list if name.endswith(("train_X.bin", "train_y.bin"))]
    patch.setattr(kind, "train_list", [[name, None] for name in kept])
    patch.setattr(kind, "test_list", [[name, None] for name, _ in kind.test_list])
    return found


def semeion(folder, patch):
    pixels, labels = RNG.integers(0, 2, (30, 256)), np.arange(30) % 10
    rows = np.concatenate([pixels, np.eye(10)[labels]], axis=1)
    np.savetxt(folder / "semeion.data", rows, fmt="%.4f")
    patch.setattr(torchvision.datasets.SEMEION, "md5_checksum", None)
    every = (pixels * 255).astype(np.uint8).reshape(-1, 16, 16)
    return {"all": list(zip(every, labels.tolist(), strict=True))}


def cifar10(folder, patch):
    kind = torchvision.datasets.CIFAR10
    found = {side: [] for side in SIDES}
    root = folder / kind.base_folder
    root.mkdir()
    for side, files in zip(SIDES, (kind.train_list, kind.test_list), strict=True):
        for name, _ in files:
            pixels = RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
            data = pixels.transpose(0, 3, 1, 2).reshape(10, -1)
            (root / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10))}))
            found[side] += list(zip(pixels, range(10), strict=True))
    names = [f"thing {n}" for n in range(10)]
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    for name in ("train_list", "test_list"):
        patch.setattr(kind, name, [[file, None] for file, _ in getattr(kind, name)])
    patch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return found


MAKERS = {
    "FashionMNIST": mnist, "USPS": usps, "GTSRB": gtsrb, "EuroSAT": eurosat,
    "Country211": country211, "Caltech101": caltech101, "Food101": food101, "SVHN": svhn,
    "STL10": stl10, "SEMEION": semeion, "CIFAR10": cifar10,
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_pixels_labels_and_sides_are_those_of_the_files(tmp_path, monkeypatch, name):
    expected = MAKERS[name](tmp_path, monkeypatch)
    entry = find_entry(f"torchvision:{name}")
    listing = read_listing(entry, open_source(tmp_path), entry.options)
    found = {}
    for position, item in enumerate(listing.items):
        side = "all" if item.side is None else SIDES[item.side]
        number = int(item.name.rpartition("/")[2])
        assert item.name == (f"{number:07}" if side == "all" else f"{side}/{number:07}")
        found.setdefault(side, []).append((listing.pixels.load(position), item.label))
    assert {side: len(rows) for side, rows in found.items()} == {
        side: len(rows) for side, rows in expected.items()
    }
    for side, rows in expected.items():
        for (pixels, label), (there, put) in zip(rows, found[side], strict=True):
            colour = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2)
            np.testing.assert_array_equal(there, colour)
            assert label == put


def test_a_set_is_prepared_with_copies_found_by_their_pixels(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    gtsrb(raw, monkeypatch)
    copy = raw / "gtsrb/GTSRB/Training/00001/00009.ppm"
    copy.write_bytes((raw / "gtsrb/GTSRB/Final_Test/Images/01000.ppm").read_bytes())
    given = {"raw": raw, "name": "signs", "size": 9}
    path = prepare("torchvision:GTSRB", tmp_path / "data", **given)
    assert [len(open_dataset("signs", side, tmp_path / "data")) for side in SIDES] == [6, 6]
    assert any(
        "identical ones are on the test side" in note for note in open_store(path).meta["notes"]
    )
    # The same again is left as it is; another image is noticed.
    before = (path / "meta.json").stat().st_mtime_ns
    prepare("torchvision:GTSRB", tmp_path / "data", **given)
    assert (path / "meta.json").stat().st_mtime_ns == before
    Image.fromarray(picture(77, 9, 9)).save(copy)
    with pytest.raises(DataError, match="use --replace"):
        prepare("torchvision:GTSRB", tmp_path / "data", **given)


def test_what_is_not_there_or_damaged_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    for name, message in {
        "MNIST": "does not find its set there",
        "Caltech101": "has no folder",
    }.items():
        entry = find_entry(f"torchvision:{name}")
        with pytest.raises(DataError, match=message):
            read_listing(entry, open_source(tmp_path), entry.options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    in_folders(tmp_path, "eurosat/2750")
    (tmp_path / "eurosat/2750/River/River_2.png").write_bytes(make_image(1)[:40])
    entry = find_entry("torchvision:EuroSAT")
    with pytest.raises(DataError, match="EuroSAT, train 4: cannot be read"):
        read_listing(entry, open_source(tmp_path), entry.options)


def test_what_cannot_be_used_is_said():
    with pytest.raises(ConfigError, match=r"several attributes each; .*usable are CIFAR10"):
        find_entry("torchvision:CelebA")
    with pytest.raises(ConfigError, match="did you mean 'FashionMNIST'"):
        find_entry("torchvision:FashionMnist")
    for name in (*USABLE, *UNUSABLE):
        assert isinstance(getattr(torchvision.datasets, name), type), name
    entry = find_entry("torchvision:EMNIST")
    assert entry.options["dataset"] == "EMNIST"
