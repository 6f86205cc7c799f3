"""Setting up sweeps: what is drawn, the networks the files build, and the folder."""

import itertools

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_files import NETS, OURS, PYCLS, RATES, per_stage, write

from pycls.core.config import load_cfg
from pycls.core.config.load import cfg_to_dict, dump_cfg
from pycls.core.config.template import CfgTemplate
from pycls.errors import ConfigError, PyclsError
from pycls.files import exclusive_lock
from pycls.models.counting import complexity
from pycls.models.scaler import round_group_w
from pycls.models.widths import make_compatible
from pycls.spaces import drawing
from pycls.spaces.population_csv import read_population
from pycls.strict_yaml import dump_yaml
from pycls.sweep.as_population import to_population
from pycls.sweep.draw import fit_lists, round_group_ws
from pycls.sweep.file import load_sweep_cfg
from pycls.sweep.samplers import build_samplers, draw_rows
from pycls.sweep.setup import plan_sweep, write_sweep

SETUP = ("SETUP",)
SAMPLERS = ("SETUP", "SAMPLERS")
BASE = ("SETUP", "BASE_CFG")
LISTS = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")


@pytest.fixture
def plan(tmp_path):
    """Return a function (sweep, changes, command-line words) -> plan."""

    def make(sweep, changes=(), words=()):
        path = write(tmp_path / "sweep.yaml", sweep, changes)
        return plan_sweep(load_sweep_cfg(path, words, tmp_path / "root"))

    return make


def contents(folder):
    return {p.relative_to(folder): p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def assert_networks_are_those_of_the_summary(folder):
    summary = yaml.safe_load((folder / "cfgs_summary.yaml").read_text())
    paths = sorted((folder / "cfgs").iterdir())
    assert [path.stem for path in paths] == sorted(summary)
    for path in paths:
        assert complexity(load_cfg(path)) == summary[path.stem]["complexity"]


@pytest.mark.parametrize("path", [*PYCLS, *OURS], ids=lambda p: f"{p.parts[-4]}-{p.stem}")
def test_pycls_sweeps_set_up_unchanged(tmp_path, path):
    sweep = load_sweep_cfg(path, (), tmp_path)
    assert write_sweep(plan_sweep(sweep))
    folder = tmp_path / "cifar" / path.stem
    runs = {"cifar_best": 12, "cifar_optim": 64, "cifar_regnet": 32}[path.stem]
    assert len(list((folder / "cfgs").iterdir())) == runs
    cfg = load_cfg(folder / "cfgs" / f"{runs - 1:06d}.yaml")
    assert str(folder / "logs" / f"{runs - 1:06d}") == cfg.OUT_DIR
    assert cfg.OPTIM.EMA_ALPHA == 0.00025
    counts = complexity(cfg)
    summary = yaml.safe_load((folder / "cfgs_summary.yaml").read_text())
    assert summary[f"{runs - 1:06d}"]["complexity"] == counts
    if path.stem == "cifar_regnet":
        assert all(120e6 <= entry["complexity"]["flops"] <= 130e6 for entry in summary.values())
    if path.stem == "cifar_best":  # all combinations, each once
        drawn = {(entry["OPTIM.MAX_EPOCH"], entry["RNG_SEED"]) for entry in summary.values()}
        assert drawn == set(itertools.product((50, 100, 200, 400), (1, 2, 3)))


def test_each_config_builds_the_network_its_row_says(plan):
    made = plan(NETS)
    write_sweep(made)
    assert len(made) == 40
    assert_networks_are_those_of_the_summary(made.folder.path)


@pytest.mark.slow
def test_100_of_the_papers_space_build_the_networks_their_rows_say(plan):
    anynet = {"TYPE": "anynet_sampler", "NUM_STAGES": 4}
    net = {"STEM_TYPE": "res_stem_in", "STEM_W": 64, "STRIDES": [1, 2, 2, 2]}
    changes = {
        SAMPLERS: {"ANYNET": anynet}, (*SETUP, "NUM_CONFIGS"): 100,
        (*SETUP, "CONSTRAINTS", "CX", "FLOPS"): [360e6, 400e6],
        (*BASE, "ANYNET"): net, (*BASE, "TRAIN", "IM_SIZE"): 224,
        (*BASE, "MODEL", "NUM_CLASSES"): 1000,
    }  # fmt: skip
    made = plan(NETS, changes)
    write_sweep(made)
    assert len(made) == 100
    assert made.draws.counts["flops"].min() >= 360e6
    assert made.draws.counts["flops"].max() <= 400e6
    assert_networks_are_those_of_the_summary(made.folder.path)


KINDS = {
    "squeeze and size": {
        (*SAMPLERS, "ANYNET.SE_ON"): {"TYPE": "value_sampler", "VALUES": [True, False]},
        (*SAMPLERS, "TRAIN.IM_SIZE"): {"TYPE": "value_sampler", "VALUES": [8, 11]},
    },
    "basic blocks": {
        (*SAMPLERS, "ANYNET.BLOCK_TYPE"): {
            "TYPE": "value_sampler", "VALUES": ["res_basic_block", "res_bottleneck_linear_block"],
        },
        (*SETUP, "CONSTRAINTS"): {},
    },
    "widths from a list": {
        (*SAMPLERS, "ANYNET.WIDTHS"): {"TYPE": "value_sampler", "VALUES": [[20, 40], [31, 57]]},
        (*SETUP, "CONSTRAINTS"): {},
    },
    "stages": {
        (*SAMPLERS,): {
            "ANYNET.WIDTHS": {"TYPE": "value_sampler", "VALUES": [[20, 40], [31, 57], [9, 9]]},
        },
        (*SETUP, "CONSTRAINTS"): {}, (*SETUP, "NUM_CONFIGS"): 3,
        (*BASE, "ANYNET", "DEPTHS"): [1, 2], (*BASE, "ANYNET", "GROUP_WS"): [3, 12],
    },
    "regnet": {
        SAMPLERS: {"REGNET": {"TYPE": "regnet_sampler", "DEPTH": [4, 8], "W0": [8, 32],
                              "WA": [8.0, 32.0], "GROUP_W": [1, 16], "BOT_MUL": [0.25, 1.0]}},
        (*SETUP, "CONSTRAINTS"): {"REGNET": {"NUM_STAGES": [2, 3]}},
        (*BASE, "MODEL", "TYPE"): "regnet", (*BASE, "REGNET"): {"SE_ON": True},
    },
    "effnet, one by one": {
        SAMPLERS: {"EN.WIDTHS": per_stage("int_sampler", "uniform", 8, 32, 8)},
        (*SETUP, "CONSTRAINTS"): {"CX": {"PARAMS": [0, 3e4]}}, (*SETUP, "NUM_CONFIGS"): 5,
        (*BASE, "MODEL", "TYPE"): "effnet",
        (*BASE, "EN"): {"DEPTHS": [1, 1], "EXP_RATIOS": [1, 2], "STRIDES": [1, 2],
                        "KERNELS": [3, 3], "STEM_W": 8, "HEAD_W": 64},
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind(plan, kind):
    made = plan(NETS, {(*SETUP, "NUM_CONFIGS"): 12, **KINDS[kind]})
    write_sweep(made)
    assert_networks_are_those_of_the_summary(made.folder.path)


def test_what_is_kept_is_what_a_plain_rejection_keeps(plan, tmp_path):
    made = plan(NETS, {(*SETUP, "CONSTRAINTS", "EXPRESSIONS"): ["depth.sum() <= 5"]})
    columns = draw_rows(list(build_samplers(made.sweep).values()), 0, 0, made.draws.drawn)
    kept, accepted = [], 0
    for depths, *lists in zip(*(columns[key].tolist() for key in LISTS), strict=True):
        widths, group_ws = make_compatible(*lists[:2], [round_group_w(g) for g in lists[2]])
        words = zip(LISTS, (depths, widths, lists[1], group_ws), strict=True)
        row = dict(words)
        if sum(depths) > 5:
            continue
        base = [item for pair in row.items() for item in pair]
        net = {"MODEL.TYPE": "anynet", "MODEL.NUM_CLASSES": 10, "TRAIN.IM_SIZE": 8}
        net |= {"ANYNET.STEM_TYPE": "res_stem_cifar", "ANYNET.STEM_W": 8}
        net["ANYNET.STRIDES"] = [1, 2]
        cfg = load_cfg(None, [*[item for pair in net.items() for item in pair], *base])
        if not 4e5 <= complexity(cfg)["flops"] <= 2e6:
            continue
        accepted += 1
        if row not in kept:
            kept.append(row)
    assert list(made.draws.rows) == kept
    assert (made.draws.accepted, made.draws.duplicates) == (accepted, accepted - 40)


def test_neither_chunks_nor_processes_nor_the_number_wanted_change_a_draw(plan, monkeypatch):
    rows = plan(NETS).draws.rows
    assert plan(NETS, {(*SETUP, "NUM_CONFIGS"): 7}).draws.rows == rows[:7]
    assert plan(NETS, {(*SETUP, "CHUNK_SIZE"): 3, ("NUM_PROC",): 5}).draws.rows == rows
    for chunk in (1, 7, 1000):
        monkeypatch.setattr(drawing, "_CHUNK", chunk)
        assert plan(NETS).draws.rows == rows
    assert plan(NETS, {(*SETUP, "RNG_SEED"): 1}).draws.rows != rows


stages = st.integers(1, 4).flatmap(
    lambda s: st.tuples(
        st.lists(st.integers(1, 300), min_size=s, max_size=s),
        st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=s, max_size=s),
        st.lists(st.integers(1, 64), min_size=s, max_size=s),
    )
)


@settings(max_examples=200)
@given(stages)
def test_lists_are_made_to_fit_as_one_by_one(lists):
    widths, bot_muls, group_ws = lists
    expected = make_compatible(widths, bot_muls, [round_group_w(g) for g in group_ws])
    fitted = fit_lists(*(np.array([values]) for values in lists))
    assert [fitted[key].tolist()[0] for key in (LISTS[1], LISTS[3])] == list(expected)
    assert round_group_ws(np.array(group_ws)).tolist() == [round_group_w(g) for g in group_ws]


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "OPTIM.BASE_LR": st.floats(0.001, 1e9),
            "ANYNET.WIDTHS": st.lists(st.integers(1, 9999), min_size=1, max_size=30),
            "DESC": st.text(max_size=200),
            "RNG_SEED": st.integers(0, 2**60),
            "NUM_GPUS": st.integers(0, 8),
            "REGNET.WM": st.floats(1.1, 4),
            "OUT_DIR": st.text("abc /-é:#", min_size=1, max_size=200),
        },
    )
)
def test_a_changed_configuration_reads_as_if_dumped_whole(changes):
    values = cfg_to_dict(load_cfg())
    text = CfgTemplate(values).text(changes)
    for key, value in changes.items():
        section, _, leaf = key.rpartition(".")
        (values[section] if section else values)[leaf] = value
    assert text == dump_yaml(values)


def test_configs_are_complete_and_typed(plan):
    made = plan(RATES)
    write_sweep(made)
    rates = set()
    for run in range(6):
        text = made.folder.cfg(run).read_text()
        cfg = load_cfg(made.folder.cfg(run))
        assert text == dump_cfg(cfg)
        assert str(made.folder.out_dir(run)) == cfg.OUT_DIR
        rates.add((cfg.OPTIM.BASE_LR, cfg.RNG_SEED))
    assert rates == set(itertools.product((0.1, 0.2, 1.0), (1, 2)))
    assert made.folder.runs() == list(range(6))


def test_a_population_serves_many_sweeps(plan, tmp_path):
    population = to_population(plan(NETS))
    population.to_csv(tmp_path / "nets.csv")
    changes = {
        SETUP: {
            "POPULATION": "nets.csv",
            "SAMPLERS": {"OPTIM.BASE_LR": {"TYPE": "float_sampler", "RANGE": [0.1, 1.0]}},
            "BASE_CFG": {"MODEL": {"NUM_CLASSES": 3}, "TRAIN": {"IM_SIZE": 16}},
        }
    }
    made = plan(NETS, changes)
    assert len(made) == 40
    write_sweep(made)
    assert_networks_are_those_of_the_summary(made.folder.path)
    for row, arch, label in zip(made.draws.rows, population, made.draws.labels, strict=True):
        assert row["ANYNET.WIDTHS"] == list(arch.widths)
        assert label == arch.arch
    again = to_population(made)
    assert again.ids == population.ids
    assert (again.group_ws == population.group_ws).all()
    assert again.frame.resolution == 16
    # The folder stands for itself: its own settings set up the same.
    folder = tmp_path / "root" / "nets"
    before = contents(folder)
    copy = plan_sweep(load_sweep_cfg(folder / "sweep_cfg.yaml"))
    assert not write_sweep(copy)
    assert contents(folder) == before
    # More runs than members: each is drawn again with another learning rate.
    made = plan(NETS, {**changes, (*SETUP, "NUM_CONFIGS"): 50})
    assert made.draws.labels[40:] == made.draws.labels[:10]


def test_regnets_as_a_population(plan, tmp_path):
    stages = {(*SETUP, "CONSTRAINTS"): {"REGNET": {"NUM_STAGES": [2, 2]}}}
    changes = {(*SETUP, "NUM_CONFIGS"): 12, **KINDS["regnet"], **stages, (*BASE, "REGNET"): {}}
    made = plan(NETS, changes)
    to_population(made).to_csv(tmp_path / "p.csv")
    population = read_population(tmp_path / "p.csv")  # which counts the rows anew
    assert population.flops.tolist() == made.draws.counts["flops"].tolist()
    with pytest.raises(ConfigError, match="squeeze-and-excitation"):
        to_population(plan(NETS, changes | {(*BASE, "REGNET"): {"SE_ON": True}}))
    with pytest.raises(ConfigError, match="share stem"):
        to_population(plan(NETS, changes | KINDS["regnet"] | {(*BASE, "REGNET"): {}}))


def test_hand_written_configurations(plan, tmp_path):
    (tmp_path / "own").mkdir()
    for name, width in (("b", 24), ("a", 16)):
        cfg = load_cfg(None, ["MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1], "ANYNET.WIDTHS",
                              [width], "ANYNET.STRIDES", [1], "OUT_DIR", "/elsewhere"])  # fmt: skip
        (tmp_path / "own" / f"{name}.yaml").write_text(dump_cfg(cfg))
    mine = {"ANYNET": {"WIDTHS": [8, 8]}, "OPTIM": {"MAX_EPOCH": 3}}
    regnet = {"MODEL": {"TYPE": "regnet"}, "REGNET": {"W0": 8, "DEPTH": 2}}
    listed = {(*SETUP, "CONFIGS"): ["own/*.yaml", mine, regnet], SAMPLERS: {}}
    made = plan(RATES, listed | {(*SETUP, "NUM_CONFIGS"): 0})
    write_sweep(made)
    assert_networks_are_those_of_the_summary(made.folder.path)
    cfgs = [load_cfg(made.folder.cfg(run)) for run in range(4)]
    assert [cfg.ANYNET.WIDTHS for cfg in cfgs] == [[16], [24], [8, 8], [16, 32]]
    assert [cfg.MODEL.TYPE for cfg in cfgs] == ["anynet", "anynet", "anynet", "regnet"]
    assert [cfg.OPTIM.MAX_EPOCH for cfg in cfgs] == [200, 200, 3, 200]
    assert str(made.folder.out_dir(0)) == cfgs[0].OUT_DIR
    assert not write_sweep(plan_sweep(load_sweep_cfg(made.folder.sweep_cfg)))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({(*SAMPLERS, "OPTIM.BASE_LRR"): RATES["SETUP"]["SAMPLERS"]["RNG_SEED"]},
         ["SAMPLERS.OPTIM.BASE_LRR", "unknown configuration key", "'OPTIM.BASE_LR'"]),
        ({(*SAMPLERS, "RNG_SEED", "TYPE"): "int_sampl"}, ["line 12", "int_sampl", "int_sampler"]),
        ({(*SAMPLERS, "RNG_SEED", "RANGE"): [3, 1]}, ["line 13", "RNG_SEED", "wrong way round"]),
        ({(*SAMPLERS, "RNG_SEED", "RANG"): [1, 3]}, ["no option 'RANG'", "'RANGE'"]),
        ({(*SAMPLERS, "RNG_SEED"): 3}, ["SAMPLERS.RNG_SEED", "TYPE"]),
        ({(*SAMPLERS, "OPTIM.BASE_LR", "VALUES"): [0.5, -1.0, 2.0]},
         ["line 5: SETUP.SAMPLERS.OPTIM.BASE_LR", "-1.0", "above 0"]),
        ({(*SAMPLERS, "OPTIM.BASE_LR", "VALUES"): ["a"]}, ["draws 'a'", "numbers"]),
        ({(*SAMPLERS, "OPTIM.BASE_LR", "VALUES"): [[1, 2]]}, ["draws [1, 2]", "one value"]),
        ({(*SAMPLERS, "ANYNET.WIDTHS"): {"TYPE": "int_sampler", "RANGE": [1, 8]}},
         ["draws", "ANYNET.WIDTHS is a list", "list_sampler"]),
        ({(*SAMPLERS, "RNG_SEED"): {"TYPE": "float_sampler", "RANGE": [1.0, 3.0]}},
         ["SETUP.SAMPLERS.RNG_SEED", "whole number"]),
        ({(*SAMPLERS, "ANYNET"): {"TYPE": "anynet_sampler"},
          (*SAMPLERS, "ANYNET.DEPTHS"): per_stage("int_sampler", "uniform", 1, 2)},
         ["ANYNET.DEPTHS", "already", "keep one"]),
        ({(*BASE, "OPTIM"): {"BASE_LRR": 1}}, ["line ", "SETUP.BASE_CFG.OPTIM.BASE_LRR"]),
        ({(*BASE, "ANYNET", "STRIDES"): [1]}, ["SETUP.BASE_CFG.ANYNET", "STRIDES is [1]"]),
        ({(*BASE, "MODEL", "TYPE"): "anynt"}, ["BASE_CFG.MODEL.TYPE", "'anynt'", "'anynet'"]),
        ({(*SETUP, "NUM_CONFIGS"): 7, (*SETUP, "NUM_SAMPLES"): 2000},
         ["only 6 of 7", "2,000 draws", "again and again", "lower SETUP.NUM_CONFIGS"]),
        ({(*SETUP, "CONSTRAINTS"): {"CX": {"PARAMS": [1, 2]}}, (*SETUP, "NUM_SAMPLES"): 500},
         ["only 0 of 6", "params seen", "500 above 2", "SETUP.CONSTRAINTS"]),
        ({(*SETUP, "CONSTRAINTS"): {"EXPRESSIONS": ["RNG_SEED < 2", "RNG_SED > 1"]}},
         ["EXPRESSIONS[1]", "'RNG_SED'", "'RNG_SEED'"]),
        ({(*SETUP, "POPULATION"): "none.csv"}, ["SETUP.POPULATION", "none.csv: no such file"]),
        ({(*SETUP, "CONFIGS"): ["none.yaml"]}, ["SETUP.CONFIGS[0]", "none.yaml: no such file"]),
        ({(*SETUP, "CONFIGS"): ["none*.yaml"]}, ["no file matches"]),
        ({(*SETUP, "CONFIGS"): [{"OPTIM": {"LR": 1}}]}, ["SETUP.CONFIGS[0]", "'OPTIM.LR'"]),
        ({(*SETUP, "CONFIGS"): [{"OPTIM": {"BASE_LR": 1}}]}, ["already; keep one"]),
        ({(*SETUP, "CONFIGS"): [{"BN": {"MOM": 0.2}}], SAMPLERS: {}},
         ["NUM_CONFIGS is 6", "has 1 rows"]),
        ({(*SETUP, "CONFIGS"): [{}, {}], SAMPLERS: {}, (*SETUP, "NUM_CONFIGS"): 0},
         ["SETUP.CONFIGS", "nothing in it differs from SETUP.BASE_CFG"]),
    ],
)  # fmt: skip
def test_mistakes_are_named_and_nothing_is_written(plan, tmp_path, changes, parts):
    with pytest.raises(ConfigError) as caught:
        plan(RATES, changes)
    for part in parts:
        assert part in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


def test_a_sweep_is_set_up_once_and_replaced_on_request_only(plan, tmp_path):
    made = plan(RATES)
    folder = made.folder.path
    assert write_sweep(made, lambda path: path.with_suffix(".svg").write_text("x"))
    before = contents(folder)
    assert {p.parts[0] for p in before} == {
        "sweep_cfg.yaml", "cfgs_summary.yaml", "cfgs", "logs", "setup.svg", ".lock",
    }  # fmt: skip
    assert not write_sweep(plan(RATES))
    other = plan(RATES, {(*SETUP, "NUM_CONFIGS"): 4})
    with pytest.raises(ConfigError, match="other settings; choose another NAME, or add --replace"):
        write_sweep(other)
    assert contents(folder) == before
    assert write_sweep(other, may_replace=True)
    assert other.folder.runs() == [0, 1, 2, 3]
    assert [path.name for path in folder.parent.iterdir()] == ["rates"]


def test_a_launched_sweep_is_left_alone(plan):
    made = plan(RATES)
    write_sweep(made)
    made.folder.out_dir(3).mkdir()
    assert not write_sweep(made)  # an empty folder is no run
    (made.folder.out_dir(3) / "stdout.log").write_text("x")
    before = contents(made.folder.path)
    for other in (made, plan(RATES, {(*SETUP, "NUM_CONFIGS"): 4})):
        with pytest.raises(ConfigError, match=r"has been launched.*add --replace"):
            write_sweep(other)
    record = made.folder.out_dir(3) / "run.json"
    record.write_text('{"status": "done"}')
    for other in (made, plan(RATES, {(*SETUP, "NUM_CONFIGS"): 4})):
        with pytest.raises(ConfigError, match=r"has been launched.*000003 has been trained"):
            write_sweep(other, may_replace=True)
    record.unlink()
    assert contents(made.folder.path) == before


@pytest.mark.parametrize("name", ["checkpoints/model_epoch_0001.pyth", "stdout.log"])
def test_a_run_that_has_finished_an_epoch_is_never_replaced(plan, name):
    made = plan(RATES)
    write_sweep(made)
    path = made.folder.out_dir(1) / name
    path.parent.mkdir(parents=True)
    path.write_text('[x.py: 1]: json_stats: {"_type": "test_epoch", "epoch": "1/2"}\n')
    with pytest.raises(ConfigError, match=r"000001 has been trained"):
        write_sweep(made, may_replace=True)


def test_a_launched_sweep_of_which_nothing_came_can_be_replaced(plan):
    made = plan(RATES)
    write_sweep(made)
    folder = made.folder
    for run in folder.runs():
        folder.out_dir(run).mkdir()
        (folder.out_dir(run) / "run.json").write_text('{"status": "failed", "reason": "no data"}')
        (folder.out_dir(run) / "stderr.log").write_text("error: no data")
    for name in ("launch.json", "results.csv", ".collect.cache"):
        (folder.path / name).write_text("")
    (folder.path / "launch").mkdir()
    assert write_sweep(made, may_replace=True)
    assert folder.launched() == []
    assert not (folder.path / "launch").exists()
    assert len(folder.runs()) == 6


def test_folders_that_are_something_else(plan, tmp_path):
    made = plan(RATES)
    folder = made.folder.path
    write_sweep(made)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes.txt"):
        write_sweep(plan(RATES, {(*SETUP, "NUM_CONFIGS"): 4}), may_replace=True)
    with pytest.raises(ConfigError, match=r"holds rates"):
        write_sweep(plan(RATES, {("NAME",): "group"}), may_replace=True)
    with pytest.raises(ConfigError, match="is a sweep itself"):
        write_sweep(plan(RATES, {("NAME",): "group/rates/more"}))
    (tmp_path / "root" / "file").write_text("")
    for name in ("file", "file/x"):
        with pytest.raises(ConfigError, match="is a file"):
            write_sweep(plan(RATES, {("NAME",): name}))


def test_two_at_a_time_and_what_a_killed_one_left(plan):
    made = plan(RATES)
    partial = made.folder.path.with_name(".rates.partial")
    (partial / "cfgs").mkdir(parents=True)
    (partial / "cfgs" / "000000.yaml").write_text("half")
    with (
        exclusive_lock(partial / ".lock", "x"),
        pytest.raises(PyclsError, match="another process is setting up"),
    ):
        write_sweep(made)
    assert not made.folder.path.exists()
    write_sweep(made)
    assert made.folder.runs() == list(range(6))
    assert not partial.exists()


def test_a_failing_figure_leaves_nothing(plan):
    made = plan(RATES)

    def fail(path):
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        write_sweep(made, fail)
    assert list(made.folder.path.parent.iterdir()) == []


def test_a_sweep_without_a_network_type_says_so(plan):
    with pytest.raises(ConfigError, match=r"SETUP.BASE_CFG.*MODEL.TYPE is ''"):
        plan(RATES, {(*BASE, "MODEL"): {}})
