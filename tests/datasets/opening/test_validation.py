"""The validation side: held out by class and by group, apart from the test side, and on record."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pycls.commands import prepare_data
from pycls.core.config.load import load_cfg
from pycls.core.inputs import open_side
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.opening.validation import describe_rule, with_validation
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import Store, open_store, verify_store
from pycls.errors import ConfigError, DataError
from pycls.progress import Progress


def sides_of(path, **options):
    return {side: open_dataset(path, side, **options) for side in ("train", "validation", "test")}


def test_it_is_a_share_of_each_class_of_the_training_side(make_store):
    path = make_store(per_class=60)
    whole, test = open_dataset(path, "train"), open_dataset(path, "test")
    sides = sides_of(path, validation_share=0.25)
    joined = np.concatenate([sides["train"].indices, sides["validation"].indices])
    np.testing.assert_array_equal(np.sort(joined), whole.indices)
    np.testing.assert_array_equal(sides["test"].indices, test.indices)
    assert np.bincount(sides["validation"].labels).tolist() == [10, 10, 10]
    # The three belong together, and to no other division; the prepared set is as it was.
    (fingerprint,) = {side.fingerprint for side in sides.values()}
    others = [open_dataset(path, "train", validation_share=0.25, view_seed=2), whole]
    assert len({fingerprint, *(other.fingerprint for other in others)}) == 3
    assert open_dataset(path, "val").fingerprint == whole.fingerprint
    again = sides_of(path, validation_share=0.25)
    assert again["validation"].fingerprint == fingerprint
    assert "25% of each class" in describe_rule(whole.store, 0.25, 1)


def test_views_validate_on_a_part_of_the_same_images(make_store):
    path = make_store(per_class=60)
    whole = open_dataset(path, "validation", validation_share=0.2)
    view = open_dataset(path, "validation", classes=["cat", "eel"], validation_share=0.2)
    assert set(view.indices) < set(whole.indices)
    few = sides_of(path, per_class=4, validation_share=0.2)
    assert np.bincount(few["train"].labels).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(few["validation"].indices, whole.indices)


@given(data=st.data())
def test_groups_are_never_divided(data):
    labels = np.array(
        data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=40)) + [0, 1, 2] * 2
    )
    groups = np.array([data.draw(st.integers(0, 5)) * 3 + label for label in labels])
    groups[-6:] = np.arange(100, 106)
    split = np.zeros(len(labels), dtype=np.uint8)
    split[
        data.draw(st.lists(st.integers(0, len(labels) - 7), max_size=3)) if len(labels) > 6 else []
    ] = 1
    store = Store(
        "here",
        {
            "name": "s",
            "class_names": list("abc"),
            "fingerprint": repr(groups) + repr(split) + repr(labels),
        },
        np.zeros((len(labels), 1, 1, 3), np.uint8),
        labels,
        split,
    )
    store.__dict__["groups"] = groups
    divided = with_validation(store, data.draw(st.floats(0.05, 0.6)), data.draw(st.integers(0, 9)))
    held = divided.split == 2
    assert set(groups[held]).isdisjoint(groups[divided.split == 0])
    assert set(labels[held]) == set(labels[divided.split == 0]) == {0, 1, 2}
    np.testing.assert_array_equal(divided.split == 1, split == 1)


def test_a_preparation_records_which_images_belong_together(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["path,label,patient"]
    for i in range(40):
        name = f"{i:02d}.png"
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
        rows.append(f"{name},{'ab'[i % 2]},p{i // 4}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    path = prepare(
        "csv", tmp_path / "data", raw=tmp_path, name="mine", workers=1, size=8,
        table="labels.csv", group_column="patient",
    )  # fmt: skip
    store = open_store(path)
    assert store.meta["groups"] == 10
    patients = {name: name[:2] for name in store.names}
    by_group = {}
    for name, group in zip(store.names, store.groups.tolist(), strict=True):
        by_group.setdefault(group, set()).add(int(patients[name]) // 4)
    assert sorted(map(len, by_group.values())) == [1] * 10
    sides = sides_of(path, validation_share=0.2)
    owners = [{int(name[:2]) // 4 for name in side.names} for side in sides.values()]
    assert all(owners)
    assert sum(map(len, owners)) == 10


def test_a_set_that_brings_three_sides_keeps_them_as_published(tmp_path, capsys, monkeypatch):
    """Sets of it that were prepared without its third side stay as they are."""
    rng = np.random.default_rng(0)
    named = {"train": "train", "valid": "validation", "test": "test"}
    for folder in named:
        for name in ("a/1.png", "a/2.png", "b/1.png"):
            path = tmp_path / "raw" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    # A copy of what is validated on is not trained on.
    copied = tmp_path / "raw" / "valid" / "a" / "1.png"
    (tmp_path / "raw" / "train" / "a" / "3.png").write_bytes(copied.read_bytes())
    options = {"raw": tmp_path / "raw", "size": 8, "workers": 1}
    two = prepare("folder", tmp_path, name="two", exclude=["valid"], **options)
    path = prepare("folder", tmp_path, name="three", **options)
    three = sides_of(path)
    for folder, side in named.items():
        published = {f"{folder}/{name}" for name in ("a/1.png", "a/2.png", "b/1.png")}
        assert set(three[side].names) == published
    (note,) = verify_store(path).meta["notes"]
    assert "train/a/3.png = valid/a/1.png" in note
    # A share is held out of sets without such a side only.
    assert three["validation"].fingerprint == open_dataset(path, "train").fingerprint
    again = sides_of(path, validation_share=0.5)
    assert all(again[side].fingerprint == three[side].fingerprint for side in three)
    assert describe_rule(open_store(path), 0.5, 1) == "the set's own validation side"
    monkeypatch.setattr("sys.argv", ["x", "info", str(path)])
    assert prepare_data.main() == 0
    monkeypatch.setattr("sys.argv", ["x", "info", str(path), "--files", "validation"])
    assert prepare_data.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-3:] == list(three["validation"].names)
    table = [line.split() for line in printed if line.startswith("  ")][-4:]
    assert table[0] == ["class", "train", "test", "validation"]
    assert table[1:] == [["a", "2", "2", "2"], ["b", "1", "1", "1"], ["all", "3", "3", "3"]]
    # As an earlier version has left it: the same command leaves it, and says what it lacks.
    meta = json.loads((two / "meta.json").read_text())
    assert meta["sides"] == ["train", "test"]
    del meta["recipe"]["exclude"]
    (two / "meta.json").write_text(json.dumps(meta))
    before = (two / "meta.json").read_bytes()
    progress = Progress(sys.stderr)
    assert prepare("folder", tmp_path, name="two", progress=progress, **options) == two
    assert (two / "meta.json").read_bytes() == before
    assert "without the validation side (3 images)" in capsys.readouterr().err


def test_mistakes_are_refused(make_store):
    path = make_store(per_class=3)
    with pytest.raises(ConfigError, match="brings no validation side"):
        open_dataset(path, "validation")
    with pytest.raises(ConfigError, match="above 0 and below 1"):
        with_validation(open_store(path), 1.5, 1)
    store = open_store(path)
    single = Store(
        store.path,
        {**store.meta, "fingerprint": "x"},
        store.images,
        store.labels,
        np.where(np.arange(len(store.labels)) < 3, 0, 1).astype(np.uint8),
    )
    with pytest.raises(DataError, match="class 'cat' has one training image"):
        with_validation(single, 0.2, 1)


def test_runs_train_without_it_and_are_tested_on_it(digits_dir):
    keys = [
        "MODEL.NUM_CLASSES", 10, "TRAIN.DATASET", "digits", "TEST.DATASET", "digits",
        "TEST.SPLIT", "validation", "DATA.VALIDATION_SHARE", 0.1, "DATA.DIR", str(digits_dir),
    ]  # fmt: skip
    cfg = load_cfg(None, keys)
    train, held = open_side(cfg, "TRAIN"), open_side(cfg, "TEST")
    assert set(train.indices).isdisjoint(held.indices)
    assert len(held) == pytest.approx(0.1 * (len(train) + len(held)), abs=5)
