import subprocess
import sys

import numpy as np
import pytest

from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.store.store import open_store
from pycls.errors import ConfigError, DataError


def test_sides_hold_the_images_of_their_split(make_store):
    path = make_store()
    store = open_store(path)
    train, test = open_dataset(path, "train"), open_dataset(path, "test")
    assert (len(train), len(test)) == (24, 12)
    assert sorted([*train.indices, *test.indices]) == list(range(36))
    for dataset, side in ((train, 0), (test, 1)):
        assert (store.split[dataset.indices] == side).all()
        for i in range(len(dataset)):
            image, label = dataset[i]
            np.testing.assert_array_equal(image, store.images[dataset.indices[i]])
            assert label == store.labels[dataset.indices[i]] == dataset.labels[i]
    assert train.class_names == ("cat", "dog", "eel")
    assert train.num_classes == 3
    assert train.im_size == (6, 6)
    assert train.labels.dtype == train.indices.dtype == np.int64
    assert train.name == "random"
    assert train.fingerprint == test.fingerprint == store.fingerprint
    np.testing.assert_array_equal(test.mean, train.mean)
    assert [label for _, label in test] == test.labels.tolist()


def test_val_is_another_word_for_test(make_store):
    path = make_store()
    val = open_dataset(path, "val")
    assert val.split == "test"
    np.testing.assert_array_equal(val.indices, open_dataset(path, "test").indices)


def test_an_image_is_a_copy(make_store):
    dataset = open_dataset(make_store(), "train")
    image, _ = dataset[0]
    image[:] = 0
    assert dataset[0][0].any()


def test_names_are_looked_up_in_the_data_folder(make_store, tmp_path, monkeypatch):
    make_store("one")
    assert open_dataset("one", "train", data_dir=tmp_path).name == "one"
    monkeypatch.setenv("PYCLS_DATA", str(tmp_path))
    assert open_dataset("one", "train").name == "one"
    monkeypatch.delenv("PYCLS_DATA")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("one", "train").name == "one"
    (tmp_path / "data").mkdir()
    (tmp_path / "one").rename(tmp_path / "data" / "one")
    assert open_dataset("one", "train").name == "one"


def test_unknown_name_lists_what_is_prepared_and_how_to_prepare(make_store, tmp_path):
    make_store("one")
    make_store("two")
    with pytest.raises(DataError, match=r"holds one, two\. .*prepare_data.py prepare thre "):
        open_dataset("thre", "train", data_dir=tmp_path)
    with pytest.raises(DataError, match="there is no folder"):
        open_dataset("one", "train", data_dir=tmp_path / "none")
    with pytest.raises(DataError, match="not found"):
        open_dataset(tmp_path / "thre", "train")
    with pytest.raises(DataError):
        open_dataset("", "train", data_dir=tmp_path)


def test_a_folder_that_holds_one_prepared_set_stands_for_it(make_store, tmp_path, monkeypatch):
    make_store("out/one")
    expected = open_dataset(tmp_path / "out" / "one", "train").fingerprint
    (tmp_path / "out" / ".one.preparing").mkdir()
    (tmp_path / "out" / "notes").mkdir()
    assert open_dataset(tmp_path / "out", "train").fingerprint == expected
    assert open_dataset(f"{tmp_path}/out/", "train").fingerprint == expected
    monkeypatch.chdir(tmp_path)
    assert open_dataset("out", "train").fingerprint == expected
    monkeypatch.chdir(tmp_path / "out")
    assert open_dataset(".", "train").fingerprint == expected
    make_store("out/two")
    with pytest.raises(DataError, match=r"holds several prepared sets: one, two; name one"):
        open_dataset(tmp_path / "out", "train")
    with pytest.raises(DataError, match="is not a prepared data set"):
        open_dataset(tmp_path / "out" / "notes", "train")


def test_unknown_split_is_refused(make_store):
    with pytest.raises(ConfigError, match="split 'valid': expected one of train, test, val"):
        open_dataset(make_store(), "valid")


def test_package_and_data_sets_need_no_torch():
    code = (
        "import sys, pycls.datasets; assert 'numpy' not in sys.modules\n"
        "from pycls.datasets import open_dataset; import pycls.datasets.preparation.prepare\n"
        "assert not {'torch', 'sklearn', 'skimage', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
