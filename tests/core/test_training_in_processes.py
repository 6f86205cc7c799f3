"""One training in two processes: the errors of one, each test image once, no process left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import children_of, is_alive, wait_until

from pycls.core import checkpoint, checkpoint_paths
from pycls.core.config import dump_cfg
from pycls.core.run_record import read_record
from pycls.core.trainer import train_model
from pycls.core.training_launch import train
from pycls.datasets import open_dataset
from pycls.errors import ConfigError, RunError

ROOT = Path(__file__).parents[2]
VIT = (
    "MODEL.TYPE", "vit", "VIT.PATCH_SIZE", 2, "VIT.NUM_LAYERS", 2, "VIT.NUM_HEADS", 2,
    "VIT.HIDDEN_DIM", 32, "VIT.MLP_DIM", 64, "OPTIM.MAX_EPOCH", 3, "OPTIM.EMA_UPDATE_PERIOD", 2,
)  # fmt: skip
# Batch norm sees the halves of a batch, in two parts here, in two processes there.
ANYNET = ("OPTIM.MAX_EPOCH", 3, "BN.USE_PRECISE_STATS", True, "TRAIN.MIXUP_ALPHA", 0.2)


def last_state(cfg):
    return checkpoint.load_checkpoint(checkpoint_paths.last_checkpoint(cfg.OUT_DIR))


def logged(cfg, kind):
    lines = (Path(cfg.OUT_DIR) / "stdout.log").read_text().splitlines()
    parsed = [json.loads(line.split("json_stats: ")[1]) for line in lines if "json_stats" in line]
    return [record for record in parsed if record["_type"] == kind]


@pytest.mark.parametrize(
    ("network", "alone"), [(VIT, ()), (ANYNET, ("TRAIN.ACCUMULATE", 2))], ids=["vit", "anynet"]
)
def test_two_processes_end_with_the_errors_of_one(digits_cfg, digits_dir, tmp_path, network, alone):
    common = [*network, "TEST.BATCH_SIZE", 100]
    one = digits_cfg(*common, *alone, "OUT_DIR", str(tmp_path / "one"))
    two = digits_cfg(*common, "NUM_GPUS", 2, "OUT_DIR", str(tmp_path / "two"))
    train(one)
    record = train(two)
    assert record["processes"] == 2
    a, b = last_state(one), last_state(two)
    for name, value in a["model_state"].items():
        if not value.is_floating_point():
            continue  # counters of batches: there are twice as many halves
        scale = value.abs().max().clamp(min=1e-3)
        assert (value - b["model_state"][name]).abs().max() <= 2e-3 * scale, name
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
    assert read_record(two.OUT_DIR)["status"] == "done"
    assert train(two)["result"] == read_record(two.OUT_DIR)["result"]  # not trained again


def start_tool(cfg, tmp_path, *words):
    (tmp_path / "cfg.yaml").write_text(dump_cfg(cfg))
    command = [sys.executable, str(ROOT / "tools/train_net.py"), "--cfg", "cfg.yaml", *words]
    return subprocess.Popen(
        command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_killed_process_takes_the_others_down_and_the_run_goes_on(digits_cfg, tmp_path):
    cfg = digits_cfg("NUM_GPUS", 2, "OPTIM.MAX_EPOCH", 300, "CHECKPOINT.KEEP", "last")
    process = start_tool(cfg, tmp_path)
    wait_until(lambda: checkpoint_paths.last_checkpoint(cfg.OUT_DIR) is not None)
    children = children_of(process.pid)
    assert len(children) == 2
    os.kill(children[1], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("error:") == 1
    assert "was killed by SIGKILL" in errors
    assert "Traceback" not in errors
    assert not any(map(is_alive, children))
    assert read_record(cfg.OUT_DIR)["status"] == "failed"


def test_signal_stops_all_processes_with_their_state_saved(digits_cfg, tmp_path):
    common = [*ANYNET, "OPTIM.MAX_EPOCH", 8, "NUM_GPUS", 2]
    whole = digits_cfg(*common, "OUT_DIR", str(tmp_path / "whole"))
    train(whole)
    cfg = digits_cfg(*common, "OUT_DIR", str(tmp_path / "stopped"))
    process = start_tool(cfg, tmp_path)
    wait_until(lambda: checkpoint_paths.last_checkpoint(cfg.OUT_DIR) is not None)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert read_record(cfg.OUT_DIR)["status"] == "interrupted"
    train(cfg)
    a, b = last_state(whole), last_state(cfg)
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
