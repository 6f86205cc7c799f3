import itertools

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from pycls.datasets.preparation import group_split
from pycls.datasets.preparation.group_split import split_groups
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


# A group of each image and its label; classes of many and of few groups, shared or not.
GROUPED = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=30, max_size=150)


def count_sides(labels, split):
    return np.array([np.bincount(labels[split == side], minlength=4) for side in (0, 1)])


def every_class_can_be_divided(labels, groups):
    return all(len(set(groups[labels == label])) > 1 for label in np.unique(labels))


@given(
    GROUPED, st.sampled_from([0.1, 0.3, 0.5]), st.integers(0, 50), st.randoms(use_true_random=False)
)
def test_groups_that_span_classes_stay_whole_and_order_does_not_matter(rows, share, seed, random):
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    assume(every_class_can_be_divided(labels, groups))
    names = [f"photograph {group}" for group in groups]
    try:
        split = split_groups(labels, names, share, seed)
    except DataError:
        reject()  # see the next test
    for group in set(groups):
        assert len(set(split[groups == group])) == 1
    present = np.unique(labels)
    assert count_sides(labels, split)[:, present].min() >= 1
    order = list(range(len(rows)))
    random.shuffle(order)
    again = split_groups(labels[order], [names[at] for at in order], share, seed)
    np.testing.assert_array_equal(again, split[order])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=6, max_size=20),
    st.sampled_from([0.1, 0.5]),
    st.integers(0, 50),
)
def test_a_division_is_found_whenever_there_is_one(rows, share, seed):
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    assume(every_class_can_be_divided(labels, groups))
    names, present = np.unique(groups), np.unique(labels)
    choices = itertools.product([False, True], repeat=len(names))
    sides = (np.isin(groups, names[list(choice)]) for choice in choices)
    possible = any(count_sides(labels, side)[:, present].min() for side in sides)
    try:
        split = split_groups(labels, groups.tolist(), share, seed)
    except DataError:
        assert not possible
    else:
        assert count_sides(labels, split)[:, present].min() >= 1


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=2, max_size=25), min_size=1, max_size=4),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.integers(0, 50),
)
def test_no_group_could_change_sides_and_bring_the_share_nearer(sizes, share, seed):
    """Groups of one class each: every class by itself is at its best up to one group."""
    rows = [
        (label, f"{label}/{number}")
        for label, class_sizes in enumerate(sizes)
        for number, size in enumerate(class_sizes)
        for _ in range(size)
    ]
    labels = np.array([label for label, _ in rows])
    split = split_groups(labels, [group for _, group in rows], share, seed)
    for label, class_sizes in enumerate(sizes):
        total = sum(class_sizes)
        wanted = min(max(round(total * share), 1), total - 1)
        start = int((labels < label).sum())
        ends = start + np.cumsum(class_sizes)
        side = split[ends - 1]
        tested = int(np.dot(side, class_sizes))
        for group_side, size in zip(side, class_sizes, strict=True):
            moved = tested - size if group_side else tested + size
            assert abs(moved - wanted) >= abs(tested - wanted) or moved in (0, total)


@given(st.lists(st.integers(0, 3), min_size=10, max_size=60), st.integers(0, 50))
def test_groups_of_one_image_split_as_images_without_groups(labels, seed):
    labels = np.array([*labels, 0, 0, 1, 1, 2, 2, 3, 3])
    names = [f"image{number}" for number in range(len(labels))]
    np.testing.assert_array_equal(
        split_groups(labels, names, 0.2, seed), stratified_split(labels, names, 0.2, seed)
    )


@settings(max_examples=20)
@given(st.integers(0, 200))
def test_strata_of_a_class_are_shared_out_alike(seed):
    labels = np.repeat([0, 1], 200)
    strata = ["visible" if number % 4 else "infrared" for number in range(400)]
    names = [f"{number}.bmp" for number in range(400)]
    split = split_groups(labels, names, 0.1, seed, strata)
    infrared = np.array(strata) == "infrared"
    for label in (0, 1):
        assert split[labels == label].sum() == 20
        assert split[(labels == label) & infrared].sum() == 5


@given(st.integers(0, 20))
def test_photographs_of_many_classes_come_near_the_share_of_each(seed):
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet([3, 1, 1, 0.5, 0.2], size=120)
    labels = np.concatenate([generator.choice(5, 50, p=share) for share in shares])
    split = split_groups(labels, np.repeat(np.arange(120), 50).tolist(), 0.1, seed)
    for label in range(5):
        assert abs(split[labels == label].mean() - 0.1) < 0.02


def test_classes_that_cannot_be_divided_are_named():
    with pytest.raises(DataError, match="class fox: its 3 images are one group"):
        split_groups([0, 0, 1, 1, 1], ["a", "b", "c", "c", "c"], 0.5, 1, None, ["cat", "fox"])
    with pytest.raises(DataError, match="class fox: it has 1 image"):
        split_groups([0, 0, 1], ["a", "b", "c"], 0.5, 1, None, ["cat", "fox"])
    # Three classes in the three pairs of three groups: two groups are on one side.
    with pytest.raises(DataError, match=r"no division by whole groups .* fails for"):
        split_groups([0, 1, 1, 2, 2, 0], ["a", "a", "b", "b", "c", "c"], 0.5, 1)


def largest_deviation(labels, split, share):
    return max(abs(split[labels == label].mean() - share) for label in np.unique(labels))


def find_best(labels, groups, share):
    """Return the smallest largest deviation of a class's share, by trying all divisions."""
    names, numbers = np.unique(groups, return_inverse=True)
    classes, places = np.unique(labels, return_inverse=True)
    held = np.zeros((len(names), len(classes)))
    np.add.at(held, (numbers, places), 1)
    masks = np.arange(1 << len(names))[:, None] >> np.arange(len(names)) & 1
    tested = masks @ held
    divided = ((tested > 0) & (tested < held.sum(axis=0))).all(axis=1)
    deviations = np.abs(tested / held.sum(axis=0) - share).max(axis=1)
    return deviations[divided].min(initial=np.inf)


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), min_size=12, max_size=80),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.integers(0, 50),
)
def test_of_few_groups_the_division_is_the_best_there_is(rows, share, seed):
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    assume(every_class_can_be_divided(labels, groups))
    assume(len(set(groups)) < len(groups))
    best = find_best(labels, groups, share)
    assume(np.isfinite(best))
    split = split_groups(labels, groups.tolist(), share, seed)
    assert largest_deviation(labels, split, share) <= best + 1e-8


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2)), min_size=30, max_size=90),
    st.sampled_from([0.2, 0.5]),
    st.integers(0, 50),
)
@settings(max_examples=30)
def test_the_search_misses_the_best_by_at_most_the_smallest_group(rows, share, seed):
    """As of more groups than can all be compared; what is best is known of few only."""
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    assume(every_class_can_be_divided(labels, groups))
    best = find_best(labels, groups, share)
    assume(np.isfinite(best))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_split, "_FEW_GROUPS", 0)
        split = split_groups(labels, groups.tolist(), share, seed)
    smallest = np.unique(groups, return_counts=True)[1].min()
    slack = smallest / np.bincount(labels)[np.unique(labels)].min()
    assert largest_deviation(labels, split, share) <= best + slack + 1e-8


@pytest.mark.parametrize("patients", range(3))
def test_ten_patients_of_three_classes_are_divided_as_well_as_can_be(patients):
    generator = np.random.default_rng(patients)
    labels = generator.integers(0, 3, 200)
    groups = generator.choice(10, 200, p=generator.dirichlet(np.full(10, 2.0)))
    best = find_best(labels, groups, 0.2)
    for seed in range(60):
        split = split_groups(labels, groups.tolist(), 0.2, seed)
        assert largest_deviation(labels, split, 0.2) <= best + 1e-8


@pytest.mark.parametrize("seed", range(40))
def test_one_large_group_among_single_images_does_not_bend_the_share(seed):
    labels = np.repeat([0, 1, 2], 1000)
    groups = [f"image {number}" for number in range(3000)]
    groups[:400] = ["film"] * 400
    split = split_groups(labels, groups, 0.1, seed)
    assert [split[labels == label].sum() for label in range(3)] == [100, 100, 100]


def test_integer_programming_finds_what_searching_misses():
    # A chain in which each class is in two groups: only two divisions put all on both sides.
    rows = [(label, group) for label in range(40) for group in (label, label + 1)]
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    split = split_groups(labels, groups.tolist(), 0.1, 1)
    assert all(len(set(split[labels == label])) == 2 for label in range(40))
    rows += [(40, 0), (40, 40), (41, 40), (41, 1)]
    labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    with pytest.raises(DataError, match="no division by whole groups"):
        split_groups(labels, groups.tolist(), 0.1, 1)
