import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.counting import complexity
from pycls.models.vocabulary import BLOCK_TYPES, STEM_TYPES
from pycls.models.widths import make_compatible as fit_widths_of_networks
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.anynet_count import AnyNetFrame, count_stages, groups_misfit, make_compatible

CIFAR = {"stem_type": "res_stem_cifar", "stem_w": 16, "resolution": 32, "num_classes": 10}
# depths, widths, multipliers, group widths, frame; flops, params, acts as pycls counts them.
PYCLS = {
    "anynetx-a": (
        ([2, 3, 1, 4], [48, 96, 232, 64], [1.0, 0.5, 0.25, 0.5], [8, 16, 2, 4]),
        {"num_classes": 10},
        (240476186, 168726, 2877682),
    ),
    "anynetx-linear": (
        ([1, 2, 1, 2], [32, 48, 64, 96], [1.0, 0.5, 1.0, 1.0], [8, 8, 16, 16]),
        {"num_classes": 10, "block_type": "res_bottleneck_linear_block"},
        (151632842, 103498, 1629162),
    ),
    "ResNet-50": (
        ([3, 4, 6, 3], [256, 512, 1024, 2048], [0.25] * 4, [64, 128, 256, 512]),
        {},
        (4089185256, 25557032, 11315688),
    ),
    "ResNeXt-50-32x4d": (
        ([3, 4, 6, 3], [256, 512, 1024, 2048], [0.5] * 4, [4, 8, 16, 32]),
        {},
        (4230480872, 25028904, 14602216),
    ),
    "ResNet-56": (
        ([9, 9, 9], [16, 32, 64], [1.0] * 3, [1] * 3),
        CIFAR | {"strides": (1, 2, 2), "block_type": "res_basic_block"},
        (125747850, 855770, 544778),
    ),
    "V-56": (
        ([9, 9, 9], [16, 32, 64], [1.0] * 3, [1] * 3),
        CIFAR | {"strides": (1, 2, 2), "block_type": "vanilla_block"},
        (125485706, 853018, 532490),
    ),
}
# pycls's own results: widths, multipliers, group widths, adjusted widths and group widths.
PYCLS_COMPATIBLE = [
    ([24, 56, 152, 368], [1.0] * 4, [8] * 4, [24, 56, 152, 368], [8] * 4),
    ([48, 96, 232, 64], [1, 0.5, 0.25, 0.5], [8, 16, 2, 32], [48, 96, 232, 64], [8, 16, 2, 32]),
    ([8, 1000, 24, 40], [0.25, 0.25, 0.5, 1], [32, 32, 16, 16], [8, 1024, 24, 32], [2, 32, 12, 16]),
    ([100, 200, 300, 1016], [1, 1, 2, 4], [16, 32, 16, 32], [96, 192, 304, 1016], [16, 32, 16, 32]),
]


def count_one(frame, *row):
    """Count one architecture, of whose stages the row holds depths, widths, ..., by arrays."""
    counts = count_stages(*(np.array(part)[:, np.newaxis] for part in row), frame)
    return tuple(int(count[0]) for count in counts)


def walk(frame, depths, widths, bot_muls, group_ws):
    """Count one architecture by walking the network itself."""
    settings_ = {
        "MODEL.TYPE": "anynet",
        "MODEL.NUM_CLASSES": frame.num_classes,
        "TRAIN.IM_SIZE": frame.resolution,
        "TEST.IM_SIZE": frame.resolution,
        "ANYNET.STEM_TYPE": frame.stem_type,
        "ANYNET.STEM_W": frame.stem_w,
        "ANYNET.BLOCK_TYPE": frame.block_type,
        "ANYNET.DEPTHS": depths,
        "ANYNET.WIDTHS": widths,
        "ANYNET.STRIDES": list(frame.strides),
        "ANYNET.BOT_MULS": bot_muls,
        "ANYNET.GROUP_WS": group_ws,
        "ANYNET.HEAD_W": frame.head_w,
    }
    counts = complexity(load_cfg(None, [item for pair in settings_.items() for item in pair]))
    return counts["flops"], counts["params"], counts["acts"]


@pytest.mark.parametrize("name", PYCLS)
def test_counts_equal_those_of_pycls(name):
    parameters, frame, expected = PYCLS[name]
    assert count_one(AnyNetFrame(**frame), *parameters) == expected


@pytest.mark.parametrize(("w", "b", "g", "new_w", "new_g"), PYCLS_COMPATIBLE)
def test_adjustments_equal_those_of_pycls(w, b, g, new_w, new_g):
    widths, group_ws = make_compatible(w, b, g)
    assert (widths.tolist(), group_ws.tolist()) == (new_w, new_g)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 3000),
            st.sampled_from([0.1, 0.125, 0.25, 0.3, 0.5, 0.75, 1, 2, 3, 4]),
            st.integers(1, 300),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_adjusted_arrays_equal_the_scalar_rule(plain, rows):
    widths, group_ws = make_compatible(*zip(*rows, strict=True))
    for (w, b, g), new_w, new_g in zip(rows, widths.tolist(), group_ws.tolist(), strict=True):
        assert (new_w, new_g) == plain.adjust_plain(w, b, g)
        if b >= 1 or 1 / b == 1 // b:
            assert round(new_w * b) % new_g == 0


def random_frame(rng, block_type, num_stages):
    return AnyNetFrame(
        strides=tuple(int(s) for s in rng.choice([1, 2, 3], num_stages, p=[0.3, 0.6, 0.1])),
        stem_type=str(rng.choice(STEM_TYPES)),
        stem_w=int(rng.choice([8, 16, 32, 64])),
        block_type=block_type,
        resolution=int(rng.choice([1, 17, 28, 32, 33, 64, 97, 112, 150, 224, 225])),
        num_classes=int(rng.choice([1, 2, 10, 291, 1000])),
        head_w=int(rng.choice([0, 0, 40, 256])),
    )


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@pytest.mark.parametrize("num_stages", [1, 2, 3, 4, 5])
def test_counts_equal_the_walk_of_the_network(block_type, num_stages):
    rng = np.random.default_rng([num_stages, BLOCK_TYPES.index(block_type)])
    for _ in range(12):
        frame = random_frame(rng, block_type, num_stages)
        depths = rng.integers(1, 5, num_stages)
        widths = rng.choice([8, 16, 24, 64, 104, 256], num_stages)
        bot_muls = rng.choice([0.25, 0.5, 1.0, 2.0], num_stages)
        widths, group_ws = make_compatible(widths, bot_muls, rng.choice([1, 2, 8, 32], num_stages))
        row = [array.tolist() for array in (depths, widths, bot_muls, group_ws)]
        assert count_one(frame, *row) == walk(frame, *row), (frame, row)


@pytest.mark.parametrize(
    "frame", [{}, {"stem_type": "simple_stem_in", "stem_w": 32, "strides": (2, 2, 2, 2)}]
)
def test_a_population_within_bounds_is_counted_as_its_networks(frame):
    population = AnyNetX(**frame).sample(60, 3, flops=(360e6, 400e6))
    for row in population:
        expected = walk(row.frame, *map(list, (row.depths, row.widths, row.bot_muls, row.group_ws)))
        assert (row.flops, row.params, row.acts) == expected


@settings(max_examples=40)
@given(data=st.data())
def test_counts_equal_the_plain_sum_over_layers(plain, data):
    num_stages = data.draw(st.integers(1, 6))
    space = AnyNetX(
        num_stages=num_stages,
        strides=tuple(
            data.draw(st.lists(st.integers(1, 4), min_size=num_stages, max_size=num_stages))
        ),
        stem_type=data.draw(st.sampled_from(STEM_TYPES)),
        stem_w=data.draw(st.integers(1, 100)),
        block_type=data.draw(st.sampled_from(BLOCK_TYPES)),
        bot_mul=data.draw(st.sampled_from([(0.25, 1), (0.125, 4.0), (1, 1)])),
        resolution=data.draw(st.integers(1, 300)),
        num_classes=data.draw(st.integers(1, 1000)),
        head_w=data.draw(st.sampled_from([0, 17])),
    )
    drawn = space.draw(data.draw(st.integers(0, 2**40)), data.draw(st.integers(0, 10**9)), 20)
    stages = [drawn[name].T.tolist() for name in ("depths", "widths", "bot_muls", "group_ws")]
    for i, row in enumerate(zip(*stages, strict=True)):
        expected = plain.count_plain(space, *row)
        assert tuple(int(drawn[name][i]) for name in ("flops", "params", "acts")) == expected


@pytest.mark.parametrize(
    ("row", "frame", "message"),
    [
        (([1], [8], [1.0], [1]), {"stem_type": "stem"}, "stem_type is 'stem', expected one"),
        (([1], [8], [1.0], [1]), {"resolution": 0}, "resolution is 0"),
        (([1], [8], [1.0], [1]), {"strides": (0,)}, "strides is 0"),
        (([1], [2**30], [1.0], [1]), {}, "too large to be counted"),
    ],
)
def test_arguments_that_make_no_network_are_named(row, frame, message):
    with pytest.raises(ConfigError, match=message):
        count_one(AnyNetFrame(**{"strides": (1,)} | frame), *row)


def test_groups_that_do_not_divide_the_bottleneck_are_found():
    widths, bot_muls = np.array([8, 8, 8, 24]), np.array([1.0, 1.0, 0.5, 0.5])
    misfits = groups_misfit(widths, bot_muls, np.array([3, 16, 4, 12]))
    assert misfits.tolist() == [True, True, False, False]


def test_the_largest_networks_do_not_overflow(plain):
    space = AnyNetX(depth=(64, 64), width=(8192, 8192), bot_mul=(1, 1), group_w=(8192, 8192))
    drawn = space.draw(0, 0, 1)
    expected = plain.count_plain(space, [64] * 4, [8192] * 4, [1.0] * 4, [8192] * 4)
    assert tuple(int(drawn[name][0]) for name in ("flops", "params", "acts")) == expected


@settings(max_examples=300)
@given(
    st.integers(1, 2000),
    st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0]),
    st.integers(1, 64),
)
def test_widths_fit_as_those_of_networks_do(w, b, g):
    """The rule stands twice, here for many rows at once; both have to say the same."""
    widths, group_ws = make_compatible([w], [b], [g])
    assert (widths.tolist(), group_ws.tolist()) == fit_widths_of_networks([w], [b], [g])
