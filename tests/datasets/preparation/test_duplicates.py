from collections import Counter, defaultdict

import numpy as np
from archives import pack
from hypothesis import given
from hypothesis import strategies as st

from pycls.datasets.preparation.duplicates import (
    compute_digest,
    find_candidates,
    make_array_keys,
    make_content_keys,
    resolve_copies,
)
from pycls.datasets.readers.base import Item
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import open_source

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
    first, second = resolve_copies(items, [None, None]).groups
    assert first != second


def test_only_files_of_one_size_are_candidates_and_zip_checksums_tell_more(tmp_path):
    tree = {"a": b"one", "b": b"two", "c": b"three", "d": b"one", "e": b"five!"}
    for name, data in tree.items():
        (tmp_path / name).write_bytes(data)
    folder = open_source(tmp_path)
    names = [
        member.name for member in find_candidates([Item(m, m.name, 0) for m in folder.members])
    ]
    assert names == ["a", "b", "c", "d", "e"]
    (tmp_path / "all.zip").write_bytes(pack("zip", tree))
    packed = open_source(tmp_path / "all.zip")
    items = [Item(member, member.name, 0) for member in packed.members]
    found = find_candidates(items)
    assert [member.name for member in found] == ["a", "d"]
    digests = {member.name: compute_digest(packed.read(member)) for member in found}
    keys = make_content_keys(items, digests)
    assert keys[0] == keys[3]
    assert keys[1:3] == [None, None]


def test_parts_of_one_picture_differ_by_their_box():
    picture, other = Member("a.jpg", 10), Member("b.jpg", 10)
    boxes = [(0, 0, 5, 5), (1, 0, 5, 5), (0, 0, 5, 5)]
    items = [Item(picture, str(n), 0, box=box) for n, box in enumerate(boxes)]
    items.append(Item(other, "3", 0, box=(1, 0, 5, 5)))
    assert find_candidates(items) == [picture, other]
    keys = make_content_keys(items, {"a.jpg": "x", "b.jpg": "x"})
    assert Counter(keys) == {("x", boxes[0]): 2, ("x", boxes[1]): 2}


def test_rows_of_an_array_are_compared_by_their_pixels():
    pixels = np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)
    pixels[2] = pixels[0]
    keys = make_array_keys(pixels)
    assert keys[0] == keys[2]
    assert len(set(keys)) == 4
