"""Sets on disk as torchvision's own classes read them: pixels, labels, sides and names."""

import bz2
import itertools
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


def mnist(folder, name, images="{}-images-idx3-ubyte", labels="{}-labels-idx1-ubyte",
          words=("train", "t10k"), values=range(10)):  # fmt: skip
    """Write MNIST's kind; labels count from the first of the values in what is expected."""
    found = {}
    for side, word in zip(SIDES, words, strict=True):
        pixels, numbers = grey(len(values), 28), np.array(values, dtype=np.uint8)
        raw = {images.format(word): idx(pixels), labels.format(word): idx(numbers)}
        write_tree(folder / name / "raw", raw)
        found[side] = list(zip(pixels, (numbers - values[0]).tolist(), strict=True))
    return found


def emnist(folder, values, variant):
    forms = (f"emnist-{variant}-{{}}-images-idx3-ubyte", f"emnist-{variant}-{{}}-labels-idx1-ubyte")
    return mnist(folder, "EMNIST", *forms, SIDES, values)


def qmnist(folder, patch):
    found = mnist(folder, "QMNIST", "qmnist-{}-images-idx3-ubyte", "{}-x", SIDES)
    for side in SIDES:
        # Rows of eight integers, of which the label is the first.
        rows = np.zeros((10, 8), dtype=">i4")
        rows[:, 0] = range(10)
        head = struct.pack(">HBB2I", 0, 12, 2, *rows.shape)
        write_tree(folder, {f"QMNIST/raw/qmnist-{side}-labels-idx2-int": head + rows.tobytes()})
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


def place(folder, form, sides=SIDES, labels=2, **texts):
    """Write images to the paths that a form gives; return their pixels by side.

    The form knows side, label, number and the label's entry of each text.
    """
    found = {side: [] for side in sides}
    for s, side in enumerate(sides):
        for label, number in itertools.product(range(labels), range(2)):
            pixels = picture(100 * s + 10 * label + number, 9, 9)
            words = {key: values[label] for key, values in texts.items()}
            path = form.format(side=side, label=label, number=number, **words)
            write_tree(folder, {path: encode(pixels, "png")})
            found[side].append((pixels, label))
    return found


def write_lists(folder, form, line, sides=SIDES, labels=2, **texts):
    """Write for each side a list with a line for each image of :func:`place`."""
    for side in sides:
        lines = [
            line.format(side=side, label=label, number=number, next=label + 1,
                        **{key: values[label] for key, values in texts.items()})
            for label, number in itertools.product(range(labels), range(2))
        ]  # fmt: skip
        write_tree(folder, {form.format(side=side): "\n".join(lines).encode()})


def named(found, *sides):
    """Return what :func:`place` found under the words of train and test."""
    return dict(zip(SIDES, (found[side] for side in sides), strict=True))


def eurosat(folder, patch):
    return in_folders(folder, "eurosat/2750")


def country211(folder, patch):
    return in_folders(folder, "country211", SIDES)


def rendered(folder, patch):
    return place(folder, "rendered-sst2/{side}/{name}/{number}.png", name=("negative", "positive"))


def imagenette(folder, patch):
    names = ("n01440764", "n02102040")
    form = "imagenette2/{side}/{name}/{name}_{number}.JPEG"
    return named(place(folder, form, ("train", "val"), name=names), "train", "val")


def inaturalist(folder, patch):
    sides = ("2021_train", "2021_valid")
    form = "{side}/{label:05}_A_b_c_d_e_f_{label}/{number}.jpg"
    return named(place(folder, form, sides), *sides)


def dtd(folder, patch):
    names = ("banded", "zigzagged")
    write_lists(folder, "dtd/dtd/labels/{side}1.txt", "{n}/{n}_{side}{number}.jpg", n=names)
    return place(folder, "dtd/dtd/images/{n}/{n}_{side}{number}.jpg", n=names)


def pets(folder, patch):
    names, sides = ("Abyssinian", "basset_hound"), ("trainval", "test")
    top = "oxford-iiit-pet"
    form = "{n}_{side}{number}"
    write_lists(folder, top + "/annotations/{side}.txt", form + " {next} 1 1", sides, n=names)
    return named(place(folder, f"{top}/images/{form}.jpg", sides, n=names), *sides)


def aircraft(folder, patch):
    names, sides, top = ("707-320", "A300B4 x"), ("trainval", "test"), "fgvc-aircraft-2013b/data"
    write_tree(folder, {f"{top}/variants.txt": "\n".join(names).encode()})
    line = "{side}{label}{number} {n}"
    write_lists(folder, top + "/images_variant_{side}.txt", line, sides, n=names)
    return named(place(folder, top + "/images/{side}{label}{number}.jpg", sides), *sides)


def places(folder, patch):
    kind, names = torchvision.datasets.Places365, ("/a/airfield", "/z/zen_garden")
    write_tree(folder, {"categories_places365.txt": b"/a/airfield 0\n/z/zen_garden 1\n"})
    write_lists(folder, "places365_{side}.txt", "{n}/{number}.jpg {label}", ("train_standard",),
                n=names)  # fmt: skip
    write_lists(folder, "places365_{side}.txt", "{label}{number}.jpg {label}", ("val",))
    patch.setattr(kind, "_CATEGORIES_META", (kind._CATEGORIES_META[0], None))
    lists = {side: (file, None) for side, (file, _) in kind._FILE_LIST_META.items()}
    patch.setattr(kind, "_FILE_LIST_META", lists)
    return {
        **place(folder, "data_large_standard{n}/{number}.jpg", ("train",), n=names),
        **place(folder, "val_large/{label}{number}.jpg", ("test",)),
    }


def clevr(folder, patch):
    sides, top = ("train", "val"), "clevr/CLEVR_v1.0"
    for side in sides:
        scenes = [{"image_filename": f"{label}{number}.png", "objects": [0] * (label + 3)}
                  for label, number in itertools.product(range(2), range(2))]  # fmt: skip
        text = json.dumps({"scenes": scenes}).encode()
        write_tree(folder, {f"{top}/scenes/CLEVR_{side}_scenes.json": text})
    return named(place(folder, top + "/images/{side}/{label}{number}.png", sides), *sides)


def flowers(folder, patch):
    kind, top = torchvision.datasets.Flowers102, folder / "flowers-102"
    found = {side: [] for side in SIDES}
    for number in range(1, 9):
        pixels, label = picture(number, 9, 9), number % 2
        write_tree(top / "jpg", {f"image_{number:05}.jpg": encode(pixels, "png")})
        found[SIDES[number > 4]].append((pixels, label))
    savemat(top / "imagelabels.mat", {"labels": np.arange(1, 9) % 2 + 1})
    savemat(top / "setid.mat", {"trnid": range(1, 5), "valid": [1, 2], "tstid": range(5, 9)})
    patch.setattr(kind, "_file_dict", {k: (file, None) for k, (file, _) in kind._file_dict.items()})
    return found


def cars(folder, patch):
    top = folder / "stanford_cars"
    rows = [(f"{label}{number}.jpg", label + 1) for label in range(2) for number in range(2)]
    annotations = np.array(rows, dtype=[("fname", object), ("class", np.uint8)])
    (top / "devkit").mkdir(parents=True)
    for file in ("devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"):
        savemat(top / file, {"annotations": annotations})
    names = np.array(["AM General Hummer", "Acura RL"], dtype=object)
    savemat(top / "devkit" / "cars_meta.mat", {"class_names": names})
    return place(folder, "stanford_cars/cars_{side}/{label}{number}.jpg")


def sun(folder, patch):
    names = ("a/abbey", "b/bar/inside")
    write_tree(folder, {"SUN397/ClassName.txt": "".join(f"/{name}\n" for name in names).encode()})
    return {"all": place(folder, "SUN397/{n}/sun_{number}.jpg", ("all",), n=names)["all"]}


def caltech256(folder, patch):
    found = []
    for label, name in enumerate(("001.ak47", "002.american-flag")):
        for number in (1, 2):
            pixels = picture(10 * label + number, 9, 9)
            path = f"caltech256/256_ObjectCategories/{name}/{label + 1:03}_{number:04}.jpg"
            write_tree(folder, {path: encode(pixels, "png")})
            found.append((pixels, label))
    return {"all": found}


def fer2013(folder, patch):
    kind, rows = torchvision.datasets.FER2013, ["emotion,pixels,Usage"]
    found = {}
    for side, usage in zip(SIDES, ("Training", "PrivateTest"), strict=True):
        pixels = grey(7, 48)
        found[side] = list(zip(pixels, range(7), strict=True))
        rows += [f"{label},{' '.join(map(str, image.ravel()))},{usage}"
                 for image, label in found[side]]  # fmt: skip
    write_tree(folder, {"fer2013/fer2013.csv": "\n".join(rows).encode()})
    patch.setattr(kind, "_RESOURCES", {k: (file, None) for k, (file, _) in kind._RESOURCES.items()})
    return found


def pcam(folder, patch):
    h5py = pytest.importorskip("h5py")
    found = {}
    (folder / "pcam").mkdir()
    for side in SIDES:
        pixels = RNG.integers(0, 256, (4, 96, 96, 3), dtype=np.uint8)
        for letter, array in (("x", pixels), ("y", np.arange(4).reshape(4, 1, 1, 1) % 2)):
            path = folder / "pcam" / f"camelyonpatch_level_2_split_{side}_{letter}.h5"
            with h5py.File(path, "w") as file:
                file[letter] = array
        found[side] = list(zip(pixels, [0, 1, 0, 1], strict=True))
    return found


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


def cifar(folder, patch, kind, key, count):
    found = {side: [] for side in SIDES}
    root = folder / kind.base_folder
    root.mkdir()
    for side, files in zip(SIDES, (kind.train_list, kind.test_list), strict=True):
        for name, _ in files:
            pixels = RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
            data = pixels.transpose(0, 3, 1, 2).reshape(count, -1)
            (root / name).write_bytes(pickle.dumps({"data": data, key: list(range(count))}))
            found[side] += list(zip(pixels, range(count), strict=True))
    names = {kind.meta["key"]: [f"thing {n}" for n in range(count)]}
    (root / kind.meta["filename"]).write_bytes(pickle.dumps(names))
    for name in ("train_list", "test_list"):
        patch.setattr(kind, name, [[file, None] for file, _ in getattr(kind, name)])
    patch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return found


MAKERS = {
    "CIFAR10": lambda at, patch: cifar(at, patch, torchvision.datasets.CIFAR10, "labels", 10),
    "CIFAR100": lambda at, patch: cifar(
        at, patch, torchvision.datasets.CIFAR100, "fine_labels", 100
    ),
    "CLEVRClassification": clevr,
    "Caltech101": caltech101,
    "Caltech256": caltech256,
    "Country211": country211,
    "DTD": dtd,
    "EMNIST": lambda at, _: emnist(at, range(47), "balanced"),
    # Its numbers begin at 1.
    "EMNIST letters": lambda at, _: emnist(at, range(1, 27), "letters"),
    "EuroSAT": eurosat,
    "FER2013": fer2013,
    "FGVCAircraft": aircraft,
    "FashionMNIST": lambda at, _: mnist(at, "FashionMNIST"),
    "Flowers102": flowers,
    "Food101": food101,
    "GTSRB": gtsrb,
    "INaturalist": inaturalist,
    "Imagenette": imagenette,
    "KMNIST": lambda at, _: mnist(at, "KMNIST"),
    "MNIST": lambda at, _: mnist(at, "MNIST"),
    "OxfordIIITPet": pets,
    "PCAM": pcam,
    "Places365": places,
    "QMNIST": qmnist,
    "RenderedSST2": rendered,
    "SEMEION": semeion,
    "STL10": stl10,
    "SUN397": sun,
    "SVHN": svhn,
    "StanfordCars": cars,
    "USPS": usps,
}


def test_every_usable_set_is_tried():
    assert {name.partition(" ")[0] for name in MAKERS} == set(USABLE)


@pytest.mark.parametrize("name", MAKERS)
def test_pixels_labels_and_sides_are_those_of_the_files(tmp_path, monkeypatch, name):
    expected = MAKERS[name](tmp_path, monkeypatch)
    name, _, variant = name.partition(" ")
    entry = find_entry(f"torchvision:{name}")
    options = {**entry.options, "variant": variant or "balanced" * (name == "EMNIST")}
    listing = read_listing(entry, open_source(tmp_path), options)
    if variant:
        assert listing.class_names == tuple("abcdefghijklmnopqrstuvwxyz")
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


def test_labels_that_are_missing_are_said(tmp_path, monkeypatch):
    fer2013(tmp_path, monkeypatch)
    table = tmp_path / "fer2013" / "fer2013.csv"
    lines = table.read_text().splitlines()
    without = [line.rpartition(",")[0] for line in lines]
    (table.parent / "train.csv").write_text("\n".join(without[:8]))
    (table.parent / "test.csv").write_text(
        "\n".join([without[0].partition(",")[2], *(line.partition(",")[2] for line in without[8:])])
    )
    table.unlink()
    entry = find_entry("torchvision:FER2013")
    with pytest.raises(DataError, match="test 0: has no label there"):
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
