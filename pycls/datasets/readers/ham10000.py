"""HAM10000: dermatoscopic pictures and a table of what they show (Harvard Dataverse DBW86T)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.readers.layout import (
    Row,
    compare_counts,
    find_images,
    finish_items,
    name_some,
    not_found,
    read_table,
    require_classes,
)
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_EXPECTED = (
    "'HAM10000_images_part_1.zip' and 'HAM10000_images_part_2.zip', or the pictures unpacked, "
    "beside 'HAM10000_metadata'"
)
_COLUMNS = ("lesion_id", "image_id", "dx")
_TABLE_SUFFIXES = frozenset({"", ".csv", ".tab", ".tsv", ".txt"})
_PUBLISHED_LESIONS = 7470
# The pictures of HAM10000 end here; those of the challenge it was made for follow.
_LAST_NUMBER = 34_320
_NUMBER = re.compile(r"ISIC_(\d{7})(?:_\w+)?", re.IGNORECASE)
_TITLES = {
    "akiec": "actinic keratosis, intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}


def read_ham10000(source: Source) -> Listing:
    """List HAM10000; the group of an image is its lesion.

    Args:
        source: folder or archive with the picture archives, packed or not, and the table.

    Raises:
        DataError: the table is not there or a row cannot be used, a picture has no row or a
            row no picture, or a class is missing.
    """
    images = find_images(source, _EXPECTED)
    table = _find_table(source)
    where = f"{source.path}: {table.name}"
    rows, notes = _index_rows(read_table(source, table, _COLUMNS), where)
    pictures, left_out = _index_pictures(images, rows, source)
    missing = [image_id for image_id in rows if image_id.casefold() not in pictures]
    if missing:
        raise DataError(
            f"{where}: names {len(missing):,} pictures that are not there: {name_some(missing)}; "
            f"expected {_EXPECTED}"
        )
    names = tuple(sorted({row["dx"] for row in rows.values()}))
    require_classes(names, _TITLES, where)
    items, doubled = finish_items(
        (
            Item(member, image_id, names.index(row["dx"]), group=row["lesion_id"])
            for image_id, row in rows.items()
            for member in pictures[image_id.casefold()]
        ),
        source,
    )
    return Listing(
        items=items,
        class_names=names,
        notes=(*notes, *left_out, *doubled, *_compare(items, names)),
        class_titles=_TITLES,
    )


def _find_table(source: Source) -> Member:
    """Return the table of HAM10000, not one of the challenge's."""
    tables = [
        member
        for member in source.members
        if PurePosixPath(member.name).suffix.lower() in _TABLE_SUFFIXES
        and "metadata" in PurePosixPath(member.name).name.lower()
        and "isic2018" not in PurePosixPath(member.name).name.lower()
    ]
    if not tables:
        raise not_found(source, "the table 'HAM10000_metadata' (.csv, .tab or without an ending)")
    # Published as .csv, as .tab and without an ending, with the same rows.
    return tables[0]


def _index_rows(rows: Iterable[Row], where: str) -> tuple[dict[str, Row], list[str]]:
    """Return the rows by image id, checked; a repeated id counts once."""
    found: dict[str, Row] = {}
    doubled = []
    for row in rows:
        for column in _COLUMNS:
            if not row[column]:
                raise DataError(f"{where}, line {row.line}: no {column}; expected one in each row")
        image_id, label = row["image_id"], row["dx"]
        if label not in _TITLES:
            raise DataError(
                f"{where}, line {row.line}: unknown dx '{label}'; expected one of "
                f"{', '.join(_TITLES)}"
            )
        other = found.setdefault(image_id, row)
        if other is row:
            continue
        if (other["dx"], other["lesion_id"]) != (label, row["lesion_id"]):
            raise DataError(
                f"{where}, line {row.line}: '{image_id}' again, with another dx or lesion than in "
                f"line {other.line}; remove one of the rows"
            )
        doubled.append(image_id)
    notes = [f"image ids there twice, used once: {name_some(doubled)}"] if doubled else []
    return found, notes


def _index_pictures(
    images: Iterable[Member], rows: Mapping[str, Row], source: Source
) -> tuple[dict[str, list[Member]], list[str]]:
    """Return the pictures by image id in lower case, and notes on what is left out."""
    ids = {image_id.casefold() for image_id in rows}
    found: dict[str, list[Member]] = {}
    challenge, masks, unknown = [], [], []
    for member in images:
        stem = PurePosixPath(member.name).stem
        if stem.casefold() in ids:
            found.setdefault(stem.casefold(), []).append(member)
        elif _is_of_challenge(member.name):
            challenge.append(member.name)
        elif stem.casefold().endswith("_segmentation"):
            masks.append(member.name)
        else:
            unknown.append(member.name)
    if unknown:
        raise DataError(
            f"{source.path}: {len(unknown):,} pictures have no row in the table: "
            f"{name_some(unknown)}; expected {_EXPECTED}, and no other pictures"
        )
    notes = []
    if challenge:
        notes.append(f"left out, pictures of the ISIC 2018 challenge: {name_some(challenge)}")
    if masks:
        notes.append(f"left out, segmentation masks: {name_some(masks)}")
    return found, notes


def _is_of_challenge(name: str) -> bool:
    """Say whether a file belongs to the ISIC 2018 challenge, which is a separate set."""
    match = _NUMBER.fullmatch(PurePosixPath(name).stem)
    return "isic2018" in name.lower() or (match is not None and int(match[1]) > _LAST_NUMBER)


def _compare(items: list[Item], names: tuple[str, ...]) -> list[str]:
    counts = Counter(f"images of {names[item.label]}" for item in items)
    published = {
        f"images of {name}": count for name, count in find_entry("ham10000").class_counts.items()
    }
    lesions = len({item.group for item in items})
    return [
        *compare_counts(counts, published),
        *compare_counts({"lesions": lesions}, {"lesions": _PUBLISHED_LESIONS}),
    ]
