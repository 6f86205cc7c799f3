"""Reader of Concrete: folders `Negative` and `Positive` of pictures (Mendeley 5y9wdsg2zt)."""

from collections import Counter

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
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
    images = layout.find_images(source, _EXPECTED)
    classes, others = layout.group_by_class(images, published)
    layout.require_classes(classes, published, str(source.path))
    layout.refuse_unknown_folders(source, classes, others, _EXPECTED)

    names = sorted(classes, key=str.casefold)
    items, notes = layout.finish_items(
        (
            Item(member, f"{name}/{member.file}", label)
            for label, name in enumerate(names)
            for member in classes[name]
        ),
        source,
    )
    counts = Counter(names[item.label] for item in items)
    differing = layout.compare_counts(counts, published, "images of ")
    return Listing(
        items=items,
        class_names=tuple(names),
        notes=(*notes, *layout.note_strays(others), *differing, _LEAK),
        class_titles=dict(zip(names, ("no crack", "crack"), strict=True)),
    )
