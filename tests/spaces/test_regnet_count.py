import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.core.config.load import flatten_cfg
from pycls.errors import ConfigError
from pycls.models.counting import complexity
from pycls.models.vocabulary import BLOCK_TYPES, STEM_TYPES
from pycls.models.widths import make_compatible, regnet_layout
from pycls.models.widths import regnet_stages as stages_of_networks
from pycls.spaces.anynet_count import bottleneck_widths
from pycls.spaces.marginal import random_words
from pycls.spaces.regnet import RegNetX
from pycls.spaces.regnet_stages import fit_stages, regnet_stages
from pycls.sweep.count import count_anynet_lists, count_regnet
from pycls.sweep.samplers import build_sampler, draw_rows


def columns(widths, depths):
    """Return each row's widths and depths without the stages that it does not have."""
    return [(w[w > 0].tolist(), d[d > 0].tolist()) for w, d in zip(widths.T, depths.T, strict=True)]


def test_stages_of_random_draws_equal_those_of_the_networks():
    space = RegNetX(depth=(1, 40), w_m=(1.1, 4.0), bot_mul=(0.125, 4.0), group_w=(1, 128))
    row = space.ranges.draw(random_words(3, 0, 3000, space.words))
    widths, depths = regnet_stages(row["w_a"], row["w_0"], row["w_m"], row["depth"])
    fitted, group_ws = fit_stages(widths, row["bot_mul"], row["group_w"])
    inner = bottleneck_widths(fitted, row["bot_mul"])
    assert ((depths > 0) == (widths > 0)).all()
    for i, (w, d) in enumerate(columns(widths, depths)):
        one = (float(row["w_a"][i]), int(row["w_0"][i]), float(row["w_m"][i]))
        b, g = float(row["bot_mul"][i]), int(row["group_w"][i])
        depth = int(row["depth"][i])
        assert stages_of_networks(*one, depth) == (w, d)
        new_w, d, new_g = regnet_layout(*one, depth, b, g)
        stages = len(d)
        assert fitted[:stages, i].tolist() == new_w
        assert group_ws[:stages, i].tolist() == new_g
        assert inner[:stages, i].tolist() == [round(width * b) for width in new_w]


@settings(max_examples=200)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2560).map(lambda k: k / 10),
            st.integers(1, 64).map(lambda k: k * 8),
            # Halves of steps and of eighths occur exactly with these.
            st.sampled_from([1.001, 1.5, 2.0, 2.25, 2.5, 3.0, 4.0, 6.25])
            | st.integers(1001, 5000).map(lambda k: k / 1000),
            st.integers(1, 40),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_stages_equal_the_scalar_rule(rows):
    w_a, w_0, w_m, depth = map(np.array, zip(*rows, strict=True))
    found = columns(*regnet_stages(w_a, w_0, w_m, depth))
    assert found == [stages_of_networks(*row) for row in rows]


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 400).map(lambda k: 8 * k), min_size=1, max_size=4),
    st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 0.3, 0.7]),
    st.integers(1, 200),
)
def test_fits_equal_those_of_networks(widths, b, g):
    arrays = (np.array(widths)[:, None], np.array([b]), np.array([g]))
    try:
        expected = make_compatible(widths, [b] * len(widths), [g] * len(widths))
    except ConfigError:
        with pytest.raises(ConfigError, match="fit no number of channels"):
            fit_stages(*arrays)
        return
    new_w, new_g = fit_stages(*arrays)
    assert (new_w[:, 0].tolist(), new_g[:, 0].tolist()) == expected


def walk(settings, row):
    """Count the network of one row by the walk of the module."""
    pairs = [item for key, value in (settings | row).items() for item in (key, value)]
    return complexity(load_cfg(None, pairs))


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@pytest.mark.parametrize("se_on", [False, True])
def test_counts_of_regnets_equal_the_walk_of_the_network(block_type, se_on):
    rng = np.random.default_rng([BLOCK_TYPES.index(block_type), se_on])
    sampler = build_sampler(
        "REGNET",
        {
            "TYPE": "regnet_sampler",
            "DEPTH": [1, 16],
            "GROUP_W": [1, 32],
            "BOT_MUL": [0.25, 2.0],
            "WM": [1.5, 4.0],
        },
        "",
    )
    for trial in range(4):
        settings = {
            "MODEL.TYPE": "regnet",
            "MODEL.NUM_CLASSES": int(rng.choice([1, 10, 1000])),
            "TRAIN.IM_SIZE": int(rng.choice([17, 32, 97, 224])),
            "REGNET.STEM_TYPE": str(rng.choice(STEM_TYPES)),
            "REGNET.STEM_W": int(rng.choice([8, 16, 64])),
            "REGNET.BLOCK_TYPE": block_type,
            "REGNET.STRIDE": int(rng.choice([1, 2])),
            "REGNET.SE_ON": se_on,
            "REGNET.SE_R": float(rng.choice([0.25, 0.1, 0.01])),
            "REGNET.HEAD_W": int(rng.choice([0, 40])),
        }
        drawn = draw_rows([sampler], trial, 0, 5)
        counts = count_regnet(drawn, settings)
        for i in range(5):
            row = {key: array[i].item() for key, array in drawn.items()}
            expected = walk(settings, row)
            assert {name: int(counts[name][i]) for name in expected} == expected, (settings, row)


def test_what_is_drawn_of_stem_and_resolution_counts_too():
    base = flatten_cfg(load_cfg(None, ["MODEL.TYPE", "regnet", "REGNET.DEPTH", 6, "REGNET.WA", 12]))
    specs = {
        "REGNET.SE_ON": [True, False],
        "REGNET.STEM_W": [16, 24],
        "TRAIN.IM_SIZE": [32, 64],
        "REGNET.W0": [16, 32],
    }
    samplers = [
        build_sampler(key, {"TYPE": "value_sampler", "VALUES": values}, "")
        for key, values in specs.items()
    ]
    drawn = draw_rows(samplers, 0, 0, 20)
    counts = count_regnet(drawn, base)
    for i in range(20):
        row = {key: array[i].item() for key, array in drawn.items()}
        expected = walk({"MODEL.TYPE": "regnet", "REGNET.DEPTH": 6, "REGNET.WA": 12}, row)
        assert {name: int(counts[name][i]) for name in expected} == expected


def test_counts_of_drawn_anynets_equal_the_walk_of_the_network():
    base = flatten_cfg(load_cfg(None, []))
    base |= {"ANYNET.STRIDES": [1, 2, 2], "ANYNET.SE_ON": True, "MODEL.NUM_CLASSES": 10}
    base["TRAIN.IM_SIZE"] = 32
    sampler = build_sampler("ANYNET", {"TYPE": "anynet_sampler", "NUM_STAGES": 3}, "")
    drawn = draw_rows([sampler], 0, 0, 10)
    counts = count_anynet_lists(drawn, base)
    assert counts["num_stages"].tolist() == [3] * 10
    settings = {
        "MODEL.TYPE": "anynet",
        "MODEL.NUM_CLASSES": 10,
        "TRAIN.IM_SIZE": 32,
        "ANYNET.STRIDES": [1, 2, 2],
        "ANYNET.SE_ON": True,
    }
    for i in range(10):
        row = {key: array[i].tolist() for key, array in drawn.items()}
        expected = walk(settings, row)
        assert {name: int(counts[name][i]) for name in expected} == expected


def test_lists_that_do_not_fit_are_named():
    base = flatten_cfg(load_cfg(None, [])) | {"ANYNET.STRIDES": [1, 2]}
    lists = {"ANYNET.DEPTHS": np.ones((3, 2), int), "ANYNET.WIDTHS": np.full((3, 2), 8)}
    assert len(count_anynet_lists(lists, base)["flops"]) == 3
    with pytest.raises(ConfigError, match=r"STRIDES \[1\] is for 1 stages, but"):
        count_anynet_lists(lists, base | {"ANYNET.STRIDES": [1]})
    with pytest.raises(ConfigError, match="GROUP_WS must divide"):
        count_anynet_lists(lists | {"ANYNET.GROUP_WS": np.full((3, 2), 3)}, base)
    with pytest.raises(ConfigError, match=r"ANYNET\.WIDTHS has not one number for each of 2"):
        count_anynet_lists(lists | {"ANYNET.WIDTHS": np.full((3, 1), 8)}, base)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([8.0], [12], [2.0], [4]), "REGNET.W0 is 12; expected a positive multiple of 8"),
        (([-1.0], [8], [2.0], [4]), "REGNET.WA is -1.0"),
        (([8.0, 8.0], [8, 8], [2.0, 1.0], [4, 4]), "REGNET.WM is 1.0"),
        (([8.0], [8], [2.0], [0]), "REGNET.DEPTH is 0"),
        (([8.0], [8], [2.0], [10**6]), "REGNET.DEPTH is 1000000; expected at most 4096"),
        (([float("nan")], [8], [2.0], [4]), "make no network"),
        (([1e300], [8], [2.0], [4]), "too large to be counted"),
    ],
)
def test_parameters_that_make_no_network_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        regnet_stages(*map(np.array, arguments))
