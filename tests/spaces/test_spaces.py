import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pycls.errors import ConfigError
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.by_name import SPACES, make_space
from pycls.spaces.describe import describe_space
from pycls.spaces.marginal import random_words
from pycls.spaces.population import Population
from pycls.spaces.population_csv import read_population
from pycls.spaces.regnet import RegNetX

TOOL = Path(__file__).resolve().parents[2] / "tools" / "sample_population.py"
SIMPLE = {"stem_type": "simple_stem_in", "stem_w": 32, "strides": (2, 2, 2, 2)}


def test_every_space_has_its_name():
    assert make_space("AnyNetX") == make_space("AnyNetXA") == AnyNetX()
    assert make_space("AnyNetXD", depth=(1, 8)) == AnyNetX(depth=(1, 8), space="D")
    assert make_space("RegNetX", w_0=(8, 64)) == RegNetX(w_0=(8, 64))
    for name in SPACES[1:]:
        assert make_space(name).name in (name, "AnyNetX")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("AnyNetF", {}, "design space 'AnyNetF'; did you mean 'AnyNetX.?'"),
        (None, {}, "design space None; expected one of AnyNetX, AnyNetXA"),
        ("AnyNetX", {"depths": (1, 2)}, "no argument 'depths'; did you mean 'depth'"),
        ("RegNetX", {"width": (8, 16)}, "RegNetX: no argument 'width'.* w_0"),
        ("AnyNetXB", {"space": "C"}, "'space' stands in the name already"),
        ("AnyNetXB", {"depth": (2, 1)}, "wrong way round"),
    ],
)
def test_unknown_spaces_and_arguments_are_named(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_space(name, **arguments)


def test_populations_of_several_spaces_make_one():
    parts = {
        "anynet-e": make_space("AnyNetXE", **SIMPLE).sample(3, 0, flops=(3e8, 5e8)),
        "regnet": make_space("RegNetX").sample(2, 0, flops=(3e8, 5e8)),
    }
    together = Population.concatenate(parts)
    ids = ["anynet-e-0000", "anynet-e-0001", "anynet-e-0002", "regnet-0000", "regnet-0001"]
    assert list(together.ids) == ids
    for name in ("depths", "widths", "bot_muls", "group_ws", "flops", "params", "acts"):
        expected = np.concatenate([getattr(part, name) for part in parts.values()])
        assert (getattr(together, name) == expected).all()


def test_a_joined_population_reads_back(tmp_path):
    parts = {name: AnyNetX().sample(2, seed) for seed, name in enumerate(("one", "two"))}
    together = Population.concatenate(parts)
    together.to_csv(tmp_path / "p.csv")
    assert read_population(tmp_path / "p.csv").to_csv_text() == together.to_csv_text()


def test_populations_that_share_too_little_are_refused():
    parts = {"a": AnyNetX().sample(1, 0), "b": AnyNetX(**SIMPLE).sample(1, 0)}
    with pytest.raises(
        ConfigError, match="'b': stem_type is simple_stem_in, but res_stem_in in 'a'"
    ):
        Population.concatenate(parts)
    with pytest.raises(ConfigError, match="'my part': its name begins the ids"):
        Population.concatenate({"my part": parts["a"]})
    with pytest.raises(ConfigError, match="expected at least one"):
        Population.concatenate({})


@pytest.mark.parametrize("name", SPACES)
def test_a_description_says_what_is_drawn(name):
    space = make_space(name)
    description = describe_space(space)
    assert (description.name, description.size) == (space.name, space.size())
    assert [p.name for p in description.parameters][-1] in ("group_w", "bot_mul")
    for parameter in description.parameters:
        assert parameter.probabilities.sum() == pytest.approx(1)
        assert len(parameter.values) == len(parameter.probabilities) == parameter.count
    text = description.to_text()
    assert all(f"  {parameter.name}: " in text for parameter in description.parameters)
    drawn = space.drawn_parameters(space.sample(5, 0))
    assert drawn.keys() <= {parameter.name for parameter in description.parameters}


def test_ordered_parameters_are_described_for_each_stage():
    described = {p.name: p for p in describe_space(make_space("AnyNetXD")).parameters}
    names = ["depth", "width 1", "width 2", "width 3", "width 4", "bot_mul", "group_w"]
    assert list(described) == names
    means = [
        float(described[f"width {i}"].values @ described[f"width {i}"].probabilities)
        for i in (1, 2, 3, 4)
    ]
    assert means == sorted(means)
    assert "widths that do not decrease" in describe_space(make_space("AnyNetXD")).to_text()


def test_a_distribution_without_a_table_is_gathered_into_ranges():
    space = RegNetX(w_a=(0.1, 10_000.0))
    described = {p.name: p for p in describe_space(space).parameters}["w_a"]
    assert described.count == 100_000
    assert len(described.values) < 1000
    drawn = space.ranges.draw(random_words(0, 0, 200_000, space.words))["w_a"]
    shares = np.histogram(drawn, [0, *described.values[50::50]])[0] / len(drawn)
    cumulative = np.cumsum(described.probabilities)[50::50]
    assert np.cumsum(shares) == pytest.approx(cumulative, abs=0.01)


def run_tool(*arguments):
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_tool_draws_from_every_space_under_conditions(tmp_path):
    out, figure = tmp_path / "p.csv", tmp_path / "space.png"
    conditions = ("--where", "depth.sum() <= 20", "--where", "width[3] < 600")
    done = run_tool(
        "--out",
        out,
        "-n",
        20,
        "--space",
        "E",
        "--flops",
        3e8,
        4e8,
        *conditions,
        "--describe",
        figure,
    )
    assert done.returncode == 0, done.stderr
    expected = make_space("AnyNetXE").sample(20, 0, flops=(3e8, 4e8), where=conditions[1::2])
    assert out.read_text() == expected.to_csv_text()
    assert "AnyNetXE (one bottleneck multiplier for all stages and" in done.stdout
    for name in ("space.png", "space_drawn.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")

    done = run_tool("--out", out, "-n", 5, "--space", "RegNetX", "--stages", 3, "--w-0", 16, 64)
    assert done.returncode == 0, done.stderr
    expected = RegNetX(w_0=(16, 64)).sample(5, 0, num_stages=(3, 3))
    assert out.read_text() == expected.to_csv_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "RegNet"], "did you mean 'RegNetX'"),
        (["--space", "RegNetX", "--width", 8, 16], "RegNetX: no argument 'width'"),
        (["--w-m", 2, 3], "AnyNetXA: no argument 'w_m'"),
        (["--where", "depth.sum() <="], "expression 'depth.sum() <=', column"),
        (["--describe", "a.csv"], "--describe a.csv: expected a name in .png, .svg, .pdf"),
    ],
)
def test_mistakes_on_the_command_line_are_named(arguments, message, tmp_path):
    done = run_tool("--out", tmp_path / "p.csv", "-n", 5, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
