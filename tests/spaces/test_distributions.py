import math
import random

import numpy as np
import pytest
from chi_square import chi_square_of_counts, chi_square_p, random_words
from scipy import stats

from pycls.errors import ConfigError
from pycls.spaces.distributions import InverseTransform, make_distribution, power2_uniform
from pycls.spaces.marginal import Marginal, OrderedMarginal

DRAWS = 1_000_000


def plain_draw(rng, kind, low, high, quantum):
    """One draw as the definitions read."""

    def steps(value, rounding):
        return rounding(value / quantum) * quantum

    if kind == "uniform":
        return steps(rng.uniform(low, high + quantum), math.floor)
    if kind == "log_uniform":
        start = math.log(low - min(quantum, low / 2))
        return steps(math.exp(rng.uniform(start, math.log(high))), math.ceil)
    if kind == "power2_uniform":
        return 2.0 ** math.floor(rng.uniform(math.log2(low), math.log2(high) + 1))
    if kind == "power2_or_log_uniform":
        power = plain_draw(rng, "power2_uniform", low, high, low)
        if power < quantum:
            return power
        return plain_draw(rng, "log_uniform", max(low, quantum), high, min(high, quantum))
    forward, back = (math.log, math.exp) if kind == "log_normal" else (float, float)
    a, b = forward(low), forward(high)
    while True:
        value = rng.gauss((a + b) / 2, (b - a) / 6)
        if a <= value <= b:
            return steps(back(value), round)


TABLES = [
    ("uniform", 1, 3, 1),
    ("uniform", -8, 24, 8),
    ("uniform", 0.0, 1.0, 0.05),
    ("log_uniform", 1, 16, 1),
    ("log_uniform", 8, 1024, 8),
    ("log_uniform", 8.0, 256.0, 0.1),
    ("log_uniform", 0.25, 5.0, 0.01),
    ("power2_uniform", 1, 64, 1),
    ("power2_uniform", 0.125, 2.0, 1 / 128),
    ("power2_or_log_uniform", 1, 32, 8),
    ("power2_or_log_uniform", 8, 128, 8),
    ("power2_or_log_uniform", 1, 4, 8),
    ("normal", 0, 20, 1),
    ("normal", -1.0, 2.0, 0.25),
    ("log_normal", 1, 100, 1),
    ("log_normal", 0.01, 1.0, 0.01),
]
MANY_VALUES = [
    ("uniform", 0, 10**9, 1),
    ("uniform", -0.5, 0.5, 1e-6),
    ("log_uniform", 0.25, 5.0, 1e-10),
    ("log_uniform", 5.0e-5, 1.0e-3, 1e-10),
    ("normal", -3.0, 3.0, 1e-5),
    ("log_normal", 1e-4, 1.0, 1e-6),
]


@pytest.mark.parametrize("arguments", TABLES, ids=str)
@pytest.mark.parametrize("bits", [32, 64])
def test_draws_follow_the_analytic_probabilities(arguments, bits):
    distribution = make_distribution(*arguments)
    assert isinstance(distribution, Marginal)
    drawn = distribution.draw(random_words(DRAWS, bits))
    assert drawn.dtype == (np.int64 if isinstance(arguments[3], int) else np.float64)
    assert chi_square_p(drawn, distribution.values, distribution.probabilities) > 1e-3


@pytest.mark.parametrize("arguments", TABLES, ids=str)
def test_the_probabilities_are_those_of_the_definition(arguments):
    rng = random.Random(3)
    distribution = make_distribution(*arguments)
    plain = np.array([plain_draw(rng, *arguments) for _ in range(30_000)])
    nearest = np.abs(distribution.values[:, None] - plain[:2000]).min(axis=0)
    assert nearest.max() < 1e-9
    middle = np.concatenate([(distribution.values[1:] + distribution.values[:-1]) / 2, [np.inf]])
    observed = np.bincount(np.searchsorted(middle, plain), minlength=len(middle))
    assert chi_square_of_counts(observed, distribution.probabilities * len(plain)) > 1e-3


@pytest.mark.parametrize("arguments", MANY_VALUES, ids=str)
def test_draws_without_a_table_follow_the_distribution_function(arguments):
    _, low, high, quantum = arguments
    distribution = make_distribution(*arguments)
    assert isinstance(distribution, InverseTransform)
    assert len(distribution) == round((high - low) / quantum) + 1
    drawn = distribution.draw(random_words(DRAWS))
    assert low <= drawn.min()
    assert drawn.max() <= high
    edges = np.quantile(drawn[:1000], np.linspace(0.01, 0.99, 99))
    cumulative = np.concatenate([[0], distribution.cdf(edges), [1]])
    observed = np.bincount(np.searchsorted(edges, drawn), minlength=100)
    assert chi_square_of_counts(observed, np.diff(cumulative) * DRAWS) > 1e-3


@pytest.mark.parametrize("kind", ["uniform", "log_uniform", "normal", "log_normal"])
def test_with_and_without_a_table_the_distribution_function_is_the_same(kind):
    # 2**16 values have a table, one more does not.
    table = make_distribution(kind, 1, 2**16, 1)
    inverse = make_distribution(kind, 1, 2**16 + 1, 1)
    assert isinstance(table, Marginal)
    assert isinstance(inverse, InverseTransform)
    at = np.array([0, 1, 2, 3, 100, 255.5, 256, 30_000, 65_535])
    assert inverse.cdf(at) == pytest.approx(table.cdf(at), abs=2e-5)
    assert inverse.cdf(2**16 + 1) == table.cdf(2**16) == 1


def test_the_distribution_function_of_a_table_sums_the_probabilities():
    distribution = make_distribution("log_uniform", 8, 64, 8)
    assert distribution.cdf([7, 8, 15, 16, 64, 100]) == pytest.approx(
        [0, 1 / 4, 1 / 4, 1 / 2, 1, 1]
    )


@pytest.mark.parametrize(
    ("arguments", "words", "expected"),
    [
        # Extreme words give the ends of the range, never what lies outside.
        (("uniform", 0, 10**9, 1), [0, 2**64 - 1], [0, 10**9]),
        (("log_uniform", 0.25, 5.0, 1e-10), [0, 2**64 - 1], [0.25, 5.0]),
        (("normal", -3.0, 3.0, 1e-5), [0, 2**64 - 1], [-3.0, 3.0]),
        (("normal", 0, 20, 1), [0, 2**64 - 1], [0, 20]),
        (("log_normal", 3, 3, 1), [0, 2**64 - 1], [3, 3]),
        (("normal", 0.1, 0.1, 0.1), [5], [0.1]),
    ],
)
def test_the_ends_of_the_words_are_the_ends_of_the_range(arguments, words, expected):
    drawn = make_distribution(*arguments).draw(np.array(words, dtype=np.uint64))
    assert drawn.tolist() == expected


def test_decimal_values_are_those_that_one_would_write():
    values = make_distribution("uniform", 0.0, 1.0, 0.1).values.tolist()
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    drawn = make_distribution("uniform", 0.0, 1.0, 1e-7).draw(random_words(1000))
    assert all(len(repr(value)) <= len("1.234567e-05") for value in drawn.tolist())


def test_probabilities_by_hand():
    mixed = make_distribution("power2_or_log_uniform", 1, 32, 8)
    assert mixed.values.tolist() == [1, 2, 4, 8, 16, 24, 32]
    parts = [math.log(b / a) / math.log(8) / 2 for a, b in ((4, 8), (8, 16), (16, 24), (24, 32))]
    assert mixed.probabilities == pytest.approx([1 / 6, 1 / 6, 1 / 6, *parts], rel=1e-12)
    normal = make_distribution("normal", 0, 6, 1)  # mean 3, deviation 1
    edges = stats.norm.cdf([-3, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3])
    assert normal.probabilities == pytest.approx(np.diff(edges) / (edges[-1] - edges[0]), rel=1e-9)
    assert make_distribution("log_uniform", 8, 1024, 8).probabilities[0] == pytest.approx(1 / 8)
    assert make_distribution("uniform", 1, 3, 1).probabilities.tolist() == [1 / 3] * 3


def test_the_table_agrees_with_a_search_at_and_beside_every_threshold():
    marginal = make_distribution("log_uniform", 8, 1024, 8)
    edges = np.rint(np.cumsum(marginal.probabilities)[:-1] * 2.0**32).astype(np.int64)
    words = np.unique(np.concatenate([edges - 1, edges, edges + 1, [0, 2**32 - 1]]))
    expected = marginal.values[np.searchsorted(edges, words, side="right")]
    assert marginal.draw(words.astype(np.uint32)).tolist() == expected.tolist()
    wide = words.astype(np.uint64) * np.uint64(2**32) + np.uint64(12345)
    assert marginal.draw(wide).tolist() == expected.tolist()


def test_draws_keep_the_shape():
    words = random_words(24, bits=32).reshape(2, 3, 4)
    marginal = make_distribution("log_uniform", 8, 1024, 8)
    assert marginal.draw(words).shape == (2, 3, 4)
    assert marginal.draw(words).ravel().tolist() == marginal.draw(words.ravel()).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("log_uniform", 16, 8, 8, "width"), "width: the bounds 16, 8 are the wrong way"),
        (
            ("log_uniform", 10, 64, 8, "width"),
            "width: bound 10 is not a multiple of 8; the next one is 16",
        ),
        (("uniform", 0.05, 1.0, 0.1), r"bound 0.05 is not a multiple of 0.1; the next one is 0.1"),
        (("log_uniform", 0, 8, 8, "width"), "bound 0 is not a positive number"),
        (("log_normal", -1.0, 1.0, 0.1), "bound -1.0 is not a positive number"),
        (("log_uniform", 1.5, 8, 1, "depth"), "depth: bound 1.5 is not an integer"),
        (("log_uniform", 1, 8, 0, "depth"), "quantum is 0, expected a positive number"),
        (("uniform", 0.0, 1.0, -0.1), "quantum is -0.1"),
        (("uniform", 0.0, 1e9, 1e-9), "too fine a quantum"),
        (("power2_uniform", 3, 8, 1, "group_w"), "group_w: bound 3 is not a power of two"),
        (("power2_uniform", 8, 1, 1, "group_w"), "wrong way round"),
        (("power2_uniform", 0.25, 1.0, 0.5), "bound 0.25 is not a multiple of 0.5"),
        (("power2_or_log_uniform", 1, 24, 8), "bound 24 is not a power of two"),
        (("power2_or_log_uniform", 1, 2**30, 8), "too many for power2_or_log_uniform"),
        (("uniform", "1", 8, 1), "'1' is not a number"),
        (("uniform", True, 8, 1), "True is not a number"),
        (("uniform", 0.0, float("inf"), 0.5), "inf is not a number"),
        (("gaussian", 1, 8, 1), "RAND_TYPE is 'gaussian', expected one of uniform, log_uniform"),
    ],
)
def test_ranges_that_cannot_be_used_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_distribution(*arguments)


def test_a_table_that_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        Marginal([1, 2], [0.5, 0.6])
    with pytest.raises(ValueError, match="as many probabilities"):
        Marginal([1, 2], [1.0])


@pytest.mark.parametrize("length", [1, 2, 3])
def test_lists_in_order_have_the_probabilities_of_an_enumeration(length):
    marginal = Marginal([1, 2, 5, 9], [0.4, 0.1, 0.3, 0.2])
    grid = np.indices((4,) * length).reshape(length, -1)
    grid = grid[:, (np.diff(grid, axis=0) >= 0).all(axis=0)]
    weights = marginal.probabilities[grid].prod(axis=0)
    words = random_words(length * DRAWS, bits=32).reshape(length, -1)
    drawn = OrderedMarginal(marginal, length).draw(words)
    assert (np.diff(drawn, axis=0) >= 0).all()
    code = (10 ** np.arange(length)[::-1]) @ drawn
    codes = (10 ** np.arange(length)[::-1]) @ marginal.values[grid]
    assert chi_square_p(code, codes, weights / weights.sum()) > 1e-3


def test_lists_in_order_have_the_marginals_they_say():
    ordered = OrderedMarginal(make_distribution("log_uniform", 8, 1024, 8), 4)
    drawn = ordered.draw(random_words(4 * DRAWS).reshape(4, -1))
    for column, marginal in zip(drawn, ordered.marginals(), strict=True):
        assert chi_square_p(column, marginal.values, marginal.probabilities) > 1e-3


def test_lists_in_order_at_the_ends_of_the_words():
    ordered = OrderedMarginal(power2_uniform(1, 32), 3)
    words = np.array([[0, 2**32 - 1]] * 3, dtype=np.uint32)
    assert ordered.draw(words).T.tolist() == [[32, 32, 32], [1, 1, 1]]
