"""Situations that users of peers reported: no traceback, nothing passed over, the right word."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from weight_files import NET, safetensors

from pycls.core.cli import load_tool_cfg
from pycls.core.config.load import load_cfg
from pycls.core.inputs import check_classes
from pycls.core.runs.log import find_records
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.errors import CheckpointError, ConfigError
from pycls.models.builders import build_model
from pycls.slurm.options import read_options
from pycls.strict_yaml import dump_yaml, parse_yaml
from pycls.study.file import load_study_file
from pycls.sweep.file import load_sweep_cfg

ROOT = Path(__file__).resolve().parents[1]
KINDS = frozenset(("cfg", "test_epoch"))


@pytest.fixture(scope="module")
def network():
    return build_model(load_cfg(None, NET))


# ---------------------------------------------------------------- every tool, from its first line


def run_tool(*words, **options):
    command = [sys.executable, str(ROOT / "tools" / words[0]), *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_closed_and_narrow_output(tmp_path):
    closed = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' '{ROOT}/tools/analyze.py' --version >&- <&-"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (closed.returncode, closed.stderr) == (0, "")
    (tmp_path / "甲.yaml").write_text("{")
    narrow = run_tool(
        "train_net.py", "--cfg", "甲.yaml", cwd=tmp_path, env={"PYTHONIOENCODING": "latin-1"}
    )
    assert narrow.returncode == 2
    assert "Traceback" not in narrow.stderr
    assert "not valid YAML" in narrow.stderr


def test_ctrl_c_while_modules_are_imported(tmp_path):
    # Sent by the process itself as the first heavy module is looked for, whatever the load.
    (tmp_path / "yacs.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = run_tool("train_net.py", "--help", env={"PYTHONPATH": str(tmp_path)})
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


# ---------------------------------------------------------------- configurations


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["RNG_SEED", "18446744073709551616"], "RNG_SEED is 18446744073709551616; expected at "
            "most 18446744073709551615"),
        (["OPTIM.MAX_EPOCH", "9" * 30], "OPTIM.MAX_EPOCH is 9{30}; expected at most"),
        (["OPTIM.BASE_LR", "1" + "0" * 400], "OPTIM.BASE_LR is a number of 1329 bits"),
        (["RNG_SEED", "1:30"], "RNG_SEED is the text '1:30'; expected a whole number"),
        (["optim.base_lr", "0.1"], r"did you mean OPTIM.BASE_LR\?"),
        (["DATA.CLASSES", "[yes, no]"], "put the word in quotes"),
        (["NUM_THREADS", "1099511627776"], "NUM_THREADS is 1099511627776; expected .* to 65536"),
        (["ANYNET.DEPTHS", "[1, 4611686018427387904]"], "DEPTHS is .*; expected at most 10,000"),
        (["OUT_DIR", "a\0b"], r"OUT_DIR is 'a\\x00b'; .* character 0"),
    ],
)  # fmt: skip
def test_values_and_keys_of_a_configuration(words, expected):
    with pytest.raises(ConfigError, match=expected):
        load_cfg(None, words)


def test_numbers_are_decimal_and_homes_are_homes(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    cfg = load_cfg(None, ["RNG_SEED", "010", "OUT_DIR", "~/runs/x", "TRAIN.DATASET", "~/birds"])
    assert (cfg.RNG_SEED, cfg.OUT_DIR, cfg.TRAIN.DATASET) == (
        10,
        "/home/me/runs/x",
        "/home/me/birds",
    )
    text = "a: 12:00:00\nb: 0x10\nc: 1_000\nd: -007\ne: .5\nf: 1:30.5\n"
    found = parse_yaml(text, "x")
    assert found == {"a": "12:00:00", "b": 16, "c": 1000, "d": -7, "e": 0.5, "f": "1:30.5"}
    assert parse_yaml(dump_yaml(found), "x") == found


def test_files_of_another_kind_are_called_by_it(tmp_path):
    sweep, study, net = (tmp_path / f"a {kind}.yaml" for kind in ("sweep", "study", "net"))
    sweep.write_text("NAME: t/one\nSETUP: {}\n")
    study.write_text("name: x\npopulation: {}\ndatasets: [a]\n")
    net.write_text("MODEL: {TYPE: anynet}\n")
    for reads, path, tool in (
        ((load_cfg, load_study_file), sweep, "sweep_setup.py --sweep-cfg"),
        ((load_cfg, load_sweep_cfg), study, "study.py run"),
        ((load_study_file, load_sweep_cfg), net, "train_net.py --cfg"),
    ):
        for read in reads:
            with pytest.raises(ConfigError, match=rf"{path}: is a .*tools/{tool} '{path}'"):
                read(path)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("TIME_LIMIT", "12:00:00", "in minutes; write 720"),
        ("TIME_LIMIT", "1-00:00:00", "in minutes; write 1440"),
        ("TIME_LIMIT", "a day", "in minutes"),
        ("TIME_LIMIT", "2h", "in minutes; write 120"),
        ("TIME_LIMIT", "90 min", "in minutes; write 90"),
        ("MEM_PER_GPU", "60G", "in gigabytes; write 60"),
        ("MEM_PER_GPU", "512 MB", "in gigabytes; write 0.5"),
    ],
)
def test_units_of_a_launch_are_named(key, value, hint):
    with pytest.raises(ConfigError, match=rf"{key} is '{value}'; expected .*{hint}$"):
        read_options({key: value}, lambda *keys: ".".join(map(str, keys)))


def test_numbers_that_would_take_for_ever_are_refused(tmp_path):
    (tmp_path / "study.yaml").write_text("name: x\npopulation: {space: {}, size: 1000000000000}\n")
    (tmp_path / "sweep.yaml").write_text("NAME: x\nSETUP: {NUM_CONFIGS: 1000000000000}\n")
    for read, name in ((load_study_file, "study.yaml"), (load_sweep_cfg, "sweep.yaml")):
        with pytest.raises(ConfigError, match=rf"{name}.* is 1.*10,?000,?000"):
            read(tmp_path / name)


def test_both_sides_are_of_the_same_classes():
    cfg = load_cfg(None, ["TRAIN.DATASET", "pets", "TEST.DATASET", "bugs"])
    check_classes(cfg, ("ant", "bee"), ("ant", "bee"))
    with pytest.raises(
        ConfigError, match=r"bugs has other classes than TRAIN.DATASET pets: class 2"
    ):
        check_classes(cfg, ("ant", "bee"), ("ant", "cat"))
    with pytest.raises(ConfigError, match="in another order"):
        check_classes(cfg, ("ant", "bee"), ("bee", "ant"))
    meant = load_cfg(None, ["TEST.CLASSES_BY_POSITION", True])
    check_classes(meant, ("n01440764", "n01443537"), ("0", "1"))


@pytest.mark.parametrize("words", [["OUT_DIR", ""], [], ["OUT_DIR", "/tmp"]])
def test_a_run_needs_a_folder_that_is_named(monkeypatch, tmp_path, words):
    (tmp_path / "net.yaml").write_text("RNG_SEED: 2\n")
    monkeypatch.setattr("sys.argv", ["train_net.py", "--cfg", str(tmp_path / "net.yaml"), *words])
    if words[1:] == ["/tmp"]:
        assert load_tool_cfg("train_net", "", makes_run=True).OUT_DIR == "/tmp"
        return
    with pytest.raises(ConfigError, match="OUT_DIR runs/NAME"):
        load_tool_cfg("train_net", "", makes_run=True)


# ---------------------------------------------------------------- logs


def test_a_record_ends_with_its_brace():
    first = b'[a.py: 1]: json_stats: {"_type": "test_epoch", "epoch": "1/2", "min_top1_err": 50.0}'
    second = first.replace(b"1/2", b"2/2")
    for between in (b"", b"\x1b[0m", b"  5%|# | 1/20", b"[b.py: 2]: json_st"):
        found = list(find_records(first + between + second + b" slurmstepd: x\n", KINDS))
        assert [record["epoch"] for _, record in found] == ["1/2", "2/2"]


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("form", ["compiled", "both", "uncounted", "headless", "safetensors"])
def test_forms_of_weights_that_are_read(tmp_path, network, form):
    own, path = network.state_dict(), tmp_path / "weights.pth"
    state = dict(own)
    if form in ("compiled", "both"):
        prefix = "_orig_mod." if form == "compiled" else "module._orig_mod."
        state = {f"{prefix}{name}": value for name, value in own.items()}
    elif form == "uncounted":
        state = {name: value for name, value in own.items() if "num_batches" not in name}
    elif form == "headless":
        state = {name: value for name, value in own.items() if not name.startswith("head.")}
    if form == "safetensors":
        path.write_bytes(safetensors(state))
    else:
        torch.save(state, path)
    weights = read_weights(path)
    target = build_model(load_cfg(None, NET))
    if form == "headless":
        with pytest.raises(CheckpointError, match=r"missing: head\.fc"):
            load_weights_into(target, weights)
        assert "The file has no head" in load_weights_into(target, weights, replace_head=True)[-1]
    else:
        load_weights_into(target, weights)
        assert all(value.equal(own[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"\x1f\x8b\x08\x00", "packed by gzip"),
        ({"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, "entries are 'state_dict', 'epoch'"),
        (torch.zeros(3), "holds one Tensor"),
        ([1, 2], "holds one list"),
        (None, "is a folder"),
        ("script", "TorchScript"),
    ],
)
def test_files_that_are_no_checkpoints_are_named(tmp_path, content, expected):
    path = tmp_path / "x.pth"
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=expected) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_weights_that_are_not_finite_are_refused(tmp_path, network):
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["head.fc.weight"][0, 0] = torch.nan
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"not finite: head.fc.weight holds 1 of 16"):
        load_weights_into(network, read_weights(tmp_path / "x.pth"))
