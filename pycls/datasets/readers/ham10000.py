"""Reader of HAM10000: pictures and a table of what they show (Harvard Dataverse DBW86T)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers import layout, tables
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_EXPECTED = (
    "'HAM10000_images_part_1.zip' and 'HAM10000_images_part_2.zip', or the pictures unpacked, "
    "beside 'HAM10000_metadata'"
)
_COLUMNS = ("lesion_id", "image_id", "dx")
_TABLE_SUFFIXES = frozenset({"", ".csv", ".tab", ".tsv", ".txt"})
_TEST_TABLE = "ISIC2018_Task3_Test_GroundTruth.csv"
_CHALLENGE_NOTE = "left out, pictures of the ISIC 2018 challenge"
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
    images = layout.find_images(source, _EXPECTED)
    table = _find_table(source)
    where = source.where(table)
    rows, notes = _index_rows(tables.read_table(source, table, _COLUMNS), where)
    pictures, left_out = _index_pictures(images, rows, source)
    missing = [image_id for image_id in rows if image_id.casefold() not in pictures]
    if missing:
        raise DataError(
            f"{where}: names {len(missing):,} pictures that are not there: "
            f"{layout.name_some(missing)}; expected {_EXPECTED}"
        )
    names = tuple(sorted({row["dx"] for row in rows.values()}))
    layout.require_classes(names, _TITLES, where)
    items, doubled = layout.finish_items(
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
        group_word="lesion",
    )


def read_isic2018(source: Source) -> Listing:
    """List HAM10000 with the test images of the ISIC 2018 challenge, task 3, as the test side.

    Args:
        source: what :func:`read_ham10000` takes, and beside it the challenge's test images and
            `ISIC2018_Task3_Test_GroundTruth.csv`, with a column `dx`, or one for each class.

    Raises:
        DataError: as :func:`read_ham10000`, or the challenge's table or a picture is missing.
    """
    train = read_ham10000(source)
    table = next(
        (each for each in source.members if each.file.lower() == _TEST_TABLE.lower()), None
    )
    if table is None:
        raise layout.not_found(source, f"the challenge's table '{_TEST_TABLE}'")
    where = source.where(table)
    pictures = {
        member.stem.casefold(): member
        for member in source.members
        if layout.is_image(member.name) and _is_of_challenge(member)
    }
    trained = {item.name for item in train.items}
    items = [replace(item, name=f"train/{item.name}", side=0) for item in train.items]
    for row in tables.read_table(source, table):
        image_id = row.cells.get("image_id") or row.cells.get("image", "")
        label = row.cells.get("dx") or next(
            (name for name in _TITLES if row.cells.get(name, "") in ("1", "1.0")), ""
        )
        if label not in _TITLES or image_id.casefold() not in pictures or image_id in trained:
            raise DataError(
                f"{where}, line {row.line}: no picture '{image_id}' of the test side, or no class "
                f"of {', '.join(_TITLES)}; expected 'ISIC2018_Task3_Test_Images.zip' beside it"
            )
        number = train.class_names.index(label)
        group = row.cells.get("lesion_id") or None
        items.append(Item(pictures[image_id.casefold()], f"test/{image_id}", number, group, 1))
    items.sort(key=lambda item: item.name)
    layout.require_both_sides(items, train.class_names, str(source.path))
    notes = [note for note in train.notes if not note.startswith(_CHALLENGE_NOTE)]
    return replace(
        train,
        items=items,
        notes=(*notes, *layout.compare_sides(items, "isic2018", "train images", "test images")),
        official_split="the challenge's: its test images are the test side",
    )


def _find_table(source: Source) -> Member:
    """Return the table of HAM10000, not one of the challenge's."""
    tables = [
        member
        for member in source.members
        if member.suffix in _TABLE_SUFFIXES
        and "metadata" in member.file.lower()
        and "isic2018" not in member.file.lower()
    ]
    if not tables:
        raise layout.not_found(
            source, "the table 'HAM10000_metadata' (.csv, .tab or without an ending)"
        )
    # Published as .csv, as .tab and without an ending, with the same rows.
    return tables[0]


def _index_rows(rows: Iterable[tables.Row], where: str) -> tuple[dict[str, tables.Row], list[str]]:
    """Return the rows by image id, checked; a repeated id counts once."""
    found: dict[str, tables.Row] = {}
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
    notes = [f"image ids there twice, used once: {layout.name_some(doubled)}"] if doubled else []
    return found, notes


def _index_pictures(
    images: Iterable[Member], rows: Mapping[str, tables.Row], source: Source
) -> tuple[dict[str, list[Member]], list[str]]:
    """Return the pictures by image id in lower case, and notes on what is left out."""
    ids = {image_id.casefold() for image_id in rows}
    found: dict[str, list[Member]] = {}
    challenge, masks, unknown = [], [], []
    for member in images:
        stem = member.stem.casefold()
        if stem in ids:
            found.setdefault(stem, []).append(member)
        elif _is_of_challenge(member):
            challenge.append(member.name)
        elif stem.endswith("_segmentation"):
            masks.append(member.name)
        else:
            unknown.append(member.name)
    if unknown:
        raise DataError(
            f"{source.path}: {len(unknown):,} pictures have no row in the table: "
            f"{layout.name_some(unknown)}; expected {_EXPECTED}, and no other pictures"
        )
    notes = []
    if challenge:
        notes.append(f"{_CHALLENGE_NOTE}: {layout.name_some(challenge)}")
    if masks:
        notes.append(f"left out, segmentation masks: {layout.name_some(masks)}")
    return found, notes


def _is_of_challenge(member: Member) -> bool:
    """Say whether a file belongs to the ISIC 2018 challenge, which is a separate set."""
    match = _NUMBER.fullmatch(member.stem)
    return "isic2018" in member.name.lower() or (match is not None and int(match[1]) > _LAST_NUMBER)


def _compare(items: list[Item], names: tuple[str, ...]) -> list[str]:
    counts = Counter(names[item.label] for item in items)
    lesions = len({item.group for item in items})
    return [
        *layout.compare_counts(counts, find_entry("ham10000").class_counts, "images of "),
        *layout.compare_counts({"lesions": lesions}, {"lesions": _PUBLISHED_LESIONS}),
    ]
