"""Errors of chosen networks: their interval, and what choosing makes of it."""

import math

import choice_simulation
import numpy as np
import pytest
from scipy.stats import binomtest, norm

from pycls.analysis.choosing.alike import alikeness, carried_share, draw_errors, share_apart
from pycls.analysis.choosing.optimism import expected_optimism
from pycls.analysis.statistics.error_interval import wilson_interval
from pycls.errors import ConfigError

TRIALS = choice_simulation.TRIALS or 100
SETTINGS = choice_simulation.SETTINGS if choice_simulation.TRIALS else [(200, 2.0), (200, 30.0)]


def test_the_chosen_networks_interval_holds_its_true_error():
    """Unless it was chosen on the same images: by as much as the answer page says."""
    held = []
    for images, error in SETTINGS:
        found = choice_simulation.simulate(images, error, TRIALS, seed=6)
        held.append((found.held.mean(), found.held_on_test.mean()))
        assert held[-1][0] >= 0.93
        for said, true in (
            (found.page, found.optimism),
            (found.halving_page, found.halving_optimism),
        ):
            differences = said - true
            chance = 3 * differences.std() / math.sqrt(TRIALS)
            assert abs(differences.mean()) < max(chance, 0.1 * true.mean())
        assert found.optimism.mean() > 3 * found.optimism.std() / math.sqrt(TRIALS)
    on_validation, on_test = np.mean(held, axis=0)
    assert on_test < on_validation - 0.01


@pytest.mark.parametrize(("wrong", "images"), [(0, 50), (4, 200), (60, 200), (200, 200)])
def test_wilson_interval(wrong, images):
    expected = binomtest(wrong, images).proportion_ci(method="wilson")
    found = wilson_interval(100 * wrong / images, images)
    assert found == pytest.approx((100 * expected.low, 100 * expected.high))


def test_without_errors_images_or_a_choice():
    assert np.isnan(wilson_interval(math.nan, 100)).all()
    assert np.isnan(wilson_interval(5.0, 0)).all()
    with pytest.raises(ConfigError, match="expected 0 to 100 %"):
        wilson_interval(101.0, 10)
    assert math.isnan(expected_optimism([math.nan], 100))
    assert expected_optimism([5.0], 100) == 0
    assert expected_optimism([0.0, 0.0, 0.0], 100) == 0
    for wrong in (np.zeros((3, 10)), np.zeros((1, 10)), np.zeros((0, 0)), np.ones((2, 5))):
        assert math.isnan(alikeness(wrong.astype(bool)))


def test_less_luck_with_more_images_and_where_networks_err_alike():
    rng = np.random.default_rng(0)
    errors = rng.normal(20, 1, 30)
    few, many = (expected_optimism(errors, 1000, chosen_on=images) for images in (200, 5000))
    assert few > 2 * many > 0
    found = [expected_optimism(errors, 1000, alike) for alike in (0.0, 0.6, 0.95)]
    assert found[0] > 1.1 * found[1] > 3 * found[2]


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.9])
def test_how_alike_networks_err_is_found_at_different_levels(alike):
    """Of two stages: each network errs where difficulties, which correlate so, pass its level."""
    rng = np.random.default_rng(1)
    images, levels = 20000, np.linspace(-2.2, -0.2, 8)
    hard, own = rng.standard_normal(images), rng.standard_normal((8, images))
    difficulty = math.sqrt(alike) * hard + math.sqrt(1 - alike) * own
    assert alikeness(difficulty < levels[:, None]) == pytest.approx(alike, abs=0.02)
    early, late = difficulty < -0.5, difficulty < -1.5
    for wrong in (early, late):
        rest = 1 - (np.corrcoef(wrong).sum() - 8) / 56
        assert share_apart(alike, wrong.mean()) == pytest.approx(rest, abs=0.02)
    assert carried_share([(early, late)], alike) == pytest.approx(1, abs=0.1)
    other = math.sqrt(alike) * hard + math.sqrt(1 - alike) * rng.standard_normal((8, images))
    assert carried_share([(early, other < -1.5)], alike) < 0.1
    # Drawn anew, networks scatter together and apart as these do, and carry luck along.
    shares = np.array([[0.3] * 8, [0.05] * 8])
    drawn = draw_errors(rng, shares, 500, alike, 2000) - shares[:, None]
    hard, own = rng.standard_normal((2000, 1, 500)), rng.standard_normal((2000, 8, 500))
    difficulty = math.sqrt(alike) * hard + math.sqrt(1 - alike) * own
    counted = np.stack([(difficulty < norm.ppf(row[:, None])).mean(axis=2) for row in shares])
    for first, second in ((0, 0), (0, 1), (1, 1)):
        found, expected = (
            _own_and_together(each[first], each[second]) for each in (drawn, counted)
        )
        assert found == pytest.approx(expected, rel=0.1, abs=0.05 * expected[0])


def _own_and_together(first, second):
    """Return the covariance of a network with itself and with others, between two stages."""
    both = np.cov(first.T, second.T)[:8, 8:]
    own = np.trace(both) / 8
    return own, (both.sum() - 8 * own) / 56


def test_networks_that_err_on_the_very_same_images():
    wrong = np.tile(np.arange(100) < 20, (5, 1))
    assert alikeness(wrong) > 0.94
    assert share_apart(alikeness(wrong), 0.2) < 0.3
    shares, rng = np.full((1, 5), 0.2), np.random.default_rng(0)
    alike, alone = (np.ptp(draw_errors(rng, shares, 1000, r, 200), axis=2) for r in (0.95, 0.0))
    assert alike.mean() < 0.6 * alone.mean()
