"""Readers of Oxford's pets and flowers, whose labels and sides come in lists beside the images."""

import io
from typing import Any

from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_PETS = "'images/' and 'annotations/' with 'trainval.txt' and 'test.txt'"
_FLOWERS = "'jpg/' (102flowers.tgz), 'imagelabels.mat' and 'setid.mat'"


def read_pets(source: Source) -> Listing:
    """List the Oxford-IIIT pets by breed: `Abyssinian_1.jpg`, in one of two lists.

    Raises:
        DataError: a list or an image is missing.
    """
    images = layout.find_images(source, _PETS)
    # The masks beside them have the same names.
    by_stem = {one.stem: one for one in images if "trimaps" not in one.name.split("/")}
    found: dict[str, tuple[Member, int]] = {}
    for side, file in enumerate(("trainval.txt", "test.txt")):
        table = _need(source, file, _PETS)
        for line in layout.read_text(source, table, "the list").splitlines():
            # Image, number of the breed, of the species, of the breed in the species.
            name = line.split()[0] if line.strip() and not line.startswith("#") else ""
            if name and name not in by_stem:
                raise DataError(f"{source.where(table)}: there is no image '{name}'")
            if name:
                found[name] = by_stem[name], side
    if not found:
        raise DataError(f"{source.path}: the lists name no image; expected {_PETS}")
    names = sorted({name.rpartition("_")[0] for name in found})
    items = [
        Item(member, member.file, names.index(name.rpartition("_")[0]), side=side)
        for name, (member, side) in found.items()
    ]
    items.sort(key=lambda item: item.name)
    notes = []
    if len(by_stem) > len(found):
        notes.append(f"{len(by_stem) - len(found):,} images are in neither list and left out")
    return Listing(items, tuple(names), tuple(notes), official_split="the published one: test.txt")


def read_flowers(source: Source) -> Listing:
    """List Oxford's 102 flowers; classes are called by their numbers, "001" to "102".

    The published split: 10 images a class each to train and to validate, all others to test.

    Raises:
        DataError: a file is missing or damaged, or an image that is listed is not there.
    """
    by_number = {
        int(member.stem[-5:]): member
        for member in layout.find_images(source, _FLOWERS)
        if member.stem.startswith("image_") and member.stem[-5:].isdecimal()
    }
    labels = _load(source, "imagelabels.mat", "labels")
    sides = {
        int(number): side
        for side, key in enumerate(("trnid", "tstid", "valid"))
        for number in _load(source, "setid.mat", key)
    }
    absent = [number for number in sides if number not in by_number or number > len(labels)]
    if absent:
        raise DataError(
            f"{source.path}: {len(absent):,} listed images are not there, such as "
            f"'image_{absent[0]:05}.jpg'; expected {_FLOWERS}"
        )
    classes = sorted({int(labels[number - 1]) for number in sides})
    items = [
        Item(by_number[number], by_number[number].file, classes.index(int(labels[number - 1])),
             side=sides[number])
        for number in sorted(sides)
    ]  # fmt: skip
    items.sort(key=lambda item: item.name)
    left_out = len(by_number) - len(sides)
    return Listing(
        items,
        tuple(f"{number:03}" for number in classes),
        (f"{left_out:,} images are on no side and left out",) if left_out else (),
        official_split="the published one: setid.mat's tstid is the test side, valid the "
        "validation side",
    )


def _need(source: Source, file: str, expected: str) -> Member:
    member = next((each for each in source.members if each.file == file), None)
    if member is None:
        raise layout.not_found(source, f"{expected}, without {file}")
    return member


def _load(source: Source, file: str, key: str) -> Any:
    """Return an array of numbers of a MATLAB file, as one row."""
    from scipy.io import loadmat

    member = _need(source, file, _FLOWERS)
    data = source.read(member)
    try:
        return loadmat(io.BytesIO(data))[key].reshape(-1)
    except Exception as error:  # whatever SciPy stumbles over in damaged data
        raise DataError(
            f"{source.where(member)}: no MATLAB file with '{key}', or damaged "
            f"({type(error).__name__}: {error})"
        ) from None
