import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.catalog.views import ViewSpec
from pycls.datasets.opening.dataset import open_dataset
from pycls.datasets.opening.subsets import (
    balance_classes,
    cap_classes,
    draw_classes,
    fingerprint_selection,
    select_all,
    select_classes,
)
from pycls.datasets.store.store import Store
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
    assert whole.view(ViewSpec("random", classes=("dog", "fox"))).images is whole.images
    np.testing.assert_array_equal(view.mean, whole.mean)
    np.testing.assert_array_equal(view[3][0], whole.images[view.indices[3]])


def test_fingerprint_of_a_class_subset_follows_its_classes_only(make_store):
    path = make_store()
    prints = [
        open_dataset(path, "train", classes=classes).fingerprint
        for classes in ((), ["cat", "dog"], ["cat", "eel"])
    ]
    assert len(set(prints)) == 3
    assert open_dataset(path, "test", classes=["dog", "cat"]).fingerprint == prints[1]
    assert open_dataset(path, "test", classes=["eel", "dog", "cat"]).fingerprint == prints[0]
    # As recorded by finished runs: it must stay.
    text = f"{prints[0]}\0cat\0dog"
    assert prints[1] == hashlib.sha256(text.encode()).hexdigest()


def test_view_of_a_view(make_store):
    path = make_store(classes=("cat", "dog", "eel", "fox"))
    view = open_dataset(path, "train", classes=["dog", "eel", "fox"])
    again = view.view(ViewSpec("random", classes=("fox", "eel")))
    direct = open_dataset(path, "train", classes=["eel", "fox"])
    np.testing.assert_array_equal(again.indices, direct.indices)
    np.testing.assert_array_equal(again.labels, direct.labels)
    assert again.fingerprint == direct.fingerprint
    with pytest.raises(ConfigError, match="no class 'cat'; its classes are dog, eel, fox"):
        view.view(ViewSpec("random", classes=("cat", "dog")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["cat", "cow"]}, "no class 'cow'; its classes are cat, dog, eel"),
        ({"classes": ["cat"]}, "at least 2"),
        ({"classes": ["cat", "dog", "cat"]}, "named twice: cat"),
        ({"classes": "cat"}, "expected a list of names"),
        ({"per_class": -1}, "per_class is -1; expected 1 or more"),
        ({"per_class": 1, "view_seed": -1}, "seed is -1; expected 0 or more"),
    ],
)
def test_impossible_views_are_refused(make_store, options, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(make_store(), "train", **options)


@st.composite
def stores(draw):
    """An open set of few pixels, with any class sizes; both sides have every class."""
    sizes = draw(st.lists(st.integers(2, 12), min_size=2, max_size=5))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    split = np.concatenate([np.arange(size) % draw(st.integers(2, 4)) == 0 for size in sizes])
    order = np.array(draw(st.permutations(range(len(labels)))))
    names = [f"c{label}" for label in range(len(sizes))]
    return Store(
        path=None,
        meta={"name": "any", "class_names": names, "fingerprint": "f"},
        images=np.zeros((len(labels), 1, 1, 3), np.uint8),
        labels=labels[order],
        split=split[order].astype(np.uint8),
    )


def count(store, selection, side):
    kept = selection.kept & (store.split == side)
    return np.bincount(store.labels[kept], minlength=len(store.class_names))


@settings(max_examples=60)
@given(stores(), st.integers(0, 5))
def test_balancing_cuts_the_most_common_class_of_each_side_only(store, seed):
    whole = select_all(store)
    view = balance_classes(store, whole, seed)
    for side in (0, 1):
        before, after = count(store, whole, side), count(store, view, side)
        second = np.sort(before)[-2]
        np.testing.assert_array_equal(after, np.minimum(before, second))
    assert view.class_names == store.class_names


@settings(max_examples=60)
@given(stores(), st.integers(0, 5))
def test_a_cap_is_nested_and_leaves_the_test_side_and_other_classes_alone(store, seed):
    whole = select_all(store)
    balanced = balance_classes(store, whole, seed)
    pair = select_classes(store, whole, store.class_names[:2])
    larger = whole.kept
    for cap in range(12, 0, -1):
        view = cap_classes(store, whole, cap, seed)
        np.testing.assert_array_equal(
            count(store, view, 0), np.minimum(count(store, whole, 0), cap)
        )
        np.testing.assert_array_equal(count(store, view, 1), count(store, whole, 1))
        assert not np.any(view.kept & ~larger)
        larger = view.kept
        of_pair = store.labels < 2
        capped_pair = cap_classes(store, pair, cap, seed)
        np.testing.assert_array_equal(capped_pair.kept, view.kept & of_pair)
        if cap <= np.sort(count(store, whole, 0))[-2]:
            train = store.split == 0
            after_balance = cap_classes(store, balanced, cap, seed)
            np.testing.assert_array_equal(after_balance.kept[train], view.kept[train])


@settings(max_examples=40)
@given(stores())
def test_fingerprints_differ_exactly_where_images_do(store):
    whole = select_all(store)
    found = {}
    for seed in (0, 1, 2):
        for cap in (1, 2, 100):
            view = cap_classes(store, whole, cap, seed)
            text = fingerprint_selection(store, view)
            assert found.setdefault(text, view.kept.tobytes()) == view.kept.tobytes()
    assert len(set(found.values())) == len(found)
    assert fingerprint_selection(store, cap_classes(store, whole, 100, 0)) == "f"


def test_seeds_keep_every_image_about_equally_often(make_store):
    whole = open_dataset(make_store(per_class=30), "train")
    counts = np.zeros(len(whole.store.labels))
    for seed in range(500):
        counts += whole.view(ViewSpec("random", per_class=5, seed=seed)).selection.kept
    kept = counts[whole.indices]
    # 5 of 20: binomial with mean 125 and deviation 9.7.
    assert kept.min() > 80
    assert kept.max() < 170
