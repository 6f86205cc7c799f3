import numpy as np
import pytest
from chi_square import chi_square_of_counts, chi_square_p
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.errors import ConfigError
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.distributions import make_distribution
from pycls.spaces.marginal import Marginal, random_words
from pycls.spaces.regnet import RegNetX
from pycls.spaces.regnet_ranges import REGNET_PARAMETERS
from pycls.sweep.samplers import build_sampler, draw_rows

DRAWS = 1_000_000
# As in pycls's sweep files.
SPECS = {
    "OPTIM.MAX_EPOCH": {"TYPE": "value_sampler", "VALUES": [50, 100, 200, 400]},
    "OPTIM.BASE_LR": {
        "TYPE": "float_sampler",
        "RAND_TYPE": "log_uniform",
        "RANGE": [0.25, 5.0],
        "QUANTIZE": 1e-10,
    },
    "OPTIM.MOMENTUM": {
        "TYPE": "float_sampler",
        "RAND_TYPE": "normal",
        "RANGE": [0.5, 1],
        "QUANTIZE": 0.01,
    },
    "RNG_SEED": {"TYPE": "int_sampler", "RAND_TYPE": "uniform", "RANGE": [1, 3], "QUANTIZE": 1},
    "ANYNET.DEPTHS": {
        "TYPE": "list_sampler",
        "LENGTH": 4,
        "ITEM_SAMPLER": {"TYPE": "int_sampler", "RAND_TYPE": "log_uniform", "RANGE": [1, 16]},
    },
    "REGNET": {"TYPE": "regnet_sampler", "DEPTH": [6, 16], "GROUP_W": [1, 32]},
}


def build(key, **changes):
    return build_sampler(key, SPECS.get(key, {}) | changes, f"SAMPLERS.{key}")


def p_value(drawn, distribution):
    if isinstance(distribution, Marginal):
        return chi_square_p(drawn, distribution.values, distribution.probabilities)
    edges = np.quantile(drawn[:500], np.linspace(0.02, 0.98, 49))
    cumulative = np.concatenate([[0], distribution.cdf(edges), [1]])
    observed = np.bincount(np.searchsorted(edges, drawn), minlength=50)
    return chi_square_of_counts(observed, np.diff(cumulative) * len(drawn))


def marginals_of(key, spec):
    """Return the distribution of each key that an entry draws, of an item for lists."""
    if spec["TYPE"] == "regnet_sampler":
        return {
            f"REGNET.{name}": make_distribution(kind, *spec.get(name, default), quantum)
            for name, default, kind, quantum in REGNET_PARAMETERS.values()
        }
    if spec["TYPE"] == "value_sampler":
        return {key: Marginal(spec["VALUES"], [1 / len(spec["VALUES"])] * len(spec["VALUES"]))}
    item = spec.get("ITEM_SAMPLER", spec)
    return {key: make_distribution(item["RAND_TYPE"], *item["RANGE"], item.get("QUANTIZE", 1))}


@pytest.mark.parametrize("key", SPECS)
def test_every_sampler_draws_its_marginals(key):
    sampler = build(key)
    drawn = draw_rows([sampler], 5, 0, DRAWS)
    marginals = marginals_of(key, SPECS[key])
    assert drawn.keys() == marginals.keys() == set(sampler.keys)
    p_values = [p_value(drawn[name].ravel(), marginals[name]) for name in marginals]
    assert min(p_values) > 1e-3 / len(p_values)


def test_an_anynet_sampler_draws_the_space_of_its_name():
    for space in "ABCDE":
        sampler = build_sampler("ANYNET", {"TYPE": "anynet_sampler", "SPACE": space}, "")
        drawn = draw_rows([sampler], 3, 100, 50)
        expected = AnyNetX(space=space).draw(3, 100, 50)
        for key, name in zip(
            sampler.keys, ("depths", "widths", "bot_muls", "group_ws"), strict=True
        ):
            assert (drawn[key] == expected[name].T).all()


def test_regnet_parameters_have_the_kinds_and_quanta_of_pycls():
    sampler = build_sampler("REGNET", {"TYPE": "regnet_sampler", "BOT_MUL": [0.25, 1.0]}, "")
    space = RegNetX(bot_mul=(0.25, 1.0))
    drawn, expected = (
        draw_rows([sampler], 3, 0, 500),
        space.ranges.draw(random_words(3, 0, 500, 6)),
    )
    names = {"DEPTH": "depth", "W0": "w_0", "WA": "w_a", "WM": "w_m"}
    names |= {"GROUP_W": "group_w", "BOT_MUL": "bot_mul"}
    for key, name in names.items():
        assert (drawn[f"REGNET.{key}"] == expected[name]).all()
    marginals = space.marginals
    assert marginals["depth"].probabilities.tolist() == [1 / 17] * 17
    assert marginals["w_0"].values[[0, 1, -1]].tolist() == [8, 16, 256]
    assert marginals["w_a"].values[[0, 1, -1]].tolist() == [8.0, 8.1, 256.0]
    assert marginals["w_m"].values[[0, 1, -1]].tolist() == [2.0, 2.001, 3.0]
    assert marginals["group_w"].values[[0, 1, -1]].tolist() == [8, 16, 128]
    assert marginals["bot_mul"].values.tolist() == [0.25, 0.5, 1.0]
    assert sampler.words == 6


def test_rows_depend_on_their_number_only():
    samplers = [build(key) for key in SPECS]
    whole = draw_rows(samplers, 9, 0, 500)
    for start, count in ((0, 1), (123, 77), (499, 1)):
        for key, array in draw_rows(samplers, 9, start, count).items():
            assert (array == whole[key][start : start + count]).all()
    other = draw_rows(samplers, 10, 0, 500)
    assert all((other[key] != whole[key]).any() for key in whole.keys() - {"REGNET.BOT_MUL"})


def test_the_samplers_of_a_row_are_independent():
    drawn = draw_rows([build("OPTIM.MAX_EPOCH"), build("RNG_SEED")], 0, 0, DRAWS)
    pairs = drawn["OPTIM.MAX_EPOCH"] * 10 + drawn["RNG_SEED"]
    values = sorted(epoch * 10 + seed for epoch in (50, 100, 200, 400) for seed in (1, 2, 3))
    assert chi_square_p(pairs, values, [1 / 12] * 12) > 1e-3


@settings(max_examples=30)
@given(
    values=st.lists(
        st.one_of(st.integers(), st.floats(allow_nan=False), st.text(), st.booleans())
        | st.lists(st.integers(), max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_values_come_out_as_they_went_in(values):
    sampler = build_sampler("KEY", {"TYPE": "value_sampler", "VALUES": values}, "")
    drawn = draw_rows([sampler], 0, 0, 50)["KEY"].tolist()
    assert all(value in values for value in drawn)
    kinds = {type(value) for value in values}
    if kinds != {int, float}:
        assert {type(value) for value in drawn} <= kinds


def test_values_that_occur_twice_are_twice_as_likely():
    sampler = build_sampler("KEY", {"TYPE": "value_sampler", "VALUES": [3, 1, 3]}, "")
    drawn = draw_rows([sampler], 1, 0, 100_000)["KEY"]
    assert chi_square_p(drawn, [1, 3], [1 / 3, 2 / 3]) > 1e-3


def test_lists_of_texts():
    item = {"TYPE": "value_sampler", "VALUES": ["a", "b"]}
    sampler = build_sampler("KEY", {"TYPE": "list_sampler", "LENGTH": 3, "ITEM_SAMPLER": item}, "")
    drawn = draw_rows([sampler], 1, 0, 100)["KEY"]
    assert drawn.shape == (100, 3)
    assert set(drawn.ravel().tolist()) == {"a", "b"}


def test_two_samplers_of_one_key_are_refused():
    regnet = build("REGNET")
    depth = build_sampler("REGNET.DEPTH", {"TYPE": "int_sampler", "RANGE": [1, 2]}, "")
    with pytest.raises(ConfigError, match=r"two samplers set REGNET\.DEPTH"):
        draw_rows([regnet, depth], 0, 0, 1)


@pytest.mark.parametrize(
    ("key", "spec", "message"),
    [
        ("K", 3, "PLACE: expected keys and values with a TYPE, found 3"),
        ("K", {}, "PLACE: TYPE is missing; expected one of value_sampler, float_sampler"),
        ("K", {"TYPE": "flot_sampler"}, "TYPE is 'flot_sampler'; did you mean 'float_sampler'"),
        ("K", {"TYPE": ["x"]}, "TYPE is"),
        ("K", {"TYPE": "value_sampler"}, "VALUES is None, expected a list of values"),
        ("K", {"TYPE": "value_sampler", "VALUES": []}, r"VALUES is \[\], expected a list"),
        (
            "K",
            {"TYPE": "float_sampler", "RAGE": [0, 1]},
            "has no option 'RAGE'; did you mean 'RANGE'",
        ),
        ("K", {"TYPE": "float_sampler"}, "PLACE: RANGE is missing"),
        ("K", {"TYPE": "float_sampler", "RANGE": 3}, r"RANGE is 3, expected \[smallest, largest\]"),
        (
            "K",
            {"TYPE": "float_sampler", "RANGE": [1.0, 0.5]},
            "PLACE: RANGE: the bounds 1.0, 0.5 are the wrong way round",
        ),
        ("K", {"TYPE": "int_sampler", "RANGE": [1.0, 2.0]}, "RANGE holds 1.0, expected integers"),
        ("K", {"TYPE": "int_sampler", "RANGE": [1, 2], "QUANTIZE": 0.5}, "QUANTIZE holds 0.5"),
        ("K", {"TYPE": "int_sampler", "RANGE": [1, 2], "RAND_TYPE": "log"}, "RAND_TYPE is 'log'"),
        ("K", {"TYPE": "list_sampler", "ITEM_SAMPLER": {}}, "LENGTH is None"),
        ("K", {"TYPE": "list_sampler", "LENGTH": 2}, "ITEM_SAMPLER is missing"),
        (
            "K",
            {"TYPE": "list_sampler", "LENGTH": 2, "ITEM_SAMPLER": {"TYPE": "int_sampler"}},
            "PLACE: ITEM_SAMPLER: RANGE is missing",
        ),
        (
            "K",
            {
                "TYPE": "list_sampler",
                "LENGTH": 2,
                "ITEM_SAMPLER": {
                    "TYPE": "list_sampler",
                    "LENGTH": 2,
                    "ITEM_SAMPLER": {"TYPE": "value_sampler", "VALUES": [1]},
                },
            },
            "ITEM_SAMPLER is a list_sampler; expected",
        ),
        ("MODEL", {"TYPE": "regnet_sampler"}, "its own key must be REGNET, not MODEL"),
        (
            "REGNET",
            {"TYPE": "regnet_sampler", "W_A": [8, 16]},
            "no option 'W_A'; did you mean 'WA'",
        ),
        ("REGNET", {"TYPE": "regnet_sampler", "WM": [1.0, 2.0]}, "WM: bound 1.0 is not above 1"),
        ("REGNET", {"TYPE": "regnet_sampler", "W0": [8, 100]}, "W0: bound 100 is not a multiple"),
        ("ANYNET", {"TYPE": "anynet_sampler", "SPACE": ["A"]}, "SPACE is"),
        ("ANYNET", {"TYPE": "anynet_sampler", "SPACE": "F"}, "PLACE: SPACE is 'F', expected one"),
        ("ANYNET", {"TYPE": "anynet_sampler", "WIDTH": [8, 20]}, "PLACE: WIDTH: bound 20"),
        ("ANYNET", {"TYPE": "anynet_sampler", "NUM_STAGES": 0}, "PLACE: NUM_STAGES is 0"),
        ("ANYNET", {"TYPE": "anynet_sampler", "WIDTHS": [8, 16]}, "did you mean 'WIDTH'"),
    ],
)
def test_mistakes_are_named(key, spec, message):
    with pytest.raises(ConfigError, match=message):
        build_sampler(key, spec, "PLACE")
