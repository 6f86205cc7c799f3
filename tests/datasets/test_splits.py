import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.datasets.splits import split_areas, stratified_split
from pycls.errors import DataError


@given(
    st.lists(st.integers(0, 3), min_size=20, max_size=80),
    st.floats(0.05, 0.9),
    st.integers(0, 100),
    st.randoms(use_true_random=False),
)
def test_split_is_stratified_and_does_not_depend_on_order(labels, share, seed, random):
    labels = np.array([*labels, 0, 0, 1, 1, 2, 2, 3, 3])
    names = [f"image{number}" for number in range(len(labels))]
    split = stratified_split(labels, names, share, seed)
    for label in range(4):
        members = labels == label
        on_test = split[members].sum()
        assert 1 <= on_test <= members.sum() - 1
        assert abs(on_test - members.sum() * share) <= 1
    order = list(range(len(labels)))
    random.shuffle(order)
    shuffled = stratified_split(labels[order], [names[i] for i in order], share, seed)
    np.testing.assert_array_equal(shuffled, split[order])


def test_seed_decides_the_split():
    labels = np.zeros(100, dtype=int)
    a, b = (stratified_split(labels, range(100), 0.5, seed) for seed in (1, 2))
    assert 20 < (a != b).sum() < 80


def test_classes_of_one_image_and_repeated_identities_are_refused():
    with pytest.raises(DataError, match="class 1: it has 1 image"):
        stratified_split([0, 0, 1], "abc", 0.5, 1)
    with pytest.raises(DataError, match="one identity"):
        stratified_split([0, 0, 0], "aba", 0.5, 1)


@given(st.integers(1, 12), st.integers(2, 12), st.integers(0, 50))
def test_about_a_third_of_the_areas_is_tested(rows, columns, seed):
    sides = split_areas("picture", rows, columns, 1 / 3, seed)
    assert sides.shape == (rows, columns)
    assert 1 <= sides.sum() <= rows * columns - 1
    assert abs(sides.sum() - rows * columns / 3) <= 1


def test_pictures_are_divided_differently():
    a, b = (split_areas(name, 10, 10, 1 / 3, 1) for name in ("brick", "grass"))
    assert (a != b).any()
    with pytest.raises(DataError, match="expected at least 2"):
        split_areas("small", 1, 1, 1 / 3, 1)
