import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets.loading import transforms
from pycls.errors import ConfigError

MEAN = np.array([0.2, 0.5, 0.7])
STD = np.array([0.1, 0.25, 0.4])


def noise(count, height, width, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(values)


def plain(images: torch.Tensor) -> np.ndarray:
    return (images.numpy().astype(np.float64) / 255 - MEAN) / STD


@settings(max_examples=50)
@given(
    shape=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    pad=st.integers(0, 4),
    data=st.data(),
)
def test_padded_crops_equal_a_plain_pipeline(shape, pad, data):
    height, width = shape
    size = data.draw(st.integers(1, min(shape) + 2 * pad), label="size")
    tops = torch.tensor(
        data.draw(st.lists(st.integers(0, height + 2 * pad - size), min_size=4, max_size=4))
    )
    lefts = torch.tensor(
        data.draw(st.lists(st.integers(0, width + 2 * pad - size), min_size=4, max_size=4))
    )
    rows = torch.tensor(data.draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)))
    images = noise(3, height, width)
    crops = transforms.crop(transforms.pad_images(images, pad), rows, tops, lefts, size)
    found = transforms.Normalizer(MEAN, STD, size).padded(
        crops,
        transforms.inside_table(height, pad, size)[tops],
        transforms.inside_table(width, pad, size)[lefts],
    )
    padded = np.pad(plain(images), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for i in range(4):
        window = padded[rows[i], tops[i] : tops[i] + size, lefts[i] : lefts[i] + size]
        np.testing.assert_allclose(found[i].numpy(), window, atol=1e-5)
        # Padding is zero to the bit, not nearly.
        assert not found[i].numpy()[window == 0].any()


def test_normalised_images_are_close_to_the_formula_and_a_copy():
    images = noise(4, 6, 6)
    for pixels in (images, images.to(torch.float32)):
        before = pixels.clone()
        found = transforms.Normalizer(MEAN, STD, 6)(pixels)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), plain(images), atol=1e-5)
        assert torch.equal(pixels, before)


def test_constant_channel_is_not_divided_by_zero():
    images = noise(1, 4, 4)
    images[..., 1] = 51
    found = transforms.Normalizer(np.array([0.2, 0.2, 0.2]), np.array([1, 0, 1]), 4)(images)
    np.testing.assert_allclose(found[..., 1].numpy(), 0, atol=1e-6)


def test_mirror_flips_the_chosen_images_only():
    images = noise(4, 3, 5)
    before = images.clone()
    transforms.mirror(images, torch.tensor([1, 3]))
    np.testing.assert_array_equal(images[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(images[[1, 3]], before[[1, 3]].numpy()[:, :, ::-1])
    transforms.mirror(images, torch.tensor([], dtype=torch.int64))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((8, 8), 4, (4, 4)), ((6, 9), 4, (4, 6)), ((9, 6), 12, (18, 12)), ((7, 10), 7, (7, 10))],
)
def test_shorter_side_is_resized(shape, size, expected):
    assert transforms.resize_short_side(noise(2, *shape), size).shape == (2, *expected, 3)


def test_shrinking_is_antialiased():
    stripes = torch.zeros((1, 16, 16, 3), dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    shrunk = transforms.resize_short_side(stripes, 4)
    # A filter that only looks at two neighbours would see white or black columns.
    assert (shrunk - 127.5).abs().max() < 20


def test_centre_crop_is_central():
    images = noise(2, 7, 9)
    np.testing.assert_array_equal(transforms.centre_crop(images, 5), images[:, 1:6, 2:7])
    with pytest.raises(ConfigError, match="cannot cut 8 x 8 pixels out of images of 7 x 9"):
        transforms.centre_crop(images, 8)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_other_images_are_put_in_their_place(size):
    images, others = noise(5, size, size), noise(2, size, size, seed=1)
    expected = images.clone()
    expected[[3, 0]] = others
    transforms.replace(images, torch.tensor([3, 0]), others)
    assert torch.equal(images, expected)


def test_border_has_the_colour_asked_for():
    images = noise(2, 3, 4)
    colour = torch.tensor([9, 8, 7], dtype=torch.uint8)
    padded = transforms.pad_images(images, 2, colour)
    assert padded.shape == (2, 7, 8, 3)
    assert torch.equal(padded[:, 2:5, 2:6], images)
    padded[:, 2:5, 2:6] = colour
    assert (padded == colour).all()


def test_light_is_added_before_normalising_and_not_to_the_padding():
    images = noise(3, 4, 4)
    light = torch.tensor([[0.1, -0.2, 0.3], [0, 0, 0], [-0.5, 0.5, 0.25]])
    normalize = transforms.Normalizer(MEAN, STD, 4)
    expected = plain(images) + light.numpy()[:, None, None] / STD
    np.testing.assert_allclose(normalize(images, light), expected, atol=1e-5)
    crops = transforms.pad_images(images, 2)[:, :4, :4].contiguous()
    inside = transforms.inside_table(4, 2, 4)[torch.zeros(3, dtype=torch.int64)]
    found = normalize.padded(crops, inside, inside, light)
    np.testing.assert_allclose(found[:, 2:, 2:], expected[:, :2, :2], atol=1e-5)
    assert not found[:, :2].any()
    assert not found[:, :, :2].any()
