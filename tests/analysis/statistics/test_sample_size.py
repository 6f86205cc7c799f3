import math

import numpy as np
import pytest
from coverage_simulation import draw_pairs, draw_three

from pycls.analysis.statistics import (
    architectures_for_width,
    architectures_to_tell_apart,
    compare_rhos,
    edf_band,
    interval_width,
    spearman_interval,
)
from pycls.errors import ConfigError


def test_width_by_hand():
    # tanh(1.959964 / sqrt(97)) = 0.196 each side of 0.
    assert interval_width(0, 100) == pytest.approx(2 * math.tanh(1.959964 / math.sqrt(97)), 1e-6)


@pytest.mark.parametrize(("width", "rho"), [(0.4, 0.0), (0.2, 0.5), (0.05, 0.9), (1.9, 0.0)])
def test_that_many_architectures_are_enough_and_one_fewer_is_not(width, rho):
    n = architectures_for_width(width, rho)
    assert interval_width(rho, n) <= width
    assert n == 4 or interval_width(rho, n - 1) > width


def test_interval_of_real_samples_has_the_wanted_width():
    n = architectures_for_width(0.3, 0.5)
    rng = np.random.default_rng(1)
    bounds = [spearman_interval(*draw_pairs(rng, 0.5, n, "normal", False)) for _ in range(200)]
    assert np.mean([high - low for low, high in bounds]) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("rhos", [(0.3, 0.6, 0.5), (0.7, 0.8, 0.9)])
def test_that_many_architectures_tell_two_rhos_apart(rhos):
    n = architectures_to_tell_apart(*rhos, power=0.8)
    rng = np.random.default_rng(2)
    found = [compare_rhos(*draw_three(rng, *rhos, n)).p_value < 0.05 for _ in range(300)]
    assert 0.72 < np.mean(found) < 0.88


def test_shared_architectures_need_fewer():
    assert architectures_to_tell_apart(0.3, 0.6, 0.8) < architectures_to_tell_apart(0.3, 0.6)
    assert architectures_to_tell_apart(0.3, 0.6, 0.2) > architectures_to_tell_apart(0.3, 0.6, 0.8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: architectures_for_width(0), "between 0 and 2"),
        (lambda: architectures_for_width(1e-5), "more than"),
        (lambda: architectures_for_width(0.1, 1.0), "between -1 and 1"),
        (lambda: architectures_to_tell_apart(0.5, 0.5), "equal"),
        (lambda: architectures_to_tell_apart(0.9, -0.9, 0.9), "cannot occur"),
        (lambda: architectures_to_tell_apart(0.5, 0.6, power=80), "confidence"),
    ],
)
def test_impossible_wishes_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_band_by_hand():
    band = edf_band([3, 1, 2, math.nan, 4])
    half = math.sqrt(math.log(40) / 8)
    assert band.values.tolist() == [1, 2, 3, 4]
    assert band.low == pytest.approx(np.clip(np.array([1, 2, 3, 4]) / 4 - half, 0, 1))
    assert band.high == pytest.approx(np.clip(np.array([1, 2, 3, 4]) / 4 + half, 0, 1))
    assert len(edf_band([]).values) == 0


def test_band_holds_the_whole_function():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(500):
        band = edf_band(rng.uniform(0, 1, 50))
        # Just before each step the function has not risen yet.
        before = np.concatenate([[band.high[0] - 1 / 50], band.high[:-1]])
        held += bool((band.low <= band.values).all() and (band.values <= before).all())
    assert 0.93 <= held / 500 <= 0.985
