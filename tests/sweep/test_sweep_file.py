"""Sweep files: pycls's as they are, every mistake with its line."""

import argparse

import pytest
from sweep_files import NETS, OURS, PYCLS, RATES, write

from pycls.errors import ConfigError
from pycls.strict_yaml import dump_yaml
from pycls.sweep.file import add_overrides, add_sweep, load_named_sweep, load_sweep_cfg

SETUP = ("SETUP",)
CX = (*SETUP, "CONSTRAINTS", "CX")


@pytest.mark.parametrize("path", [*PYCLS, *OURS], ids=lambda p: f"{p.parts[-4]}-{p.stem}")
def test_pycls_files_are_read_as_they_are(path):
    sweep = load_sweep_cfg(path)
    assert sweep.folder.as_posix() == f"studies/{sweep.name}" == f"studies/cifar/{path.stem}"
    assert sweep.values["LAUNCH"]["PARTITION"] == "devlab"
    assert sweep.values["LAUNCH"]["MAX_RETRY"] == 3
    assert sweep.setup["NUM_SAMPLES"] == 1_000_000
    assert sweep.values["ANALYZE"]["PLOT_METRIC_TRENDS"] is True
    assert sweep.values["ANALYZE"]["PRE_FILTERS"]["done"][2] == 1


def test_our_files_set_up_the_same_as_pycls():
    assert len(PYCLS) == len(OURS) == 3
    for theirs, ours in zip(PYCLS, OURS, strict=True):
        values = [dict(load_sweep_cfg(path).values) for path in (theirs, ours)]
        assert values[0].pop("DESC") != values[1].pop("DESC")
        assert values[0] == values[1]


def named(*words):
    parser = argparse.ArgumentParser()
    add_sweep(parser)
    add_overrides(parser, "")
    return load_named_sweep(parser.parse_intermixed_args(list(map(str, words))))


def test_a_sweep_is_named_by_its_file_or_its_folder(tmp_path):
    folder = tmp_path / "moved" / "group" / "rates"
    folder.mkdir(parents=True)
    write(folder / "sweep_cfg.yaml", RATES)
    for words in (
        ("--folder", folder, "SETUP.NUM_CONFIGS", 8),
        ("SETUP.NUM_CONFIGS", 8, "--folder", folder),
        ("--sweep-cfg", folder / "sweep_cfg.yaml", "--root-dir", tmp_path / "moved",
         "SETUP.NUM_CONFIGS", 8),
    ):  # fmt: skip
        sweep = named(*words)
        assert (sweep.folder, sweep.setup["NUM_CONFIGS"]) == (folder, 8)
    with pytest.raises(ConfigError, match="no sweep is set up there"):
        named("--folder", tmp_path)
    with pytest.raises(ConfigError, match="takes no --root-dir"):
        named("--folder", folder, "--root-dir", tmp_path)
    folder.rename(tmp_path / "renamed")
    with pytest.raises(ConfigError, match="the sweep group/rates; it must end in that name"):
        named("--folder", tmp_path / "renamed")


def test_what_is_written_reads_back_the_same(tmp_path):
    sweep = load_sweep_cfg(write(tmp_path / "a.yaml", NETS))
    (tmp_path / "b.yaml").write_text(dump_yaml(sweep.values))
    assert load_sweep_cfg(tmp_path / "b.yaml").values == sweep.values


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({("NAMES",): "x"}, ["NAMES", "unknown key", "did you mean 'NAME'?"]),
        ({("NUM_CONFIGS",): 3}, ["unknown key 'NUM_CONFIGS'", "belongs into SETUP"]),
        ({(*SETUP, "NUM_CONFIG"): 3}, ["line ", "SETUP.NUM_CONFIG", "'NUM_CONFIGS'"]),
        ({(*SETUP, "NUM_CONFIGS"): "many"}, ["SETUP.NUM_CONFIGS is 'many'", "whole number"]),
        ({(*SETUP, "NUM_SAMPLES"): 1e6}, ["SETUP.NUM_SAMPLES", "write 1000000"]),
        ({(*SETUP, "NUM_CONFIGS"): 0}, ["NUM_CONFIGS is missing or 0"]),
        ({(*SETUP, "SAMPLERS"): {}}, ["nothing to draw", "SETUP.POPULATION"]),
        ({(*SETUP, "SAMPLERS"): [1]}, ["SETUP.SAMPLERS is [1]"]),
        ({(*SETUP, "BASE_CFG"): 3}, ["SETUP.BASE_CFG is 3", "keys and values"]),
        ({("SETUP",): 3}, ["SETUP is 3", "section", "BASE_CFG"]),
        ({("NAME",): ...}, ["NAME is missing", "NAME: my_sweep"]),
        ({("NAME",): "../x"}, ["line 1: NAME is '../x'", "cannot name a folder"]),
        ({("NAME",): "/x"}, ["NAME is '/x'"]),
        ({("NAME",): "a//b"}, ["NAME is 'a//b'"]),
        ({("NAME",): 3}, ["NAME is 3", "quotes"]),
        ({(*CX, "FLOPS"): [4e8, 3.6e8]}, ["FLOPS", "wrong way round", "[360000000.0, 4"]),
        ({(*CX, "PARAMS"): [1]}, ["PARAMS is [1]", "[lowest, highest]"]),
        ({(*CX, "ACTS"): [0, True]}, ["ACTS is [0, True]"]),
        ({(*SETUP, "CONSTRAINTS", "REGNET"): {"NUM_STAGES": [4, 2]}}, ["wrong way", "[2, 4]"]),
        ({(*SETUP, "CONSTRAINTS", "EXPRESSIONS"): "x > 1"}, ["EXPRESSIONS", "list of texts"]),
        ({(*SETUP, "CONFIGS"): [3]}, ["SETUP.CONFIGS is [3]", "list of YAML files"]),
        (
            {(*SETUP, "CONFIGS"): ["a.yaml"], (*SETUP, "POPULATION"): "p.csv"},
            ["SETUP.CONFIGS", "both list networks"],
        ),
        ({("LAUNCH",): {"MODE": "trane"}}, ["LAUNCH.MODE is 'trane'", "train, test, time"]),
        ({("LAUNCH",): {"PARALLEL_JOBS": 0}}, ["LAUNCH.PARALLEL_JOBS is 0", "1 or more"]),
        ({("COLLECT",): {"CHECKPOINTS_KEEP": "some"}}, ["'some'", "all, last, none"]),
        ({("ANALYZE",): {"PRE_FILTERS": {"done": [1]}}}, ["PRE_FILTERS", "three numbers"]),
        ({("ANALYZE",): {"SPLIT_FILTERS": {"a": {"done": 1}}}}, ["SPLIT_FILTERS", "a: expected"]),
        ({("ANALYZE",): {"PLOT_METRIC_VALUES": 1}}, ["PLOT_METRIC_VALUES is 1", "True or False"]),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_place_and_remedy(tmp_path, changes, parts):
    path = write(tmp_path / "sweep.yaml", NETS, changes)
    with pytest.raises(ConfigError) as caught:
        load_sweep_cfg(path)
    for part in [str(path), *parts]:
        assert part in str(caught.value)


def test_the_line_is_that_of_the_key(tmp_path):
    path = write(tmp_path / "sweep.yaml", NETS, {(*CX, "FLOPS"): [2, 1]})
    line = path.read_text().split("FLOPS")[0].count("\n") + 1
    with pytest.raises(ConfigError, match=rf"sweep.yaml, line {line}: SETUP.CONSTRAINTS.CX.FLOPS"):
        load_sweep_cfg(path)


def test_empty_sections_mean_their_defaults(tmp_path):
    path = write(tmp_path / "a.yaml", RATES, {("ANALYZE",): None, (*SETUP, "CONSTRAINTS"): None})
    sweep = load_sweep_cfg(path)
    assert sweep.setup["CONSTRAINTS"]["REGNET"]["NUM_STAGES"] == [4, 4]
    assert sweep.values["ANALYZE"]["METRICS"] == []


def test_keys_on_the_command_line(tmp_path):
    path = write(tmp_path / "a.yaml", RATES)
    words = ["NAME=other", "SETUP.NUM_CONFIGS", "3", "SETUP.BASE_CFG.OPTIM.MAX_EPOCH", "7"]
    words += ["SETUP.CONSTRAINTS.CX.FLOPS", "[1e6, 2e6]", "SETUP.BASE_CFG.TRAIN.DATASET", "digits"]
    sweep = load_sweep_cfg(path, words, tmp_path / "out")
    assert sweep.folder == tmp_path / "out" / "other"
    assert sweep.setup["NUM_CONFIGS"] == 3
    assert sweep.setup["BASE_CFG"]["OPTIM"] == {"MAX_EPOCH": 7}
    assert sweep.setup["BASE_CFG"]["TRAIN"] == {"IM_SIZE": 8, "DATASET": "digits"}
    assert sweep.setup["CONSTRAINTS"]["CX"]["FLOPS"] == [1e6, 2e6]
    assert sweep.where("SETUP", "NUM_CONFIGS") == "command line: SETUP.NUM_CONFIGS"
    assert sweep.where("SETUP", "SAMPLERS") == f"{path}, line 4: SETUP.SAMPLERS"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["NAME"], ["KEY VALUE pairs", "'NAME'"]),
        (["SETUP", "3"], ["SETUP is a section", "SETUP.NUM_CONFIGS"]),
        (["SETUP.NUM_CONFIG", "3"], ["command line: SETUP.NUM_CONFIG", "'NUM_CONFIGS'"]),
        (["SETUP.NUM_CONFIGS", "x"], ["command line: SETUP.NUM_CONFIGS is 'x'"]),
        (["SETUP.SAMPLERS.RNG_SEED.RANGE", "[1, 2]"], ["cannot be given alone", "SETUP.SAMPLERS"]),
        (["SETUP.BASE_CFG.RNG_SEED.X.Y", "1"], ["is not a section"]),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, words, parts):
    path = write(tmp_path / "a.yaml", RATES, {(*SETUP, "BASE_CFG", "RNG_SEED"): 1})
    with pytest.raises(ConfigError) as caught:
        load_sweep_cfg(path, words)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n", "x\n", "NAME: a\nNAME: b\n", "NAME: [\n"])
def test_files_that_are_no_sweeps(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        load_sweep_cfg(path)
