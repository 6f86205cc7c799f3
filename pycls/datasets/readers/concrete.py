"""Concrete: `Negative/` and `Positive/` with 20,000 pictures each (Mendeley 5y9wdsg2zt)."""

from collections import Counter
from pathlib import PurePosixPath

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.layout import (
    compare_counts,
    find_images,
    finish_items,
    group_by_class,
    note_strays,
    refuse_unknown_folders,
    require_classes,
)
from pycls.datasets.sources.sources import Source

_EXPECTED = "the folders 'Negative' and 'Positive' of pictures"
_LEAK = (
    "the pictures are pieces of 458 photographs and do not say of which one: pieces of one "
    "photograph are on both sides"
)


def read_concrete(source: Source) -> Listing:
    """List Concrete Crack Images for Classification.

    Args:
        source: the unpacked `.rar`, or any archive or folder with the two class folders.

    Raises:
        DataError: a class folder is missing or unknown, or all is still packed in a `.rar`.
    """
    published = find_entry("concrete").class_counts
    images = find_images(source, _EXPECTED)
    classes, others = group_by_class(images, published)
    require_classes(classes, published, str(source.path))
    inside = [member for members in classes.values() for member in members]
    refuse_unknown_folders(source, inside, others, _EXPECTED)

    names = sorted(classes, key=str.casefold)
    items, notes = finish_items(
        (
            Item(member, f"{name}/{PurePosixPath(member.name).name}", label)
            for label, name in enumerate(names)
            for member in classes[name]
        ),
        source,
    )
    counts = Counter(f"images of {names[item.label]}" for item in items)
    differing = compare_counts(
        counts, {f"images of {name}": count for name, count in published.items()}
    )
    return Listing(
        items=items,
        class_names=tuple(names),
        notes=(*notes, *note_strays(others), *differing, _LEAK),
        class_titles=dict(zip(names, ("no crack", "crack"), strict=True)),
    )
