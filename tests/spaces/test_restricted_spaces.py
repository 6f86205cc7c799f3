import itertools
import random

import numpy as np
import pytest
from chi_square import chi_square_of_counts, chi_square_p, random_words
from scipy import stats

from pycls.spaces.anynet import AnyNetX
from pycls.spaces.by_name import make_space

DRAWS = 1_000_000
TINY = {
    "num_stages": 2,
    "strides": (1, 2),
    "depth": (1, 2),
    "width": (8, 24),
    "bot_mul": (0.5, 1.0),
    "group_w": (1, 2),  # divides every bottleneck: rows stay as drawn
    "resolution": 32,
}
SPACES = "ABCDE"


def rows_of(drawn):
    """Return one row of all parameters an architecture."""
    names = ("depths", "widths", "bot_muls", "group_ws")
    return np.concatenate([drawn[name].astype(float) for name in names]).T


def is_in(space, rows):
    depths, widths, bot_muls, group_ws = np.split(rows, 4, axis=1)
    inside = np.ones(len(rows), dtype=bool)
    if space >= "B":
        inside &= (bot_muls == bot_muls[:, :1]).all(axis=1)
    if space >= "C":
        inside &= (group_ws == group_ws[:, :1]).all(axis=1)
    if space >= "D":
        inside &= (np.diff(widths, axis=1) >= 0).all(axis=1)
    if space >= "E":
        inside &= (np.diff(depths, axis=1) >= 0).all(axis=1)
    return inside


@pytest.mark.parametrize("letter", SPACES)
def test_a_tiny_space_is_drawn_as_its_enumeration_says(letter):
    """Every combination, with its probability in the full space under the condition."""
    space = AnyNetX(**TINY, space=letter)
    full = AnyNetX(**TINY)
    names = ("depth", "width", "bot_mul", "group_w")
    marginals = [full.marginals[name] for name in names for _ in range(2)]
    rows = np.array(list(itertools.product(*(m.values.tolist() for m in marginals))))
    weights = np.array(
        [np.prod(p) for p in itertools.product(*(m.probabilities for m in marginals))]
    )
    # A shared value is drawn once: all multipliers (groups) are equally likely here.
    inside = is_in(letter, rows)
    rows, weights = rows[inside], weights[inside] / weights[inside].sum()
    assert space.size() == len(rows)
    drawn = rows_of(space.draw(1, 0, 100_000))
    index = {row: i for i, row in enumerate(map(tuple, rows.tolist()))}
    found, times = np.unique(drawn, axis=0, return_counts=True)
    counts = np.zeros(len(rows))
    counts[[index[row] for row in map(tuple, found.tolist())]] = times
    assert chi_square_of_counts(counts, weights * len(drawn)) > 1e-3


@pytest.mark.parametrize("letter", "DE")
def test_ordered_spaces_are_what_rejection_from_the_full_space_gives(letter):
    shared = {"width": (8, 128), "depth": (1, 8), "group_w": (1, 1), "bot_mul": (1, 1)}
    full = AnyNetX(**shared).draw(3, 0, 400_000)
    rows = rows_of(full)
    rows = rows[is_in(letter, rows)]
    drawn = rows_of(AnyNetX(**shared, space=letter).draw(4, 0, 20_000))
    assert is_in(letter, drawn).all()
    p_values = []
    for column in range(8):
        values = np.unique(rows[:, column])
        edges = [*values, values[-1] + 1]
        table = np.array([np.histogram(part[:, column], edges)[0] for part in (rows, drawn)])
        enough = table.sum(axis=0) > 30
        p_values.append(stats.chi2_contingency(table[:, enough]).pvalue)
    # And what holds between stages: the steps from one to the next.
    for name in range(3):
        steps = [part[:, 5 + name] - part[:, 4 + name] for part in (rows, drawn)]
        p_values.append(stats.ks_2samp(*steps).pvalue)
    assert min(p_values) > 0.01 / len(p_values)


@pytest.mark.parametrize("letter", SPACES)
def test_restrictions_hold_and_marginals_are_as_described(letter):
    space = AnyNetX(space=letter)
    words = random_words(DRAWS * space.ranges.words).reshape(DRAWS, -1)
    names = ("depth", "width", "bot_mul", "group_w")
    drawn = dict(zip(names, space.ranges.draw(words), strict=True))
    rows = np.concatenate([array[:, :20_000].astype(float) for array in drawn.values()]).T
    assert is_in(letter, rows).all()
    p_values = [
        chi_square_p(column, marginal.values, marginal.probabilities)
        for name in names
        for column, marginal in zip(drawn[name], space.ranges.stage_marginals(name), strict=True)
    ]
    assert min(p_values) > 0.01 / len(p_values)


def test_shared_values_are_those_drawn_and_may_differ_once_groups_fit():
    drawn = AnyNetX(space="C").draw(0, 0, 2000)
    group_ws, inner = drawn["group_ws"], drawn["widths"] * drawn["bot_muls"]
    assert (inner % group_ws == 0).all()
    narrow = group_ws < group_ws.max(axis=0)
    assert narrow.any()
    # A stage has a smaller group than its fellows only where its bottleneck is not wider.
    assert (inner[narrow] == group_ws[narrow]).all()


def test_sizes():
    assert AnyNetX(space="B").size() == (16 * 128 * 6) ** 4 * 3
    assert AnyNetX(space="C").size() == (16 * 128) ** 4 * 3 * 6
    ordered = 128 * 129 * 130 * 131 // 24
    assert AnyNetX(space="D").size() == 16**4 * ordered * 3 * 6
    assert AnyNetX(space="E").size() == (16 * 17 * 18 * 19 // 24) * ordered * 3 * 6


def test_populations_of_all_spaces_lie_within_bounds_and_differ():
    texts = set()
    for letter in SPACES:
        population = make_space(f"AnyNetX{letter}").sample(30, 1, flops=(360e6, 400e6))
        assert 360e6 <= population.flops.min() <= population.flops.max() <= 400e6
        texts.add(population.to_csv_text())
    assert len(texts) == 5
    assert make_space("AnyNetX").sample(30, 1, flops=(360e6, 400e6)).to_csv_text() in texts


def test_draws_and_counts_are_those_of_the_plain_implementation(plain):
    space, rng = AnyNetX(space="E"), random.Random(1)
    theirs = np.array([plain.sample_plain(space, rng)[4:] for _ in range(4000)])
    ours = space.draw(5, 0, 20_000)
    for column, name in zip(theirs.T, ("flops", "params", "acts"), strict=True):
        assert stats.ks_2samp(column, ours[name]).pvalue > 1e-3
