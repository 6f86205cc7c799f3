"""LAUNCH keys of sweep files, study files and command lines."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml
from sweep_files import PYCLS, RATES, write

from pycls.errors import ConfigError
from pycls.slurm.options import LAUNCH_KEYS, LaunchOptions, override, read_options
from pycls.study.file import load_study_file
from pycls.sweep.file import load_sweep_cfg
from pycls.sweep.keys import defaults

STUDY = {
    "name": "small",
    "population": {"space": {"type": "AnyNetX", "num_stages": 2}, "size": 2},
    "datasets": {"digits": {}, "textures": {}},
    "reference": "digits",
    "targets": ["textures"],
}


def of_sweep(path, words=()):
    sweep = load_sweep_cfg(path, words)
    return read_options(sweep.values["LAUNCH"], sweep.where)


def of_study(folder, changes, name="study.yaml"):
    path = folder / name
    path.write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
    return load_study_file(path)


def test_each_key_is_an_option_and_each_option_a_key():
    names = [field.name.upper() for field in fields(LaunchOptions) if field.name != "where"]
    assert names == list(defaults()["LAUNCH"])


def test_the_table_in_the_docs_has_each_key_with_its_default():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    table = text.split("## How runs are launched")[1].split("\n## ")[0]
    found = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            keys, default, _ = line.strip("|").split(" | ", 2)
            found |= dict.fromkeys(re.findall("`([A-Z_]+)`", keys), default.strip(" `"))
    assert list(found) == list(LAUNCH_KEYS)
    for key, default in found.items():
        assert yaml.safe_load(default) == LAUNCH_KEYS[key].default, key


def test_the_defaults_name_no_cluster():
    options = LaunchOptions.from_dict({})
    assert (options.partition, options.gpu_type, options.account, options.qos) == ("",) * 4
    assert (options.mode, options.num_gpus, options.parallel_jobs) == ("train", 1, 128)
    assert (options.max_retry, options.time_limit, options.cpus_per_gpu) == (3, 4200, 10)
    assert (options.mem_per_gpu, options.signal_before_s, options.follow_up) == (60, 120, True)


@pytest.mark.parametrize("path", PYCLS, ids=lambda path: path.stem)
def test_pycls_files_say_how_to_launch_them(path):
    given = yaml.safe_load(path.read_text())["LAUNCH"]
    options = of_sweep(path)
    assert {"PARTITION", "NUM_GPUS", "PARALLEL_JOBS", "TIME_LIMIT"} <= set(given)
    assert {key: options.to_dict()[key] for key in given} == given


def test_what_is_written_reads_back_the_same(tmp_path):
    launch = {"SETUP": ["module load cuda"], "SBATCH": {"nice": 5}, "MEM_PER_GPU": 0.5}
    options = of_sweep(write(tmp_path / "a.yaml", RATES, {("LAUNCH",): launch}))
    again = LaunchOptions.from_dict(json.loads(json.dumps(options.to_dict())))
    assert again == options
    assert again.sbatch == {"nice": 5}


def test_a_study_file_takes_the_same_keys(tmp_path):
    launch = {"PARTITION": "debug", "NUM_GPUS": 0, "RUNS_PER_JOB": 4}
    options = of_study(tmp_path, {"launch": launch}).launch
    assert (options.partition, options.num_gpus, options.runs_per_job) == ("debug", 0, 4)


def test_max_retry_of_a_study_stands_in_launch_or_beside_it(tmp_path):
    assert of_study(tmp_path, {}).launch.max_retry == 1
    assert of_study(tmp_path, {"max_retry": 5}).launch.max_retry == 5
    both = of_study(tmp_path, {"max_retry": 5, "launch": {"MAX_RETRY": 2}})
    assert both.launch.max_retry == 2


def test_a_study_takes_over_how_its_base_is_launched(tmp_path):
    of_study(tmp_path, {"launch": {"PARTITION": "long", "QOS": "low"}}, "base.yaml")
    changes = {"name": "more", "base": "base.yaml", "launch": {"QOS": "high"}}
    options = of_study(tmp_path, changes).launch
    assert (options.partition, options.qos) == ("long", "high")


def test_a_command_line_stands_above_the_file(tmp_path):
    options = of_study(tmp_path, {"launch": {"PARTITION": "long", "NUM_GPUS": 12}}).launch
    words = ["LAUNCH.NUM_GPUS", "0", "LAUNCH.SETUP", "[module load cuda]", "LAUNCH.COMMENT", "5"]
    changed = override(options, [*words, "LAUNCH.RUNS_PER_JOB", "5"])
    assert changed.partition == "long"
    assert (changed.num_gpus, changed.setup, changed.comment) == (0, ["module load cuda"], "5")
    assert changed.runs_per_job == 5
    assert options.num_gpus == 12


def test_keys_that_contradict_each_other_can_be_mended_on_the_command_line(tmp_path):
    spec = of_study(tmp_path, {"launch": {"NUM_GPUS": 12}})
    with pytest.raises(ConfigError, match=r"study.yaml, line \d+: launch.NUM_GPUS is 12; more"):
        override(spec.launch)
    with pytest.raises(ConfigError, match=r"command line: LAUNCH.NUM_GPUS is 20; more"):
        override(spec.launch, ["LAUNCH.NUM_GPUS", "20"])
    assert override(spec.launch, ["LAUNCH.NUM_GPUS", "16"]).nodes == 2


@pytest.mark.parametrize(
    ("gpus", "nodes", "gpus_of_node", "cpus", "memory"),
    [(0, 1, 0, 10, 60), (1, 1, 1, 10, 60), (4, 1, 4, 40, 240), (8, 1, 8, 80, 480),
     (16, 2, 8, 80, 480), (24, 3, 8, 80, 480)],
)  # fmt: skip
def test_what_a_job_has_on_a_node(gpus, nodes, gpus_of_node, cpus, memory):
    options = LaunchOptions.from_dict({"NUM_GPUS": gpus})
    assert (options.nodes, options.gpus_of_node) == (nodes, gpus_of_node)
    assert (options.cpus_of_node, options.mem_of_node) == (cpus, memory)


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 15), (4, 60), (8, 120), (4200, 120)])
def test_a_short_job_is_told_late_enough_to_have_trained(minutes, seconds):
    assert override(LaunchOptions.from_dict({"TIME_LIMIT": minutes})).signal_before_s == seconds


MISTAKES = [
    ({"PARTITON": "x"}, ["LAUNCH.PARTITON: unknown key", "did you mean 'PARTITION'?"]),
    ({"partition": "x"}, ["LAUNCH.partition: unknown key", "did you mean 'PARTITION'?"]),
    ({"NUM_GPUS": -1}, ["LAUNCH.NUM_GPUS is -1", "0 or more"]),
    ({"NUM_GPUS": 1.0}, ["LAUNCH.NUM_GPUS is 1.0", "write 1"]),
    ({"NUM_GPUS": 12}, ["LAUNCH.NUM_GPUS is 12", "GPUS_PER_NODE, 8", "multiple"]),
    ({"RUNS_PER_JOB": 0}, ["LAUNCH.RUNS_PER_JOB is 0", "1 or more", "or auto"]),
    ({"RUNS_PER_JOB": "many"}, ["LAUNCH.RUNS_PER_JOB is 'many'", "or auto"]),
    ({"RUNS_PER_JOB": 2, "NUM_GPUS": 16}, ["RUNS_PER_JOB is 2", "2 nodes", "1 or auto"]),
    ({"RUNS_PER_GPU": 2, "NUM_GPUS": 2}, ["RUNS_PER_GPU is 2", "2 GPUs of its own"]),
    ({"SIGNAL_BEFORE": 30, "TIME_LIMIT": 1}, ["SIGNAL_BEFORE is 30", "at most 29"]),
    ({"SIGNAL_BEFORE": 70000}, ["SIGNAL_BEFORE is 70000", "65535"]),
    ({"MEM_PER_GPU": -1}, ["MEM_PER_GPU is -1", "0 or more"]),
    ({"MEM_PER_GPU": float("nan")}, ["MEM_PER_GPU is nan", "0 or more"]),
    ({"MEM_PER_GPU": "60G"}, ["MEM_PER_GPU is '60G'", "a number"]),
    ({"PARTITION": "a\nb"}, ["PARTITION is 'a\\nb'", "one line"]),
    ({"COMMENT": 5}, ["COMMENT is 5", "quotes"]),
    ({"SETUP": "module load cuda"}, ["SETUP is 'module load cuda'", "list of shell commands"]),
    ({"SETUP": ["a\nb"]}, ["SETUP", "one line each"]),
    ({"SETUP": [" #SBATCH --nice"]}, ["SETUP", "LAUNCH.SBATCH"]),
    ({"FOLLOW_UP": 1}, ["FOLLOW_UP is 1", "True or False"]),
    ({"CONDA_ENV": "/e", "PYTHON": "python3"}, ["LAUNCH.PYTHON", "CONDA_ENV and PYTHON"]),
    ({"GRES": "gpu:a100:2"}, ["GRES is 'gpu:a100:2', 2 GPUs a node", "NUM_GPUS 1"]),
    ({"GRES": "gpu:2", "NUM_GPUS": 0}, ["GRES", "means 0 a node"]),
    ({"MODE": "submitit"}, ["MODE is 'submitit'", "train, test", "slurm, local"]),
    ({"SBATCH": ["x"]}, ["SBATCH", "options of sbatch by name"]),
    ({"SBATCH": {"partition": "x"}}, ["partition is not for SBATCH; give PARTITION"]),
    ({"SBATCH": {"part": "x"}}, ["part is not for SBATCH; give PARTITION"]),
    ({"SBATCH": {"--mem": "1G"}}, ["--mem is not for SBATCH", "MEM_PER_GPU"]),
    ({"SBATCH": {"Array": "1-3"}}, ["Array is not for SBATCH"]),
    ({"SBATCH": {"mail_type": "END"}}, ["'mail_type'", "write mail-type"]),
    ({"SBATCH": {"p": "x"}}, ["'p' is no long name"]),
    ({"SBATCH": {"exclusive": False}}, ["exclusive is False"]),
    ({"SBATCH": {"nodelist": ["a"]}}, ["nodelist is ['a']"]),
]


@pytest.mark.parametrize(("launch", "parts"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_in_a_sweep_file_are_named_with_place_and_remedy(tmp_path, launch, parts):
    path = write(tmp_path / "a.yaml", RATES, {("LAUNCH",): launch})
    with pytest.raises(ConfigError) as caught:
        of_sweep(path)
    for part in [f"{path}, line ", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "tool"),
    [("test", "test_net.py"), ("time", "time_net.py"), ("scale", "model_info.py --scale"),
     ("info", "model_info.py")],
)  # fmt: skip
def test_pycls_modes_that_train_nothing_are_read_but_not_launched(tmp_path, mode, tool):
    path = write(tmp_path / "a.yaml", RATES, {("LAUNCH",): {"MODE": mode}})
    assert load_sweep_cfg(path).values["LAUNCH"]["MODE"] == mode
    with pytest.raises(ConfigError) as caught:
        of_sweep(path)
    for part in ("line ", f"LAUNCH.MODE is '{mode}'", f"tools/{tool}", "train (on Slurm)"):
        assert part in str(caught.value)
    assert of_sweep(path, ["LAUNCH.MODE", "local"]).is_local


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["LAUNCH.PARTITION"], ["KEY VALUE pairs"]),
        (["LAUNCH.PARTITON", "x"], ["command line: LAUNCH.PARTITON", "'PARTITION'"]),
        (["PARTITION", "x"], ["command line: PARTITION", "belongs into LAUNCH"]),
        (["SETUP.NUM_CONFIGS", "3"], ["command line: SETUP.NUM_CONFIGS", "allowed here: LAUNCH"]),
        (["LAUNCH", "{}"], ["command line: LAUNCH is a section"]),
        (["LAUNCH.NUM_GPUS", "two"], ["command line: LAUNCH.NUM_GPUS is 'two'"]),
        (["LAUNCH.RUNS_PER_JOB", "0"], ["command line: LAUNCH.RUNS_PER_JOB is 0"]),
        (["LAUNCH.SBATCH", "{time: 5}"], ["command line: LAUNCH.SBATCH", "TIME_LIMIT"]),
    ],
)
def test_mistakes_on_the_command_line(words, parts):
    with pytest.raises(ConfigError) as caught:
        override(LaunchOptions.from_dict({}), words)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [("gpu", 1), ("gpu:a100", 1), ("gpu:2", 2), ("gpu:a100:4", 4), ("gpu:a100:2(S:0,1),nvme:5", 2),
     ("gpu:a:1,gpu:b:1", 2), ("shard:3", 1), ("nvme:2", 7)],
)  # fmt: skip
def test_the_gpus_of_a_gres_are_those_of_a_run(gres, gpus):
    options = replace(LaunchOptions.from_dict({}), gres=gres, num_gpus=gpus)
    assert override(options).gres == gres
