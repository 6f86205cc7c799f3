"""Widths and groups: pycls's own results, and what must hold for any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.models.widths import make_compatible, regnet_stages


def test_regnet_stages_equal_pycls(training_golden):
    assert training_golden["regnet"]
    for row in training_golden["regnet"]:
        stages = regnet_stages(row["w_a"], row["w_0"], row["w_m"], row["depth"])
        assert stages == (row["widths"], row["depths"])


def test_compatible_widths_equal_pycls(training_golden):
    assert training_golden["block_compatibility"]
    for row in training_golden["block_compatibility"]:
        adjusted = make_compatible(row["widths"], row["bot_muls"], row["group_ws"])
        assert adjusted == (row["adjusted"]["widths"], row["adjusted"]["group_ws"])


@given(
    st.floats(0, 300), st.integers(1, 30).map(lambda k: 8 * k), st.floats(1.01, 4),
    st.integers(1, 40),
)  # fmt: skip
def test_stages_grow_and_hold_all_blocks(w_a, w_0, w_m, depth):
    widths, depths = regnet_stages(w_a, w_0, w_m, depth)
    assert sum(depths) == depth
    assert min(depths) >= 1
    assert widths == sorted(set(widths))
    assert widths[0] == w_0
    assert all(w % 8 == 0 for w in widths)


@given(
    st.integers(1, 2000),
    st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0]),
    st.integers(1, 64),
)
def test_groups_divide_the_bottleneck_and_little_changes(w, b, g):
    (width,), (group_w,) = make_compatible([w], [b], [g])
    bottleneck = width * b
    assert bottleneck == int(bottleneck)
    assert bottleneck % group_w == 0
    assert 1 <= group_w <= g
    assert abs(bottleneck - w * b) <= max(g, group_w * max(b, 1))
    assert make_compatible([width], [b], [group_w]) == ([width], [group_w])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5.0, 30, 2.5, 10), r"REGNET\.W0 is 30; expected a positive multiple of 8"),
        ((-1.0, 32, 2.5, 10), r"REGNET\.WA is -1\.0"),
        ((5.0, 32, 1.0, 10), r"REGNET\.WM is 1\.0; expected a number above 1"),
        ((5.0, 32, 2.5, 0), r"REGNET\.DEPTH is 0"),
    ],
)
def test_parameters_out_of_range_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        regnet_stages(*arguments)


def test_bottleneck_multiplier_above_one_must_be_whole():
    with pytest.raises(ConfigError, match=r"is 1\.5; expected a fraction up to 1 or a whole"):
        make_compatible([32], [1.5], [8])
