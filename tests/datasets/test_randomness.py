import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pycls.datasets import randomness as r
from pycls.datasets.loading.augment import sample_lighting

N = 100_000
POSITIONS = np.arange(N)
GOLDEN_BITS = [14869209930637655531, 3257072991639696676, 9240258947028170861]
GOLDEN_ORDER = [3, 5, 1, 6, 8, 9, 7, 4, 0, 2]
GOLDEN_INTEGERS = [6, 6, 6, 3, 1, 0, 0, 2, 2, 8]
GOLDEN_NORMAL = [0.34349847204172035, -0.09464057840468788, 0.6204100209604813]
GOLDEN_NAMES = ["b", "a", "d", "c"]


def test_golden_values():
    # Pinned: another value here means that every earlier run augments differently.
    np.testing.assert_array_equal(
        r.sample_bits(1, 0, 0, [0, 1, 1_000_000]),
        np.array(GOLDEN_BITS, dtype=np.uint64),
    )
    assert r.epoch_order(1, 0, range(10)).tolist() == GOLDEN_ORDER
    assert r.sample_integers(7, 3, r.STREAM_CROP_X, range(10), 9).tolist() == GOLDEN_INTEGERS
    assert r.order_names(["a", "b", "c", "d"], "salt", 1) == GOLDEN_NAMES
    normal = r.sample_normal(1, 0, r.STREAM_LIGHTING, [0, 1, 2])
    np.testing.assert_allclose(normal, GOLDEN_NORMAL, rtol=1e-12)


def test_hash_is_splitmix64():
    # First outputs of the reference generator started at 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert r.hash_positions(1234567, [0, 1, 2]).tolist() == expected


@pytest.mark.parametrize("seed", [0, 1, 2**63, -5])
def test_uniform_numbers_fill_the_unit_interval_evenly(seed):
    values = r.sample_uniform(seed, 0, r.STREAM_FLIP, POSITIONS)
    assert values.min() >= 0
    assert values.max() < 1
    counts = np.histogram(values, bins=50, range=(0, 1))[0]
    chi_square = ((counts - N / 50) ** 2 / (N / 50)).sum()
    # 49 degrees of freedom: above 100 has a probability of 2e-5.
    assert chi_square < 100


def test_normal_numbers_are_normal():
    values = r.sample_normal(2, 0, r.STREAM_LIGHTING, POSITIONS)
    assert np.isfinite(values).all()
    # The largest distance of distributions has a probability of 1e-6 to be larger.
    assert stats.kstest(values, "norm").statistic < 2.7 / np.sqrt(N)
    other = r.sample_normal(2, 0, r.STREAM_LIGHTING + 1, POSITIONS)
    assert abs(np.corrcoef(values, other)[0, 1]) < 5 / np.sqrt(N)


def test_lighting_varies_along_imagenets_axes():
    light = sample_lighting(3, 1, POSITIONS, 0.1).astype(np.float64)
    assert light.shape == (N, 3)
    values, axes = np.linalg.eigh(np.cov(light.T))
    np.testing.assert_allclose(np.sqrt(values[::-1]) / 0.1, [0.2175, 0.0188, 0.0045], rtol=0.02)
    # The strongest changes all channels together, by about as much.
    np.testing.assert_allclose(abs(axes[:, -1]), [0.5675, 0.5808, 0.5836], atol=0.01)
    np.testing.assert_allclose(abs(axes[:, 1]), [0.7192, 0.0045, 0.6948], atol=0.02)
    assert abs(light.mean(axis=0)).max() < 5 * light.std() / np.sqrt(N)


def test_lighting_belongs_to_the_image_and_grows_with_its_deviation():
    whole = sample_lighting(3, 1, POSITIONS[:50], 0.1)
    np.testing.assert_array_equal(sample_lighting(3, 1, [40, 7], 0.1), whole[[40, 7]])
    np.testing.assert_allclose(sample_lighting(3, 1, POSITIONS[:50], 0.2), 2 * whole, rtol=1e-6)
    assert not sample_lighting(3, 1, POSITIONS[:50], 0.0).any()


@pytest.mark.parametrize("high", [1, 2, 9, 33])
def test_integers_are_even_and_in_range(high):
    values = r.sample_integers(3, 1, r.STREAM_CROP_Y, POSITIONS, high)
    counts = np.bincount(values, minlength=high)
    assert len(counts) == high
    assert abs(counts - N / high).max() < 6 * np.sqrt(N / high)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, 0, 0), (2, 0, 0)),
        ((1, 0, 0), (1, 1, 0)),
        ((1, 0, 0), (1, 0, 1)),
        ((0, 1, 0), (1, 0, 0)),
        ((1, 2, 3), (3, 2, 1)),
        ((-1, 0, 0), (1, 0, 0)),
    ],
)
def test_neighbouring_seeds_epochs_and_streams_are_unrelated(first, second):
    a, b = (r.sample_uniform(*key, POSITIONS) for key in (first, second))
    # The correlation of N independent pairs has a standard deviation of 1 / sqrt(N).
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(N)
    assert abs(np.corrcoef(a[1:], b[:-1])[0, 1]) < 5 / np.sqrt(N)
    assert abs(np.mean((a < 0.5) == (b < 0.5)) - 0.5) < 5 * 0.5 / np.sqrt(N)


def test_neighbouring_positions_are_unrelated():
    values = r.sample_uniform(1, 0, 0, POSITIONS)
    for lag in (1, 2, 10, 128):
        assert abs(np.corrcoef(values[lag:], values[:-lag])[0, 1]) < 5 / np.sqrt(N)


def test_a_number_belongs_to_its_sample():
    some = np.array([70_000, 5, 99_999])
    whole = r.sample_bits(4, 2, 1, POSITIONS)
    np.testing.assert_array_equal(r.sample_bits(4, 2, 1, some), whole[some])


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=50), st.integers(0, 9))
def test_epoch_order_is_a_permutation_that_subsets_share(indices, epoch):
    indices = np.array(sorted(indices))
    order = r.epoch_order(1, epoch, indices)
    assert sorted(order) == list(range(len(indices)))
    whole = r.epoch_order(1, epoch, np.arange(10_001))
    rank = np.argsort(whole)
    assert np.all(np.diff(rank[indices[order]]) > 0)


def test_epoch_orders_differ_between_epochs_and_seeds():
    orders = [r.epoch_order(seed, epoch, range(1000)) for seed in (0, 1) for epoch in (0, 1)]
    for i, a in enumerate(orders):
        for b in orders[i + 1 :]:
            # Two unrelated permutations agree at one place on average.
            assert (a == b).sum() < 10


@given(st.permutations(["ant", "bee", "cat", "dog", "eel"]))
def test_order_of_names_does_not_depend_on_the_order_given(names):
    assert r.order_names(names, 1) == r.order_names(sorted(names), 1)


@pytest.mark.parametrize("high", [0, -1, 2**32 + 1])
def test_impossible_range_is_refused(high):
    with pytest.raises(ValueError, match="expected 1 to"):
        r.to_integers(np.zeros(1, np.uint64), high)
