import random

import numpy as np
import pytest
from chi_square import chi_square_p
from scipy import stats

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.counting import complexity
from pycls.models.widths import regnet_layout
from pycls.spaces.marginal import random_words
from pycls.spaces.regnet import RegNetX


def test_a_population_is_counted_as_its_networks():
    space = RegNetX(bot_mul=(0.25, 1.0), resolution=64, num_classes=10, head_w=40)
    population = space.sample(25, 3, flops=(10e6, 60e6))
    assert len(population) == 25
    assert population.frame.strides == (2, 2, 2, 2)
    for row in population:
        other = ["MODEL.NUM_CLASSES", 10, "TRAIN.IM_SIZE", 64]
        counts = complexity(load_cfg(None, [*row.overrides(), *other]))
        assert counts == {"flops": row.flops, "params": row.params, "acts": row.acts}


def test_members_are_the_draws_in_bounds_with_that_number_of_stages():
    space, bounds = RegNetX(), {"flops": (300e6, 600e6), "params": (0, 6e6)}
    population = space.sample(40, 1, **bounds, num_stages=(3, 3), where=["depth.max() <= 12"])
    drawn = space.draw(1, 0, population.provenance.drawn)
    row = space.ranges.draw(random_words(1, 0, population.provenance.drawn, space.words))
    inside = (drawn["num_stages"] == 3) & (drawn["depths"].max(axis=0) <= 12)
    for name, (low, high) in bounds.items():
        inside &= (drawn[name] >= low) & (drawn[name] <= high)
    assert inside.sum() == population.provenance.accepted == 40 + population.provenance.duplicates
    layouts = []
    for i in np.flatnonzero(inside):
        widths, depths, group_ws = regnet_layout(
            *(row[name][i].item() for name in ("w_a", "w_0", "w_m", "depth", "bot_mul", "group_w"))
        )
        layouts.append((tuple(depths), tuple(widths), (1.0,) * 3, tuple(group_ws)))
    assert [(r.depths, r.widths, r.bot_muls, r.group_ws) for r in population] == list(
        dict.fromkeys(layouts)
    )


def test_parameters_follow_their_marginals():
    space = RegNetX(depth=(6, 16), group_w=(1, 32), bot_mul=(0.25, 1.0))
    row = space.ranges.draw(random_words(2, 0, 300_000, space.words))
    assert list(row) == list(space.marginals)
    p_values = [
        chi_square_p(row[name], marginal.values, marginal.probabilities)
        for name, marginal in space.marginals.items()
    ]
    assert min(p_values) > 0.01 / len(p_values)


def test_draws_and_counts_are_those_of_the_plain_implementation(plain):
    space = RegNetX(depth=(6, 16), group_w=(1, 32), bot_mul=(0.25, 1.0))
    rng = random.Random(1)
    theirs = [plain.sample_plain(space, rng) for _ in range(4000)]
    ours = space.draw(5, 0, 20_000)
    for i, name in enumerate(("flops", "params", "acts"), start=4):
        assert stats.ks_2samp([row[i] for row in theirs], ours[name]).pvalue > 1e-3
    stages = [len(row[0]) for row in theirs]
    tables = [np.bincount(each, minlength=17)[1:5] for each in (stages, ours["num_stages"])]
    assert stats.chi2_contingency(tables).pvalue > 1e-3


def test_a_draw_depends_on_its_number_only():
    whole = RegNetX().draw(9, 0, 500)
    for start, count in ((0, 1), (123, 77), (499, 1)):
        for name, array in RegNetX().draw(9, start, count).items():
            expected = whole[name][..., start : start + count]
            # The stages that none of the few has are left out.
            assert (array == expected[: len(array)] if array.ndim == 2 else array == expected).all()


def test_blocks_without_groups_say_1():
    population = RegNetX(block_type="res_basic_block", resolution=32).sample(5, 0)
    assert (population.bot_muls == 1).all()
    assert (population.group_ws == 1).all()
    row = population.row(0)
    counts = complexity(load_cfg(None, [*row.overrides(), "TRAIN.IM_SIZE", 32]))
    shared = {"flops": row.flops, "params": row.params, "acts": row.acts}
    # The configuration's default is 10 classes, the space's 1000.
    extra = 990 * (row.widths[-1] + 1)
    assert counts["flops"] + extra == shared["flops"]
    assert counts["params"] + extra == shared["params"]
    assert counts["acts"] + 990 == shared["acts"]


def test_size():
    assert RegNetX().size() == 17 * 32 * 2481 * 1001 * 16


def test_bounds_that_hold_nothing_say_which_number_of_stages_was_seen():
    with pytest.raises(ConfigError) as caught:
        RegNetX().sample(3, 0, num_stages=(9, 9), max_draws=2000)
    message = str(caught.value)
    assert "only 0 of 3 architectures found in 2,000 draws" in message
    assert "num_stages seen: " in message
    assert "2,000 were below 9 and 0 above 9" in message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RegNetX(depth=12), "RegNetX: depth is 12, expected .smallest, largest"),
        (lambda: RegNetX(w_0=(8, 12)), "RegNetX: W0: bound 12 is not a multiple of 8"),
        (lambda: RegNetX(w_m=(1.0, 2.0)), "RegNetX: WM: bound 1.0 is not above 1"),
        (lambda: RegNetX(group_w=(1, 24)), "GROUP_W: bound 24 is not a power of two"),
        (lambda: RegNetX(stem_type="stem"), "stem_type is 'stem', expected one of"),
        (lambda: RegNetX(stride=0), "stride is 0"),
        (lambda: RegNetX().sample(0, 0), "n is 0"),
        (lambda: RegNetX().sample(1, 0, num_stages=(3, 4)), "expected one number twice"),
        (lambda: RegNetX().sample(1, 0, num_stages=None), "expected one number twice"),
        (lambda: RegNetX().sample(1, 0, num_stages=(0, 0)), "num_stages is 0"),
        (lambda: RegNetX().sample(1, 0, flops=(2, 1)), "wrong way round"),
    ],
)
def test_what_cannot_be_used_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
