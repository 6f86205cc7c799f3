"""Compound scaling: pycls's own results, and the factors' rule."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.core.config.load import dump_cfg, parse_cfg
from pycls.errors import ConfigError
from pycls.models.counting import complexity
from pycls.models.scaler import round_group_w, scale_cfg, scaling_factors

ROOT = Path(__file__).parents[2]


def test_scaled_networks_equal_pycls(training_golden):
    assert len(training_golden["scaling"]) >= 5
    for row in training_golden["scaling"]:
        cfg = load_cfg(
            ROOT / row["config"],
            ["MODEL.SCALING_TYPE", row["scaling_type"],
             "MODEL.SCALING_FACTOR", row["scaling_factor"]],
        )  # fmt: skip
        before = dump_cfg(cfg)
        scaled = scale_cfg(cfg)
        assert row["model_type"] == scaled.MODEL.TYPE
        section = scaled["EN" if row["model_type"] == "effnet" else "ANYNET"]
        assert {key: section[key] for key in row["scaled"]} == row["scaled"]
        assert row["train_im_size"] == scaled.TRAIN.IM_SIZE
        assert row["test_im_size"] == scaled.TEST.IM_SIZE
        assert complexity(scaled) == row["complexity"]
        assert dump_cfg(cfg) == before
        # The result is a configuration like any other, and scaled only once.
        assert dump_cfg(parse_cfg(dump_cfg(scaled), "scaled")) == dump_cfg(scaled)
        assert (scaled.MODEL.SCALING_TYPE, scaled.MODEL.SCALING_FACTOR) == ("", 1.0)


@given(
    st.floats(0.1, 20),
    st.dictionaries(st.sampled_from("dwgr"), st.integers(1, 9), min_size=1, max_size=4),
)
def test_factors_multiply_to_the_wanted_one(factor, weights):
    kind = "_".join(f"{letter}{weight}" for letter, weight in weights.items())
    d, w, g, r = scaling_factors(kind, factor)
    if set(weights) == {"g"}:
        assert (d, w, r) == (1, 1, 1)
        assert g == pytest.approx(factor)
    else:
        assert d * w**2 * r**2 == pytest.approx(factor)
        assert math.isclose(g, factor ** (weights.get("g", 0) / 2 / sum(
            weights.get(letter, 0) for letter in "dwr")))  # fmt: skip


def test_letters_without_weights_scale_alike():
    assert scaling_factors("dw", 4.0) == scaling_factors("d1_w1_g0_r0", 4.0)
    assert scaling_factors("", 1.0) == (1, 1, 1, 1)


def test_group_widths_are_rounded_as_in_pycls():
    assert [round_group_w(g) for g in (1, 2, 3, 5, 6, 11, 12, 20, 33)] == [
        1, 2, 4, 4, 8, 8, 16, 16, 32,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["x", "d1w2", "d1_", "d-1", "d1_q2"])
def test_unreadable_type_is_refused(kind):
    with pytest.raises(ConfigError, match=r"MODEL\.SCALING_TYPE is .*d1_w8_g8_r1"):
        scaling_factors(kind, 2.0)
    with pytest.raises(ConfigError, match=r"MODEL\.SCALING_TYPE"):
        load_cfg(None, ["MODEL.SCALING_TYPE", kind])


def test_network_that_cannot_be_scaled_is_named():
    with pytest.raises(ConfigError, match=r"MODEL\.TYPE is 'vit'"):
        scale_cfg(load_cfg(None, ["MODEL.TYPE", "vit"]))
