import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.readers.patches import PatchOptions, cut_patches, reduce_blocks
from pycls.errors import ConfigError


def numbered_picture(rows: int, columns: int, scale: int) -> np.ndarray:
    """A picture whose every block of scale x scale pixels has a colour of its own."""
    number = np.arange(rows * columns).reshape(rows, columns)
    blocks = np.stack([number >> 16, number >> 8 & 255, number & 255], axis=2).astype(np.uint8)
    return blocks.repeat(scale, axis=0).repeat(scale, axis=1)


def decode(patches: np.ndarray) -> np.ndarray:
    parts = patches.astype(np.int64)
    return (parts[..., 0] << 16) + (parts[..., 1] << 8) + parts[..., 2]


@settings(max_examples=40)
@given(
    size=st.integers(2, 9),
    extra=st.integers(0, 8),
    scale=st.integers(1, 3),
    shape=st.tuples(st.integers(40, 70), st.integers(40, 70)),
    seed=st.integers(0, 1000),
)
def test_no_pixel_is_on_both_sides(size, extra, scale, shape, seed):
    options = PatchOptions(size=size, scale=scale, area=size + extra, train=6, test=4, seed=seed)
    pictures = {"a": numbered_picture(*shape, scale), "b": numbered_picture(*shape, scale)}
    raw = cut_patches(pictures, options)
    numbers = decode(raw.images)
    for label in (0, 1):
        of_class = raw.labels == label
        train = numbers[of_class & (raw.split == 0)]
        test = numbers[of_class & (raw.split == 1)]
        assert (len(train), len(test)) == (6, 4)
        assert not set(train.ravel()) & set(test.ravel())
        # Whole patches of the picture: a reduction that mixed blocks would show here.
        rows, columns = np.divmod(numbers[of_class], shape[1])
        assert (np.diff(columns, axis=2) == 1).all()
        assert (np.diff(rows, axis=1) == 1).all()
        # All pixels of a patch are in one area.
        for place in (rows, columns):
            area = place // options.area
            assert (area.max(axis=(1, 2)) == area.min(axis=(1, 2))).all()
    corners = [(label, patch[0, 0]) for label, patch in zip(raw.labels, numbers, strict=True)]
    assert len(set(corners)) == len(corners)


def test_patches_of_a_picture_do_not_depend_on_the_others():
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    options = PatchOptions(size=8, area=16, train=20, test=10)
    both = cut_patches({"a": noise[0], "b": noise[1]}, options)
    swapped = cut_patches({"b": noise[1], "a": noise[0]}, options)
    np.testing.assert_array_equal(both.images[both.labels == 0], swapped.images[30:])
    np.testing.assert_array_equal(both.images[both.labels == 1], swapped.images[:30])


def test_patches_are_spread_over_the_areas():
    raw = cut_patches(
        {"a": numbered_picture(64, 64, 1)}, PatchOptions(size=4, area=16, train=33, test=10)
    )
    rows, columns = np.divmod(decode(raw.images[raw.split == 0])[:, 0, 0], 64)
    _, counts = np.unique(rows // 16 * 4 + columns // 16, return_counts=True)
    # 16 areas, 5 of them on the test side.
    assert counts.tolist() == [3] * 11


def test_patches_of_one_colour_are_left_out():
    picture = np.zeros((64, 64), dtype=np.uint8)
    picture[:, 32:] = np.random.default_rng(0).integers(0, 256, (64, 32))
    picture[:, :32] += np.random.default_rng(0).integers(0, 3, (64, 32), dtype=np.uint8)
    raw = cut_patches({"a": picture}, PatchOptions(size=8, area=16, train=60, test=30))
    assert np.ptp(raw.images.reshape(90, -1), axis=1).min() >= 4


def test_levels():
    noise = np.random.default_rng(0).normal(90, 12, (64, 64)).astype(np.uint8)
    means, spreads = {}, {}
    for level in ("keep", "centre", "standard"):
        options = PatchOptions(size=8, area=16, train=20, test=10, level=level)
        patches = cut_patches({"a": noise}, options).images.astype(float)
        means[level] = patches.mean(axis=(1, 2, 3))
        spreads[level] = patches.std(axis=(1, 2, 3))
    assert abs(means["keep"] - 90).max() < 10
    for level in ("centre", "standard"):
        assert abs(means[level] - 128).max() < 1
    np.testing.assert_allclose(spreads["centre"], spreads["keep"], atol=0.5)
    np.testing.assert_allclose(spreads["standard"], 40, atol=1)


def test_grey_turns_colour_into_luminance():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    raw = cut_patches({"a": picture}, PatchOptions(size=8, area=16, train=5, test=5, grey=True))
    assert (raw.images == raw.images[..., :1]).all()


def test_reduction_takes_block_means_and_drops_the_rest():
    picture = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    reduced = reduce_blocks(picture, 2)
    assert reduced.shape == (2, 3, 3)
    np.testing.assert_array_equal(reduced[0, 0], np.round(picture[:2, :2].mean(axis=(0, 1))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size 0: expected at least 1"),
        ({"size": 16, "area": 8}, "area 8 is smaller than the patch size 16"),
        ({"level": "loud"}, "expected one of keep, centre, standard"),
        ({"area": 40}, "no two areas of 40 pixels"),
        ({"size": 8, "area": 8, "train": 1000}, "were asked; ask for fewer"),
    ],
)
def test_impossible_options_are_refused(options, message):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    with pytest.raises(ConfigError, match=message):
        cut_patches({"a": picture}, PatchOptions(**options))
