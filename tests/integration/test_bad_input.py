"""What a user's mistake or a broken machine looks like: one message, nothing half-written."""

import contextlib
import math
import os
import subprocess
from pathlib import Path

import pytest

from pycls.launch.snapshot import snapshot_code

ROOT = Path(__file__).resolve().parents[2]
CFG = ROOT / "configs" / "embedded" / "digits_anynet.yaml"
QUICK = ("OPTIM.MAX_EPOCH", "2", "DEVICE", "cpu")


def assert_one_message(process, *parts, code=None):
    assert process.returncode not in (0, -9) if code is None else process.returncode == code
    messages = process.stderr.splitlines()
    assert len([line for line in messages if line.startswith("error: ")]) == 1, process.stderr
    assert messages[-1].startswith("error: "), process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    for part in parts:
        assert part in messages[-1]


@pytest.fixture
def train(tool, digits_dir):
    """Return a function that trains the digits network with overrides."""

    def run(*overrides, **options):
        return tool(
            "train_net", "--cfg", CFG, "DATA.DIR", digits_dir, "OUT_DIR", "run", *QUICK, *overrides,
            **options,
        )  # fmt: skip

    return run


def test_misspelt_key(train, tmp_path):
    assert_one_message(train("OPTIM.BASELR", "0.1"), "OPTIM.BASELR", "OPTIM.BASE_LR", code=2)
    assert list(tmp_path.iterdir()) == []


def test_misspelt_key_in_a_file(tool, tmp_path):
    path = tmp_path / "net.yaml"
    path.write_text("OPTIM:\n  BASELR: 0.1\n")
    assert_one_message(
        tool("train_net", "--cfg", path), str(path), "OPTIM.BASELR", "OPTIM.BASE_LR", code=2
    )


def test_text_where_a_number_belongs(train, tmp_path):
    assert_one_message(train("OPTIM.BASE_LR", "fast"), "OPTIM.BASE_LR", "'fast'", "a number")
    assert list(tmp_path.iterdir()) == []


def test_study_with_mistakes_writes_nothing(tool, tiny_study, tiny_population, tmp_path):
    process = tool("study", "run", tiny_study(config={"OPTIM": {"MAX_EPOC": 1}}))
    assert_one_message(
        process, "tiny.yaml, line 24: config", "OPTIM.MAX_EPOC", "OPTIM.MAX_EPOCH", code=2
    )
    process = tool("study", "run", tiny_study(config={"OPTIM": {"MAX_EPOCH": "one"}}))
    assert_one_message(process, "tiny.yaml, line 24: config", "MAX_EPOCH", "'one'", code=2)
    process = tool("study", "run", tiny_study(tragets=["textures"]))
    assert_one_message(process, "tiny.yaml", "'tragets'", "'targets'", code=2)
    repeats = [{"dataset": "digits", "arch": "a0099", "seeds": [1, 2]}]
    process = tool("study", "run", tiny_study(repeats=repeats))
    assert_one_message(process, ": repeats", "'a0099'", "a0000 to a0003", code=2)
    population = {**tiny_population, "flops": [1, 2]}
    process = tool("study", "run", tiny_study(population=population))
    assert process.returncode == 2
    assert ": population.space: flops [1, 2]: no network of this space has so few" in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_missing_configuration_file(tool):
    assert_one_message(tool("train_net", "--cfg", "nowhere.yaml"), "nowhere.yaml: no such file")


def test_missing_data_folder(train, tmp_path):
    process = train("DATA.DIR", "nowhere")
    assert_one_message(process, "'digits' is not prepared", "nowhere", "prepare_data.py")
    assert list(tmp_path.iterdir()) == []


def test_study_with_a_data_set_that_is_not_there(tool, tiny_study, tmp_path):
    datasets = {"digits": {}, "concrete_cracks": {}}
    study = tiny_study(datasets=datasets, family=[], targets=["concrete_cracks"])
    process = tool("study", "run", study)
    where = "tiny.yaml, line 40: datasets.concrete_cracks"
    assert_one_message(process, where, "is known or prepared", "prepare folder", code=2)
    datasets["concrete_cracks"] = {"options": {"size": 8}}
    study = tiny_study(datasets=datasets, family=[], targets=["concrete_cracks"])
    assert_one_message(
        tool("study", "run", study), "concrete_cracks.options: options are for", code=2
    )
    assert not list(tmp_path.glob("studies/tiny/*/cfgs"))


def test_truncated_checkpoint(train, tool, digits_dir, tmp_path):
    assert train().returncode == 0
    path = tmp_path / "run" / "checkpoints" / "model_epoch_0002.pyth"
    good = path.read_bytes()
    path.write_bytes(good[:-100])
    before = (tmp_path / "run" / "checkpoints" / "model_epoch_0001.pyth").read_bytes()
    process = tool(
        "test_net", "--cfg", CFG, "DATA.DIR", digits_dir, "TEST.WEIGHTS", path, "DEVICE", "cpu"
    )
    assert_one_message(process, "model_epoch_0002.pyth")
    # Training goes on from the one before, and says so.
    again = train()
    assert again.returncode == 0
    assert "model_epoch_0002.pyth: the checkpoint is cut short" in again.stderr
    assert "Traceback" not in again.stderr
    assert (path.parent / "model_epoch_0001.pyth").read_bytes() == before
    assert len(path.read_bytes()) > len(good) // 2


def test_no_weights_to_test(tool, digits_dir):
    process = tool("test_net", "--cfg", CFG, "DATA.DIR", digits_dir)
    assert_one_message(process, "TEST.WEIGHTS is empty", code=2)


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """Mount a file system of a given size on a folder; skip where that is not allowed.

    Gives a function that makes it as large as is wished.
    """
    folder.mkdir()

    def mount(option):
        command = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    if os.geteuid() or not mount(f"size={kilobytes}k"):
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield lambda: mount("remount,size=1g")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def assert_nothing_half_written(folder):
    """Check that every file is whole: logs end in a newline, checkpoints open."""
    from pycls.core.weights.checkpoint import load_checkpoint

    assert not list(folder.rglob("*.partial"))
    for path in folder.rglob("*.pyth"):
        load_checkpoint(path)
    for path in folder.rglob("stdout.log"):
        assert path.read_bytes()[-1:] in (b"", b"\n")


@pytest.mark.parametrize("kilobytes", [4, 64, 300])
def test_full_disk_while_training(train, tmp_path, kilobytes):
    with small_disk(tmp_path / "run", kilobytes):
        process = train("OPTIM.MAX_EPOCH", "5")
        assert_one_message(process, "no space left", "run")
        assert_nothing_half_written(tmp_path / "run")


def test_full_disk_stops_a_study_once(tool, tiny_study, two_networks, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # it would take what room there is
    code = [path for path in snapshot_code(tmp_path / "code").rglob("*") if path.is_file()]
    code_kb = sum(4 * math.ceil(path.stat().st_size / 4096) for path in code)
    command = ["study", "run", tiny_study(**two_networks), "--no-report", "--out", "out"]
    # Beside the code that its runs are trained by, there is room for the beginning of one.
    with small_disk(tmp_path / "out", code_kb + 100) as enlarge:
        process = tool(*command)
        assert process.returncode == 1
        assert process.stderr.count("error: ") == 1
        assert "no space left" in process.stderr.splitlines()[-1]
        assert "trying again" not in process.stdout
        assert list((tmp_path / "out").glob("digits/logs/*/stdout.log"))
        assert_nothing_half_written(tmp_path / "out")
        assert enlarge()
        again = tool(*command)
        assert again.returncode == 0, again.stderr


def test_file_size_limit(train, tmp_path):
    process = train(prefix=("prlimit", "--fsize=20000"))
    assert_one_message(process, "file-size limit")
    assert_nothing_half_written(tmp_path / "run")


def test_a_file_where_a_folder_belongs(train, tmp_path):
    (tmp_path / "run").write_text("mine")
    assert_one_message(train(), "run", "a file where a folder is needed")
    assert_one_message(train("OUT_DIR", "run/below"), "run", "not a folder")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(train, tmp_path):
    (tmp_path / "run").mkdir(mode=0o500)
    assert_one_message(train(), "permission denied")
