"""Arrays, Parquet files and tar shards: of one content they make one set, and what they refuse."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import encode, make_image, pack, picture, write_tree

from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.readers.containers.arrays import read_arrays
from pycls.datasets.readers.containers.parquet import read_parquet
from pycls.datasets.readers.containers.webdataset import read_webdataset
from pycls.datasets.sources.sources import open_source
from pycls.datasets.store.store import open_store
from pycls.errors import ConfigError, DataError

CLASSES = ("cat", "dog", "eel")
SIZE = 24


def make_pictures(sides=("train", "test")):
    """Return {name as in class folders: pixels}; two images of train are equal."""
    pictures = {
        f"{side}/{name}/{number}.png": picture(100 * s + 10 * c + number, SIZE, SIZE)
        for s, side in enumerate(sides)
        for c, name in enumerate(CLASSES)
        for number in range(5 - 2 * s)
    }
    pictures[f"{sides[0]}/cat/copy.PNG"] = pictures[f"{sides[0]}/cat/0.png"]
    return pictures


def npz(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def parquet(rows, names=CLASSES, group_size=4, path=lambda name: name, **columns):
    """Return a file as `datasets` writes them; rows are (name, bytes, label)."""
    table = pa.table(
        {
            "image": pa.array(
                [{"bytes": data, "path": path(name)} for name, data, _ in rows],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            "label": pa.array([label for _, _, label in rows]),
            **{key: pa.array(value) for key, value in columns.items()},
        }
    )
    if names:
        feature = {"label": {"names": list(names), "_type": "ClassLabel"}}
        info = json.dumps({"info": {"features": feature}})
        table = table.replace_schema_metadata({"huggingface": info})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=group_size)
    return file.getvalue()


def shard(rows):
    """Return a tar of (key with suffix, bytes, label)."""
    tree = {}
    for name, data, label in rows:
        tree[name] = data
        tree[name.rpartition(".")[0] + ".cls"] = str(label).encode()
    return pack("tar", tree)


def fingerprint(tmp_path, key, tree, name, **options):
    folder = write_tree(tmp_path / "raw" / name, tree)
    path = prepare(key, tmp_path / "data", raw=folder, name=name, size=16, workers=1, **options)
    return open_store(path).fingerprint


@pytest.mark.parametrize("sided", [True, False], ids=["official", "drawn"])
def test_one_content_makes_one_set_however_it_comes(tmp_path, sided):
    pictures = make_pictures()
    if not sided:
        pictures = {n.partition("/")[2]: p for n, p in pictures.items() if n[:2] == "tr"}
    files = {name: encode(pixels, "png") for name, pixels in pictures.items()}
    made = {
        "folder": fingerprint(tmp_path, "folder", files, "folder"),
        "zip": fingerprint(tmp_path, "folder", {"a.zip": pack("zip", files)}, "zip"),
        "tar": fingerprint(tmp_path, "folder", {"a.tar": pack("tar", files)}, "tar"),
    }
    # In any other order than that of the names, as shards come.
    mixed = sorted(files, key=lambda name: name[::-1])
    shards, tables, arrays = {}, {}, {}
    for side in ("train", "test") if sided else ("",):
        inside = [name for name in mixed if name.startswith(side)]
        labels = [next(label for label in CLASSES if f"{label}/" in name) for name in inside]
        rows = [(name, files[name], label) for name, label in zip(inside, labels, strict=True)]
        numbers = [CLASSES.index(label) for label in labels]
        numbered = [(name, data, n) for (name, data, _), n in zip(rows, numbers, strict=True)]
        half = len(rows) // 2
        stem = side or "part"
        shards |= {f"{stem}-0.tar": shard(rows[:half]), f"{stem}-1.tar": shard(rows[half:])}
        tables |= {
            f"data/{stem}-00000-of-00002.parquet": parquet(numbered[:half]),
            f"data/{stem}-00001-of-00002.parquet": parquet(numbered[half:]),
        }
        ending = f"_{side}" if side else ""
        arrays |= {
            f"X{ending}": np.stack([pictures[name] for name in inside]),
            f"y{ending}": np.array(numbers),
            f"names{ending}": np.array(inside),
        }
    made["webdataset"] = fingerprint(tmp_path, "webdataset", shards, "webdataset")
    made["parquet"] = fingerprint(tmp_path, "parquet", tables, "parquet")
    given = {"class_names": ",".join(CLASSES)}
    made["npz"] = fingerprint(tmp_path, "arrays", {"set.npz": npz(arrays)}, "npz", **given)
    npys = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        npys[f"{name}.npy"] = file.getvalue()
    made["npy"] = fingerprint(tmp_path, "arrays", npys, "npy", **given)
    assert made == dict.fromkeys(made, made["folder"])


@pytest.mark.slow
def test_workers_read_parquet_files_as_one_process_does(tmp_path):
    rows = [(f"{n}.jpg", make_image(n, height=8, width=8), n % 2) for n in range(600)]
    rows.sort(key=lambda row: row[0][::-1])
    files = {f"{n}.parquet": parquet(rows[n::2], ("a", "b"), group_size=50) for n in range(2)}
    raw = write_tree(tmp_path / "raw", files)
    stores = [
        open_store(prepare("parquet", tmp_path, raw=raw, name=f"set{n}", size=8, workers=n))
        for n in (1, 2)
    ]
    assert stores[0].fingerprint == stores[1].fingerprint
    assert len(stores[0].labels) == 600


def test_bare_names_in_parquet_are_those_of_class_folders(tmp_path):
    files = {name: encode(pixels, "png") for name, pixels in make_pictures().items()}
    tables = {
        f"{side}.parquet": parquet(
            [(n, d, CLASSES.index(n.split("/")[1])) for n, d in files.items() if n[:2] == side[:2]],
            path=lambda name: name.rpartition("/")[2],
        )
        for side in ("train", "test")
    }
    one = fingerprint(tmp_path, "folder", files, "folder")
    assert fingerprint(tmp_path, "parquet", tables, "parquet") == one


def test_medmnist_layout(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (12, 8, 8), dtype=np.uint8)
    labels = np.tile([[1], [0]], (6, 1)).astype(np.uint8)
    arrays = {}
    for side, part in {"train": slice(0, 6), "val": slice(6, 8), "test": slice(8, 12)}.items():
        arrays |= {f"{side}_images": grey[part], f"{side}_labels": labels[part]}
    folder = write_tree(tmp_path, {"pathmnist.npz": npz(arrays)})
    listing = read_arrays(open_source(folder), class_names="one thing|a, b")
    assert listing.class_names == ("one thing", "a, b")
    assert [item.name for item in listing.items][:5] == [
        "test/0000000", "test/0000001", "test/0000002", "test/0000003", "train/0000000",
    ]  # fmt: skip
    assert [item.label for item in listing.items] == [1, 0] * 6
    assert [item.side for item in listing.items] == [1] * 4 + [0] * 6 + [2] * 2
    assert listing.notes == ()
    assert listing.pixels.shape == (12, 8, 8, 3)
    expected = np.concatenate([grey[8:], grey[:8]])
    np.testing.assert_array_equal(listing.pixels, expected[..., None].repeat(3, axis=3))
    other = read_arrays(open_source(folder), test_split="val")
    assert sum(item.side for item in other.items) == 2
    assert other.class_names == ("0", "1")


@pytest.mark.parametrize(
    "convert",
    [
        lambda pixels: pixels.astype(np.int64),
        lambda pixels: pixels.astype(np.float32),
        lambda pixels: pixels / 255,
        lambda pixels: pixels.transpose(0, 3, 1, 2),
        lambda pixels: np.concatenate([pixels, pixels[..., :1]], axis=3),
    ],
    ids=["int", "whole", "fractions", "channels-first", "alpha"],
)
def test_pixels_in_any_usual_form(tmp_path, convert):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 7, 3), dtype=np.uint8)
    pixels[0, 0, 0] = 255
    arrays = {"X": convert(pixels), "y": np.eye(2)[[0, 1] * 3]}
    listing = read_arrays(open_source(write_tree(tmp_path, {"set.npz": npz(arrays)})))
    np.testing.assert_array_equal(listing.pixels, pixels)
    assert [item.label for item in listing.items] == [0, 1] * 3
    assert {item.side for item in listing.items} == {None}


GOOD = {"X": np.zeros((4, 5, 5), np.uint8), "y": np.array([0, 1, 0, 1])}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({**GOOD, "y": np.eye(3)[[0, 1, 2, 0]] + np.eye(3)[0]}, "several labels an image"),
        ({**GOOD, "y": np.array([0.5, 1, 0, 1])}, "fractions"),
        ({**GOOD, "y": GOOD["y"][:3]}, "4 images, 3 labels; expected as many"),
        ({"X": GOOD["X"]}, "no array of labels"),
        ({"things": GOOD["X"]}, "expected arrays .* found 'things'"),
        ({**GOOD, "X": np.full((4, 5, 5), 4095, np.uint16)}, "uint16 from 4095 to 4095; .* scale"),
        ({**GOOD, "X": np.zeros((4, 25), np.uint8)}, r"of shape \(4, 25\)"),
        ({**GOOD, "X": np.array([{}, {}, {}, {}])}, "Python objects are not loaded"),
        ({**GOOD, "X": np.zeros((4, 5, 5), "u1,u1")}, "expected whole numbers or fractions"),
        ({**GOOD, "y": GOOD["y"].astype("M8[s]")}, "expected whole numbers or texts"),
        ({"X": np.uint8(3), "y": np.int64(1)}, "expected arrays .* found 'X', 'y'"),
        ({"X_train": GOOD["X"], "y_train": GOOD["y"], "X_test": np.zeros((2, 6, 6), np.uint8),
          "y_test": np.array([0, 1])}, r"images of \(5, 5\) and \(6, 6\)"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_set(tmp_path, arrays, message):
    source = open_source(write_tree(tmp_path, {"set.npz": npz(arrays)}))
    with pytest.raises(DataError, match=message):
        read_arrays(source)


def test_damaged_arrays_end_in_a_message(tmp_path):
    data = npz(GOOD)
    for number, cut in enumerate((data[:100], data[:60] + b"\xff" * 20 + data[80:])):
        source = open_source(write_tree(tmp_path / str(number), {"set.npz": cut}))
        with pytest.raises(DataError, match=r"set\.npz"):
            read_arrays(source)
    for number, shape in enumerate(((10**15,), (10**30, 1))):
        file = io.BytesIO()
        head = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        source = open_source(write_tree(tmp_path / f"claims {number}", {"X.npy": file.getvalue()}))
        with pytest.raises(DataError, match=r"X\.npy: not arrays"):
            read_arrays(source)


def test_containers_that_become_far_more_than_they_are_are_refused(tmp_path):
    raw = write_tree(tmp_path / "npz", {"a.npz": npz({"X": np.zeros((999, 50, 50)), "y": [0, 1]})})
    with pytest.raises(DataError, match=r"a\.npz: refused, since its .*--max-unpacked-gb"):
        read_arrays(open_source(raw, max_unpacked=1000))
    table = pa.table({"image": [bytes(10_000 + n) for n in range(300)], "label": [0, 1] * 150})
    pq.write_table(table, raw / "a.parquet", compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match=r"a\.parquet: refused, since its .*--max-unpacked-gb"):
        read_parquet(open_source(raw, max_unpacked=1000))
    # What is large and hardly packed is no matter.
    noise = np.random.default_rng(0).integers(0, 256, (8, 20, 20), dtype=np.uint8)
    table = pa.table({"image": [image.tobytes() for image in noise], "label": [0, 1] * 4})
    write_tree(tmp_path / "large", {"a.npz": npz({"X": noise, "y": [0, 1] * 4})})
    for name in ("train-0.parquet", "test-0.parquet"):
        pq.write_table(table, tmp_path / "large" / name)
    assert len(read_parquet(open_source(tmp_path / "large", max_unpacked=1000)).items) == 16
    assert len(read_arrays(open_source(tmp_path / "large", max_unpacked=1000)).items) == 8
    rows = pa.array(np.zeros(50_000, np.int8))
    table = pa.table({"image": pa.DictionaryArray.from_arrays(rows, [b"x"]).cast(pa.binary()),
                      "label": rows})  # fmt: skip
    pq.write_table(table, raw / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: claims 50,000 rows in [\d,]+ bytes"):
        read_parquet(open_source(raw))


ROWS = [(f"{n}.jpg", make_image(n), n % 2) for n in range(6)]


def test_parquet_without_names_groups_and_columns_that_are_not_used(tmp_path):
    films = ["a", "a", None, "b", "c", "c"]
    data = parquet(ROWS, (), path=lambda name: None, film=films, note=list("abcdef"))
    source = open_source(write_tree(tmp_path, {"set.parquet": data}))
    listing = read_parquet(source, group_column="film")
    assert listing.class_names == ("0", "1")
    assert [item.name for item in listing.items] == [
        "0/0000000", "0/0000002", "0/0000004", "1/0000001", "1/0000003", "1/0000005",
    ]  # fmt: skip
    assert [item.group for item in listing.items] == ["a", None, "c", "a", "b", "c"]
    assert "columns that are not used: 'note'" in listing.notes[0]
    for item in listing.items:
        assert source.read(item.member) == ROWS[int(item.name.partition("/")[2])][1]


def test_a_side_of_parquet_files_without_labels_is_left_out(tmp_path):
    unlabelled = [(name, data, -1) for name, data, _ in ROWS]
    tree = {
        "data/train-00000-of-00001.parquet": parquet(ROWS, ("a", "b")),
        "data/validation-00000-of-00001.parquet": parquet(ROWS[:4], ("a", "b")),
        "data/test-00000-of-00001.parquet": parquet(unlabelled, ("a", "b")),
    }
    listing = read_parquet(open_source(write_tree(tmp_path, tree)))
    assert sum(item.side for item in listing.items) == 4
    assert listing.notes == ("the images of 'test' are left out: they have no labels",)
    more = {**tree, "data/train-00000-of-00003.parquet": parquet(ROWS, ("a", "b"))}
    more["other/train-00000-of-00001.parquet"] = more["data/train-00000-of-00001.parquet"]
    first, second, _ = read_parquet(open_source(write_tree(tmp_path / "more", more))).notes
    assert second.startswith("the files of several folders ('data', 'other') are taken as one")
    assert first == (
        "files that are not there: 'data/train-00001-of-00003.parquet', "
        "'data/train-00002-of-00003.parquet'"
    )
    tree["data/train-00000-of-00001.parquet"] = parquet([*ROWS, unlabelled[0]], ("a", "b"))
    with pytest.raises(DataError, match=r"parquet/6: the image has no label \(-1\)"):
        read_parquet(open_source(write_tree(tmp_path, tree)))


def test_changed_images_of_a_parquet_file_make_the_set_anew(tmp_path):
    changed = [(name, make_image(50), label) for name, _, label in ROWS[:1]]
    one = fingerprint(tmp_path, "parquet", {"a.parquet": parquet(ROWS)}, "set", class_names="a,b")
    with pytest.raises(DataError, match="use --replace"):
        fingerprint(
            tmp_path, "parquet", {"a.parquet": parquet([*changed, *ROWS[1:]])}, "set",
            class_names="a,b",
        )  # fmt: skip
    assert open_store(tmp_path / "data" / "set").fingerprint == one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_column": "picture"}, "no such column 'picture' .* it has 'image', 'label'"),
        ({"label_column": "class"}, "no such column 'class'"),
        ({"group_column": "film"}, "no such column 'film'"),
        ({"test_split": "val"}, "test_split 'val'"),
    ],
)
def test_options_of_parquet_that_name_nothing(tmp_path, options, message):
    source = open_source(write_tree(tmp_path, {"set.parquet": parquet(ROWS)}))
    with pytest.raises(ConfigError, match=message):
        read_parquet(source, **options)


def test_parquet_files_that_are_no_set(tmp_path):
    tree = {
        "several labels": pa.table({"image": [b"x"], "label": [[1, 2]]}),
        "columns of encoded images": pa.table({"a": [b"x"], "b": [b"x"], "label": [1]}),
        "no column 'label'": pa.table({"image": [b"x"]}),
    }
    for number, (message, table) in enumerate(tree.items()):
        path = tmp_path / str(number) / "set.parquet"
        path.parent.mkdir()
        pq.write_table(table, path)
        with pytest.raises((ConfigError, DataError), match=message):
            read_parquet(open_source(path.parent))
    write_tree(tmp_path / "cut", {"set.parquet": parquet(ROWS)[:-100]})
    with pytest.raises(DataError, match="no Parquet file, or damaged"):
        read_parquet(open_source(tmp_path / "cut"))


def test_shards_as_benchmarks_publish_them(tmp_path):
    tree = {
        "classnames.txt": b"a cat\na dog\n",
        "train/0.tar": shard([(f"s{n}.jpg", make_image(n), n % 2) for n in range(4)]),
        "test/0.tar": shard([(f"s{n}.jpg", make_image(10 + n), n % 2) for n in range(4)]),
    }
    listing = read_webdataset(open_source(write_tree(tmp_path, tree)))
    assert listing.class_names == ("a cat", "a dog")
    assert [item.name for item in listing.items] == [
        f"{side}/s{n}.jpg" for side in ("test", "train") for n in range(4)
    ]
    assert [item.label for item in listing.items] == [0, 1] * 4
    assert [item.side for item in listing.items] == [1] * 4 + [0] * 4


@pytest.mark.parametrize("packing", ["shard", "tar.gz"])
def test_labels_in_json_and_equal_keys_in_several_shards(tmp_path, packing):
    tree = {}
    for number in range(2):
        files = {}
        for n in range(2):
            files[f"{n}.input.jpg"] = make_image(10 * number + n)
            files[f"{n}.json"] = json.dumps({"species": "ab"[n], "cls": 7}).encode()
        kind = "tar" if packing == "shard" else "tar.gz"
        tree[f"{number}.{kind}"] = pack(kind, files)
    listing = read_webdataset(open_source(write_tree(tmp_path, tree)), label_key="species")
    names = {item.name: listing.class_names[item.label] for item in listing.items}
    assert names == {f"{s}/{n}.input.jpg": "ab"[n] for s in range(2) for n in range(2)}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.jpg": b"x", "a.txt": b"y"}, "a: no label; expected a file of the suffix cls"),
        ({"a.jpg": b"x", "a.png": b"y", "a.cls": b"1"}, "a: several images: 'a.jpg', 'a.png'"),
        ({"a.jpg": b"x", "a.cls": b" "}, "the label is empty"),
        ({"a.jpg": b"x", "a.json": b"{"}, "not JSON"),
        ({"a.jpg": b"x", "a.json": b"[" * 100_000}, "not JSON"),
        ({"a.jpg": b"x", "a.json": b'{"cls": [1, 2]}'}, "expected a number or text under cls"),
        ({"a.cls": b"1"}, "expected tar files with images"),
    ],
)
def test_shards_that_are_no_set(tmp_path, files, message):
    source = open_source(write_tree(tmp_path, {"x.tar": pack("tar", files)}))
    with pytest.raises(DataError, match=message):
        read_webdataset(source)


def test_an_unreadable_image_in_a_parquet_file_is_named(tmp_path):
    rows = [*ROWS, ("bad.jpg", b"no image", 0), ("none.jpg", None, 1)]
    test = [("x.jpg", make_image(20), 0), ("y.jpg", make_image(21), 1)]
    tree = {"train.parquet": parquet(rows, ("a", "b")), "test.parquet": parquet(test, ("a", "b"))}
    with pytest.raises(DataError, match=r"2 of 10 images cannot be read") as caught:
        fingerprint(tmp_path, "parquet", tree, "set")
    assert "train.parquet/6: " in str(caught.value)
    assert "train.parquet/7: there is no image in this row" in str(caught.value)
    fingerprint(tmp_path, "parquet", tree, "set", drop_unreadable=True)
    assert len(open_dataset("set", "train", tmp_path / "data")) == 6
