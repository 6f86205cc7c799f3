"""Identical images: the rule for which of them stay, and that they stay together.

Two images are identical where their pixels are, as the set stores them: a copy of a file, a
PNG of a JPEG, a JPEG with another comment. Copies on two sides of a split would let a network
answer by heart, and copies with two labels have no right answer.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pycls.datasets.readers.base import Item
from pycls.datasets.store.store import SIDES, VALIDATION_SIDE, IntArray

# Of a split's sides, on which copies stay: those that a network is judged by.
_JUDGES = (SIDES.index("test"), VALIDATION_SIDE, SIDES.index("train"))


@dataclass(frozen=True)
class Resolution:
    """What became of identical images.

    Attributes:
        kept: positions of the images that stay, in order.
        groups: for each image that stays, the group it belongs to, of itself or as a copy;
            images of one group go to one side.
        merged: names of the identical images that stay, a tuple each.
        two_labels: names of the images left out because copies carry several labels.
        on_two_sides: {(side it is left out of, side of the copy that stays): names of the two}.
    """

    kept: IntArray
    groups: list[Hashable]
    merged: list[tuple[str, ...]] = field(default_factory=list)
    two_labels: list[tuple[str, ...]] = field(default_factory=list)
    on_two_sides: dict[tuple[int, int], list[tuple[str, str]]] = field(default_factory=dict)


def resolve_copies(
    items: Sequence[Item], keys: Sequence[Hashable], near: Sequence[Sequence[int]] = ()
) -> Resolution:
    """Decide which of the identical images stay, and which belong together.

    Without an official split, copies of one label stay as one group, and copies of several
    labels are left out. With one, copies on two sides stay on the test side, or else on the
    validation side; copies of several labels are left out, but an image of the side on which copies
    stay does so too, unless that side itself gives it several.

    Args:
        items: the images of a listing, all with a side or none.
        keys: one for each image; equal for identical images.
        near: positions of images that nearly look alike; they stay, in one group.
    """
    clusters: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        clusters[key].append(position)
    stays = np.ones(len(items), dtype=bool)
    groups = _Groups(items)
    merged: list[tuple[str, ...]] = []
    two_labels: list[tuple[str, ...]] = []
    on_two_sides: defaultdict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    for cluster in clusters.values():
        if len(cluster) < 2:
            continue
        there = {items[position].side for position in cluster}
        judging = next((side for side in _JUDGES if side in there), None)
        judged = [position for position in cluster if items[position].side == judging]
        if len({items[position].label for position in judged}) > 1:
            stays[cluster] = False
            two_labels.append(_names(items, cluster))
            continue
        for position in cluster:
            side = items[position].side
            if side is not None and judging is not None and side != judging:
                stays[position] = False
                names = (items[position].name, items[judged[0]].name)
                on_two_sides[side, judging].append(names)
        if len(judged) > 1:
            groups.join(judged)
            merged.append(_names(items, judged))
    for alike in near:
        groups.join(alike)
    kept = np.flatnonzero(stays)
    return Resolution(
        kept,
        [groups.find(position) for position in kept.tolist()],
        merged,
        two_labels,
        dict(on_two_sides),
    )


def _names(items: Sequence[Item], positions: Sequence[int]) -> tuple[str, ...]:
    return tuple(items[position].name for position in positions)


class _Groups:
    """Groups of images, joined where they share identical ones (union-find)."""

    def __init__(self, items: Sequence[Item]) -> None:
        # A group's name is kept apart from an image's, which may be the same text.
        self._own: list[Hashable] = [
            item.name if item.group is None else ("group", item.group) for item in items
        ]
        self._parents: dict[Hashable, Hashable] = {}

    def find(self, position: int) -> Hashable:
        group = self._own[position]
        while group in self._parents:
            group = self._parents[group]
        return group

    def join(self, positions: Sequence[int]) -> None:
        roots = {self.find(position) for position in positions}
        # The smallest name, so that the order of the images does not matter.
        first = min(roots, key=str)
        for root in roots - {first}:
            self._parents[root] = first
