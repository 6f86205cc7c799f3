from pathlib import Path

import pytest
from archives import PACKINGS, encode, make_image, pack, pack_as, picture, write_tree

from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.concrete import read_concrete
from pycls.datasets.sources.decode import decode_image
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

TREE = {
    f"{name}/{stem}.jpg": make_image(10 * number + at, height=27, width=27)
    for number, name in enumerate(("Negative", "Positive"))
    for at, stem in enumerate(("00001", "00002", "19378_1"))
}


def read(folder: Path, tree: dict[str, bytes]) -> Listing:
    return read_concrete(open_source(write_tree(folder, tree)))


@pytest.mark.parametrize("packing", PACKINGS)
def test_classes_come_from_the_folders_however_they_are_packed(
    packing: str, tmp_path: Path
) -> None:
    source = open_source(write_tree(tmp_path / "raw", pack_as(packing, TREE)))
    listing = read_concrete(source)
    assert listing.class_names == ("Negative", "Positive")
    assert [item.name for item in listing.items] == sorted(TREE)
    for item in listing.items:
        assert listing.class_names[item.label] == item.name.split("/")[0]
        assert (item.group, item.side, item.stratum, item.box) == (None, None, "", None)
        assert source.read(item.member) == TREE[item.name]


def test_titles_notes_and_other_cases_of_letters(tmp_path: Path) -> None:
    tree = {name.replace(".jpg", ".JPG").lower(): data for name, data in TREE.items()}
    tree |= {"licence.txt": b"CC BY 4.0", "examples.jpg": make_image(90)}
    listing = read(tmp_path, tree)
    assert listing.class_names == ("negative", "positive")
    assert listing.class_titles == {"negative": "no crack", "positive": "crack"}
    notes = "\n".join(listing.notes)
    assert "left out, since it lies in no class folder: 'examples.jpg'" in notes
    assert "images of Negative: 3, 19,997 fewer than the published 20,000" in notes
    assert "pieces of one photograph are on both sides" in notes


def test_what_is_there_packed_and_unpacked_is_used_once(tmp_path: Path) -> None:
    listing = read(tmp_path, {**TREE, "concrete.zip": pack("zip", TREE)})
    assert len(listing.items) == len(TREE)
    assert any("6 images are there twice" in note for note in listing.notes)


def test_the_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    pixels = picture(5, 27, 27)
    source = open_source(write_tree(tmp_path, {**TREE, "Positive/5.png": encode(pixels, "png")}))
    (item,) = (item for item in read_concrete(source).items if item.name == "Positive/5.png")
    assert (decode_image(source.read(item.member), item.name) == pixels).all()


@pytest.mark.parametrize("inside", ["", "5y9wdsg2zt-2.zip"])
def test_a_rar_is_named_with_what_unpacks_it(inside: str, tmp_path: Path) -> None:
    tree = {"Concrete Crack Images for Classification.rar": b"Rar!\x1a\x07\x00" + bytes(50)}
    if inside:
        tree = {inside: pack("zip", tree)}
    with pytest.raises(DataError, match=r"Classification\.rar'.*unrar.*unpacked folder"):
        read(tmp_path, tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Positive/": None}, "no image of class 'Positive'"),
        ({"Unsure/1.jpg": make_image(80)}, "unknown class folder 'Unsure'"),
        ({"Positive/b/00001.jpg": make_image(81)}, "two different images are called"),
        ({"Negative/": None, "Positive/": None, "a.txt": b""}, "expected the folders 'Negative'"),
    ],
)
def test_what_is_not_as_published_is_refused(
    change: dict[str, bytes | None], message: str, tmp_path: Path
) -> None:
    gone = tuple(name for name, data in change.items() if data is None)
    tree = {name: data for name, data in TREE.items() if not (gone and name.startswith(gone))}
    tree |= {name: data for name, data in change.items() if data is not None}
    with pytest.raises(DataError, match=message):
        read(tmp_path, tree)
