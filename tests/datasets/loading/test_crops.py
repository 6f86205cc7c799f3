import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.datasets import randomness
from pycls.datasets.loading import crops

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def draw_one(seed, epoch, position, height, width, area, aspect):
    """Draw one image's box by the words of the documentation."""
    for number in range(10):
        share, ratio, y, x = (
            float(randomness.sample_uniform(seed, epoch, 100 + 4 * number + i, [position])[0])
            for i in range(4)
        )
        pixels = height * width * (area[0] + share * (area[1] - area[0]))
        ratio = aspect[0] * (aspect[1] / aspect[0]) ** ratio
        h, w = max(1, round(math.sqrt(pixels / ratio))), max(1, round(math.sqrt(pixels * ratio)))
        if h <= height and w <= width:
            return int(y * (height - h + 1)), int(x * (width - w + 1)), h, w
    short = min(height, width)
    return (height - short) // 2, (width - short) // 2, short, short


@settings(max_examples=60)
@given(seed=st.integers(0, 9), epoch=st.integers(0, 9), sizes=st.lists(SIZES, min_size=1))
def test_boxes_are_those_drawn_one_by_one(seed, epoch, sizes):
    positions = np.arange(len(sizes)) * 7 + 3
    found = crops.sample_boxes(seed, epoch, positions, sizes)
    expected = [
        draw_one(seed, epoch, position, *size, (0.08, 1), (3 / 4, 4 / 3))
        for position, size in zip(positions, sizes, strict=True)
    ]
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60)
@given(
    size=SIZES,
    low=st.floats(0.01, 1),
    high=st.floats(0.01, 1),
    aspect=st.tuples(st.floats(0.1, 1), st.floats(1, 10)),
)
def test_boxes_lie_in_the_image(size, low, high, aspect):
    area = (min(low, high), max(low, high))
    boxes = crops.sample_boxes(1, 2, np.arange(50), size, area, aspect)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size).all()


def test_areas_aspects_and_places_have_their_distribution():
    tops, lefts, heights, widths = crops.sample_boxes(3, 4, np.arange(20000), (1000, 1000)).T
    share, aspect = heights * widths / 1e6, widths / heights
    assert 0.079 < share.min() < 0.085
    assert 0.74 < aspect.min() < 0.76
    assert 1.32 < aspect.max() < 1.35
    # Wide and high boxes come equally often.
    assert abs((aspect > 1).mean() - 0.5) < 0.015
    small = share < 0.5
    # Boxes of less than half the image always fit: uniform in their area.
    assert abs(np.histogram(share[small], 6, (0.08, 0.5))[0] / small.sum() - 1 / 6).max() < 0.02
    for first, length in ((tops, heights), (lefts, widths)):
        place = ((first + 0.5) / (1001 - length))[small]
        assert abs(np.histogram(place, 5, (0, 1))[0] / small.sum() - 0.2).max() < 0.02


def test_a_box_belongs_to_seed_epoch_and_image_alone():
    positions = np.arange(200)
    whole = crops.sample_boxes(1, 5, positions, (60, 80))
    some = np.random.default_rng(0).permutation(200)[:70]
    np.testing.assert_array_equal(crops.sample_boxes(1, 5, some, (60, 80)), whole[some])
    for seed, epoch in ((2, 5), (1, 6)):
        others = crops.sample_boxes(seed, epoch, positions, (60, 80))
        assert (others == whole).all(axis=1).mean() < 0.05


def test_central_square_where_nothing_fits():
    boxes = crops.sample_boxes(1, 0, [0, 1], [(10, 1000), (90, 7)], (1, 1), (1, 1))
    np.testing.assert_array_equal(boxes, [[0, 495, 10, 10], [41, 0, 7, 7]])


def bilinear(image, box, size):
    """Resize a box from the pixels next to each point, in 64 bits."""
    top, left, height, width = box
    part = image[top : top + height, left : left + width].astype(np.float64)
    for axis, length in enumerate((height, width)):
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        first = np.floor(at).astype(int)
        second = np.minimum(first + 1, length - 1)
        weight = (at - first).reshape(-1, *[1] * (2 - axis))
        part = part.take(first, axis) * (1 - weight) + part.take(second, axis) * weight
    return part


@settings(max_examples=40)
@given(shape=st.tuples(st.integers(2, 40), st.integers(2, 40)), size=st.integers(1, 40))
def test_both_ways_of_cutting_resize_bilinearly(shape, size):
    images = noise((3, *shape))
    positions = np.arange(12)
    rows = positions % 3
    boxes = crops.sample_boxes(2, 0, positions, shape)
    flips = positions % 2 == 0
    squares = np.empty((12, size, size, 3), dtype=np.uint8)
    crops.cut_boxes([images[row] for row in rows], boxes, flips, squares)
    for row, box, flip, square in zip(rows, boxes, flips, squares, strict=True):
        expected = bilinear(images[row], box, size)
        # OpenCV rounds weights to 11 bits.
        found = (square[:, ::-1] if flip else square).astype(float)
        assert abs(found - expected).max() <= 1
    on_device = crops.cut_boxes_on_device(
        torch.from_numpy(images), *map(torch.from_numpy, (rows, boxes, flips)), size
    )
    assert on_device.dtype == torch.uint8
    assert on_device.is_contiguous()
    assert abs(on_device.numpy().astype(int) - squares).max() <= 1


def test_images_of_different_sizes_are_cut_together():
    images = [noise((30, 50), 1), noise((80, 20), 2)]
    boxes = np.array([[2, 3, 16, 16], [60, 4, 16, 16]])
    squares = np.empty((2, 16, 16, 3), dtype=np.uint8)
    crops.cut_boxes(images, boxes, np.array([False, True]), squares)
    np.testing.assert_array_equal(squares[0], images[0][2:18, 3:19])
    np.testing.assert_array_equal(squares[1], images[1][60:76, 4:20][:, ::-1])


def test_many_images_are_cut_on_the_device_in_pieces(monkeypatch):
    images = torch.from_numpy(noise((4, 9, 9)))
    rows = torch.arange(20) % 4
    boxes = torch.from_numpy(crops.sample_boxes(0, 0, np.arange(20), (9, 9)))
    flips = torch.arange(20) % 3 == 0
    whole = crops.cut_boxes_on_device(images, rows, boxes, flips, 6)
    monkeypatch.setattr(crops, "_AT_ONCE", 7)
    assert torch.equal(crops.cut_boxes_on_device(images, rows, boxes, flips, 6), whole)


@pytest.mark.parametrize("positions", [[], [5]])
def test_few_positions(positions):
    assert crops.sample_boxes(0, 0, np.array(positions, dtype=np.int64), (8, 8)).shape == (
        len(positions), 4,
    )  # fmt: skip
