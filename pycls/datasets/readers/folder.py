"""Reader of a set of one's own: a folder of images a class, with or without one a side."""

from collections import defaultdict
from collections.abc import Sequence

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import ConfigError, DataError

_EXPECTED = (
    "images in a folder for each class: <class>/*.jpg, or train/<class>/*.jpg and "
    "test/<class>/*.jpg (or val)"
)

# A file and its path below what lies around everything.
_Placed = tuple[Member, tuple[str, ...]]


def read_folder(source: Source, test_folder: str = "") -> Listing:
    """List a set of class folders.

    The classes are the folders at the top, or, where folders named for the sides (train, and
    test or val) are there, the folders in those. Labels follow the alphabetical order of the
    names. Images deeper in a class's folder belong to it.

    Args:
        source: where it is; what lies around everything is looked through.
        test_folder: the folder that is the test side; "" for test, or, if that is not there or
            has no classes, val.

    Raises:
        ConfigError: there is no such test folder.
        DataError: images in no class's folder, a single class, or a class on one side only.
    """
    found = layout.find_images(source, _EXPECTED)
    images = _strip_wrapping([(member, layout.path_parts(member.name)) for member in found])
    sides, depth, notes = _choose_sides(images, test_folder, source)
    placed = sides[0] + sides[1]
    lost = [member.name for member, parts in placed if len(parts) < depth + 2]
    if lost:
        raise DataError(
            f"{source.path}: in no class's folder: {layout.name_some(lost)}; expected {_EXPECTED}"
        )
    names = sorted({parts[depth] for _, parts in placed})
    if len(names) < 2:
        raise DataError(f"{source.path}: a single class, '{names[0]}'; expected {_EXPECTED}")
    items = [
        Item(member, "/".join(parts), names.index(parts[depth]), side=side if sides[1] else None)
        for side, members in enumerate(sides)
        for member, parts in members
    ]
    kept, repeated = layout.finish_items(items, source)
    words = ""
    if sides[1]:
        layout.require_both_sides(kept, names, str(source.path))
        words = f"the set's own: its folder '{sides[1][0][1][0]}' is the test side"
    return Listing(kept, tuple(names), (*notes, *repeated), official_split=words)


def _strip_wrapping(images: list[_Placed]) -> list[_Placed]:
    """Leave out the folders that lie around everything."""
    first = images[0][1]
    depth = 0
    while all(len(parts) > depth + 1 and parts[depth] == first[depth] for _, parts in images):
        depth += 1
    return [(member, parts[depth:]) for member, parts in images]


def _choose_sides(
    images: list[_Placed], test_folder: str, source: Source
) -> tuple[tuple[list[_Placed], list[_Placed]], int, list[str]]:
    """Return the images of the two sides, the depth of the classes' folders, and notes.

    The test side is empty where there are no folders for the sides.
    """
    folders: dict[str, list[_Placed]] = defaultdict(list)
    for member, parts in images:
        folders[parts[0].casefold() if len(parts) > 1 else ""].append((member, parts))
    train = next((word for word in layout.TRAIN_WORDS if word in folders), None)
    # Unlabelled test images lie in their folder without further folders.
    flat = [
        word
        for word in layout.TEST_WORDS
        if word in folders and all(len(parts) == 2 for _, parts in folders[word])
    ]
    tests = [word for word in layout.TEST_WORDS if word in folders and word not in flat]
    if test_folder and (train is None or test_folder.casefold() not in tests):
        raise ConfigError(
            f"test_folder '{test_folder}': {source.path} has no such folder of classes beside "
            f"train; it has {_name_folders(images)}"
        )
    if train is None or not (tests or flat):
        return (images, []), 0, []
    test = test_folder.casefold() or next(iter(tests), "")
    used = folders.pop(train), folders.pop(test) if test else []
    notes = [_tell_left_out(members, test, word in flat) for word, members in folders.items()]
    return used, 1, notes


def _tell_left_out(members: Sequence[_Placed], test: str, unlabelled: bool) -> str:
    member, parts = members[0]
    where = f"in the folder '{parts[0]}'" if len(parts) > 1 else f"such as '{member.name}'"
    reason = "unlabelled, " if unlabelled else ""
    used = f"the test side is '{test}'" if test else "there is no test side"
    return f"{len(members):,} images {where} are left out: {reason}{used}"


def _name_folders(images: Sequence[_Placed]) -> str:
    folders = sorted({parts[0] for _, parts in images if len(parts) > 1})
    return layout.name_some(folders) or "no folder"
