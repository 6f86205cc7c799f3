"""Training on class folders of image files."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from pycls.core.config import load_cfg
from pycls.core.loaders import build_loader
from pycls.core.trainer import train_model
from pycls.datasets import randomness
from pycls.datasets.loading import crops
from pycls.datasets.loading.image_tree import is_image_tree, open_image_tree
from pycls.datasets.loading.loader import Loader
from pycls.datasets.sources.decode import fit_image
from pycls.errors import ConfigError, DataError

OPTIONS = {"batch_size": 4, "im_size": 24, "seed": 3}
CLASSES = ("cat", "dog", "eel")


def make_tree(path, sides=("train", "val"), per_class=6):
    """Write JPEGs and PNGs of random sizes, smooth, so that they decode to their likes."""
    generator = np.random.default_rng(0)
    for side in sides:
        for name in CLASSES:
            folder = path / side / name
            folder.mkdir(parents=True)
            for number in range(per_class):
                height, width = generator.integers(30, 60, 2)
                small = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                image = Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)
                image.save(folder / f"{number}.{'png' if number % 3 == 0 else 'JPG'}", "PNG"
                           if number % 3 == 0 else "JPEG")  # fmt: skip
            (folder / "notes.txt").write_text("not an image")
            (folder / "._1.jpg").write_bytes(b"junk")
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("trees") / "photos")


def pixels(loader, epoch=0, start=0):
    return [(images.clone(), labels) for images, labels in loader.pixels(epoch, start)]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for (a, la), (b, lb) in zip(found, expected, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(la, lb)


def test_images_are_listed_by_class_and_name(tree):
    assert is_image_tree(tree)
    assert not is_image_tree(tree / "train")
    assert not is_image_tree(tree / "nowhere")
    found = open_image_tree(tree, "train")
    assert found.class_names == CLASSES
    assert found.num_classes == 3
    assert len(found) == 18
    assert found.files[:2] == ("cat/0.png", "cat/1.JPG")
    assert list(found.files) == sorted(found.files)
    np.testing.assert_array_equal(found.labels, np.repeat([0, 1, 2], 6))
    image, label = found[6]
    np.testing.assert_array_equal(image, Image.open(tree / "train" / "dog" / "0.png"))
    assert label == 1
    assert open_image_tree(tree, "test").folder == tree / "val"
    some = open_image_tree(tree, "val", ["eel", "cat"])
    assert some.class_names == ("cat", "eel")
    np.testing.assert_array_equal(some.labels, np.repeat([0, 1], 6))


def test_folders_within_class_folders_count(tmp_path):
    path = make_tree(tmp_path / "nested")
    (path / "train" / "cat" / "images").mkdir()
    (path / "train" / "cat" / "5.JPG").rename(path / "train" / "cat" / "images" / "5.JPG")
    found = open_image_tree(path, "train")
    assert len(found) == 18
    assert "cat/images/5.JPG" in found.files


def test_fingerprint_follows_names_sizes_and_classes(tmp_path):
    path = make_tree(tmp_path / "photos")
    first = open_image_tree(path, "train").fingerprint
    shutil.copytree(path, tmp_path / "elsewhere")
    assert open_image_tree(tmp_path / "elsewhere", "train").fingerprint == first
    found = {first, open_image_tree(path, "train", ["cat", "dog"]).fingerprint}
    (path / "train" / "cat" / "1.JPG").rename(path / "train" / "cat" / "1b.JPG")
    found.add(open_image_tree(path, "train").fingerprint)
    with (path / "train" / "cat" / "2.JPG").open("ab") as file:
        file.write(b"\0")
    found.add(open_image_tree(path, "train").fingerprint)
    assert len(found) == 4


def test_statistics_are_imagenets_or_those_beside_the_images(tmp_path):
    path = make_tree(tmp_path / "photos")
    found = open_image_tree(path, "train")
    np.testing.assert_array_equal(found.mean, (0.485, 0.456, 0.406))
    assert found.statistics.startswith("ImageNet's")
    statistics = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (path / "statistics.json").write_text(json.dumps(statistics))
    found = open_image_tree(path, "val")
    np.testing.assert_array_equal([found.mean, found.std], list(statistics.values()))
    assert "statistics.json" in found.statistics
    for wrong in ('{"mean": [0.1, 0.2, 0.3]}', "{", '{"mean": [1, 2, 3], "std": [1, 1, 1]}',
                  '{"mean": [0.1], "std": [0.1]}', "[]", '{"mean": ["a", 1, 1], "std": [1, 1, 1]}',
                  '{"mean": [[1], [1, 1]], "std": [1, 1, 1]}'):  # fmt: skip
        (path / "statistics.json").write_text(wrong)
        with pytest.raises(DataError, match=r'statistics.json: .*expected {"mean": \[r, g, b\]'):
            open_image_tree(path, "train")


def test_what_is_missing_is_named(tmp_path):
    path = make_tree(tmp_path / "photos", sides=("train",))
    with pytest.raises(DataError, match=r"photos: no folder val or the like; expected"):
        open_image_tree(path, "val")
    shutil.copytree(path / "train", path / "test")
    assert len(open_image_tree(path, "val")) == 18
    (path / "test" / "fox").mkdir()
    with pytest.raises(DataError, match=r"test has besides the class folders fox; expected those"):
        open_image_tree(path, "val")
    (path / "test" / "fox").rmdir()
    shutil.rmtree(path / "test" / "cat")
    with pytest.raises(DataError, match=r"test lacks the class folders cat; expected those of"):
        open_image_tree(path, "val")
    (path / "test" / "cat").mkdir()
    with pytest.raises(DataError, match=r"no image in 1 of 3 class folders \(cat\)"):
        open_image_tree(path, "val")
    with pytest.raises(ConfigError, match=r"has no class 'cow'; its classes are cat, dog, eel"):
        open_image_tree(path, "train", ["cat", "cow"])
    with pytest.raises(ConfigError, match="expected at least 2"):
        open_image_tree(path, "train", ["cat"])
    with pytest.raises(ConfigError, match="split 'valid': expected one of train, val, test"):
        open_image_tree(path, "valid")


def test_training_images_are_decoded_cut_and_mirrored(tree):
    dataset = open_image_tree(tree, "train")
    loader = Loader(dataset, train=True, **OPTIONS)
    assert len(loader) == 4
    squares, labels = map(torch.cat, zip(*pixels(loader, 1), strict=True))
    order = randomness.epoch_order(3, 1, np.arange(18))[:16]
    np.testing.assert_array_equal(labels, dataset.labels[order])
    flips = randomness.sample_uniform(3, 1, randomness.STREAM_FLIP, order) < 0.5
    images = [dataset[row][0] for row in order]
    boxes = crops.sample_boxes(3, 1, order, [image.shape[:2] for image in images])
    expected = np.empty((16, 24, 24, 3), dtype=np.uint8)
    crops.cut_boxes(images, boxes, flips, expected)
    np.testing.assert_array_equal(squares, expected)
    found = torch.cat([batch for batch, _ in loader.epoch(1)]).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, (expected / 255 - dataset.mean) / dataset.std, atol=1e-5)


def test_test_images_are_shrunk_and_cut_from_the_centre(tree):
    dataset = open_image_tree(tree, "val")
    loader = Loader(dataset, train=False, test_im_size=28, **OPTIONS)
    assert [len(labels) for _, labels in loader.epoch()] == [4, 4, 4, 4, 2]
    squares, labels = map(torch.cat, zip(*pixels(loader), strict=True))
    np.testing.assert_array_equal(labels, dataset.labels)
    for row, square in enumerate(squares):
        np.testing.assert_array_equal(square, fit_image(dataset[row][0], 28, "crop")[2:26, 2:26])
    plain = torch.cat([images for images, _ in pixels(Loader(dataset, train=False, **OPTIONS))])
    np.testing.assert_array_equal(plain[7], fit_image(dataset[7][0], 24, "crop"))


def test_workers_ranks_batches_and_the_begin_change_nothing(tree):
    train, val = open_image_tree(tree, "train"), open_image_tree(tree, "val")
    options = {**OPTIONS, "train": True, "augment": "RandAugment_N1_M0.5", "lighting": 0.1}
    alone = Loader(train, **options)
    expected = [(images.clone(), labels) for images, labels in alone.epoch(2)]
    shared = Loader(train, workers=2, **options)
    assert_same([(images.clone(), labels) for images, labels in shared.epoch(2, 1)], expected[1:])
    # Left early, and begun again.
    for images, _ in shared.epoch(2):
        assert torch.equal(images, expected[0][0])
        break
    whole = torch.cat([images for images, _ in pixels(alone, 2)])
    parts = [pixels(Loader(train, rank=rank, world_size=2, **options), 2) for rank in range(2)]
    found = torch.cat([images for both in zip(*parts, strict=True) for images, _ in both])
    assert torch.equal(found, whole)
    larger = pixels(Loader(train, **{**options, "batch_size": 8}), 2)
    assert torch.equal(torch.cat([images for images, _ in larger]), whole)
    tested = torch.cat([i for i, _ in pixels(Loader(val, train=False, **OPTIONS))])
    for world_size in (2, 3, 20):
        loaders = [Loader(val, train=False, rank=rank, world_size=world_size, **OPTIONS)
                   for rank in range(world_size)]  # fmt: skip
        assert sum(loader.num_images for loader in loaders) == 18
        found = torch.cat([images for loader in loaders for images, _ in pixels(loader)])
        assert torch.equal(found, tested)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named(tmp_path, workers):
    path = make_tree(tmp_path / "photos")
    broken = path / "train" / "dog" / "2.JPG"
    broken.write_bytes(broken.read_bytes()[:300])
    loader = Loader(open_image_tree(path, "train"), train=True, workers=workers,
                    **{**OPTIONS, "batch_size": 18})  # fmt: skip
    with pytest.raises(DataError) as error:
        list(loader.epoch())
    assert str(error.value).startswith(str(broken))
    assert "Traceback" not in str(error.value)
    broken.unlink()
    with pytest.raises(DataError, match=r"dog/2.JPG: cannot be read \(No such file"):
        list(loader.epoch())


def test_a_sentence_says_how_a_tree_is_read(tree):
    found = Loader(open_image_tree(tree, "train"), train=True, **OPTIONS).describe()
    assert f"train side of {tree}: 18 images, decoded from files" in found
    assert f"are ImageNet's (there is no {tree}/statistics.json); " in found
    assert found.endswith("files left out: .txt 3, hidden or left by systems 3; resized crops")


def test_padding_needs_images_of_one_size(tree):
    with pytest.raises(ConfigError, match=r"different sizes.*set DATA.CROP resized or auto"):
        Loader(open_image_tree(tree, "train"), train=True, crop="padded", **OPTIONS)


def make_cfg(tree, out_dir, *overrides):
    return load_cfg(None, [
        "MODEL.TYPE", "anynet", "MODEL.NUM_CLASSES", 3, "ANYNET.STEM_TYPE", "simple_stem_in",
        "ANYNET.STEM_W", 8, "ANYNET.DEPTHS", [1, 1], "ANYNET.WIDTHS", [8, 16], "ANYNET.STRIDES",
        [2, 2], "ANYNET.BOT_MULS", [1.0, 1.0], "ANYNET.GROUP_WS", [8, 8], "TRAIN.DATASET", tree,
        "TEST.DATASET", tree, "TRAIN.BATCH_SIZE", 6, "TEST.BATCH_SIZE", 6, "TRAIN.IM_SIZE", 24,
        "TEST.IM_SIZE", 28, "OPTIM.MAX_EPOCH", 2, "DEVICE", "cpu", "NUM_THREADS", 1,
        "BN.USE_PRECISE_STATS", False, "PREC_TIME.NUM_ITER", 0, "DATA_LOADER.NUM_WORKERS", 0,
        "LOG_DEST", "file", "OUT_DIR", out_dir, *overrides,
    ])  # fmt: skip


def test_a_tree_trains_as_it_is_and_goes_on_where_it_was(tree, tmp_path):
    cfg = make_cfg(str(tree), str(tmp_path / "run"))
    record = train_model(cfg)
    assert record["status"] == "done"
    assert record["data"] == {
        "train": open_image_tree(tree, "train").fingerprint,
        "test": open_image_tree(tree, "val").fingerprint,
    }
    half = make_cfg(str(tree), str(tmp_path / "half"), "OPTIM.MAX_EPOCH", 1)
    train_model(half)
    longer = train_model(make_cfg(str(tree), str(tmp_path / "half")))
    assert longer["result"].keys() == record["result"].keys()


def test_configuration_chooses_the_tree(tree, tmp_path, monkeypatch):
    cfg = make_cfg(str(tree), str(tmp_path), "DATA.AREA", [0.5, 0.6], "DATA.ASPECT", [1.0, 1.0])
    cpu = torch.device("cpu")
    loader = build_loader(cfg, "TRAIN", cpu)
    assert loader.dataset.folder == tree / "train"
    assert (loader.transform.area, loader.transform.aspect) == ((0.5, 0.6), (1, 1))
    assert build_loader(cfg, "TEST", cpu).dataset.folder == tree / "val"
    wrong = make_cfg(str(tree), str(tmp_path), "MODEL.NUM_CLASSES", 4)
    with pytest.raises(ConfigError, match=r"has 3 classes; set MODEL.NUM_CLASSES 3"):
        build_loader(wrong, "TRAIN", cpu)
    capped = make_cfg(str(tree), str(tmp_path), "DATA.PER_CLASS", 3)
    with pytest.raises(ConfigError, match=r"tree of image files, of which DATA.PER_CLASS"):
        build_loader(capped, "TRAIN", cpu)
    two = make_cfg(str(tree), str(tmp_path), "DATA.CLASSES", ["cat", "eel"],
                   "MODEL.NUM_CLASSES", 2)  # fmt: skip
    assert build_loader(two, "TRAIN", cpu).dataset.class_names == ("cat", "eel")


def test_what_is_prepared_comes_before_a_tree_of_that_name(tree, tmp_path, make_store, monkeypatch):
    monkeypatch.chdir(tree.parent)
    data = tmp_path / "data"
    make_store(f"data/{tree.name}", per_class=12, size=(24, 24))
    cfg = make_cfg(tree.name, str(tmp_path), "DATA.DIR", str(data), "TEST.IM_SIZE", 24)
    assert build_loader(cfg, "TRAIN", torch.device("cpu")).dataset.im_size == (24, 24)
    cfg = make_cfg(tree.name, str(tmp_path), "DATA.DIR", str(tmp_path / "empty"))
    assert build_loader(cfg, "TRAIN", torch.device("cpu")).dataset.im_size is None


def test_folders_and_formats_are_those_of_the_preparation(tmp_path):
    for side in ("Train.X1", "Train.X2", "valid"):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "birds" / side / name
            folder.mkdir(parents=True)
            for number, kind in enumerate(("JPEG", "WEBP", "TIFF")):
                colour = (80 * label, 60 * number, 9)
                file = folder / f"{side[-1]}{number}.{'dat' if number else 'jpg'}"
                Image.new("RGB", (20, 20), colour).save(file, kind)
            (folder / ".ipynb_checkpoints").mkdir()
            shutil.copy(folder / f"{side[-1]}0.jpg", folder / ".ipynb_checkpoints")
    (tmp_path / "birds" / "Train.X1" / "cat" / "notes.txt").write_text("none")
    (tmp_path / "birds" / "valid" / ".git").mkdir()
    assert is_image_tree(tmp_path / "birds")
    train, test = (open_image_tree(tmp_path / "birds", side) for side in ("train", "val"))
    assert train.class_names == test.class_names == CLASSES
    assert (len(train), len(test)) == (18, 9)
    assert train.files[0] == "Train.X1/cat/10.jpg"
    assert train.left_out == {".txt": 1, "hidden or left by systems": 6}
    inner = tmp_path / "inner"
    for side in ("training_set", "test_set"):
        shutil.copytree(tmp_path / "birds" / "valid", inner / side / side)
    assert is_image_tree(inner)
    found = open_image_tree(inner, "test")
    assert (found.folder, len(found)) == (inner / "test_set" / "test_set", 9)
    loader = Loader(train, train=False, **OPTIONS)
    assert ".txt 1" in loader.describe()
    assert [image.mean() for image, _ in (train[n] for n in range(3))] == pytest.approx(
        [3, 23, 43], abs=2
    )


def test_a_path_is_a_path_whatever_the_data_folder_holds(tmp_path, monkeypatch, make_store):
    monkeypatch.chdir(tmp_path)
    make_tree(tmp_path / "birds")
    make_store("data/birds", size=(24, 24))
    make_tree(tmp_path / "data" / "pets")  # as pycls has them
    for name, is_tree in (("./birds", True), ("birds/", True), ("birds", False), ("pets", True)):
        cfg = make_cfg(name, str(tmp_path), "DATA.DIR", "data", "TEST.IM_SIZE", 24)
        loader = build_loader(cfg, "TRAIN", torch.device("cpu"))
        assert ("decoded from files" in loader.describe()) == is_tree


def test_class_folders_spelled_otherwise_on_the_other_side_are_the_same(tmp_path):
    path = make_tree(tmp_path / "photos")
    (path / "train" / "cat").rename(path / "train" / "Caf\u00e9")
    (path / "val" / "cat").rename(path / "val" / "cafe\u0301")
    with pytest.warns(UserWarning, match=r"spelled otherwise .*'cafe\\u0301' as 'Caf\\xe9'"):
        val = open_image_tree(path, "val")
    assert val.class_names == open_image_tree(path, "train").class_names
    assert (np.bincount(val.labels) > 0).all()
    chosen = open_image_tree(path, "train", ["Cafe\u0301", "dog"])  # composed on disk
    assert chosen.class_names == ("Caf\u00e9", "dog")


_FULL = """
import sys
from pycls.datasets.loading.image_tree import open_image_tree
from pycls.datasets.loading.loader import Loader
from pycls.errors import DataError
if __name__ == "__main__":
    tree = open_image_tree(sys.argv[1], "train")
    loader = Loader(tree, train=True, workers=2, batch_size=18, im_size=96, seed=1)
    try:
        list(loader.epoch())
    except DataError as error:
        kept = error  # and with it the processes, to the end, which must not wait for them
        print(error)
"""


@pytest.mark.slow
def test_shared_memory_that_is_full_is_named_and_nothing_waits(tree, tmp_path):
    (tmp_path / "read.py").write_text(_FULL)
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$0" "$@"'
    command = ["unshare", "-m", "bash", "-c", mount, sys.executable, tmp_path / "read.py", tree]
    if subprocess.run([*command[:4], mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert "finds no room in shared memory, /dev/shm" in done.stdout, done.stderr
    assert "--shm-size" in done.stdout
