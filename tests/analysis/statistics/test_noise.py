import math

import numpy as np
import pytest
from coverage_simulation import TRIALS, normal_r
from scipy import stats

from pycls.analysis.statistics import (
    NoiseVariance,
    noise_ceiling,
    reliability,
    repeat_variance,
    spearman,
)
from pycls.analysis.statistics.noise import NO_NOISE
from pycls.errors import ConfigError

pytestmark = pytest.mark.slow


def test_variance_within_architectures_by_hand():
    # Sums of squares 2 + 8 over 2 + 1 degrees; a single error and NaN tell nothing.
    found = repeat_variance([[1, 2, 3], [5, 9, math.nan], [7]])
    assert (found.variance, found.degrees) == (pytest.approx(10 / 3), 3)
    assert math.isnan(repeat_variance([[1], []]).variance)


def test_reliability_by_hand():
    assert reliability([1, 2, 3, 4, 5], NoiseVariance(1.0, 9)) == pytest.approx(1 - 1 / 2.5)
    assert reliability([1, 2, 3], NoiseVariance(5.0, 9)) == 0
    assert math.isnan(reliability([2, 2, 2], NoiseVariance(1.0, 9)))
    assert math.isnan(reliability([1, 2, 3], NoiseVariance(math.nan, 0)))


def simulate(rng, rho, n, noise_x, noise_y):
    """Return errors of one training each, and the noise from 20 repeats of 3 architectures."""
    r = normal_r(rho)
    x = 20 + 3 * rng.standard_normal(n)
    y = 40 + 5 * (r * (x - 20) / 3 + math.sqrt(1 - r * r) * rng.standard_normal(n))
    noises = [
        repeat_variance(10 + noise * rng.standard_normal((3, 20))) for noise in (noise_x, noise_y)
    ]
    return (
        x + noise_x * rng.standard_normal(n),
        y + noise_y * rng.standard_normal(n),
        *noises,
    )


def test_ceiling_is_the_rho_of_data_sets_that_rank_alike():
    rng = np.random.default_rng(0)
    observed, ceilings = [], []
    for _ in range(40):
        data = simulate(rng, 1.0, 100, 1.5, 2.0)
        observed.append(spearman(*data[:2]).rho)
        found = noise_ceiling(*data, n_sim=100)
        ceilings.append(found.ceiling)
        assert found.ceiling_low < found.ceiling < found.ceiling_high < 1
    assert np.mean(ceilings) == pytest.approx(np.mean(observed), abs=0.015)
    # Classical attenuation of Pearson's r; rho of a normal is a little smaller.
    r = math.sqrt(9 / (9 + 1.5**2) * 25 / (25 + 2**2))
    assert np.mean(ceilings) == pytest.approx(6 / math.pi * math.asin(r / 2), abs=0.015)


def test_corrected_rho_is_the_one_without_noise_and_its_interval_holds_it():
    rng = np.random.default_rng(1)
    trials = TRIALS // 10 or 150
    results = [noise_ceiling(*simulate(rng, 0.6, 100, 2.0, 3.0), n_sim=60) for _ in range(trials)]
    assert np.mean([result.corrected for result in results]) == pytest.approx(0.6, abs=0.02)
    assert np.mean([result.rho for result in results]) < 0.5
    held = np.mean([result.corrected_low <= 0.6 <= result.corrected_high for result in results])
    assert 0.90 <= held <= 0.99


def test_without_noise_nothing_is_corrected():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(50)
    y = x + rng.standard_normal(50)
    found = noise_ceiling(x, y, NO_NOISE, NO_NOISE, n_sim=5)
    assert found.ceiling == pytest.approx(1)
    assert found.corrected == pytest.approx(stats.spearmanr(x, y).statistic)


def test_all_noise_leaves_no_ceiling_worth_the_name():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 60))
    found = noise_ceiling(x, y, NoiseVariance(9.0, 20), NO_NOISE)
    assert found.reliability_x == 0
    assert abs(found.ceiling) < 0.1
    assert math.isnan(found.corrected)
    unknown = noise_ceiling(x, y, repeat_variance([]), NO_NOISE)
    assert math.isnan(unknown.ceiling)
    assert unknown.rho == spearman(x, y).rho


def test_ceiling_is_reproducible_and_mistakes_are_named():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 30))
    noise = NoiseVariance(0.1, 10)
    assert noise_ceiling(x, y, noise, noise) == noise_ceiling(x, y, noise, noise)
    for call in (
        lambda: noise_ceiling(x, y[:-1], noise, noise),
        lambda: noise_ceiling(x, y, NoiseVariance(-1.0, 3), noise),
        lambda: noise_ceiling(x, y, noise, noise, n_sim=0),
    ):
        with pytest.raises(ConfigError):
            call()
