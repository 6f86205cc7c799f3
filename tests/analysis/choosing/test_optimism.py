"""Errors of chosen networks: their interval, and what choosing makes of it."""

import math

import choice_simulation
import numpy as np
import pytest
from scipy.stats import binomtest

from pycls.analysis.choosing.optimism import expected_optimism, share_apart
from pycls.analysis.statistics.error_interval import wilson_interval
from pycls.errors import ConfigError

TRIALS = choice_simulation.TRIALS or 100
SETTINGS = choice_simulation.SETTINGS if choice_simulation.TRIALS else [(200, 2.0), (200, 30.0)]


def test_the_chosen_networks_interval_holds_its_true_error():
    """Unless it was chosen on the same images: by as much as the answer page says."""
    held = []
    for images, error in SETTINGS:
        found = choice_simulation.simulate(images, error, TRIALS, seed=5)
        held.append((found.held.mean(), found.held_on_test.mean()))
        assert held[-1][0] >= 0.93
        differences = found.page - found.optimism
        assert abs(differences.mean()) < 3 * differences.std() / math.sqrt(TRIALS)
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
    assert math.isnan(share_apart(np.zeros((3, 10), dtype=bool)))
    assert math.isnan(share_apart(np.zeros((1, 10), dtype=bool)))


def test_less_luck_with_more_images_and_where_networks_err_alike():
    rng = np.random.default_rng(0)
    errors = rng.normal(20, 1, 30)
    few, many = (expected_optimism(errors, 1000, chosen_on=images) for images in (200, 5000))
    assert few > 2 * many > 0
    # Answers of which a share is each network's own.
    same, own = rng.random(20000) < 0.2, rng.random((30, 20000)) < 0.2
    for share in (0.0, 0.3, 1.0):
        wrong = np.where(rng.random(20000) < share, own, same)
        assert share_apart(wrong) == pytest.approx(share, abs=0.02)
    assert expected_optimism(errors, 1000, 0.05) < expected_optimism(errors, 1000) / 4
