import math

import numpy as np
import pytest
from coverage_simulation import NOISES, TRIALS, normal_r, trained
from scipy import stats

from pycls.analysis.statistics import (
    NoiseVariance,
    corrected_rho,
    noise_ceiling,
    reliability,
    repeat_variance,
    spearman,
    training_agreement,
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


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("repeated", "times"), [(100, 2), (100, 3)])
def test_corrected_rho_of_trainings_and_their_agreement_are_held(noise, repeated, times):
    rng = np.random.default_rng(1)
    many = rng.standard_normal(200_000)
    spread = NOISES[noise](rng, many)
    true = spearman(*trained(rng, many, spread, 2).T).rho
    trials = TRIALS or 100
    held = 0
    for _ in range(trials):
        mu = rng.standard_normal(500)
        runs = trained(rng, mu, NOISES[noise](rng, mu), times)
        runs[repeated:, 1:] = math.nan
        found = training_agreement(runs, runs[:, 0])
        held += found.reason != "" or found.ci_low <= true <= found.ci_high
    low, high = (0.93, 0.98) if TRIALS else (0.89, 1.0)
    assert low <= held / trials <= high


def test_ceiling_is_the_rho_of_data_sets_that_rank_alike():
    rng = np.random.default_rng(0)
    observed, ceilings = [], []
    for _ in range(40):
        mu = rng.standard_normal(100)
        x = trained(rng, mu, np.full(100, 1.5), 21)
        y = trained(rng, mu, np.full(100, 2.0), 21)
        observed.append(spearman(x[:, 0], y[:, 0]).rho)
        noises = [repeat_variance(side[:3, 1:]) for side in (x, y)]
        ceilings.append(noise_ceiling(x[:, 0], y[:, 0], *noises, n_sim=100).ceiling)
    assert np.mean(ceilings) == pytest.approx(np.mean(observed), abs=0.015)
    # Classical attenuation of Pearson's r; rho of a normal is a little smaller.
    r = math.sqrt(9 / (9 + 1.5**2) * 9 / (9 + 2**2))
    assert np.mean(ceilings) == pytest.approx(6 / math.pi * math.asin(r / 2), abs=0.015)


@pytest.mark.parametrize("noise", ["even", "good ones", "unstable"])
def test_corrected_rho_is_that_of_the_expected_ranks(noise):
    rng = np.random.default_rng(4)

    def draw(n, times):
        r = normal_r(0.6)
        mu_x = rng.standard_normal(n)
        mu_y = r * mu_x + math.sqrt(1 - r * r) * rng.standard_normal(n)
        return [trained(rng, mu, NOISES[noise](rng, mu), times) for mu in (mu_x, mu_y)]

    ranks = [stats.rankdata(side, axis=0).mean(axis=1) for side in draw(10_000, 150)]
    true = np.corrcoef(*ranks)[0, 1]
    assert true == pytest.approx(0.6, abs=0.03)
    results = []
    for _ in range(TRIALS or 80):
        x, y = draw(300, 3)
        x[100:, 1:] = y[100:, 1:] = math.nan
        results.append(corrected_rho(x[:, 0], y[:, 0], x, y))
    given = [found for found in results if not found.reason]
    assert len(given) >= 0.98 * len(results)
    held = np.mean([found.corrected_low <= true <= found.corrected_high for found in given])
    assert (0.92 if TRIALS else 0.88) <= held <= 0.99
    assert np.mean([found.corrected for found in results]) == pytest.approx(true, abs=0.02)
    assert np.mean([found.rho for found in results]) < true - 0.02


def test_no_interval_where_repeats_cannot_give_one():
    rng = np.random.default_rng(7)
    runs = trained(rng, rng.standard_normal(300), np.ones(300), 3)

    def repeated(rows, times=3):
        table = runs[:, :times].copy()
        table[[row for row in range(300) if row not in set(rows)], 1:] = math.nan
        return training_agreement(table, runs[:, 0])

    assert repeated(range(70)).reason == ""
    assert "59 repeated architectures" in repeated(range(59)).reason
    assert repeated(range(70), 2).reason == ""
    best = np.argsort(runs[:, 0])[:100].tolist()
    assert "no random sample" in repeated(best).reason
    one = repeated([5])
    assert math.isnan(one.rho)
    assert one.reason
    for found in (repeated(range(59)), repeated(best)):
        assert math.isnan(found.ci_low)
        assert 0 < found.rho < 1


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
