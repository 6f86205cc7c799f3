"""The finding of images, classes and tables that the readers of published layouts share."""

import codecs
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers.base import Item
from pycls.datasets.sources.archives import UNPACKERS, archive_suffix
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.formats import (
    HEAD_BYTES,
    IMAGE_SUFFIXES,
    is_image_content,
    may_be_image,
)
from pycls.datasets.sources.sources import Source
from pycls.datasets.store.store import SIDES, VALIDATION_SIDE
from pycls.errors import DataError

# Words for the sides of a split that users' sets have; of several test sides the first counts, and
# beside it the first of those to validate is the third side.
TRAIN_WORDS = ("train", "training", "trn", "trainval")
VALIDATION_WORDS = ("val", "valid", "validation", "dev")
TEST_WORDS = ("test", "testing", "tst", "evaluation", "eval", "holdout", *VALIDATION_WORDS)
_MOST_NAMED = 5


def choose_validation(train: str, test: str, present: Collection[str]) -> str:
    """Return the word of the side to validate on beside a train and a test side, "" for none.

    Args:
        train: the word of the train side; "trainval" holds what there is to validate.
        test: the word of the test side; where that is "val" or the like, there is no third side.
        present: the words that are there.
    """
    if train in ("", "trainval") or not test or test in VALIDATION_WORDS:
        return ""
    return next((word for word in VALIDATION_WORDS if word in present), "")


def describe_sides(test: str, validation: str) -> str:
    """Return words on a set's own split, of what are its test and its validation side."""
    more = f", {validation} the validation side" if validation else ""
    return f"the set's own: {test} is the test side{more}"


def is_validation(item: Item) -> bool:
    """Say whether an image is on a set's own validation side."""
    return item.side == VALIDATION_SIDE


def is_image(name: str) -> bool:
    """Say whether a file's suffix, in any case, is that of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def holds_image(source: Source, member: Member) -> bool:
    """Say whether a file is an image: by its suffix, or else by its content.

    A file with an image's suffix that is none is an unreadable image, and named as such later.
    """
    if is_image(member.name):
        return True
    suffix = member.suffix
    if suffix in UNPACKERS or not may_be_image(source.read_head(member, HEAD_BYTES), suffix):
        return False
    return is_image_content(source.read(member))


def path_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path as if its archives had been unpacked.

    Archives' suffixes are left out, and so is a folder in a folder of the same name, such as
    the one that unpacking `a.zip` with the folder `a` in it makes: "a.zip/a/1.jpg" gives
    ("a", "1.jpg").
    """
    parts: list[str] = []
    *folders, file = name.split("/")
    for folder in folders:
        folder = folder.removesuffix(folder[len(folder) - len(archive_suffix(folder)) :])
        if not parts or parts[-1] != folder:
            parts.append(folder)
    return (*parts, file)


def find_images(source: Source, expected: str) -> list[Member]:
    """Return the images of a source, of which there must be some.

    Raises:
        DataError: there is none; says what was `expected`.
    """
    images = [member for member in source.members if holds_image(source, member)]
    if not images:
        raise not_found(source, expected)
    return images


def not_found(source: Source, expected: str) -> DataError:
    """Return the error that says a source is not what was expected, with what it holds."""
    packed = [member for member in source.members if member.suffix in UNPACKERS]
    if packed:
        return DataError(
            f"{source.path}: expected {expected}; found '{packed[0].name}', which must be unpacked "
            f"first, with {UNPACKERS[packed[0].suffix]}; then give the unpacked folder"
        )
    names = name_some([member.name for member in source.members])
    return DataError(f"{source.path}: expected {expected}; found {names}")


def read_text(source: Source, member: Member, what: str = "it") -> str:
    """Return the text of a file, in UTF-8 or marked as UTF-16; `what` it is, for the message.

    Raises:
        DataError: it is no such text.
    """
    data = source.read(member)
    try:
        # Excel marks what it calls Unicode text.
        is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source.where(member)}: not UTF-8 text ({error}); save {what} as UTF-8"
        ) from None


def group_by_class(
    members: Iterable[Member], known: Collection[str]
) -> tuple[dict[str, list[Member]], list[Member]]:
    """Divide files by the innermost folder on their way that bears a known class's name.

    Args:
        members: the files.
        known: names of classes, in any case.

    Returns:
        The files of each class under its name as it is on disk (of several spellings the
        first), and the files in no such folder.
    """
    wanted = {name.casefold() for name in known}
    spelling: dict[str, str] = {}
    classes: dict[str, list[Member]] = {}
    others = []
    for member in members:
        folders = path_parts(member.name)[:-1]
        name = next((part for part in reversed(folders) if part.casefold() in wanted), None)
        if name is None:
            others.append(member)
        else:
            name = spelling.setdefault(name.casefold(), name)
            classes.setdefault(name, []).append(member)
    return classes, others


def refuse_unknown_folders(
    source: Source,
    classes: Mapping[str, Iterable[Member]],
    others: Iterable[Member],
    expected: str,
) -> None:
    """Check that beside the class folders there is no folder of images that is no class.

    Args:
        source: the files.
        classes: images in class folders, by class.
        others: images in none.
        expected: the classes, for the message.

    Raises:
        DataError: there is such a folder.
    """
    # A class folder is where images lie: its parent is two levels above them.
    parents = {path_parts(member.name)[:-2] for inside in classes.values() for member in inside}
    on_the_way = {parent[:depth] for parent in parents for depth in range(len(parent) + 1)}
    unknown = {
        "/".join(folder[: depth + 1])
        for folder in (path_parts(member.name)[:-1] for member in others)
        for depth in range(len(folder))
        if folder[:depth] in parents and folder[: depth + 1] not in on_the_way
    }
    if unknown:
        raise DataError(
            f"{source.path}: unknown class folder {name_some(sorted(unknown))}; expected "
            f"{expected}; remove it, or prepare the folders as 'folder'"
        )


def note_strays(others: Iterable[Member]) -> list[str]:
    """Return a note on images that lie in no class folder, if there are some."""
    names = [member.name for member in others]
    return [f"left out, since it lies in no class folder: {name_some(names)}"] if names else []


def require_classes(found: Collection[str], expected: Collection[str], where: str) -> None:
    """Check that every class is there, whatever the case of its letters.

    Raises:
        DataError: a class is missing, or one is there that is not known.
    """
    there = {name.casefold() for name in found}
    known = {name.casefold() for name in expected}
    missing = [name for name in expected if name.casefold() not in there]
    unknown = [name for name in found if name.casefold() not in known]
    if missing:
        raise DataError(
            f"{where}: no image of class {name_some(missing)}; expected images of "
            f"{len(expected)} classes"
        )
    if unknown:
        raise DataError(
            f"{where}: unknown class {name_some(unknown)}; expected {join_quoted(expected)}"
        )


def finish_items(items: Iterable[Item], source: Source) -> tuple[list[Item], list[str]]:
    """Sort items by name; keep one of those that are there twice, packed and unpacked.

    Returns:
        The items, and a note if some were left out.

    Raises:
        DataError: two different images bear one name.
    """
    kept: dict[str, Item] = {}
    repeated = 0
    for item in items:
        other = kept.setdefault(item.name, item)
        if other is item:
            continue
        one, two = other.member, item.member
        if one is None or two is None or not _is_same_file(source, item, other):
            raise DataError(
                f"{source.path}: two different images are called '{item.name}': "
                f"{one.name if one else other} and {two.name if two else item}; remove one"
            )
        repeated += 1
    notes = [f"{repeated:,} images are there twice; one of each is used"] if repeated else []
    return [kept[name] for name in sorted(kept)], notes


def _is_same_file(source: Source, item: Item, other: Item) -> bool:
    one, two = item.member, other.member
    return (
        one is not None
        and two is not None
        and other == replace(item, member=two)
        and one.size == two.size
        and source.read(one) == source.read(two)
    )


def require_both_sides(items: Iterable[Item], class_names: Sequence[str], where: str) -> None:
    """Check that every class of a set with an official split has images to train and to test.

    Raises:
        DataError: one has not.
    """
    present = {(item.label, item.side) for item in items}
    for side, word in enumerate(SIDES):
        lacking = [name for label, name in enumerate(class_names) if (label, side) not in present]
        if lacking:
            raise DataError(
                f"{where}: no image on the {word} side of class {name_some(lacking)}; add some, or "
                "leave the class out on both sides"
            )


def compare_counts(
    found: Mapping[str, int], expected: Mapping[str, int], prefix: str = ""
) -> list[str]:
    """Return a note for every count that differs from the published one.

    Args:
        found: what was counted ("images", "forest") to how many there are.
        expected: the same as published; in any case of the letters.
        prefix: what the notes put before each name ("images of ").
    """
    there = {name.casefold(): count for name, count in found.items()}
    notes = []
    for name, published in expected.items():
        count = there.get(name.casefold(), 0)
        if count != published:
            word = "more" if count > published else "fewer"
            notes.append(
                f"{prefix}{name}: {count:,}, {abs(count - published):,} {word} than the published "
                f"{published:,}"
            )
    return notes


def compare_sides(items: Iterable[Item], key: str, train: str, test: str) -> list[str]:
    """Return notes on the sides of an official split that differ from the published ones.

    `key` is the set's name in the catalogue; `train` and `test` are what to call the images.
    """
    counts = Counter((train, test)[item.side or 0] for item in items if not is_validation(item))
    return compare_counts(
        counts, dict(zip((train, test), find_entry(key).images or (), strict=True))
    )


def printable(name: str) -> str:
    """Return a name with what would break a line or steer a terminal written as an escape."""
    if name.isprintable():
        return name
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def name_some(names: Sequence[str]) -> str:
    """Return the first few names in quotes, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return join_quoted(names[:_MOST_NAMED]) + more


def join_quoted(names: Iterable[str]) -> str:
    """Return names in quotes, separated by commas."""
    return ", ".join(f"'{printable(name)}'" for name in names)
