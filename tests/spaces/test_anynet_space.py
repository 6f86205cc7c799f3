import multiprocessing
import random
import re

import numpy as np
import pytest
import sampling_jobs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pycls.errors import ConfigError
from pycls.spaces import drawing
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.by_name import make_space

FLOPS = (360e6, 400e6)
STAGE_ARRAYS = ("depths", "widths", "bot_muls", "group_ws")


def test_size_counts_the_combinations():
    assert AnyNetX().size() == (16 * 128 * 3 * 6) ** 4
    assert AnyNetX(num_stages=1, strides=(2,), depth=(2, 3), width=(8, 8)).size() == 2 * 3 * 6
    assert AnyNetX(block_type="res_basic_block").size() == (16 * 128) ** 4


def test_members_lie_in_every_bound_and_in_the_space():
    bounds = {"flops": (300e6, 500e6), "params": (1e6, 4e6), "acts": (2e6, 6e6)}
    space = AnyNetX(depth=(2, 12), width=(16, 512), width_quantum=16, group_w=(4, 16))
    population = space.sample(200, 5, **bounds)
    assert len(population) == 200
    for name, (low, high) in bounds.items():
        values = getattr(population, name)
        assert values.dtype == np.int64
        assert low <= values.min()
        assert values.max() <= high
    assert set(np.unique(population.depths)) <= set(range(2, 13))
    assert set(np.unique(population.bot_muls)) == {0.25, 0.5, 1.0}
    assert population.group_ws.max() <= 16
    inner = population.widths * population.bot_muls
    assert (inner % population.group_ws == 0).all()


def test_bounds_are_included():
    space = AnyNetX()
    flops = int(space.sample(1, 0).flops[0])
    assert space.sample(1, 0, flops=(flops, flops)).flops.tolist() == [flops]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first = AnyNetX().sample(50, 11, flops=FLOPS)
    assert AnyNetX().sample(50, 11, flops=FLOPS).to_csv_text() == first.to_csv_text()
    assert AnyNetX().sample(50, 12, flops=FLOPS).to_csv_text() != first.to_csv_text()


def test_a_smaller_population_is_the_beginning_of_a_larger():
    small, large = (AnyNetX().sample(n, 4, flops=FLOPS).to_csv_text() for n in (37, 300))
    assert large.startswith(small)


SAMPLED = [
    ("AnyNetX", {"num_stages": 3, "strides": (1, 2, 2)}, {"flops": (100e6, 900e6)}),
    ("AnyNetXE", {}, {"flops": (3e8, 9e8), "where": ["depth.sum() <= 20", "width[0] > 8"]}),
    ("RegNetX", {}, {"flops": (100e6, 900e6), "num_stages": (3, 3)}),
]


@settings(max_examples=15)
@given(chunk=st.integers(1, 10_000), which=st.sampled_from(SAMPLED))
def test_results_do_not_depend_on_the_chunk(chunk, which):
    name, options, bounds = which
    expected = make_space(name, **options).sample(20, 2, **bounds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_CHUNK", chunk)
        again = make_space(name, **options).sample(20, 2, **bounds)
    assert again.to_csv_text() == expected.to_csv_text()
    assert again.provenance == expected.provenance


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_results_do_not_depend_on_how_processes_start(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(sampling_jobs.sample_text, SAMPLED, chunksize=1) == list(
            map(sampling_jobs.sample_text, SAMPLED)
        )
        starts = range(0, 100, 25)
        assert pool.map(sampling_jobs.draw_part, starts) == list(
            map(sampling_jobs.draw_part, starts)
        )


def test_conditions_choose_from_what_is_drawn():
    bounds = {"flops": FLOPS, "where": ["depth.sum() <= 20", "(group_w >= 4).all()"]}
    population = AnyNetX().sample(50, 3, **bounds)
    assert population.provenance.where == tuple(bounds["where"])
    drawn = AnyNetX().draw(3, 0, population.provenance.drawn)
    inside = (drawn["flops"] >= FLOPS[0]) & (drawn["flops"] <= FLOPS[1])
    inside &= (drawn["depths"].sum(axis=0) <= 20) & (drawn["group_ws"] >= 4).all(axis=0)
    assert inside.sum() == population.provenance.accepted
    assert drawn["flops"][inside].tolist() == population.flops.tolist()


def test_all_names_of_a_row_can_be_used():
    where = [
        "cum_depth == depth.sum() and cum_width == width.sum()",
        "flops > 1 and params > 1 and acts > 1",
        "bot_mul.max() <= 1 and group_w.max() <= 32",
    ]
    assert AnyNetX().sample(50, 0, where=where).provenance.drawn == 50


def test_a_condition_that_rejects_all_is_named():
    with pytest.raises(ConfigError) as caught:
        AnyNetX().sample(5, 0, flops=(0, 1e9), where=["depth.sum() < 4"], max_draws=5000)
    message = str(caught.value)
    assert "'depth.sum() < 4' rejected 5,000 of 5,000" in message
    assert "depth seen: 1 to 16" in message


def test_a_draw_depends_on_its_number_only():
    space = AnyNetX(num_stages=3, strides=(2, 2, 2))
    whole = space.draw(9, 0, 1000)
    for start, count in ((0, 1), (123, 77), (999, 1)):
        for name, array in space.draw(9, start, count).items():
            assert (array == whole[name][..., start : start + count]).all()


def test_provenance_tells_the_draws():
    population = AnyNetX().sample(100, 8, flops=FLOPS)
    told = population.provenance
    assert (told.space, told.seed, told.bounds) == (AnyNetX(), 8, {"flops": FLOPS})
    flops = AnyNetX().draw(8, 0, told.drawn)["flops"]
    inside = (flops >= FLOPS[0]) & (flops <= FLOPS[1])
    assert inside[-1]
    assert inside.sum() == told.accepted == 100 + told.duplicates


def test_equal_architectures_are_kept_once_and_first():
    space = AnyNetX(num_stages=1, strides=(2,), depth=(1, 2), width=(8, 16), group_w=(1, 16))
    population = space.sample(20, 0)
    rows = [(r.depths, r.widths, r.bot_muls, r.group_ws) for r in population]
    assert len(set(rows)) == 20
    assert population.provenance.duplicates > 0
    drawn = space.draw(0, 0, population.provenance.drawn)
    in_order = zip(*(map(tuple, drawn[name].T.tolist()) for name in STAGE_ARRAYS), strict=True)
    assert list(dict.fromkeys(in_order)) == rows


def test_acceptance_equals_plain_rejection_from_the_full_space(plain):
    """Marginals of the accepted, against the definitions run one by one."""
    space, bounds = AnyNetX(), (200e6, 800e6)
    rng = random.Random(5)
    reference = [plain.sample_plain(space, rng) for _ in range(20_000)]
    accepted = [row for row in reference if bounds[0] <= row[4] <= bounds[1]]
    population = space.sample(20_000, 6, flops=bounds)
    told = population.provenance
    expected_rate = len(accepted) / len(reference)
    assert told.accepted / told.drawn == pytest.approx(expected_rate, abs=0.012)
    p_values = []
    for position, name in enumerate(("flops", "params", "acts")):
        theirs = [row[4 + position] for row in accepted]
        p_values.append(stats.ks_2samp(getattr(population, name), theirs).pvalue)
    for position, name in enumerate(STAGE_ARRAYS):
        for stage in range(4):
            theirs = np.array([row[position][stage] for row in accepted])
            ours = getattr(population, name)[:, stage]
            table = _bin_together(ours, theirs)
            p_values.append(stats.chi2_contingency(table).pvalue)
    # Bonferroni: 19 tests together at one in a hundred.
    assert min(p_values) > 0.01 / len(p_values)


def _bin_together(ours, theirs):
    """Return counts of two samples in common bins of some hundred values each."""
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, 17)))
    edges[0], edges[-1] = -np.inf, np.inf
    if len(edges) < 5:
        edges = np.array([-np.inf, *np.unique(theirs)[1:], np.inf])
    return np.array([np.histogram(values, edges)[0] for values in (ours, theirs)]) + 1e-9


def test_a_search_that_finds_nothing_ends_with_what_was_seen():
    with pytest.raises(ConfigError) as caught:
        AnyNetX().sample(10, 0, flops=(4e8, 4e8 + 2), max_draws=5000)
    message = str(caught.value)
    assert "only 0 of 10 architectures found in 5,000 draws" in message
    assert "flops seen: " in message
    counts = re.search(r"; ([\d,]+) were below 4e\+08 and ([\d,]+) above 4e\+08", message)
    assert sum(int(count.replace(",", "")) for count in counts.groups()) == 5000
    assert "params seen: " in message
    assert "acts seen: " in message


def test_a_space_with_too_few_members_says_so():
    space = AnyNetX(num_stages=1, strides=(1,), depth=(1, 1), width=(8, 8), group_w=(1, 1))
    with pytest.raises(ConfigError, match=r"only 3 of 4 .*\n.*\n.*\n.*\n.*holds too few"):
        space.sample(4, 0, max_draws=5000)


def test_progress_is_told():
    calls = []
    AnyNetX().sample(
        300, 0, flops=FLOPS, progress=lambda found, drawn: calls.append((found, drawn))
    )
    assert len(calls) > 1
    assert calls == sorted(calls)
    assert calls[-1][0] == 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n is 0, expected an integer of at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"max_draws": 0}, "max_draws is 0"),
        ({"flops": (400e6, 360e6)}, r"flops: the bounds 4e\+08, 3.6e\+08 are the wrong way round"),
        ({"params": (1, 2, 3)}, r"params is \(1, 2, 3\), expected two numbers"),
        ({"acts": ("a", 2)}, "acts: bound 'a' is not a non-negative number"),
        ({"flops": (float("nan"), 2)}, "flops: bound nan"),
        ({"flops": 4e8}, "flops is 400000000.0, expected two numbers"),
        (
            {"num_stages": (4, 4)},
            "num_stages is .*, but all of AnyNetX have 4 stages; leave it out",
        ),
        ({"where": ["depth.sum() <= 20", "lr < 1"]}, "where: expression 'lr < 1', column 1"),
    ],
)
def test_arguments_of_sample_are_checked(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AnyNetX().sample(**{"n": 5, "seed": 0} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_stages": 3}, "strides .* are for 4 stages, but num_stages is 3"),
        ({"num_stages": 0}, "num_stages is 0"),
        ({"stem_type": "res_stem"}, "stem_type is 'res_stem', expected one of res_stem_cifar"),
        ({"block_type": "block"}, "block_type is 'block', expected one of vanilla_block"),
        ({"strides": (1, 2, 2, 0)}, "strides is 0, expected an integer of at least 1"),
        ({"strides": 2}, "strides is 2, expected one integer per stage"),
        ({"depth": (16, 1)}, "depth: the bounds 16, 1 are the wrong way round"),
        ({"depth": 4}, "depth is 4, expected a pair"),
        ({"width": (8, 1020)}, "width: bound 1020 is not a multiple of 8"),
        ({"width": (8.0, 1024)}, "width is 8.0, expected an integer"),
        ({"bot_mul": (0.3, 1.0)}, "bot_mul: bound 0.3 is not a power of two"),
        ({"group_w": (0.5, 32)}, "group_w is 0.5, expected an integer"),
        ({"group_w": (1, 24)}, "group_w: bound 24 is not a power of two"),
        ({"resolution": 0}, "resolution is 0"),
        ({"head_w": -1}, "head_w is -1"),
        ({"num_classes": True}, "num_classes is True"),
        ({"width": (8, 2**33)}, "too large to be counted"),
        ({"space": "F"}, "space is 'F', expected one of A, B, C, D, E"),
        ({"width_quantum": 0}, "width_quantum is 0"),
    ],
)
def test_a_space_is_checked_when_made(arguments, message):
    with pytest.raises(ConfigError, match=message):
        AnyNetX(**arguments)


def test_lists_are_as_good_as_tuples():
    space = AnyNetX(strides=[1, 2, 2, 2], depth=[1, 16], bot_mul=[0.25, 1])
    assert space == AnyNetX()
    assert hash(space) == hash(AnyNetX())
    assert space.sample(3, 0).bot_muls.dtype == np.float64
