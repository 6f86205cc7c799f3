import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycls.core.config import load_cfg
from pycls.errors import ConfigError
from pycls.models.counting import complexity
from pycls.models.vocabulary import BLOCK_TYPES, STEM_TYPES
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.anynet_count import AnyNetFrame
from pycls.spaces.population import Population
from pycls.spaces.population_csv import read_population

TOOL = Path(__file__).resolve().parents[2] / "tools" / "sample_population.py"
# Population files are published: the bytes of a seed must never change.
PINNED = {
    "study": (
        AnyNetX(),
        {"n": 20, "seed": 1, "flops": (360e6, 400e6)},
        "e2c0fb2da0c53006b725768f9d7ea8a64abdd5ddc72abf3691a1ee4129c1ce39",
    ),
    "small": (
        AnyNetX(
            num_stages=3, strides=(1, 2, 2), stem_type="res_stem_cifar", stem_w=16, resolution=32
        ),
        {"n": 20, "seed": 2, "flops": (5e6, 9e6), "params": (0, 1e6)},
        "0783578b1cd7eb39e687ae16ae084eda074e45f5cd0ddcb5961b0e869cab4b56",
    ),
}
HAND_WRITTEN = """\
arch,depth_1,depth_2,width_1,width_2,bot_mul_1,bot_mul_2,group_w_1,group_w_2,stem_type,stem_w,\
block_type,head_w,strides,resolution,num_classes
mine,1,2,16,32,1,0.5,4,8,res_stem_cifar,16,res_bottleneck_block,0,1-2,32,10
other,2,2,16,64,0.5,0.5,8,16,res_stem_cifar,16,res_bottleneck_block,0,1-2,32,10
"""


@pytest.fixture
def population():
    return AnyNetX().sample(12, 0, flops=(360e6, 400e6))


@pytest.mark.parametrize("name", PINNED)
def test_bytes_of_a_seed_are_pinned(name):
    space, arguments, digest = PINNED[name]
    text = space.sample(**arguments).to_csv_text()
    assert hashlib.sha256(text.encode()).hexdigest() == digest, text


@settings(max_examples=25)
@given(data=st.data())
def test_what_is_written_reads_back_to_the_same_bytes(data, tmp_path_factory):
    num_stages = data.draw(st.integers(1, 5))
    space = AnyNetX(
        num_stages=num_stages,
        strides=(2,) * num_stages,
        stem_type=data.draw(st.sampled_from(STEM_TYPES)),
        block_type=data.draw(st.sampled_from(BLOCK_TYPES)),
        bot_mul=data.draw(st.sampled_from([(0.25, 1.0), (0.0625, 4.0)])),
        head_w=data.draw(st.sampled_from([0, 64])),
        resolution=data.draw(st.integers(1, 300)),
    )
    population = space.sample(data.draw(st.integers(1, 30)), data.draw(st.integers(0, 99)))
    folder = tmp_path_factory.mktemp("population")
    population.to_csv(folder / "one.csv")
    again = read_population(folder / "one.csv")
    again.to_csv(folder / "two.csv")
    assert (folder / "one.csv").read_bytes() == (folder / "two.csv").read_bytes()
    assert again.frame == population.frame
    assert list(again) == list(population)


def test_the_table_is_plain(population, tmp_path):
    population.to_csv(tmp_path / "population.csv")
    data = (tmp_path / "population.csv").read_bytes()
    assert b"\r" not in data
    header, first, *rest = data.decode().splitlines()
    assert len(rest) == 11
    assert header.startswith("arch,flops,params,acts,cum_depth,cum_width,depth_1,depth_2,")
    assert header.endswith("stem_type,stem_w,block_type,head_w,strides,resolution,num_classes")
    cells = dict(zip(header.split(","), first.split(","), strict=True))
    row = population.row(0)
    assert cells["arch"] == row.arch == "a0000"
    assert int(cells["flops"]) == row.flops
    assert [int(cells[f"width_{i}"]) for i in (1, 2, 3, 4)] == list(row.widths)
    assert int(cells["cum_width"]) == sum(row.widths) == row.cum_width == population.cum_width[0]
    assert int(cells["cum_depth"]) == sum(row.depths) == row.cum_depth == population.cum_depth[0]
    assert cells["strides"] == "1-2-2-2"


def test_ids_grow_with_the_population():
    population = AnyNetX().sample(10_001, 0)
    assert (population.ids[0], population.ids[-1]) == ("a00000", "a10000")
    assert AnyNetX().sample(2, 0).ids == ("a0000", "a0001")


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
def test_overrides_build_the_network_of_the_row(block_type):
    space = AnyNetX(
        num_stages=3,
        strides=(1, 2, 2),
        block_type=block_type,
        depth=(1, 3),
        width=(8, 64),
        head_w=40,
    )
    for row in space.sample(5, 0):
        extra = ["MODEL.NUM_CLASSES", 1000, "TRAIN.IM_SIZE", 224]
        counts = complexity(load_cfg(None, row.overrides() + extra))
        assert counts == {"flops": row.flops, "params": row.params, "acts": row.acts}


def test_arrays_cannot_be_changed(population):
    with pytest.raises(ValueError, match="read-only"):
        population.flops[0] = 1
    assert population.row(-1) == list(population)[-1]
    with pytest.raises(IndexError):
        population.row(12)


def test_arrays_that_do_not_belong_together_are_refused(population):
    parts = {name: getattr(population, name) for name in ("depths", "widths", "bot_muls")}
    with pytest.raises(ValueError, match="params has shape"):
        Population(
            **parts,
            group_ws=population.group_ws,
            flops=population.flops,
            params=population.params[:3],
            acts=population.acts,
            frame=population.frame,
        )


def read_text(tmp_path, text):
    path = tmp_path / "population.csv"
    path.write_bytes(text.encode())
    return read_population(path)


def test_a_table_written_by_hand_is_counted(tmp_path):
    population = read_text(tmp_path, HAND_WRITTEN)
    assert population.ids == ("mine", "other")
    assert population.frame == AnyNetFrame(
        (1, 2), "res_stem_cifar", 16, "res_bottleneck_block", 32, 10, 0
    )
    for row in population:
        extra = ["MODEL.NUM_CLASSES", 10, "TRAIN.IM_SIZE", 32]
        counts = complexity(load_cfg(None, row.overrides() + extra))
        assert counts == {"flops": row.flops, "params": row.params, "acts": row.acts}


def test_spreadsheet_marks_and_blank_lines_are_read_past(tmp_path):
    text = "\ufeff" + HAND_WRITTEN.replace("\n", "\r\n") + "\r\n\r\n"
    assert list(read_text(tmp_path, text)) == list(read_text(tmp_path, HAND_WRITTEN))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mine,1,", "mine,one,", r"population.csv, line 2, column 'depth_1': 'one' is not a posi"),
        ("other,2,", "other,0,", "line 3, column 'depth_1': '0' is not a positive integer"),
        ("other,2,", "other,1e1,", "line 3, column 'depth_1': '1e1' is not a positive integer"),
        ("other,", "mine,", "line 3, column 'arch': id 'mine' was used on line 2 already"),
        ("other,", "../x,", "line 3, column 'arch': '../x' is not an id"),
        ("1,0.5,4,8", "1,half,4,8", "column 'bot_mul_2': 'half' is not a positive number"),
        ("1,0.5,4,8", "1,nan,4,8", "column 'bot_mul_2': 'nan' is not a positive number"),
        (
            "1,0.5,4,8",
            "1,0.5,4,5",
            r"line 2, column 'group_w_2': group width 5 does not divide the bottleneck width 16 "
            r"\(width 32 times 0.5\); width 30 with group width 5 would fit",
        ),
        ("1,0.5,4,8", "1,0.5,4,64", "group width 64 does not divide the bottleneck width 16"),
        ("arch,depth_1,", "arch,dept_1,", "missing column depth_1; unknown column dept_1"),
        ("depth_2,", "depth_1,", "line 1: column 'depth_1' occurs twice"),
        ("num_classes\n", "classes\n", "missing column num_classes; unknown column classes"),
        (",", ";", "columns are separated by commas"),
        ("0,1-2,32,10\nother", "0,1-2,32,11\nother", "line 3, column 'num_classes': 10 differs"),
        ("1-2,", "1-2-2,", "'strides': 1-2-2 is for 3 stages, but the columns depth_1 to depth_2"),
        ("1-2,", "1x2,", "column 'strides': '1x2' is not the stages' strides joined by '-'"),
        ("res_stem_cifar", "stem", "line 2: stem_type is 'stem', expected one of"),
        ("1-2,32,10\n", "1-2,32\n", "line 2: 15 cells, expected 16"),
        (HAND_WRITTEN, "", "the file is empty"),
        (HAND_WRITTEN, HAND_WRITTEN.splitlines()[0], "no row follows the header"),
        ("mine,", '"mine,', "not valid CSV"),
        ("mine,1,2,16,", "mine,1,2,1000000000000,", "too large to be counted"),
        ("res_bottleneck_block", "res_basic_block", "'bot_mul_1': 0.5, but res_basic_block has no"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path, old, new, message):
    assert old in HAND_WRITTEN
    with pytest.raises(ConfigError, match=message):
        read_text(tmp_path, HAND_WRITTEN.replace(old, new))


@pytest.mark.parametrize("column", ["flops", "params", "acts", "cum_depth", "cum_width"])
def test_counts_that_disagree_are_refused(population, tmp_path, column):
    lines = population.to_csv_text().splitlines()
    position = lines[0].split(",").index(column)
    cells = lines[5].split(",")
    true = cells[position]
    cells[position] = str(int(true) + 1)
    lines[5] = ",".join(cells)
    message = rf"line 6, column '{column}': {int(true) + 1}, but this network has {true}"
    with pytest.raises(ConfigError, match=message):
        read_text(tmp_path, "\n".join(lines))


def test_files_that_are_no_tables_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_population(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="is a folder"):
        read_population(tmp_path)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="not a text file"):
        read_population(tmp_path / "binary.csv")


def test_it_is_shown_on_one_line():
    population = AnyNetX().sample(3, seed=1, flops=(360e6, 400e6))
    shown = repr(population)
    assert shown.startswith("Population(3 architectures of 4 stages, 3")
    assert shown.endswith(" MF at 224 x 224)")
    assert len(shown) < 90


def run_tool(*arguments):
    return subprocess.run(
        [sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_tool_writes_what_sample_gives(tmp_path):
    out = tmp_path / "population.csv"
    result = run_tool(
        "--out", out, "-n", 30, "--seed", 3, "--flops", 5e6, 9e6, "--params", 0, 1e6,
        "--strides", 1, 2, 2, "--stem-type", "res_stem_cifar", "--stem-w", 16,
        "--resolution", 32, "--num-classes", 10, "--depth", 1, 8, "--bot-mul", 0.5, 1,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    space = AnyNetX(
        num_stages=3,
        strides=(1, 2, 2),
        stem_type="res_stem_cifar",
        stem_w=16,
        depth=(1, 8),
        bot_mul=(0.5, 1),
        resolution=32,
        num_classes=10,
    )
    expected = space.sample(30, 3, flops=(5e6, 9e6), params=(0, 1e6))
    assert out.read_bytes() == expected.to_csv_text().encode()
    assert f"drew {expected.provenance.drawn:,} architectures" in result.stdout
    assert "wrote 30 rows" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--flops", 4e8, 3e8), "error: flops: the bounds 4e+08, 3e+08 are the wrong way round"),
        (("--stages", 3), "num_stages is 3"),
        (
            ("--flops", 1, 2),
            "flops [1, 2]: no network of this space has so few; all have more than",
        ),
        (
            ("--flops", 4e8, 400000010, "--max-draws", 2000),
            "only 0 of 5 architectures found",
        ),
        (("--out", "none/population.csv"), "there is no folder none; make it first"),
    ],
)
def test_the_tool_explains_mistakes(tmp_path, arguments, message):
    out = tmp_path / "population.csv"
    result = run_tool("--out", out, "-n", 5, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_table(population, tmp_path, monkeypatch):
    path = tmp_path / "population.csv"
    path.write_text("old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        population.to_csv(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["population.csv"]
    assert np.all(population.flops > 0)
