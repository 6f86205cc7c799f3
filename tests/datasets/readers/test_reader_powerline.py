from pathlib import Path

import numpy as np
import pytest
from archives import PACKINGS, encode, make_image, pack, pack_as, picture, write_tree

from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.powerline import read_powerline
from pycls.datasets.sources.decode import decode_image
from pycls.datasets.sources.sources import open_source
from pycls.errors import DataError

ROOT = "Power_Line_Database (Infrared-IR and Visible Light-VL)"
IR, VL = "Infrared (IR)", "Visible Light (VL)"
# (path, what is in the file, class, stratum); both orders of the words, 24- and 32-bit.
IMAGES = [
    (f"{IR}/TV_IR_0001.bmp", "bmp", "power line", "IR"),
    (f"{IR}/IR_TV_0002.bmp", "bmp32", "power line", "IR"),
    (f"{IR}/TY_IR_0001.bmp", "bmp32", "none", "IR"),
    (f"{VL}/TV_VL_0001.bmp", "bmp", "power line", "VL"),
    (f"{VL}/VL_TY_0001.BMP", "bmp32", "none", "VL"),
    (f"{VL}/ty_vl_0002.bmp", "bmp", "none", "VL"),
]
TREE = {path: make_image(seed, kind, 16, 16) for seed, (path, kind, *_) in enumerate(IMAGES)}


def read(folder: Path, tree: dict[str, bytes]) -> Listing:
    return read_powerline(open_source(write_tree(folder, tree)))


@pytest.mark.parametrize("packing", PACKINGS)
def test_class_and_modality_come_from_the_file_name(packing: str, tmp_path: Path) -> None:
    source = open_source(write_tree(tmp_path / "raw", pack_as(packing, TREE, ROOT)))
    listing = read_powerline(source)
    assert listing.class_names == ("none", "power line")
    assert "TV in the file name" in listing.class_titles["power line"]
    found = {
        item.name: (listing.class_names[item.label], item.stratum, source.read(item.member))
        for item in listing.items
    }
    assert found == {
        f"{stratum}/{Path(path).name}": (label, stratum, TREE[path])
        for path, _, label, stratum in IMAGES
    }
    assert [item.name for item in listing.items] == sorted(found)


def test_unequal_channels_and_alpha_bytes_do_not_change_the_pixels(tmp_path: Path) -> None:
    pixels = picture(3, 16, 16)
    pixels = pixels // np.array([1, 2, 3], np.uint8)
    path = f"{IR}/TV_IR_0009.bmp"
    source = open_source(write_tree(tmp_path, {**TREE, path: encode(pixels, "bmp32")}))
    (item,) = (item for item in read_powerline(source).items if item.name.endswith("0009.bmp"))
    assert np.array_equal(decode_image(source.read(item.member), path), pixels)


def test_a_modality_not_in_the_file_name_is_the_folders(tmp_path: Path) -> None:
    tree = {f"{ROOT}/{IR}/TV_7.bmp": TREE[f"{IR}/TV_IR_0001.bmp"]}
    tree |= {f"{ROOT}/{path}": data for path, data in TREE.items()}
    items = {item.name: item for item in read(tmp_path, tree).items}
    assert items["IR/TV_7.bmp"].stratum == "IR"


def test_notes_say_what_was_left_out_and_how_many_are_missing(tmp_path: Path) -> None:
    tree = {**TREE, f"{IR}/cover.bmp": make_image(50), "TV_8.bmp": make_image(51)}
    notes = "\n".join(read(tmp_path, tree).notes)
    assert f"left out, since its name has no class or modality: '{IR}/cover.bmp', 'TV_8" in notes
    assert "images of power line, IR: 2, 1,998 fewer than the published 2,000" in notes
    assert "none, VL: 2, 1,998 fewer" in notes
    assert "frames of videos" in notes


def test_an_archive_beside_its_unpacked_folder_is_used_once(tmp_path: Path) -> None:
    listing = read(tmp_path, {**TREE, f"{ROOT}.zip": pack("zip", TREE)})
    assert len(listing.items) == len(TREE)


@pytest.mark.parametrize(
    ("keep", "extra", "message"),
    [
        (lambda path: "ty" not in path.lower(), {}, "no image of class 'none'"),
        (lambda path: VL not in path, {}, r"no image of visible light \(VL\)"),
        (lambda path: True, {f"{IR}/TV_TY_IR.bmp": b"BM"}, "has both TV and TY in its name"),
        (lambda path: False, {"a/1.bmp": b"BM"}, "expected files named like 'TV_IR_0001.bmp'"),
        (lambda path: False, {"readme.txt": b"x"}, "expected files named like .*'readme.txt'"),
    ],
)
def test_what_is_not_as_published_is_refused(
    keep, extra: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    tree = {path: data for path, data in TREE.items() if keep(path)}
    with pytest.raises(DataError, match=message):
        read(tmp_path, {**tree, **extra})
