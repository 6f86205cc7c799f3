"""Every file of a raw folder is in the set, or named as left out."""

import io
import itertools
import re
import shutil
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

import cv2
import numpy as np
import pytest
from archives import encode, make_image, pack, picture, write_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.sources import archives
from pycls.datasets.store.store import open_store
from pycls.errors import DataError

# What Pillow writes, and may read again whatever the file is called.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "PCX")
SUFFIXES = (".jpg", ".JPG", ".webp", ".dat", "", ".gif", ".tif", ".data", ".jfif", ".avif")
NUMBERS = itertools.count()


def as_format(kind, seed=None):
    file = io.BytesIO()
    seed = next(NUMBERS) if seed is None else seed
    Image.fromarray(picture(seed, 12, 12)).save(file, kind)
    return file.getvalue()


images = st.builds(
    lambda kind, suffix: (suffix, as_format(kind)),
    st.sampled_from(FORMATS),
    st.sampled_from(SUFFIXES),
)
others = st.sampled_from(
    [(".txt", b"words"), (".csv", b"a,b\n1,2\n"), ("", b""), (".npy", b"\x93NUMPY"),
     (".nef", b"II*\0"), (".eps", b"%!PS-Adobe-3.0 EPSF-3.0\n"), (".xml", b"<a/>"),
     (".mp4", b"\0\0\0\x18ftypmp42")]
)  # fmt: skip
litter = st.sampled_from(
    [".DS_Store", "Thumbs.db", "._1.jpg", ".ipynb_checkpoints/1.jpg", "@eaDir/a/1.jpg",
     ".git/HEAD", ".Trash-1000/info/x", "__MACOSX/._a.jpg", "a.jpg~", ".hidden/cat/2.png"]
)  # fmt: skip
places = st.sampled_from(["", "", "", "more/", "more/deep/"])


@st.composite
def trees(draw):
    """Draw a tree of two to four classes, with or without sides: its files, and of which kind."""
    tree, is_image = {}, {}
    sides = draw(st.sampled_from([("",), ("train/", "test/"), ("Training/", "valid/")]))
    for side, name in itertools.product(sides, "abcd"[: draw(st.integers(2, 4))]):
        kept = draw(st.lists(st.tuples(places, images), min_size=2, max_size=4))
        left = draw(st.lists(st.tuples(places, others), max_size=2))
        for place, (suffix, data) in [*kept, *left]:
            path = f"{side}{name}/{place}{len(tree)}{suffix}"
            tree[path], is_image[path] = data, (place, (suffix, data)) in kept
        for path in draw(st.lists(litter, max_size=2)):
            tree[f"{side}{name}/{path}"], is_image[f"{side}{name}/{path}"] = as_format("PNG"), False
    for path in draw(st.lists(litter, max_size=2)):
        tree[path], is_image[path] = b"x", False
    if draw(st.booleans()):
        tree["readme.md"], is_image["readme.md"] = b"about", False
    return tree, is_image


@given(trees(), st.sampled_from(["folder", "zip", "tar"]))
@settings(max_examples=25)
def test_files_found_and_files_left_out_are_the_files_there(tmp_path_factory, drawn, kind):
    tree, is_image = drawn
    folder = tmp_path_factory.mktemp("any")
    files = tree if kind == "folder" else {f"raw.{kind}": pack(kind, tree)}
    raw = write_tree(folder / "raw", files)
    path = prepare("folder", folder, raw=raw, name="mine", size=8, workers=1, test_share=0.4)
    found = open_store(path).names
    assert sorted(found) == sorted(name for name, yes in is_image.items() if yes)
    report = (path / "report.txt").read_text()
    named = set(re.findall(r"(?m)^  (\S.*)$", report))
    prefix = "" if kind == "folder" else f"raw.{kind}/"
    assert named == {prefix + name for name, yes in is_image.items() if not yes}
    counted = sum(int(n) for n in re.findall(r"(?m)^- (\d+) files? left out", report))
    assert counted + len(found) == len(tree)
    shutil.rmtree(folder)


def prepare_tree(folder, tree, **options):
    raw = write_tree(folder / "raw", tree)
    return prepare("folder", folder / "out", raw=raw, name="mine", size=16, workers=1, **options)


def test_every_format_shows_what_it_shows(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    tree = {f"{name}/{kind}": as_format(kind, 5) for kind in (*FORMATS, "HEIF") for name in "ab"}
    tree["b/other.png"], tree["a/other.png"] = make_image(1, "png"), make_image(2, "png")
    tree |= {f"b/{kind}": as_format(kind, 6) for kind in (*FORMATS, "HEIF")}
    store = open_store(prepare_tree(tmp_path, tree))
    expected = {name: np.asarray(picture(seed, 12, 12)).mean(axis=(0, 1))
                for name, seed in (("a", 5), ("b", 6))}  # fmt: skip
    for name, image in zip(store.names, store.images, strict=True):
        if not name.endswith("other.png"):
            np.testing.assert_allclose(image.mean(axis=(0, 1)), expected[name[0]], atol=8)


def test_a_class_without_images_is_an_error_and_exclude_the_way_out(tmp_path):
    tree = {f"{name}/{at}.jpg": make_image(10 * ord(name) + at) for name in "ab" for at in (0, 1)}
    tree |= {"c/1.txt": b"x", "a/skip.jpg": make_image(1)}
    (tmp_path / "raw" / "fish").mkdir(parents=True)
    message = r"without an image: 'c' \(.txt 1\), 'fish' \(empty\); .* --exclude 'c'"
    with pytest.raises(DataError, match=message):
        prepare_tree(tmp_path, tree)
    store = open_store(prepare_tree(tmp_path, {}, exclude=["c", "fish", "a/skip*", "typo"]))
    assert store.names == ("a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg")
    assert store.meta["notes"][0] == "--exclude 'typo' matches nothing"
    assert store.meta["notes"][1].startswith("2 files left out, as asked (--exclude) (")
    with pytest.raises(DataError, match="prepared otherwise: exclude was"):
        prepare_tree(tmp_path, {}, exclude=["c", "fish"])


def test_what_was_not_taken_as_it_is_is_counted(tmp_path):
    tree = {f"{name}/{at}.jpg": make_image(10 * ord(name) + at) for name in "ab" for at in (0, 1)}
    file = io.BytesIO()
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    tree["a/film.gif"] = file.getvalue()
    deep = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    pngs = io.BytesIO()
    Image.fromarray(deep).save(pngs, "PNG")
    tree["a/deep.png"] = pngs.getvalue()
    colours = np.stack([deep, deep[::-1], deep.T], axis=2)
    for kind in ("png", "tiff"):
        tree[f"b/colour.{kind}"] = cv2.imencode(f".{kind}", colours[..., ::-1])[1].tobytes()
    file = io.BytesIO()
    Image.fromarray((deep / 4080).astype(np.float32)).save(file, "TIFF")
    tree["b/float.tif"] = file.getvalue()
    # What Pillow does not know.
    floats = (colours / 4080).astype(np.float32)
    tree["b/float colours.tif"] = cv2.imencode(".tiff", floats[..., ::-1])[1].tobytes()
    tree["b/double.tif"] = cv2.imencode(".tiff", floats[..., 1].astype(float))[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(picture(9)).save(file, "JPEG", exif=exif)
    tree["b/turned.jpg"] = file.getvalue()
    store = open_store(prepare_tree(tmp_path / "plain", tree))
    images = dict(zip(store.names, store.images[..., 0], strict=True))
    np.testing.assert_array_equal(images["a/deep.png"], deep >> 8)
    np.testing.assert_array_equal(images["b/float.tif"], np.arange(256).reshape(16, 16))
    both = dict(zip(store.names, store.images, strict=True))
    np.testing.assert_array_equal(both["b/float colours.tif"], colours // 16)
    np.testing.assert_array_equal(both["b/double.tif"], (colours[..., [1, 1, 1]] // 16))
    notes = "\n".join(store.meta["notes"])
    for part in (
        "1 image with several frames or pages; the first of each is used: a/film.gif",
        "1 image with an orientation noted in EXIF data, which is not applied",
        "6 images of more than 8 bits a pixel",
        "3 images of these nearly black now (all below 20 of 255); --set white=N",
    ):
        assert part in notes
    other = open_store(prepare_tree(tmp_path / "as asked", tree, white=4080, orientation="apply"))
    bright = dict(zip(other.names, other.images[..., 0], strict=True))
    for kind in ("png", "tiff"):
        image = other.images[other.names.index(f"b/colour.{kind}")]
        np.testing.assert_array_equal(image, np.round(colours / 16).astype(np.uint8))
    np.testing.assert_array_equal(bright["a/deep.png"], np.arange(256).reshape(16, 16))
    turned = np.rot90(images["b/turned.jpg"], 3)
    np.testing.assert_allclose(bright["b/turned.jpg"].astype(int), turned, atol=1)
    assert other.meta["recipe"]["options"]["orientation"] == "apply"


def test_classes_that_may_be_one_in_several_spellings_are_named(tmp_path):
    classes = ("Cat", "cat", "K\u00e4fer", "Ka\u0308fer", "1", "1.0", "10")
    tree = {f"{name}/{at}.jpg": make_image(at) for at, name in enumerate(classes * 2)}
    tree |= {f"{name}/{at}b.jpg": make_image(50 + at) for at, name in enumerate(classes)}
    (note,) = open_store(prepare_tree(tmp_path, tree)).meta["notes"]
    for pair in ("'Cat' and 'cat'", "'Ka\u0308fer' and 'K\u00e4fer'", "'1' and '1.0'; "):
        assert pair in note


def test_a_huge_image_is_refused_with_advice_unless_allowed(tmp_path, recwarn):
    tree = {f"{name}/{at}.jpg": make_image(10 * ord(name) + at) for name in "ab" for at in (0, 1)}
    tree["a/huge.png"] = encode(np.zeros((20, 9000, 3), np.uint8), "png")
    with pytest.raises(DataError) as caught:
        prepare_tree(tmp_path, tree, max_pixels=100_000)
    first, second = str(caught.value).splitlines()
    assert first.startswith("1 of 5 images cannot be read; raise the limit with --max-pixels or ")
    assert "mend" not in first
    assert "9,000 x 20 pixels; at most 100,000" in second
    assert not recwarn.list
    assert len(open_store(prepare_tree(tmp_path, {}, max_pixels=200_000)).labels) == 5


def test_names_of_zips_without_the_flag_for_utf_8(tmp_path):
    tree = {f"{name}/{at}.jpg": make_image(at + 50 * len(name)) for name in ("Käfer", "Wanzen")
            for at in (0, 1)}  # fmt: skip
    packed = bytearray(pack("zip", tree))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(signature), bytes(packed)):
            packed[found.start() + flags + 1] &= ~0x08
    store = open_store(prepare_tree(tmp_path, {"all.zip": bytes(packed)}))
    assert store.class_names == ("Käfer", "Wanzen")
    assert {PurePosixPath(name).parts[0] for name in store.names} == {"Käfer", "Wanzen"}
    # Another encoding is read as that of DOS, and said.
    packed = packed.replace("Käfer".encode(), "Kaäfe".encode("latin-1") + b"r")
    (note,) = open_store(prepare_tree(tmp_path / "other", {"all.zip": packed})).meta["notes"]
    assert note.startswith("the names of 2 files in zips are not in UTF-8 and were read as")
    # What Info-ZIP writes beside such a name.
    name, raw = "猫/1.jpg", "猫/1.jpg".encode("gbk")
    entry = zipfile.ZipInfo(raw.decode("cp437"))
    entry.extra = struct.pack("<HHBI", 0x7075, 5 + len(name.encode()), 1, zlib.crc32(raw))
    entry.extra += name.encode()
    assert archives._read_name(entry) == (name, False)


def test_names_that_would_break_a_line_are_escaped(tmp_path):
    names = [f"{kind}/{at}.jpg" for kind in "ab" for at in (0, 1)]
    tree = {name: make_image(at) for at, name in enumerate(names)}
    path = prepare_tree(tmp_path, {**tree, "a/x\n- 5 files\x1b[2J.txt": b"x"})
    assert "  a/x\\n- 5 files\\x1b[2J.txt\n" in (path / "report.txt").read_text()
