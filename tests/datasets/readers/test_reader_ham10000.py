import csv
import io
from pathlib import Path

import pytest
from archives import JUNK, make_image, pack, pack_as, write_tree

from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.ham10000 import read_ham10000
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
LABELS = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
# Two images of each lesion, two lesions a class; the numbers do not follow the classes.
ROWS = [
    (f"HAM_{lesion:07d}", f"ISIC_{24306 + 37 * lesion % 28 * 2 + shot:07d}", LABELS[lesion % 7],
     "histo", "80.0", "male", "scalp")
    for lesion in range(14)
    for shot in range(2)
]  # fmt: skip
PICTURES = {row[1]: make_image(seed, height=45, width=60) for seed, row in enumerate(ROWS)}


def make_table(rows=ROWS, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    return file.getvalue().encode()


def make_parts(pictures: dict[str, bytes] = PICTURES) -> dict[str, bytes]:
    """The two picture archives as published: flat, with a Mac's leavings."""
    files = {f"{image_id}.jpg": data for image_id, data in pictures.items()}
    first = dict(list(files.items())[: len(files) // 2])
    second = {name: data for name, data in files.items() if name not in first}
    return {
        "HAM10000_images_part_1.zip": pack("zip", {**first, **JUNK}),
        "HAM10000_images_part_2.zip": pack("zip", {**second, **JUNK}),
    }


TREE = {**make_parts(), "HAM10000_metadata.csv": make_table()}


def read(folder: Path, tree: dict[str, bytes]) -> Listing:
    return read_ham10000(open_source(write_tree(folder, tree)))


def check(listing: Listing) -> None:
    assert listing.class_names == LABELS
    found = [(item.group, item.name, LABELS[item.label]) for item in listing.items]
    assert found == sorted((row[:3] for row in ROWS), key=lambda row: row[1])


@pytest.mark.parametrize(
    "packing", ["folder", "wrapped", "doubled", "zip", "zip_in_zip", "tar", "tar.gz"]
)
def test_labels_and_lesions_come_from_the_table(packing: str, tmp_path: Path) -> None:
    source = open_source(write_tree(tmp_path, pack_as(packing, TREE, "dataverse_files")))
    listing = read_ham10000(source)
    check(listing)
    for item in listing.items:
        assert source.read(item.member) == PICTURES[item.name]
    assert listing.class_titles["nv"] == "melanocytic nevus"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("HAM10000_metadata", make_table(delimiter="\t")),
        ("HAM10000_metadata", make_table()),
        ("HAM10000_metadata.tab", make_table(delimiter="\t", quoting=csv.QUOTE_ALL)),
        ("ham10000_METADATA.CSV", b"\xef\xbb\xbf" + make_table().replace(b"\n", b"\r\n")),
    ],
)
def test_the_table_is_read_however_it_is_written(name: str, table: bytes, tmp_path: Path) -> None:
    check(read(tmp_path, {**make_parts(), name: table}))


def test_unpacked_pictures_with_suffixes_in_capitals(tmp_path: Path) -> None:
    files = {f"HAM10000_images/{name}.JPG": data for name, data in PICTURES.items()}
    check(read(tmp_path, {**files, "HAM10000_metadata.csv": make_table()}))


def test_the_challenges_pictures_and_masks_are_left_out_with_a_note(tmp_path: Path) -> None:
    # The same columns for other images; the first of them comes first in the alphabet.
    table = make_table([("L", "ISIC_0034524", "nv", "", "", "", "")])
    tree = {
        **TREE,
        "AAA/ISIC2018_Task3_Test_metadata.csv": table,
        "ISIC2018_Task3_Test_GroundTruth.csv": table,
        "ISIC2018_Task3_Test_Images.zip": pack("zip", {"ISIC_0034524.jpg": make_image(200)}),
        "loose/ISIC_0034525.jpg": make_image(201),
        "masks.zip": pack("zip", {f"{ROWS[0][1]}_segmentation.png": make_image(202, "png")}),
    }
    listing = read(tmp_path, tree)
    check(listing)
    notes = "\n".join(listing.notes)
    assert "ISIC 2018 challenge: 'ISIC2018_Task3_Test_Images.zip/ISIC_0034524.jpg', 'loose" in notes
    assert f"segmentation masks: 'masks.zip/{ROWS[0][1]}_segmentation.png'" in notes


def test_a_wrapping_folder_named_after_the_challenge_hides_nothing(tmp_path: Path) -> None:
    check(read(tmp_path, {f"ISIC2018/{name}": data for name, data in TREE.items()}))


def test_doubled_ids_and_doubled_pictures_are_used_once_with_a_note(tmp_path: Path) -> None:
    tree = {**TREE, "HAM10000_metadata.csv": make_table([*ROWS, ROWS[3]])}
    tree |= {f"ham10000_images_part_1/{ROWS[0][1]}.jpg": PICTURES[ROWS[0][1]]}
    listing = read(tmp_path, tree)
    check(listing)
    notes = "\n".join(listing.notes)
    assert f"image ids there twice, used once: '{ROWS[3][1]}'" in notes
    assert "1 images are there twice; one of each is used" in notes


def test_notes_compare_with_the_published_counts(tmp_path: Path) -> None:
    notes = read(tmp_path, TREE).notes
    assert "images of nv: 4, 6,701 fewer than the published 6,705" in notes
    assert "lesions: 14, 7,456 fewer than the published 7,470" in notes


def change_row(at: int, column: str, value: str) -> bytes:
    rows = [list(row) for row in ROWS]
    rows[at][COLUMNS.index(column)] = value
    return make_table(rows)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (change_row(4, "dx", "wart"), r"metadata\.csv, line 6: unknown dx 'wart'; expected one of"),
        (change_row(4, "lesion_id", ""), r"line 6: no lesion_id"),
        (make_table([*ROWS, ("HAM_X", *ROWS[0][1:])]), r"line 30: 'ISIC_\d+' again.*line 2"),
        (make_table([*ROWS, ("H", "ISIC_0030001", "nv", "", "", "", "")]),
         r"names 1 pictures that are not there: 'ISIC_0030001'"),
        (make_table(ROWS[1:]), f"1 pictures have no row in the table: .*{ROWS[0][1]}"),
        (make_table().replace(b"dx,", b"diagnosis,"), "no column 'dx'"),
        (b"\xff\xfe" + make_table(), "not UTF-8"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_the_pictures_is_refused(
    table: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, {**TREE, "HAM10000_metadata.csv": table})


def test_a_missing_class_is_refused(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row[2] != "vasc"]
    pictures = {row[1]: PICTURES[row[1]] for row in rows}
    with pytest.raises(DataError, match="no image of class 'vasc'; expected images of 7 classes"):
        read(tmp_path, {**make_parts(pictures), "HAM10000_metadata.csv": make_table(rows)})


def test_a_missing_table_or_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the table 'HAM10000_metadata'"):
        read(tmp_path / "a", make_parts())
    with pytest.raises(DataError, match=r"expected 'HAM10000_images_part_1\.zip'"):
        read(tmp_path / "b", {"HAM10000_metadata.csv": make_table()})
    half = {name: data for name, data in TREE.items() if "part_2" not in name}
    with pytest.raises(DataError, match="names 14 pictures that are not there"):
        read(tmp_path / "c", half)
