from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from archives import JUNK, PACKINGS, encode, make_image, pack, pack_as, picture, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.mlc2008 import read_mlc2008
from pycls.datasets.sources.decode import decode_image
from pycls.datasets.sources.sources import open_source
from pycls.errors import ConfigError, DataError

CODES = ("CCA", "Turf", "Macro", "Sand", "Acrop", "Pavon", "Monti", "Pocill", "Porit")
FIRST = "mcr_lter1_fringingreef_pole1-2_qu1_20080415"
SECOND = "mcr_lter6_out17m_pole5-6_qu3_20080416"
HEIGHT, WIDTH, PATCH = 60, 80, 8
# Row, column, code; the last three of a photograph lie within 4 pixels of a border.
POINTS = {
    FIRST: [
        *((10 + at, 12 + 5 * at, code) for at, code in enumerate(CODES)),
        (3, 20, "CCA"), (20, 77, "Sand"), (57, 20, "Turf"),
    ],
    SECOND: [
        (30, 40, "porit"), (31, 40, "POCILL"), (32, 40, "Off"), (33, 40, "P. Rus"),
        (20, 3, "cca"), (20, 79, "CCA"), (59, 79, "CCA"),
    ],
}  # fmt: skip
PIXELS = {name: picture(seed, HEIGHT, WIDTH) for seed, name in enumerate(POINTS)}
CLASS_FOLDERS = (
    "Crustose Coralline Algae (CCA)", "turf algae", "Macroalgae", "sand", "Acropora", "Pavona",
    "MONTIPORA", "Pocillopora", "Porites",
)  # fmt: skip


def make_text(points) -> bytes:
    lines = [f"{row}; {column}; {code}" for row, column, code in points]
    return "\n".join(["# Row; Col; Label", *lines, ""]).encode()


TREE = {f"2008/{name}.jpg.txt": make_text(points) for name, points in POINTS.items()} | {
    f"2008/{name}.jpg": encode(PIXELS[name]) for name in POINTS
}


def read(folder: Path, tree: dict[str, bytes], patch: int = PATCH) -> Listing:
    return read_mlc2008(open_source(write_tree(folder, tree)), patch)


def change(name: str, data: bytes | None) -> dict[str, bytes]:
    tree = {**TREE, f"2008/{name}": data}
    return {path: data for path, data in tree.items() if data is not None}


@pytest.mark.parametrize("packing", PACKINGS)
def test_pieces_lie_around_the_labelled_points(packing: str, tmp_path: Path) -> None:
    tree = pack_as(packing, TREE, "MCR_LTER_ComputerVision_LabeledCorals_2008_20120521")
    source = open_source(write_tree(tmp_path, tree))
    listing = read_mlc2008(source, PATCH)
    assert listing.class_names == CODES
    assert listing.class_titles["CCA"] == "crustose coralline algae"
    kept = [(FIRST, *point) for point in POINTS[FIRST][:9]]
    kept += [(SECOND, 30, 40, "Porit"), (SECOND, 31, 40, "Pocill")]
    found = [
        (item.group, item.name, CODES[item.label], item.box, source.read(item.member))
        for item in listing.items
    ]
    assert found == [
        (
            photograph,
            f"{photograph}/{row:05d}_{column:05d}",
            code,
            (column - 4, row - 4, PATCH, PATCH),
            TREE[f"2008/{photograph}.jpg"],
        )
        for photograph, row, column, code in sorted(kept)
    ]


def test_the_box_holds_the_pixels_around_the_point(tmp_path: Path) -> None:
    tree = {f"2008/{name}.png": encode(PIXELS[name], "png") for name in POINTS}
    tree |= {f"2008/{name}.txt": make_text(points) for name, points in POINTS.items()}
    source = open_source(write_tree(tmp_path, tree))
    listing = read_mlc2008(source, PATCH)
    assert len(listing.items) == 11
    for item in listing.items:
        row, column = (int(number) for number in item.name.split("/")[1].split("_"))
        left, top, width, height = item.box
        image = decode_image(source.read(item.member), item.name)
        piece = image[top : top + height, left : left + width]
        around = PIXELS[item.group][row - 4 : row + 4, column - 4 : column + 4]
        assert np.array_equal(piece, around)


def test_the_published_size_of_pieces_is_312(tmp_path: Path) -> None:
    points = [(156, 156 + at, code) for at, code in enumerate(CODES)]
    points += [(155, 200, "CCA"), (156, 155, "CCA"), (157, 200, "CCA"), (156, 165, "CCA")]
    tree = {"a.jpg": make_image(1, height=312, width=320), "a.jpg.txt": make_text(points)}
    listing = read_mlc2008(open_source(write_tree(tmp_path, tree)))
    assert [item.box for item in listing.items] == [(at, 0, 312, 312) for at in range(9)]
    assert "points nearer than 156 pixels to the border, left out: 4" in listing.notes


@settings(max_examples=30)
@given(data=st.data(), height=st.integers(8, 30), width=st.integers(8, 30))
def test_every_piece_that_fits_is_listed_and_no_other(data, height: int, width: int) -> None:
    patch = data.draw(st.integers(1, 8))
    place = st.tuples(st.integers(0, height + 2), st.integers(0, width + 2))
    places = data.draw(st.lists(place, min_size=1, max_size=30, unique=True))
    points = [(*place, "sand") for place in places]
    # One photograph with every class keeps the set complete.
    full = [(8, 8 + at, code) for at, code in enumerate(CODES)]
    with TemporaryDirectory() as folder:
        tree = {
            "a.jpg": make_image(1, "jpeg_grey", height, width),
            "a.txt": make_text(points),
            "full.jpg": make_image(2, height=40, width=40),
            "full.txt": make_text(full),
        }
        listing = read(Path(folder), tree, patch)
    half = patch // 2
    fitting = {
        (column - half, row - half, patch, patch)
        for row, column in places
        if half <= row <= height - patch + half and half <= column <= width - patch + half
    }
    assert {item.box for item in listing.items if item.group == "a"} == fitting


def test_notes_count_what_was_left_out(tmp_path: Path) -> None:
    more = [(61, 20, "Sand"), (10, 12, "cca"), (40, 40, "Macro"), (40, 40, "Sand")]
    text = make_text([*POINTS[FIRST], *more])
    notes = read(tmp_path, change(f"{FIRST}.jpg.txt", text)).notes
    assert notes == (
        "points nearer than 4 pixels to the border, left out: 6",
        "points outside their photograph, left out: 1",
        "points labelled twice alike, used once: 1",
        "points with contrary labels at one place, left out: 2",
        "points with other labels, left out: 2 (OFF 1, P. RUS 1)",
        "photographs: 2, 669 fewer than the published 671",
        "points of the nine classes: 21, 131,239 fewer than the published 131,260",
    )


def test_other_years_are_left_out_with_a_note(tmp_path: Path) -> None:
    later = {name.replace("2008", "2009"): data for name, data in TREE.items() if FIRST in name}
    later |= {"LabeledCorals_2010/x.png": make_image(3, "png")}
    later |= {"LabeledCorals_2010/x.png.txt": b"broken", "LabeledCorals_2010/y.png.txt": b"9;9;CCA"}
    listing = read(tmp_path, {**TREE, **later})
    assert {item.group for item in listing.items} == {FIRST, SECOND}
    assert any("since not of 2008: '2009/mcr_lter1" in note for note in listing.notes)
    with pytest.raises(DataError, match="expected labelled photographs of 2008; found '2009"):
        read(tmp_path / "later", {name: data for name, data in later.items() if "2009" in name})


def test_the_year_of_a_users_own_folder_does_not_count(tmp_path: Path) -> None:
    tree = {
        f"corals 2024/photo{at}.jpg": data
        for at, data in enumerate(data for name, data in TREE.items() if name.endswith(".jpg"))
    }
    texts = [data for name, data in TREE.items() if name.endswith(".txt")]
    tree |= {f"{name}.txt": text for name, text in zip(tree, texts, strict=True)}
    assert len(read(tmp_path, tree).items) == 11


def test_photographs_there_packed_and_unpacked_are_used_once(tmp_path: Path) -> None:
    listing = read(tmp_path, {**TREE, "corals.zip": pack("zip", TREE)})
    assert len(listing.items) == 11
    assert "2 images are there twice; one of each is used" in listing.notes
    assert any(note.startswith("photographs: 2, ") for note in listing.notes)


def test_a_damaged_photograph_keeps_its_points_for_decoding_to_report(tmp_path: Path) -> None:
    source = open_source(write_tree(tmp_path, change(f"{SECOND}.jpg", b"no picture")))
    items = [item for item in read_mlc2008(source, PATCH).items if item.group == SECOND]
    assert items
    with pytest.raises(DataError, match="where"):
        decode_image(source.read(items[0].member), "where")


@pytest.mark.parametrize(
    "line", ["12; 13", "12, 13, CCA", "a; 13; CCA", "12; 1.5; CCA", "-1; 13; CCA", "12; 13; ", "x"]
)
def test_a_malformed_line_is_named(line: str, tmp_path: Path) -> None:
    text = make_text(POINTS[SECOND][:2]) + f"\n{line}\n".encode()
    with pytest.raises(DataError, match=rf"{SECOND}\.jpg\.txt, line 5: .*expected a row, a column"):
        read(tmp_path, change(f"{SECOND}.jpg.txt", text))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (f"{SECOND}.jpg.txt", None, f"no text file .* beside '2008/{SECOND}.jpg'; expected"),
        (f"{SECOND}.jpg", None, f"no photograph beside '2008/{SECOND}.jpg.txt'"),
        (f"{FIRST}.jpg.txt", make_text(POINTS[FIRST][1:8]), "no image of class 'CCA'"),
        (f"{FIRST}.jpg.txt", b"# Row; Col; Label\n\xff\xfe", "not UTF-8 text"),
    ],
)
def test_photographs_and_texts_that_do_not_fit_are_refused(
    name: str, data: bytes | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, change(name, data))


def test_a_patch_of_no_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patch 0"):
        read(tmp_path, TREE, patch=0)


def make_folders(stem: str, folders=CLASS_FOLDERS, pieces: int = 4) -> dict[str, bytes]:
    """Class folders of pieces; `stem` may use number (of the piece in the set) and half of it."""
    return {
        f"{folder}/{stem.format(number=number, photograph=number // 2)}.jpg": make_image(number)
        for at, folder in enumerate(folders)
        for number in range(at * pieces, (at + 1) * pieces)
    }


@pytest.mark.parametrize("packing", PACKINGS)
def test_class_folders_in_any_spelling(packing: str, tmp_path: Path) -> None:
    tree = make_folders("mcr_lter1_pole1-2_qu{photograph}_20080415_{number}_7")
    listing = read(tmp_path, pack_as(packing, tree, "MLC 2008"))
    assert listing.class_names == CLASS_FOLDERS
    assert listing.class_titles["sand"] == "sand"
    assert [f"{item.name}.jpg" for item in listing.items] == sorted(tree)
    for item in listing.items:
        assert item.name.startswith(listing.class_names[item.label])
        assert item.group is not None
        assert f"_{item.group.split('_')[3]}_20080415_" in item.name
        assert item.box is None
    assert len({item.group for item in listing.items}) == 18
    assert listing.notes == (
        "pieces of one photograph are on one side: file names tell 18 photographs",
    )


@pytest.mark.parametrize(
    ("stem", "groups"),
    [
        ("IMG {photograph}-site (100, {number})", 18),
        ("DSC_{photograph}_120_{number}", 18),
        ("20120521_{number}", 0),
        ("piece{number}", 0),
        ("patch_1_{number}", 0),
    ],
)
def test_photographs_in_file_names(stem: str, groups: int, tmp_path: Path) -> None:
    listing = read(tmp_path, make_folders(stem))
    found = {item.group for item in listing.items} - {None}
    assert len(found) == groups
    text = f"tell {groups} photographs" if groups else "do not tell the photographs"
    assert any(text in note for note in listing.notes)


def test_groups_larger_than_a_photograph_has_points_are_none(tmp_path: Path) -> None:
    listing = read(tmp_path, {"mlc.zip": pack("zip", make_folders("patch_1_{number}", pieces=23))})
    assert {item.group for item in listing.items} == {None}


def test_nine_folders_of_other_names_are_taken_as_they_are(tmp_path: Path) -> None:
    listing = read(tmp_path, {**make_folders("piece{number}", "123456789"), **JUNK})
    assert listing.class_names == tuple("123456789")
    assert any("are not those of the classes" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (CLASS_FOLDERS[:8], "no image of class 'Porit'"),
        ((*CLASS_FOLDERS, "Off"), "unknown class folder 'Off'"),
        ((*CLASS_FOLDERS, "Acrop"), "'Acrop' and 'Acropora' both speak of Acropora"),
        (("a", "b", "c"), "expected photographs with a text file.*or nine class folders"),
    ],
)
def test_folders_that_are_not_the_nine_classes_are_refused(
    folders: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, make_folders("piece{number}", folders))
