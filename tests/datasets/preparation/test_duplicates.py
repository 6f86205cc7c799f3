from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from pycls.datasets.preparation.duplicates import resolve_copies
from pycls.datasets.readers.base import Item

# Content, label, side and group of each image.
PLAIN = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 5)), max_size=40)
SIDED = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2), st.integers(0, 1)), max_size=40)


def by_content(rows):
    clusters = defaultdict(list)
    for position, row in enumerate(rows):
        clusters[row[0]].append(position)
    return clusters


@given(PLAIN)
def test_without_sides_copies_are_one_group_or_all_left_out(rows):
    items = [
        Item(None, f"{n:03d}", label, group=str(group) if group else None)
        for n, (_, label, group) in enumerate(rows)
    ]
    found = resolve_copies(items, [content for content, _, _ in rows])
    group_of = dict(zip(found.kept.tolist(), found.groups, strict=True))
    left_out = set()
    for cluster in by_content(rows).values():
        if len({rows[position][1] for position in cluster}) > 1:
            left_out |= set(cluster)
            assert not group_of.keys() & set(cluster)
        else:
            assert len({group_of[position] for position in cluster}) == 1
    assert set(group_of) == set(range(len(rows))) - left_out
    # What the reader put into one group stays in one, even when its link was left out.
    for position, (_, _, group) in enumerate(rows):
        for other, (_, _, other_group) in enumerate(rows):
            if group and group == other_group and {position, other} <= group_of.keys():
                assert group_of[position] == group_of[other]
    named = [name for names in found.two_labels for name in names]
    assert sorted(named) == [f"{position:03d}" for position in sorted(left_out)]


@given(SIDED)
def test_with_sides_no_copy_is_on_both_and_the_test_side_gives_way_only_to_itself(rows):
    items = [Item(None, f"{n:03d}", label, side=side) for n, (_, label, side) in enumerate(rows)]
    kept = set(resolve_copies(items, [row[0] for row in rows]).kept.tolist())
    for cluster in by_content(rows).values():
        stay = [position for position in cluster if position in kept]
        assert len({rows[position][2] for position in stay}) <= 1
        assert len({rows[position][1] for position in stay}) <= 1
        tested = [position for position in cluster if rows[position][2] == 1]
        if len({rows[position][1] for position in tested}) == 1:
            assert stay == tested
        if not tested and len({rows[position][1] for position in cluster}) == 1:
            assert stay == cluster


def test_a_group_is_not_taken_for_an_image_of_the_same_name():
    items = [Item(None, "a", 0), Item(None, "b", 0, group="a")]
    first, second = resolve_copies(items, [0, 1]).groups
    assert first != second
