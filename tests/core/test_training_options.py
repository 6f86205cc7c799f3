"""What a configuration can ask of a training, beyond the plain one."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from run_checkpoints import last_checkpoint

from pycls.bits import unpack_bits
from pycls.core.config import load_cfg
from pycls.core.optimizer import build_optimizer
from pycls.core.precision import Precision
from pycls.core.runs.record import read_record
from pycls.core.step import TrainStep
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint
from pycls.errors import ConfigError
from pycls.models.builders import build_model

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def records(cfg, kind):
    with Path(cfg.OUT_DIR, "stdout.log").open() as file:
        parsed = [json.loads(line.split("json_stats: ")[1]) for line in file if kind in line]
    return [record for record in parsed if record["_type"] == kind]


@pytest.mark.parametrize(
    "overrides",
    [
        ("OPTIM.OPTIMIZER", "adam", "OPTIM.BASE_LR", 0.01),
        ("OPTIM.OPTIMIZER", "adamw", "OPTIM.BASE_LR", 0.01, "OPTIM.WEIGHT_DECAY", 0.05),
        ("TRAIN.MIXED_PRECISION", True),
        ("OPTIM.CLIP_GRAD_NORM", 1.0),
        ("TRAIN.ACCUMULATE", 2, "BN.USE_PRECISE_STATS", True),
        ("TRAIN.LABEL_SMOOTHING", 0.1, "TRAIN.MIXUP_ALPHA", 0.1, "TRAIN.CUTMIX_ALPHA", 0.1),
        ("MEMORY_FORMAT", "contiguous"),
        ("TRAIN.AUGMENT", "RandAugment_N1_M0.1"),
        ("DATA.LIGHTING", True),
    ],
    ids=lambda overrides: overrides[0],
)
def test_it_learns(digits_cfg, overrides):
    result = train_model(digits_cfg("OPTIM.MAX_EPOCH", 5, *overrides))["result"]
    assert result["final_top1_err"] < 65  # 90 by guessing; 17 to 47 with several seeds


def network(*overrides):
    cfg = load_cfg(None, [
        "MODEL.TYPE", "anynet", "ANYNET.DEPTHS", [1, 1], "ANYNET.WIDTHS", [8, 16],
        "ANYNET.STRIDES", [1, 2], "ANYNET.SE_ON", True, "TRAIN.BATCH_SIZE", 8, *overrides,
    ])  # fmt: skip
    return cfg, build_model(cfg)


def train_a_step(cfg, model, images, labels, lr=0.1):
    optimizer = build_optimizer(model, cfg)
    step = TrainStep(model, optimizer, Precision(cfg, CPU), cfg, topk=5)
    return step(images, labels, lr, 0, 0), optimizer


def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, 3, 16, 16, generator=generator), torch.arange(8)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_one_step_equals_pytorchs_plain_optimizer(name):
    decays = ("BN.USE_CUSTOM_WEIGHT_DECAY", True, "OPTIM.BIAS_USE_CUSTOM_WEIGHT_DECAY", True)
    cfg, model = network("OPTIM.OPTIMIZER", name, "OPTIM.WEIGHT_DECAY", 0.1, *decays)
    _, reference = network("OPTIM.OPTIMIZER", name, "OPTIM.WEIGHT_DECAY", 0.1, *decays)
    # Adam divides by the size of a gradient: in float32 the last bits of one near zero, which
    # depend on the processor, would decide a step.
    model, reference = model.double(), reference.double()
    images, labels = batch()
    images = images.double()
    for _ in range(2):
        train_a_step(cfg, model, images, labels)
    norm_or_bias = [p for n, p in reference.named_parameters() if "bn" in n or "bias" in n]
    rest = [p for n, p in reference.named_parameters() if "bn" not in n and "bias" not in n]
    groups = [{"params": norm_or_bias, "weight_decay": 0.0}, {"params": rest}]
    plain = {"lr": 0.1, "weight_decay": 0.1, "foreach": False, "fused": False}
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    if name == "sgd":
        plain |= {"momentum": 0.9, "nesterov": True}
    for _ in range(2):  # a new optimizer for each, as above
        optimizer = kinds[name](groups, **plain)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(reference.train()(images), labels).backward()
        optimizer.step()
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-10)


def test_parts_of_a_batch_give_the_mean_of_their_gradients():
    cfg, model = network("TRAIN.ACCUMULATE", 2)
    _, reference = network()
    images, labels = batch()
    result, _ = train_a_step(cfg, model, images, labels, lr=0.0)
    losses = []
    for part in (slice(0, 4), slice(4, 8)):  # batch norm sees one part at a time
        loss = torch.nn.functional.cross_entropy(reference.train()(images[part]), labels[part])
        (loss / 2).backward()
        losses.append(loss.item())
    assert result.loss.item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, atol=1e-6)


def test_gradients_are_clipped_together():
    images, labels = batch()
    norms = []
    for limit in (0.0, 0.01):
        cfg, model = network("OPTIM.CLIP_GRAD_NORM", limit)
        train_a_step(cfg, model, images, labels, lr=0.0)
        norms.append(torch.stack([p.grad.norm() for p in model.parameters()]).norm().item())
    assert norms[0] > 0.02
    assert norms[1] == pytest.approx(0.01, rel=1e-3)


def test_average_is_tested_saved_and_reported(digits_cfg):
    cfg = digits_cfg(
        "OPTIM.EMA_UPDATE_PERIOD", 1, "OPTIM.EMA_ALPHA", 0.003, "OPTIM.MAX_EPOCH", 6,
        "OPTIM.WARMUP_EPOCHS", 1, "BN.USE_PRECISE_STATS", True, "LOG_PERIOD", 1,
    )  # fmt: skip
    result = train_model(cfg)["result"]
    tested, averaged = records(cfg, "test_epoch"), records(cfg, "test_ema_epoch")
    assert sorted(tested[0]) == sorted(averaged[0])
    assert sorted(records(cfg, "test_iter")[0]) == sorted(records(cfg, "test_ema_iter")[0])
    # During warm-up the average is a copy.
    assert averaged[0]["top1_err"] == tested[0]["top1_err"]
    assert averaged[-1]["top1_err"] == pytest.approx(result["final_ema_top1_err"], abs=1e-4)
    assert averaged[-1]["min_top1_err"] == pytest.approx(result["min_ema_top1_err"], abs=1e-4)
    state = checkpoint.load_checkpoint(last_checkpoint(cfg.OUT_DIR))
    assert state["ema_err"] == result["final_ema_top1_err"]
    # Not a copy any more. (Their errors may be equal by chance.)
    average, own = state["ema_state"], state["model_state"]
    assert any(not torch.equal(value, own[name]) for name, value in average.items())
    # Testing takes the better one, as pycls does.
    path = str(last_checkpoint(cfg.OUT_DIR))
    errors = measure_errors(digits_cfg("TEST.WEIGHTS", path))
    better = min(result["final_ema_top1_err"], result["final_top1_err"])
    assert errors["top1_err"] == pytest.approx(better)


def test_times_of_an_iteration_are_logged_and_change_nothing(digits_cfg, tmp_path):
    timed = digits_cfg("PREC_TIME.NUM_ITER", 2, "PREC_TIME.WARMUP_ITER", 1)
    plain = digits_cfg("OUT_DIR", str(tmp_path / "plain"))
    train_model(timed)
    train_model(plain)
    keys = ["_type", "test_fw_time", "train_bw_time", "train_fw_bw_time", "train_fw_time",
            "train_loader_time"]  # fmt: skip
    for kind in ("iter_times", "epoch_times"):
        assert sorted(records(timed, kind)[0]) == keys
        assert not records(plain, kind)
    a, b = (checkpoint.load_checkpoint(last_checkpoint(cfg.OUT_DIR)) for cfg in (timed, plain))
    assert all(torch.equal(v, b["model_state"][k]) for k, v in a["model_state"].items())


def test_errors_on_all_training_images(digits_cfg):
    asked = ("TEST.BALANCED_ERROR", True, "TEST.ANSWERS", True, "TRAIN.CLASS_WEIGHTS", "balanced")
    cfg = digits_cfg("TRAIN.FULL_ERRORS", True, "OPTIM.MAX_EPOCH", 8, *asked)
    run = train_model(cfg)
    result = run["result"]
    balanced = records(cfg, "test_epoch")[-1]["balanced_err"]
    assert balanced == pytest.approx(result["final_balanced_err"], abs=1e-4)
    assert balanced == pytest.approx(result["final_top1_err"], abs=2)  # nearly of one size
    for name, error in (("top1", "final_top1_err"), ("topk", "final_topk_err")):
        wrong = unpack_bits(run["answers"][name], run["answers"]["images"])
        assert 100 * wrong.mean() == pytest.approx(result[error])
    (record,) = records(cfg, "train_full_epoch")
    assert record["top1_err"] == pytest.approx(result["full_train_top1_err"], abs=1e-4)
    # The same as testing the weights on the training side, in batches of the same size.
    path = str(last_checkpoint(cfg.OUT_DIR))
    size = cfg.TRAIN.BATCH_SIZE
    errors = measure_errors(
        digits_cfg("TEST.WEIGHTS", path, "TEST.SPLIT", "train", "TEST.BATCH_SIZE", size)
    )
    assert errors["top1_err"] == pytest.approx(result["full_train_top1_err"])
    assert result["full_train_top1_err"] < result["final_train_top1_err"]  # no augmentation
    # What was killed just before its record was written has them from the checkpoint.
    (Path(cfg.OUT_DIR) / "run.json").unlink()
    assert train_model(cfg)["answers"] == run["answers"]


def test_record_says_what_a_run_was_and_where_its_time_went(digits_cfg, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_USER", "hidden-4711")
    cfg = digits_cfg()
    train_model(cfg)
    record = read_record(cfg.OUT_DIR)
    assert {"torch", "numpy", "python", "commit", "dirty", "host", "device"} <= set(
        record["environment"]
    )
    assert {"config_hash", "data", "seed", "started", "ended", "seconds"} <= set(record)
    assert [entry["epoch"] for entry in record["epochs"]] == [1, 2, 3]
    for entry in record["epochs"]:
        assert set(entry) == {"epoch", "data", "step", "evaluation", "checkpoint"}
    spent = sum(sum(e.values()) - e["epoch"] for e in record["epochs"])
    assert 0 < spent <= record["seconds"]
    for path in Path(cfg.OUT_DIR).rglob("*"):
        assert not path.is_file() or b"hidden-4711" not in path.read_bytes()


def test_missing_tensorboard_is_said(digits_cfg, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        train_model(digits_cfg("TENSORBOARD", True))


def test_curves_for_tensorboard(digits_cfg):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = digits_cfg("TENSORBOARD", True)
    result = train_model(cfg)["result"]
    events = EventAccumulator(str(Path(cfg.OUT_DIR) / "tensorboard"))
    events.Reload()
    curve = events.Scalars("test/top1_err")
    assert [point.step for point in curve] == [1, 2, 3]
    assert curve[-1].value == pytest.approx(result["final_top1_err"], rel=1e-5)
    assert events.Scalars("train/loss")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_network_learns_the_same_and_says_what_it_cost(digits_cfg, tmp_path, monkeypatch):
    # A cache of its own: nothing was compiled before, nor by a process with other instructions.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiler"))
    # A small one: every kernel takes a second of the C++ compiler's or more.
    common = [
        "OPTIM.MAX_EPOCH", 1, "ANYNET.BLOCK_TYPE", "vanilla_block", "ANYNET.DEPTHS", [1],
        "ANYNET.WIDTHS", [8], "ANYNET.STRIDES", [2], "ANYNET.BOT_MULS", [], "ANYNET.GROUP_WS", [],
        "ANYNET.STEM_W", 8,
    ]  # fmt: skip
    plain = digits_cfg(*common)
    compiled = digits_cfg(*common, "TRAIN.COMPILE", True, "OUT_DIR", str(tmp_path / "compiled"))
    train_model(plain)
    train_model(compiled)
    losses = [records(cfg, "train_epoch")[0]["loss"] for cfg in (plain, compiled)]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert re.search(
        r"Compiled in the first step, \d+", (tmp_path / "compiled/stdout.log").read_text()
    )
