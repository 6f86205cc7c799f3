import io
import shutil
import zipfile

import numpy as np
import pytest
from fuzzing import fuzzed, read_or_refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pycls.datasets.loading.image_tree import open_image_tree
from pycls.datasets.readers.folder import read_folder
from pycls.datasets.sources.decode import decode_file, fit_image
from pycls.datasets.sources.sources import open_source


def _encoded(mode, kind, size=(9, 12), **options):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


IMAGES = (
    _encoded("RGB", "JPEG"), _encoded("L", "PNG"), _encoded("RGBA", "PNG"),
    _encoded("P", "GIF"),
    _encoded("CMYK", "JPEG"), _encoded("RGB", "BMP"), _encoded("RGB", "WEBP"),
    _encoded("1", "TIFF"),
    _encoded("LA", "PNG"), _encoded("RGB", "JPEG", (1, 1)), _encoded("RGB", "PNG", (3, 300)),
)  # fmt: skip


def _zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("eel/a.png", IMAGES[1])
    return buffer.getvalue()


# A PNG that claims a billion pixels, texts, and an archive.
HUGE = IMAGES[1][:16] + (40_000).to_bytes(4, "big") * 2 + IMAGES[1][24:]
OTHERS = (
    b"",
    b"no image",
    b"<html>",
    b"version https://git-lfs.github.com/spec/v1",
    HUGE,
    _zipped(),
)
SIDES = st.sampled_from(
    ["", "train", "Train", "val", "valid", "test", "Testing", "wrap/train", "images"]
)
CLASSES = st.sampled_from(
    ["cat", "Cat", "dog", "caf\u00e9", "cafe\u0301", ".hidden", "train", "__MACOSX", "a b", "", "0",
     "00",
     "deep/er", "~", "cat/dog", "-", "\u202edog"]
)  # fmt: skip
FILES = st.sampled_from(
    ["a.jpg", "b.JPG", "c.png", "d", "e.txt", "f.webp", "._g.jpg", "Thumbs.db", "h.tif",
     "i.jpg.zip",
     "labels.csv", "j k.jpeg", "\u00e9.bmp", "train.txt"]
)  # fmt: skip
CONTENTS = st.tuples(st.sampled_from(IMAGES + OTHERS), st.sampled_from([1.0, 1.0, 1.0, 0.7, 0.1]))


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(
    st.lists(st.tuples(SIDES, CLASSES, FILES, CONTENTS), max_size=9),
    st.booleans(), st.integers(0, 3), st.sampled_from(["crop", "squash", "pad"]),
)  # fmt: skip
def test_any_tree(any_path, files, doubled, level, aspect):
    shutil.rmtree(any_path, ignore_errors=True)
    any_path.mkdir()
    for side, name, file, (data, share) in files:
        for folder in {side, side if not doubled else "test"}:
            path = any_path / folder / name / file
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data[: int(share * len(data))])
            except OSError:
                continue  # a folder is there, or a file on the way to it
    for split in ("train", "test"):
        with read_or_refused(any_path):
            tree = open_image_tree(any_path, split)
            for image, _ in (tree[number] for number in range(len(tree))):
                assert fit_image(image, 8, aspect).shape == (8, 8, 3)
    with read_or_refused(any_path):
        source = open_source(any_path)
        for item in read_folder(source, level=level).items:
            image, _ = decode_file(source.read(item.member), source.where(item.member))
            assert fit_image(image, 8, aspect).shape == (8, 8, 3)
