import math
import random
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from pycls.errors import ConfigError
from pycls.sweep.samplers import Marginal, log_uniform_int, power2_uniform

DRAWS = 1_000_000


def random_words(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)


def chi_square_p(drawn, values, probabilities):
    counts = Counter(drawn.tolist())
    assert set(counts) <= set(values)
    observed = [counts[value] for value in values]
    return stats.chisquare(observed, np.asarray(probabilities) * len(drawn)).pvalue


@pytest.mark.parametrize(
    ("low", "high", "quantum"), [(1, 16, 1), (8, 1024, 8), (32, 96, 8), (3, 3, 1), (24, 24, 8)]
)
def test_log_uniform_draws_follow_the_analytic_probabilities(low, high, quantum):
    start = low - min(quantum, low / 2)
    values = list(range(low, high + 1, quantum))
    # P(v) = P(v - q < exp(U) <= v), the first value reaching down to the start.
    probabilities = [
        (math.log(v) - math.log(max(v - quantum, start))) / math.log(high / start) for v in values
    ]
    marginal = log_uniform_int(low, high, quantum)
    assert marginal.values.tolist() == values
    assert marginal.probabilities == pytest.approx(probabilities, rel=1e-12)
    if len(values) == 1:
        assert set(marginal.draw(random_words(1000)).tolist()) == set(values)
    else:
        assert chi_square_p(marginal.draw(random_words(DRAWS)), values, probabilities) > 1e-3


def test_log_uniform_is_the_rounded_exponential_of_a_uniform():
    rng = random.Random(1)
    low, high, quantum = 8, 256, 8
    plain = [
        math.ceil(math.exp(rng.uniform(math.log(4), math.log(high))) / quantum) * quantum
        for _ in range(100_000)
    ]
    marginal = log_uniform_int(low, high, quantum)
    assert chi_square_p(np.array(plain), marginal.values.tolist(), marginal.probabilities) > 1e-3


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(1, 32, [1, 2, 4, 8, 16, 32]), (0.25, 1.0, [0.25, 0.5, 1.0]), (4, 4, [4]), (0.5, 2, None)],
)
def test_power2_draws_are_uniform_over_the_powers(low, high, values):
    values = values or [0.5, 1.0, 2.0]
    marginal = power2_uniform(low, high)
    assert marginal.values.tolist() == values
    drawn = marginal.draw(random_words(DRAWS, seed=2))
    assert drawn.dtype.kind == ("i" if isinstance(values[0], int) else "f")
    if len(values) > 1:
        assert chi_square_p(drawn, values, np.full(len(values), 1 / len(values))) > 1e-3


def test_the_table_agrees_with_a_search_at_and_beside_every_threshold():
    marginal = log_uniform_int(8, 1024, 8)
    edges = np.rint(np.cumsum(marginal.probabilities)[:-1] * 2.0**32).astype(np.int64)
    words = np.unique(np.concatenate([edges - 1, edges, edges + 1, [0, 2**32 - 1]]))
    expected = marginal.values[np.searchsorted(edges, words, side="right")]
    assert marginal.draw(words.astype(np.uint32)).tolist() == expected.tolist()


def test_draws_keep_the_shape():
    words = random_words(24).reshape(2, 3, 4)
    marginal = log_uniform_int(8, 1024, 8)
    assert marginal.draw(words).shape == (2, 3, 4)
    assert marginal.draw(words).ravel().tolist() == marginal.draw(words.ravel()).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_uniform_int(16, 8, 8, "width"), "width: the bounds 16, 8 are the wrong way"),
        (lambda: log_uniform_int(10, 64, 8, "width"), "width: bound 10 is not a multiple of 8"),
        (lambda: log_uniform_int(0, 8, 8, "width"), "bound 0 is not a positive number"),
        (lambda: log_uniform_int(1.5, 8, 1, "depth"), "depth: bound 1.5 is not an integer"),
        (lambda: log_uniform_int(1, 8, 0, "depth"), "quantum is 0"),
        (lambda: power2_uniform(3, 8, "group_w"), "group_w: bound 3 is not a power of two"),
        (lambda: power2_uniform(8, 1, "group_w"), "wrong way round"),
        (lambda: power2_uniform("1", 8, "group_w"), "'1' is not a positive number"),
        (lambda: power2_uniform(float("nan"), 8), "nan is not a positive number"),
    ],
)
def test_ranges_that_cannot_be_used_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_table_that_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        Marginal([1, 2], [0.5, 0.6])
    with pytest.raises(ValueError, match="as many probabilities"):
        Marginal([1, 2], [1.0])
