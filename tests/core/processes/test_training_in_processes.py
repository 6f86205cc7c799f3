"""One training in two processes: the errors of one, each test image once, no process left."""

import json
import os
import signal
import subprocess
from pathlib import Path

import forked_tools
import pytest
import torch
import training_jobs
from processes import HANG_S, children_of, is_alive, wait_until
from run_checkpoints import last_checkpoint

from pycls.bits import unpack_bits
from pycls.core.config.load import dump_cfg
from pycls.core.processes.launch_local import launch
from pycls.core.runs.record import read_record
from pycls.core.trainer import train_model
from pycls.core.training_launch import train
from pycls.core.weights import checkpoint
from pycls.datasets.opening.dataset import open_dataset
from pycls.errors import ConfigError, RunError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_python")]

ROOT = Path(__file__).parents[3]
VIT = (
    "MODEL.TYPE", "vit", "VIT.PATCH_SIZE", 2, "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 2,
    "VIT.HIDDEN_DIM", 32, "VIT.MLP_DIM", 64, "OPTIM.EMA_UPDATE_PERIOD", 2, "TEST.BATCH_SIZE", 100,
    "TRAIN.CLASS_WEIGHTS", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
)  # fmt: skip
ANYNET = (
    "BN.USE_PRECISE_STATS", True, "TRAIN.MIXUP_ALPHA", 0.2, "TEST.BATCH_SIZE", 100,
    "TRAIN.CLASS_WEIGHTS", "balanced", "TEST.BALANCED_ERROR", True, "TEST.ANSWERS", True,
)  # fmt: skip


def last_state(cfg):
    return checkpoint.load_checkpoint(last_checkpoint(cfg.OUT_DIR))


def logged(cfg, kind):
    lines = (Path(cfg.OUT_DIR) / "stdout.log").read_text().splitlines()
    parsed = [json.loads(line.split("json_stats: ")[1]) for line in lines if "json_stats" in line]
    return [record for record in parsed if record["_type"] == kind]


@pytest.fixture(scope="module")
def finished():
    return {}


@pytest.fixture
def in_two(finished, digits_cfg, tmp_path_factory, forked_python):
    """Return configurations by network, and records: runs in two processes, the last one twice."""
    if not finished:
        runs = {}
        for network in (VIT, ANYNET):
            where = ("NUM_GPUS", 2, "OUT_DIR", str(tmp_path_factory.mktemp("two")))
            runs[network] = digits_cfg(*network, *where)
        texts = [dump_cfg(runs[network]) for network in (VIT, ANYNET, ANYNET)]
        runs["records"] = launch(training_jobs.train_each, [texts], 2)
        finished.update(runs)
    return finished


@pytest.mark.parametrize(
    ("network", "alone", "tolerance"),
    [
        (VIT, (), {"statistics": 2e-3, "parameters": 2e-3}),
        # Batch norm sees the halves of a batch, in two parts here, in two processes there: the
        # halves' gradients add up to the same bits.
        (ANYNET, ("TRAIN.ACCUMULATE", 2), {"statistics": 1e-5, "parameters": 0.0}),
    ],
    ids=["vit", "anynet"],
)
def test_two_processes_end_with_the_errors_of_one(
    digits_cfg, digits_dir, tmp_path, in_two, network, alone, tolerance
):
    one = digits_cfg(*network, *alone, "OUT_DIR", str(tmp_path / "one"))
    train(one)
    two = in_two[network]
    a, b = last_state(one), last_state(two)
    for name, value in a["model_state"].items():
        if not value.is_floating_point():
            continue  # counters of batches: there are twice as many halves
        scale = value.abs().max().clamp(min=1e-3)
        limit = tolerance["statistics" if "running_" in name else "parameters"]
        assert (value - b["model_state"][name]).abs().max() <= limit * scale, name
    images = len(open_dataset("digits", "test", digits_dir))
    assert images % 2  # the processes' shares are not equal
    for kind in ("train_epoch", "test_epoch"):
        for x, y in zip(logged(one, kind), logged(two, kind), strict=True):
            # Within rounding: at most two images of the test side fall otherwise.
            assert x["top1_err"] == pytest.approx(y["top1_err"], abs=2 * 100 / images + 1e-4)
    # A whole number of images was counted, every one of them once.
    for record in logged(two, "test_epoch"):
        wrong = record["top1_err"] * images / 100
        assert wrong == pytest.approx(round(wrong), abs=1e-3)
    record = read_record(two.OUT_DIR)
    assert record["status"] == "done"
    if network is ANYNET:
        found, alike = (read_record(cfg.OUT_DIR)["answers"] for cfg in (two, one))
        sides = [unpack_bits(each["top1"], images) for each in (found, alike)]
        assert 100 * sides[0].mean() == pytest.approx(record["result"]["final_top1_err"])
        assert (sides[0] != sides[1]).sum() <= 2


def test_finished_run_is_not_trained_again(in_two):
    _, first, again = in_two["records"]
    assert first["processes"] == 2
    assert first == again == read_record(in_two[ANYNET].OUT_DIR)


@pytest.fixture
def start_tool(tmp_path):
    """Return a function (cfg, *words of training_jobs) -> the process of tools/train_net.py."""
    started = []

    def start(cfg, *words):
        (tmp_path / "cfg.yaml").write_text(dump_cfg(cfg))
        tool = [str(ROOT / "tools/train_net.py"), "--cfg", "cfg.yaml"]
        process = subprocess.Popen(
            forked_tools.real_command(training_jobs.__file__, *words, *tool),
            cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_killed_process_takes_the_others_down_and_the_run_goes_on(digits_cfg, start_tool):
    cfg = digits_cfg(
        "NUM_GPUS",
        2,
        "OPTIM.MAX_EPOCH",
        300,
        "CHECKPOINT.KEEP",
        "last",
        "CHECKPOINT.PERIOD",
        0.0,
    )
    process = start_tool(cfg)
    wait_until(lambda: last_checkpoint(cfg.OUT_DIR) is not None)
    children = children_of(process.pid)
    assert len(children) == 2
    os.kill(children[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 1
    assert errors.count("error:") == 1
    assert "was killed by SIGKILL" in errors
    assert "Traceback" not in errors
    assert not any(map(is_alive, children))
    assert read_record(cfg.OUT_DIR)["status"] == "failed"


def test_signal_stops_all_processes_with_their_state_saved(
    digits_cfg, tmp_path, in_two, start_tool
):
    cfg = digits_cfg(*ANYNET, "NUM_GPUS", 2, "OUT_DIR", str(tmp_path / "stopped"))
    process = start_tool(cfg, "wait")
    wait_until((tmp_path / "in_step").exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 75, errors
    record = read_record(cfg.OUT_DIR)
    assert (record["status"], len(record["epochs"])) == ("interrupted", 2)
    train(cfg)
    a, b = last_state(in_two[ANYNET]), last_state(cfg)
    for name, value in a["model_state"].items():
        assert torch.equal(value, b["model_state"][name]), name


def test_number_of_processes_must_be_that_of_the_configuration(digits_cfg):
    with pytest.raises(ConfigError, match="NUM_GPUS is 2, and this is one of 1 processes"):
        train_model(digits_cfg("NUM_GPUS", 2))


def test_mistake_is_said_once(digits_cfg, tmp_path):
    with pytest.raises(ConfigError, match="NUM_CLASSES is 7"):
        train(digits_cfg("NUM_GPUS", 2, "MODEL.NUM_CLASSES", 7))
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match="diverged"):
        train(digits_cfg("NUM_GPUS", 2, "OPTIM.BASE_LR", 1e20))
    assert read_record(tmp_path / "run")["status"] == "failed"
