"""Images that nearly look alike: found, not confused with textures, and kept on one side."""

import io

import numpy as np
import pytest
from archives import encode, picture, write_tree
from PIL import Image
from skimage import data

from pycls.datasets.preparation.near_duplicates import find_near_duplicates
from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import open_store

SIZE = 128


def recode(image, quality=80, scale=1.0):
    """Return an image as it comes back from a JPEG of another size."""
    picture = Image.fromarray(image)
    picture = picture.resize((round(SIZE * scale),) * 2, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def textures():
    """200 crops of surfaces, every other one of as little contrast as concrete has."""
    rng = np.random.default_rng(0)
    surfaces = [getattr(data, name)() for name in ("brick", "gravel", "grass", "moon", "camera")]
    images = []
    for number in range(200):
        surface = surfaces[number % 5]
        top, left = (rng.integers(0, side - SIZE + 1) for side in surface.shape)
        crop = surface[top : top + SIZE, left : left + SIZE].astype(float)
        if number % 2:
            crop = 150 + (crop - crop.mean()) * 0.25
        images.append(np.repeat(np.clip(crop, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return np.stack(images)


def test_textures_are_not_alike_and_their_copies_are(textures):
    assert find_near_duplicates(textures) == []
    for change in ({"quality": 90}, {"quality": 95, "scale": 0.6}, {"quality": 90, "scale": 1.7}):
        copies = np.stack([recode(image, **change) for image in textures])
        found = find_near_duplicates(np.concatenate([textures, copies]))
        assert all(b == a + 200 for a, b in found)
        assert len(found) >= 180


def test_only_asked_positions_are_looked_at():
    flat = np.full((4, 16, 16, 3), 90, np.uint8)
    flat[3] = 120
    assert find_near_duplicates(flat) == [[0, 1, 2]]
    assert find_near_duplicates(flat, [0, 2, 3]) == [[0, 2]]


def test_on_request_they_are_one_group_and_an_interruption_changes_nothing(tmp_path):
    tree = {}
    for label, name in enumerate("ab"):
        for at in range(20):
            pixels = picture(100 * label + at, SIZE, SIZE)
            tree[f"{name}/{at:02d}.png"] = encode(pixels, "png")
            tree[f"{name}/again {at:02d}.png"] = encode(recode(pixels, 90), "png")
    raw = write_tree(tmp_path / "raw", tree)

    def count_parted(path):
        store = open_store(path)
        sides = dict(zip(store.names, store.split, strict=True))
        return sum(sides[name] != sides[name.replace("/", "/again ")] for name in tree
                   if "again" not in name)  # fmt: skip

    options = {"raw": raw, "size": 64, "test_share": 0.4, "workers": 1}
    assert count_parted(prepare("folder", tmp_path, name="plain", **options)) > 5
    path = prepare("folder", tmp_path, name="grouped", near_duplicates="group", **options)
    assert count_parted(path) == 0
    assert "nearly look like others and are one group" in open_store(path).meta["notes"][0]
