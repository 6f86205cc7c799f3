import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.datasets import open_dataset
from pycls.datasets.subsets import draw_classes, restrict
from pycls.errors import ConfigError

NAMES = [f"n{number:08d}" for number in range(100)]


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_draws_are_nested_and_do_not_depend_on_order(seed, random):
    names = list(NAMES)
    random.shuffle(names)
    ten = draw_classes(names, 10, seed)
    assert len(set(ten)) == 10
    assert set(ten) <= set(NAMES)
    assert draw_classes(NAMES, 5, seed) == ten[:5]
    assert draw_classes(NAMES, 2, seed) == ten[:2]


def test_seeds_draw_every_class_about_equally_often():
    counts = dict.fromkeys(NAMES, 0)
    for seed in range(1000):
        for name in draw_classes(NAMES, 10, seed):
            counts[name] += 1
    # Binomial with mean 100 and deviation 9.5.
    assert min(counts.values()) > 50
    assert max(counts.values()) < 150


@pytest.mark.parametrize("n", [0, 1, 101])
def test_impossible_numbers_are_refused(n):
    with pytest.raises(ConfigError, match=f"cannot draw {n} of 100 classes; expected 2 to 100"):
        draw_classes(NAMES, n, 1)


def test_view_renumbers_in_the_order_of_the_set_and_copies_nothing(make_store):
    path = make_store(classes=("cat", "dog", "eel", "fox"))
    whole = open_dataset(path, "train")
    view = open_dataset(path, "train", classes=["fox", "dog"])
    assert view.class_names == ("dog", "fox")
    assert view.num_classes == 2
    chosen = np.isin(whole.labels, [1, 3])
    np.testing.assert_array_equal(view.indices, whole.indices[chosen])
    np.testing.assert_array_equal(view.labels, np.where(whole.labels[chosen] == 1, 0, 1))
    assert restrict(whole, ["dog", "fox"]).images is whole.images
    np.testing.assert_array_equal(view.mean, whole.mean)
    np.testing.assert_array_equal(view[3][0], whole.images[view.indices[3]])


def test_fingerprint_of_a_view_follows_its_classes_only(make_store):
    path = make_store()
    prints = [
        open_dataset(path, "train", classes=classes).fingerprint
        for classes in ((), ["cat", "dog"], ["cat", "eel"])
    ]
    assert len(set(prints)) == 3
    assert open_dataset(path, "test", classes=["dog", "cat"]).fingerprint == prints[1]
    assert open_dataset(path, "test", classes=["eel", "dog", "cat"]).fingerprint == prints[0]


def test_view_of_a_view(make_store):
    path = make_store(classes=("cat", "dog", "eel", "fox"))
    view = open_dataset(path, "train", classes=["dog", "eel", "fox"])
    again = restrict(view, ["fox", "eel"])
    direct = open_dataset(path, "train", classes=["eel", "fox"])
    np.testing.assert_array_equal(again.indices, direct.indices)
    np.testing.assert_array_equal(again.labels, direct.labels)
    assert again.fingerprint == direct.fingerprint


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", "cow"], "no class 'cow'; its classes are cat, dog, eel"),
        (["cat"], "at least 2"),
        (["cat", "dog", "cat"], "named twice: cat"),
        ("cat", "expected a list of names"),
    ],
)
def test_impossible_views_are_refused(make_store, classes, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(make_store(), "train", classes=classes)
