"""Bounds that no network can meet are refused before any is drawn, and no others are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.spaces import AnyNetX, RegNetX
from pycls.spaces.bounds import METRICS


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most)).map(
        lambda pair: tuple(sorted(pair))
    )


def powers(least, most):
    return pairs(least, most).map(lambda pair: tuple(2**power for power in pair))


@st.composite
def anynets(draw):
    stages = draw(st.integers(1, 4))
    width = draw(pairs(1, 12))
    return AnyNetX(
        num_stages=stages,
        strides=tuple(draw(st.lists(st.integers(1, 2), min_size=stages, max_size=stages))),
        depth=draw(pairs(1, 5)),
        width=(8 * width[0], 8 * width[1]),
        bot_mul=tuple(value / 8 for value in draw(powers(0, 4))),
        group_w=draw(powers(0, 6)),
        block_type=draw(st.sampled_from(["res_bottleneck_block", "res_basic_block"])),
        stem_type=draw(st.sampled_from(["res_stem_cifar", "res_stem_in", "simple_stem_in"])),
        stem_w=draw(st.integers(1, 40)),
        resolution=draw(st.integers(8, 40)),
        space=draw(st.sampled_from("ACE")),
    )


@st.composite
def regnets(draw):
    first, growth = draw(pairs(1, 16)), draw(pairs(1, 40))
    return RegNetX(
        depth=draw(pairs(4, 20)),
        w_0=(8 * first[0], 8 * first[1]),
        w_a=(float(growth[0]), float(growth[1])),
        group_w=draw(powers(0, 6)),
        bot_mul=tuple(value / 4 for value in draw(powers(0, 2))),
        resolution=draw(st.integers(16, 64)),
    )


@settings(max_examples=150)
@given(space=st.one_of(anynets(), regnets()), seed=st.integers(0, 2**32))
def test_no_network_lies_beyond_the_extremes(space, seed):
    drawn = space.draw(seed, 0, 256)
    stages = drawn.get("num_stages")
    for number in {space.num_stages} if stages is None else set(stages.tolist()):
        inside = slice(None) if stages is None else stages == number
        extremes = space.extremes(number)
        assert extremes.keys() == set(METRICS)
        for name, (low, high) in extremes.items():
            assert low <= drawn[name][inside].min()
            assert drawn[name][inside].max() <= high


def test_a_space_of_one_network_has_it_at_both_ends():
    space = AnyNetX(depth=(3, 3), width=(64, 64), bot_mul=(0.5, 0.5), group_w=(8, 8), stem_w=64)
    drawn = space.draw(0, 0, 1)
    found = {name: (drawn[name].item(), drawn[name].item()) for name in METRICS}
    # But for the shortcuts of first blocks of stride 1, whose projections are not sure.
    assert {name: low for name, (low, _) in space.extremes(4).items()} == {
        name: low for name, (low, _) in found.items()
    }


@pytest.mark.parametrize(
    ("space", "bounds", "words"),
    [
        (AnyNetX(), {"flops": (1e3, 1e4)}, "so few; all have more than"),
        (AnyNetX(), {"flops": (4e14, 5e14)}, "so many; all have less than"),
        (RegNetX(), {"params": (1, 1000)}, "so few; all have more than"),
    ],
)
def test_impossible_bounds_are_refused_before_anything_is_drawn(space, bounds, words, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr(type(space), "draw", refuse)
    with pytest.raises(ConfigError, match=words):
        space.sample(10, 0, **bounds)
