"""Means over data sets, and their two intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from pycls.analysis.statistics.averages import Average, average, paired_influence


def test_interval_over_data_sets_is_that_of_a_normal_sample():
    rhos = [0.2, 0.5, math.nan, 0.4, 0.1]
    known = np.array([0.2, 0.5, 0.4, 0.1])
    expected = stats.t.interval(0.9, 3, known.mean(), stats.sem(known))
    found = average(rhos, confidence=0.9)
    assert (found.value, found.n) == (pytest.approx(0.3), 4)
    assert (found.sets_low, found.sets_high) == pytest.approx(expected)
    assert math.isnan(found.ci_low)
    assert average([math.nan]) == Average()


def test_no_interval_of_rhos_goes_beyond_one():
    assert average([0.35, 0.71, 0.83]).sets_high > 1
    assert average([0.35, 0.71, 0.83], limit=1).sets_high == 1


def test_data_sets_share_their_architectures():
    rng = np.random.default_rng(0)
    reference, target = rng.normal(size=(2, 200))
    target += reference
    rho, influence = paired_influence(reference, target)
    alone = average([rho], [influence])
    # The same set four times is no more than the set once.
    again = average([rho] * 4, [influence] * 4)
    assert (again.ci_low, again.ci_high) == pytest.approx((alone.ci_low, alone.ci_high))
    assert alone.ci_low < rho < alone.ci_high
