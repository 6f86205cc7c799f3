import csv
from importlib import resources
from pathlib import Path

import pytest
from archives import make_image, pack, pack_as, write_tree

from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.insects import read_insects
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

KEYS = [
    row["gbif_key"]
    for row in csv.DictReader(
        resources.files("pycls.datasets.readers")
        .joinpath("insects_species.csv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
]
UNKNOWN = "8123456"
# Every image its own size; the last known species stands in two drawers.
TREE = {
    f"database/{key}/d{number:03d}s0001.jpg": make_image(number, height=4 + number % 5, width=9)
    for number, key in enumerate([*KEYS, UNKNOWN])
}
TREE[f"database/{KEYS[-1]}/d999s0002.jpg"] = make_image(999)


def read(folder: Path, tree: dict[str, bytes]) -> Listing:
    return read_insects(open_source(write_tree(folder, tree)))


@pytest.mark.parametrize("packing", ["folder", "wrapped", "zip", "zip_in_zip", "tar.gz"])
def test_the_class_is_the_key_of_the_folder(packing: str, tmp_path: Path) -> None:
    tree = pack_as(packing, TREE, "British Carabids")
    source = open_source(write_tree(tmp_path / "raw", tree))
    listing = read_insects(source)
    assert listing.class_names == tuple(sorted([*KEYS, UNKNOWN]))
    assert len(listing.items) == len(TREE)
    assert [item.name for item in listing.items] == sorted(item.name for item in listing.items)
    for item in listing.items[::40]:
        assert item.name.split("/")[0] == listing.class_names[item.label]
        assert source.read(item.member) == TREE[f"database/{item.name}"]
        assert item.group is None
    assert listing.class_titles["1035167"] == "Amara lunicollis"
    assert listing.class_titles[UNKNOWN] == f"GBIF species {UNKNOWN}"


def test_notes_speak_of_drawers_counts_and_strays(tmp_path: Path) -> None:
    tree = {**TREE, "database/plate.png": make_image(1, "png")}
    notes = "\n".join(read(tmp_path, {"insects.zip": pack("zip", tree)}).notes)
    assert "290 of 291 species fill one drawer" in notes
    assert "images: 292, 63,072 fewer than the published 63,364" in notes
    assert f"the name of species '{UNKNOWN}' is not known" in notes
    assert "left out, since it lies in no class folder: 'insects.zip/database/plate.png'" in notes


def test_the_table_holds_the_290_known_species() -> None:
    assert len(set(KEYS)) == 290


def test_without_the_unnamed_species_the_note_says_so(tmp_path: Path) -> None:
    tree = {name: data for name, data in TREE.items() if UNKNOWN not in name}
    listing = read(tmp_path, tree)
    assert "species: 290, 1 fewer than the published 291" in listing.notes
    assert len(listing.class_names) == 290


@pytest.mark.parametrize(
    ("gone", "extra", "message"),
    [
        ("1035167", {}, r"no image of species '1035167 \(Amara lunicollis\)'; expected 291"),
        ("-", {"database/777777/d1s1.jpg": b"x"}, "unknown species '777777', '8123456'"),
        ("database", {"beetles/Amara/1.jpg": b"x"}, "folders named by species keys.*Amara"),
    ],
)
def test_what_is_not_as_published_is_refused(
    gone: str, extra: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    tree = {name: data for name, data in TREE.items() if gone not in name}
    with pytest.raises(DataError, match=message):
        read(tmp_path, {"insects.zip": pack("zip_stored", {**tree, **extra})})
