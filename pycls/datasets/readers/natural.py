"""Reader of Natural: the Intel image classification set, six classes of about 150 x 150 pixels."""

from collections import Counter

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

# Published images of each class.
TEST_COUNTS = {
    "buildings": 437, "forest": 474, "glacier": 553, "mountain": 525, "sea": 510, "street": 501,
}  # fmt: skip
TRAIN_COUNTS = {
    name: both - TEST_COUNTS[name] for name, both in find_entry("natural").class_counts.items()
}
_SIDES = {"seg_train": TRAIN_COUNTS, "seg_test": TEST_COUNTS}
_UNLABELLED = "seg_pred"
_EXPECTED = "the folders seg_train/<class>/ and seg_test/<class>/ with images"


def read_natural(source: Source) -> Listing:
    """List the scenes of `seg_train` and, as the test side, `seg_test`.

    The unlabelled `seg_pred` is left out.

    Raises:
        DataError: a side or a class is missing, or there is a class of another name.
    """
    folders = _divide(source)
    notes = []
    if unlabelled := folders.pop(_UNLABELLED, []):
        notes.append(f"{len(unlabelled):,} unlabelled images of {_UNLABELLED} are left out")
    items = []
    spelling: dict[str, str] = {}
    for side, folder in enumerate(_SIDES):
        for name, members in _find_classes(source, folder, folders.get(folder, [])).items():
            label = sorted(TRAIN_COUNTS).index(name.casefold())
            spelling.setdefault(name.casefold(), name)
            for member in members:
                identity = f"{folder}/{name.casefold()}/{member.file}"
                items.append(Item(member, identity, label, side=side))
    kept, repeated = layout.finish_items(items, source)
    counts = Counter(item.name.rpartition("/")[0] for item in kept)
    published = {
        f"{folder}/{name}": count
        for folder, names in _SIDES.items()
        for name, count in names.items()
    }
    return Listing(
        items=kept,
        class_names=tuple(spelling[name] for name in sorted(TRAIN_COUNTS)),
        notes=(*layout.compare_counts(counts, published), *repeated, *notes),
        official_split="the published one: seg_test is the test side",
    )


def _divide(source: Source) -> dict[str, list[Member]]:
    """Return the images of each of the set's three folders."""
    known = (*_SIDES, _UNLABELLED)
    folders: dict[str, list[Member]] = {}
    others = []
    for member in layout.find_images(source, _EXPECTED):
        parts = [part.casefold() for part in layout.path_parts(member.name)[:-1]]
        folder = next((part for part in parts if part in known), None)
        if folder is None:
            others.append(member.name)
        else:
            folders.setdefault(folder, []).append(member)
    if others:
        raise DataError(
            f"{source.path}: expected {_EXPECTED}; images lie elsewhere: {layout.name_some(others)}"
        )
    return folders


def _find_classes(source: Source, folder: str, members: list[Member]) -> dict[str, list[Member]]:
    """Return the images of each class of a side."""
    classes, others = layout.group_by_class(members, TRAIN_COUNTS)
    if others:
        raise DataError(
            f"{source.path}: '{others[0].name}' lies in no folder of a known class; they are "
            f"{', '.join(TRAIN_COUNTS)}"
        )
    layout.require_classes(list(classes), list(TRAIN_COUNTS), f"{source.path}, {folder}")
    return classes
