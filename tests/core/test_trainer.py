"""One run: it learns, is a function of its configuration, and goes on where it stopped."""

import itertools
import json
import math
import os
import time
from pathlib import Path

import pytest
import torch
from run_checkpoints import last_checkpoint
from run_logs import parse_log

from pycls.core.config.load import cfg_hash
from pycls.core.runs import paths as checkpoint_paths
from pycls.core.runs.lease import run_lease
from pycls.core.runs.record import go_on, read_record, write_record
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint
from pycls.errors import CheckpointError, ConfigError, DataError, LeaseHeldError, RunError
from pycls.pulse import beats


def weights(cfg, epoch=None):
    path = last_checkpoint(cfg.OUT_DIR)
    if epoch is not None:
        path = checkpoint_paths.checkpoint_path(cfg.OUT_DIR, epoch - 1)
    return checkpoint.load_checkpoint(path)


def assert_same_bits(a, b):
    assert a["epoch"] == b["epoch"]
    assert a["min_errors"] == b["min_errors"]
    for key, value in a["model_state"].items():
        assert torch.equal(value, b["model_state"][key]), key
    momenta = [s["optimizer_state"]["state"] for s in (a, b)]
    for i, entry in momenta[0].items():
        assert torch.equal(entry["momentum_buffer"], momenta[1][i]["momentum_buffer"])


def records(cfg, kind):
    with Path(cfg.OUT_DIR, "stdout.log").open() as file:
        parsed = [json.loads(line.split("json_stats: ")[1]) for line in file if kind in line]
    return [record for record in parsed if record["_type"] == kind]


def test_learns_and_writes_what_it_says(digits_cfg):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 10, "LOG_PERIOD", 2)
    before = beats()
    record = train_model(cfg)
    # Each batch is a sign of life, those of training as well as those of the tests.
    train, test = 1078 // cfg.TRAIN.BATCH_SIZE, -(-719 // cfg.TEST.BATCH_SIZE)
    assert beats() - before == 10 * (train + test)
    result = record["result"]
    assert record["status"] == "done"
    assert result["final_top1_err"] < 30
    assert records(cfg, "test_epoch")[0]["top1_err"] > 50
    assert result["min_top1_err"] <= result["final_top1_err"]
    assert result["final_topk_err"] <= result["final_top1_err"]
    assert result["topk"] == 5
    on_disk = read_record(cfg.OUT_DIR)
    assert on_disk["result"] == result
    assert "PATH" not in json.dumps(on_disk)
    last = records(cfg, "test_epoch")[-1]
    assert last["epoch"] == "10/10"
    assert last["top1_err"] == pytest.approx(result["final_top1_err"], abs=1e-4)
    assert sorted(records(cfg, "train_iter")[0]) == sorted(
        ["_type", "epoch", "eta", "iter", "loss", "lr", "mem", "time_avg", "time_diff",
         "top1_err", "top5_err"]
    )  # fmt: skip
    assert sorted(last) == sorted(
        ["_type", "epoch", "mem", "min_top1_err", "min_top5_err", "time_avg", "time_epoch",
         "top1_err", "top5_err"]
    )  # fmt: skip
    assert set(records(cfg, "complexity")[0]) == {"_type", "acts", "flops", "params"}
    assert records(cfg, "cfg")[0]["OPTIM"]["WEIGHT_DECAY"] == 5e-5


def test_a_schedule_cut_at_rungs_ends_in_the_same_bits(digits_cfg, tmp_path):
    parts = {name: ["OUT_DIR", str(tmp_path / name), "OPTIM.MAX_EPOCH", 3] for name in ("a", "b")}
    whole = digits_cfg(*parts["a"], "CHECKPOINT.KEEP", "last", "TRAIN.FULL_ERRORS", True)
    train_model(whole)
    result = read_record(whole.OUT_DIR)["result"]
    for stop in (1, 1, 2, 0):
        cut = digits_cfg(
            *parts["b"],
            "CHECKPOINT.KEEP",
            "last",
            "TRAIN.FULL_ERRORS",
            True,
            "OPTIM.STOP_EPOCH",
            stop,
        )
        record = train_model(cut)
        assert record["status"] == "done"
        assert record.get("stopped_after") == (stop or None)
        go_on(cut.OUT_DIR, stop)
        assert read_record(cut.OUT_DIR)["status"] == "done"
        go_on(cut.OUT_DIR, 3)
        assert read_record(cut.OUT_DIR)["status"] == ("interrupted" if stop else "done")
    assert record["result"] == result
    assert cfg_hash(cut) == cfg_hash(whole)
    assert_same_bits(weights(whole), weights(cut))
    epochs = [entry["epoch"] for entry in records(cut, "test_epoch")]
    assert epochs == ["1/3", "2/3", "3/3"]  # none is trained twice


def test_same_configuration_same_bits_other_seed_others(digits_cfg, tmp_path):
    runs = [
        digits_cfg("OUT_DIR", str(tmp_path / name), "RNG_SEED", seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    torch.manual_seed(0)
    for cfg in runs:
        train_model(cfg)
    assert_same_bits(weights(runs[0]), weights(runs[1]))
    with pytest.raises(AssertionError):
        assert_same_bits(weights(runs[0]), weights(runs[2]))


@pytest.mark.parametrize("precise", [False, True])
def test_stopped_after_an_epoch_it_ends_in_the_same_bits(digits_cfg, tmp_path, precise):
    options = ["BN.USE_PRECISE_STATS", precise, "BN.NUM_SAMPLES_PRECISE", 300]
    whole = digits_cfg("OUT_DIR", str(tmp_path / "whole"), *options)
    train_model(whole)
    parts = digits_cfg("OUT_DIR", str(tmp_path / "parts"), *options)
    train_model(parts)
    for epoch in (2, 3):
        checkpoint_paths.checkpoint_path(parts.OUT_DIR, epoch - 1).unlink()
    train_model(parts)
    assert_same_bits(weights(whole), weights(parts))
    log = parse_log(tmp_path / "parts" / "stdout.log")
    assert sorted(log.test) == [1, 2, 3]


@pytest.mark.parametrize("keep", ["all", "last", "none"])
def test_finished_run_is_not_trained_again(digits_cfg, keep):
    cfg = digits_cfg("CHECKPOINT.KEEP", keep)
    first = train_model(cfg)
    before = folder_content(cfg)
    assert train_model(cfg) == first
    assert folder_content(cfg) == before


def test_testing_the_weights_gives_the_error_of_training(digits_cfg):
    cfg = digits_cfg()
    result = train_model(cfg)["result"]
    path = str(last_checkpoint(cfg.OUT_DIR))
    errors = measure_errors(digits_cfg("TEST.WEIGHTS", path))
    assert errors["top1_err"] == pytest.approx(result["final_top1_err"])
    assert errors["top5_err"] == pytest.approx(result["final_topk_err"])


def test_class_subset_with_two_classes(digits_cfg):
    cfg = digits_cfg(
        "MODEL.NUM_CLASSES", 2, "DATA.CLASSES", ["1", "7"], "TRAIN.BATCH_SIZE", 32,
        "OPTIM.MAX_EPOCH", 10,
    )  # fmt: skip
    result = train_model(cfg)["result"]
    assert result["topk"] == 2
    assert result["final_topk_err"] == 0
    assert result["final_top1_err"] < 20


def test_the_process_is_left_as_it_was(digits_cfg):
    threads = torch.get_num_threads()
    train_model(digits_cfg("NUM_THREADS", threads + 1, "OPTIM.MAX_EPOCH", 1))
    assert torch.get_num_threads() == threads
    assert torch.tensor([5e-324], dtype=torch.float64).mul(1.0).item() > 0


def test_a_clock_that_is_set_back_costs_no_negative_seconds(digits_cfg, monkeypatch):
    set_back = itertools.count(2_000_000_000, -1000)
    monkeypatch.setattr(time, "time", lambda: float(next(set_back)))
    record = train_model(digits_cfg("OPTIM.MAX_EPOCH", 1))
    spent = [v for epoch in record["epochs"] for v in epoch.values() if isinstance(v, float)]
    assert spent
    assert min(record["seconds"], *spent) >= 0


def test_divergence_is_said_and_recorded(digits_cfg):
    cfg = digits_cfg("OPTIM.BASE_LR", 1e20)
    with pytest.raises(RunError, match="diverged"):
        train_model(cfg)
    record = read_record(cfg.OUT_DIR)
    assert record["status"] == "failed"
    assert "diverged" in record["reason"]
    assert math.isnan(records(cfg, "train_epoch")[-1]["loss"])


def folder_content(cfg):
    paths = (path for path in Path(cfg.OUT_DIR).rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths if not path.name.startswith(".lease.")}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["OPTIM.BASE_LR", 0.2], r"OPTIM\.BASE_LR 0\.1, now it is 0\.2"),
        (["OPTIM.MAX_EPOCH", 2], r"OPTIM\.MAX_EPOCH 3, now it is 2"),
        (["TRAIN.AUTO_RESUME", False], "AUTO_RESUME is False"),
    ],
)
def test_another_run_does_not_mix_into_a_folder(digits_cfg, overrides, message):
    cfg = digits_cfg()
    train_model(cfg)
    before = folder_content(cfg)
    with pytest.raises(ConfigError, match=message):
        train_model(digits_cfg(*overrides))
    assert folder_content(cfg) == before


def test_a_finished_run_can_get_more_epochs_an_unfinished_one_not(digits_cfg):
    cfg = digits_cfg()
    train_model(cfg)
    longer = digits_cfg("OPTIM.MAX_EPOCH", 5)
    assert train_model(longer)["status"] == "done"
    assert weights(longer)["epoch"] == 4
    checkpoint_paths.checkpoint_path(cfg.OUT_DIR, 4).unlink()
    with pytest.raises(ConfigError, match=r"OPTIM\.MAX_EPOCH 5, now it is 9"):
        train_model(digits_cfg("OPTIM.MAX_EPOCH", 9))


def test_training_starts_from_given_weights(digits_cfg, tmp_path):
    first = digits_cfg()
    train_model(first)
    path = str(last_checkpoint(first.OUT_DIR))
    second = digits_cfg("TRAIN.WEIGHTS", path, "OUT_DIR", str(tmp_path / "b"))
    train_model(second)
    assert records(second, "train_epoch")[0]["loss"] < records(first, "train_epoch")[0]["loss"]
    missing = digits_cfg("TRAIN.WEIGHTS", "nowhere.pyth", "OUT_DIR", str(tmp_path / "c"))
    with pytest.raises(CheckpointError, match=r"nowhere\.pyth"):
        train_model(missing)
    assert not (tmp_path / "c").exists()


def test_other_data_do_not_mix_into_a_run(digits_cfg, tmp_path):
    from pycls.datasets.preparation.prepare import prepare

    train_model(digits_cfg("OPTIM.MAX_EPOCH", 1))
    prepare("digits", tmp_path / "other", seed=2)
    with pytest.raises(ConfigError, match="other images or another split"):
        train_model(digits_cfg("DATA.DIR", str(tmp_path / "other")))


def test_one_process_at_a_time_in_a_folder(digits_cfg, tmp_path):
    cfg = digits_cfg()
    (tmp_path / "run").mkdir()
    with (
        run_lease(tmp_path / "run"),
        pytest.raises(LeaseHeldError, match=f"training in {tmp_path}/run: process {os.getpid()}"),
    ):
        train_model(cfg)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lease.000001"]


def test_failures_of_earlier_starts_stay_in_the_record(digits_cfg):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 1)
    failures = [{"reason": "killed", "ended": "2026-01-02", "host": "node1", "job": "7_1"}]
    Path(cfg.OUT_DIR).mkdir()
    write_record(cfg.OUT_DIR, {"status": "failed", "reason": "killed", "failures": failures})
    assert train_model(cfg)["failures"] == failures
    assert read_record(cfg.OUT_DIR)["failures"] == failures
    assert "reason" not in read_record(cfg.OUT_DIR)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["MODEL.NUM_CLASSES", 9], r"NUM_CLASSES is 9.*has 10 classes; set MODEL.NUM_CLASSES 10"),
        (["TRAIN.DATASET", ""], "TRAIN.DATASET is empty"),
        (["FSDP.ENABLED", True], "FSDP.ENABLED is True"),
        (["TRAIN.CUDA_GRAPH", True], "TRAIN.CUDA_GRAPH is True, but the run is not on a GPU"),
        (["TRAIN.MIXED_PRECISION", True, "TRAIN.MIXED_DTYPE", "float16"], "use 'bfloat16'"),
        (["TRAIN.ACCUMULATE", 3], r"multiple of NUM_GPUS x TRAIN\.ACCUMULATE \(3\)"),
        (["TRAIN.BATCH_SIZE", 5000], "5000"),
        (["DATA.CLASSES", ["0", "x"], "MODEL.NUM_CLASSES", 2], "'x'"),
    ],
)
def test_impossible_runs_are_refused_before_anything_is_written(
    digits_cfg, tmp_path, overrides, message
):
    with pytest.raises(ConfigError, match=message):
        train_model(digits_cfg(*overrides))
    assert not (tmp_path / "run").exists()


def test_missing_data_is_named(digits_cfg, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        train_model(digits_cfg("DATA.DIR", str(tmp_path / "nowhere")))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_asking_for_a_gpu_that_is_not_there(digits_cfg):
    with pytest.raises(ConfigError, match="sees no GPU"):
        train_model(digits_cfg("DEVICE", "cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_learns_like_the_cpu(digits_cfg, tmp_path):
    results = [
        train_model(
            digits_cfg("DEVICE", device, "OUT_DIR", str(tmp_path / device), "OPTIM.MAX_EPOCH", 20)
        )["result"]["final_top1_err"]
        for device in ("cpu", "cuda")
    ]
    assert max(results) < 15


def test_the_halves_of_the_last_test_are_those_of_the_whole(digits_cfg):
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 2)
    record = train_model(cfg)
    (halves,) = records(cfg, "test_halves")
    assert halves["epoch"] == "2/2"
    errors = [halves["half_1_top1_err"], halves["half_2_top1_err"]]
    # Halves differ by one image at most, so that their mean is that of the whole.
    assert sum(errors) / 2 == pytest.approx(record["result"]["final_top1_err"], abs=0.2)
    assert errors[0] != errors[1]


def test_a_run_that_pycls_began_is_refused_with_the_reason(digits_cfg):
    """Its checkpoints hold no errors so far, and not which images they are of."""
    cfg = digits_cfg("OPTIM.MAX_EPOCH", 2)
    train_model(cfg)
    path = checkpoint_paths.checkpoint_path(cfg.OUT_DIR, 1)
    ours = checkpoint.load_checkpoint(path)
    kept = ("epoch", "test_err", "model_state", "optimizer_state", "scaler_state", "cfg")
    theirs = {name: ours[name] for name in kept}
    for old in path.parent.iterdir():
        old.unlink()
    Path(cfg.OUT_DIR, "run.json").unlink()
    torch.save({**theirs, "epoch": 0}, checkpoint_paths.checkpoint_path(cfg.OUT_DIR, 0))
    before = {p: p.read_bytes() for p in Path(cfg.OUT_DIR).rglob("*.pyth")}
    with pytest.raises(ConfigError, match=r"was written by pycls.*finish it with pycls, or start"):
        train_model(cfg)
    assert {p: p.read_bytes() for p in Path(cfg.OUT_DIR).rglob("*.pyth")} == before
