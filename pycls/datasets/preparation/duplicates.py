"""Identical images: their discovery among the files of a set, and the rule for which stay.

Two images are identical where their files hold the same bytes and the same part of the
picture is taken. Copies on both sides of a split would let a network answer by heart, and
copies with two labels have no right answer.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pycls.datasets.readers.base import Item
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.store.store import ImageArray, IntArray

_DIGEST_BYTES = 16


def compute_digest(data: bytes | memoryview) -> str:
    """Return a hash of a file's bytes, as hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def find_candidates(items: Sequence[Item]) -> list[Member]:
    """Return the files of a listing's images that may have copies, each once.

    Those are files whose size occurs again; within zip files, whose size and checksum do.
    """
    present = [(item.member, item.box) for item in items if item.member is not None]
    checked = all(member._crc is not None for member, _ in present)
    looks = [(member.size, member._crc if checked else None, box) for member, box in present]
    counts = Counter(looks)
    found = {
        member.name: member
        for (member, _), look in zip(present, looks, strict=True)
        if counts[look] > 1
    }
    return list(found.values())


def make_content_keys(
    items: Sequence[Item], digests: Mapping[str, str | None]
) -> list[Hashable | None]:
    """Return for each image a value that identical images share; None: it has no copy.

    `digests` holds {name of a file: hash of its bytes, or None where it cannot be read}.
    """
    keys: list[Hashable | None] = []
    for item in items:
        digest = digests.get(item.member.name) if item.member is not None else None
        keys.append(None if digest is None else (digest, item.box))
    return keys


def make_array_keys(pixels: ImageArray) -> list[Hashable | None]:
    """Do as :func:`make_content_keys` for images that come as an array (N x H x W x 3)."""
    return [compute_digest(np.ascontiguousarray(image).data) for image in pixels]


@dataclass(frozen=True)
class Resolution:
    """What became of identical images.

    Attributes:
        kept: positions of the images that stay, in order.
        groups: for each image that stays, the group it belongs to, of itself or as a copy;
            images of one group go to one side.
        merged: names of the identical images that stay, a tuple each.
        two_labels: names of the images left out because copies carry several labels.
        both_sides: name of an image left out of the train side, and of its copy on the test side.
    """

    kept: IntArray
    groups: list[Hashable]
    merged: list[tuple[str, ...]] = field(default_factory=list)
    two_labels: list[tuple[str, ...]] = field(default_factory=list)
    both_sides: list[tuple[str, str]] = field(default_factory=list)


def resolve_copies(items: Sequence[Item], keys: Sequence[Hashable | None]) -> Resolution:
    """Decide which of the identical images stay, and which belong together.

    Without an official split, copies of one label stay as one group, and copies of several
    labels are left out. With one, copies on both sides are left out of the train side; copies
    of several labels are left out, but an image of the test side stays unless the test side
    itself gives it several.

    Args:
        items: the images of a listing, all with a side or none.
        keys: one for each image; equal for identical images, None where there is no copy.
    """
    clusters: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, key in enumerate(keys):
        if key is not None:
            clusters[key].append(position)
    stays = np.ones(len(items), dtype=bool)
    groups = _Groups(items)
    merged: list[tuple[str, ...]] = []
    two_labels: list[tuple[str, ...]] = []
    both_sides: list[tuple[str, str]] = []
    for cluster in clusters.values():
        if len(cluster) < 2:
            continue
        tested = [position for position in cluster if items[position].side == 1]
        judged = tested or cluster
        if len({items[position].label for position in judged}) > 1:
            stays[cluster] = False
            two_labels.append(_names(items, cluster))
            continue
        for position in cluster:
            if tested and items[position].side == 0:
                stays[position] = False
                both_sides.append((items[position].name, items[tested[0]].name))
        if len(judged) > 1:
            groups.join(judged)
            merged.append(_names(items, judged))
    kept = np.flatnonzero(stays)
    return Resolution(
        kept, [groups.find(position) for position in kept.tolist()], merged, two_labels, both_sides
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
