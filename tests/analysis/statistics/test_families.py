import math

import numpy as np
import pytest
from coverage_simulation import TRIALS, draw_families

from pycls.analysis.statistics import compare_rhos, families_by_name, spearman

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("families", [10, 30])
def test_interval_of_families_covers_where_the_plain_one_does_not(rho, families):
    rng = np.random.default_rng(2)
    held = plain = 0
    trials = TRIALS or 150
    for _ in range(trials):
        x, y, of = draw_families(rng, rho, families)
        found = spearman(x, y, families=of)
        held += found.ci_low <= rho <= found.ci_high
        low, high = (getattr(spearman(x, y), name) for name in ("ci_low", "ci_high"))
        plain += low <= rho <= high
    assert held / trials >= (0.92 if TRIALS else 0.87)
    assert plain / trials < 0.85


def test_each_in_a_family_of_its_own_changes_nothing_much():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 80))
    plain, alone = spearman(x, x + y), spearman(x, x + y, families=[""] * 80)
    assert (alone.ci_low, alone.ci_high) == pytest.approx((plain.ci_low, plain.ci_high))
    difference = compare_rhos(x, y, x + y, families=range(80))
    assert difference == compare_rhos(x, y, x + y)


def test_few_families_have_no_interval_and_no_p():
    rng = np.random.default_rng(4)
    x, y, of = draw_families(rng, 0.5, 9)
    found = spearman(x, y, families=of)
    assert math.isnan(found.ci_low)
    assert math.isnan(found.p_value)
    assert math.isfinite(found.rho)
    assert math.isnan(compare_rhos(x, y, x + y, families=of).p_value)


def test_families_are_read_from_names():
    names = ["resnet18", "resnet50", "resnet101d", "ViT-B-32", "ViT-L-14", "vit_base_patch16"]
    assert families_by_name(names).tolist() == ["resnet"] * 3 + ["vit"] * 3
    assert set(families_by_name([f"a{i:04d}" for i in range(40)])) == {""}
    assert set(families_by_name([*names, *"bcdefghijk"])) == {""}
