"""Splits that the user gives a set which has none of its own, in place of the drawn one."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from pycls import files
from pycls.datasets.readers.base import Item, Listing
from pycls.errors import ConfigError, DataError

# What the option "split" may be: whole groups are drawn, or single images as in the published
# study's code (10 % of each class; its draw had no working seed).
BY_GROUP, BY_IMAGE = "groups", "images"
_MOST_NAMED = 5


def read_test_files(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in the file of the option "test_files", one a line; () without one.

    Raises:
        ConfigError: the file cannot be read or names nothing.
    """
    path = options.get("test_files", "")
    if not path:
        return ()
    text = files.read_text(path, "text", "utf-8-sig")
    names = [line.strip() for line in text.splitlines()]
    names = [name for name in names if name and not name.startswith("#")]
    if not names:
        raise ConfigError(f"test_files: {path} names no file; expected one a line")
    return tuple(names)


def describe_test_files(path: str, names: Sequence[str]) -> str:
    """Return what stands for a list in a set's options: not where it is, but what is in it."""
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    return f"{Path(path).name} ({len(names):,} names, SHA-256 {digest[:12]})"


def apply_test_files(listing: Listing, names: Sequence[str], words: str) -> Listing:
    """Put the images of a list to the test side, all others to the train side.

    A name is an image's in the set ("Positive/00001.jpg"), or one ends in the other, from a
    folder on, with a suffix or without, where that is so of just one image.

    Args:
        listing: a set without an official split.
        names: the list.
        words: what to call the list.

    Raises:
        ConfigError: the set has a split of its own.
        DataError: a name is no image of the set or may be several, or a class is not on both sides.
    """
    if listing.items and listing.items[0].side is not None:
        raise ConfigError("test_files: the set has a split of its own, which is not replaced")
    names_of_set = {item.name for item in listing.items}
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    for item in listing.items:
        by_stem[PurePosixPath(item.name).stem].append(item.name)
    chosen: set[str] = set()
    unknown: list[str] = []
    unclear: list[str] = []
    for name in names:
        found = [name]
        if name not in names_of_set:
            stem = PurePosixPath(name.replace("\\", "/")).stem
            found = [other for other in by_stem.get(stem, ()) if _may_be_one(name, other)]
        if len(found) == 1:
            chosen.update(found)
        else:
            (unclear if found else unknown).append(name)
    for problem, these in (("are no images of the set", unknown), ("may be several", unclear)):
        if these:
            more = f" and {len(these) - _MOST_NAMED:,} more" if len(these) > _MOST_NAMED else ""
            raise DataError(
                f"test_files {words}: {len(these):,} names {problem}: "
                f"{', '.join(these[:_MOST_NAMED])}{more}; the set's names are such as "
                f"'{listing.items[0].name}'"
            )
    items = [replace(item, side=int(item.name in chosen)) for item in listing.items]
    _require_both_sides(items, listing.class_names, words)
    return replace(listing, items=items, official_split=f"given: the test side is the list {words}")


def without_groups(listing: Listing) -> Listing:
    """Return a listing each image of which is a group of its own."""
    items = [replace(item, group=None, stratum="") for item in listing.items]
    return replace(listing, items=items)


def describe_shared_groups(groups: Sequence[str | None], split: Sequence[int], word: str) -> str:
    """Return words on the test images whose group is on the train side too, "" for none."""
    trained = {group for group, side in zip(groups, split, strict=True) if side == 0} - {None}
    tested = [group for group, side in zip(groups, split, strict=True) if side == 1]
    shared = sum(group in trained for group in tested)
    if not shared:
        return ""
    return (
        f"{shared:,} of {len(tested):,} test images ({shared / len(tested):.0%}) share a {word} "
        "with an image of the train side"
    )


def _may_be_one(listed: str, name: str) -> bool:
    """Say whether one of two paths ends in the other, suffixes apart where one has none."""
    one, two = PurePosixPath(listed.replace("\\", "/")), PurePosixPath(name)
    if one.suffix and two.suffix and one.suffix != two.suffix:
        return False
    depth = min(len(one.parts), len(two.parts))
    return one.parts[-depth:-1] == two.parts[-depth:-1] and one.stem == two.stem


def _require_both_sides(items: Sequence[Item], class_names: Sequence[str], words: str) -> None:
    present = {(item.label, item.side) for item in items}
    for side, word in enumerate(("train", "test")):
        for label, name in enumerate(class_names):
            if (label, side) not in present:
                raise DataError(
                    f"test_files {words}: no image of class '{name}' on the {word} side"
                )
