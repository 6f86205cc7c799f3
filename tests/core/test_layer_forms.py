"""Which forms a run's layers take is recorded, kept and can be refused."""

import json
from pathlib import Path

import pytest
import torch
from run_checkpoints import last_checkpoint

from pycls.core.runs.record import read_record
from pycls.core.tester import test_model as measure_errors
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint
from pycls.errors import ConfigError
from pycls.kernels import forms, machine

NETWORK = (
    "MODEL.TYPE", "anynet", "ANYNET.BLOCK_TYPE", "res_bottleneck_block", "ANYNET.STEM_TYPE",
    "res_stem_cifar", "ANYNET.STEM_W", 16, "ANYNET.DEPTHS", [1, 2], "ANYNET.WIDTHS", [16, 24],
    "ANYNET.STRIDES", [1, 2], "ANYNET.BOT_MULS", [1.0, 1.0], "ANYNET.GROUP_WS", [2, 1],
    "OPTIM.MAX_EPOCH", 2,
)  # fmt: skip

measured = pytest.mark.skipif(
    forms.why_unavailable() is not None or not forms.own_table().norms,
    reason="no forms were measured for this kind of processor",
)


def records(cfg, kind):
    """Return the records of a kind in a run's log."""
    lines = Path(cfg.OUT_DIR, "stdout.log").read_text().splitlines()
    parsed = [json.loads(line.split("json_stats: ")[1]) for line in lines if "json_stats: " in line]
    return [record for record in parsed if record["_type"] == kind]


@measured
def test_record_says_which_forms_ran(digits_cfg):
    cfg = digits_cfg(*NETWORK)
    said = train_model(cfg)["forms"]
    assert said["table"] == {"device": "cpu", "instruction_set": machine.instruction_set()}
    assert said["convolutions"]["direct"] >= 3
    assert sum(said["convolutions"].values()) == 11
    assert said["norms"]["fused"] >= 1
    assert read_record(cfg.OUT_DIR)["forms"] == said


def test_forms_learn_what_the_library_learns(digits_cfg, tmp_path):
    once = (*NETWORK, "OPTIM.MAX_EPOCH", 1, "LOG_PERIOD", 1)
    first = digits_cfg(*once)
    second = digits_cfg(*once, "LAYER_FORMS", "library", "OUT_DIR", str(tmp_path / "library"))
    train_model(first)
    library = train_model(second)
    assert set(library["forms"]["convolutions"]) == {"library"}
    assert library["forms"]["table"] is None
    losses = [[r["loss"] for r in records(cfg, "train_iter")] for cfg in (first, second)]
    assert len(losses[0]) == len(losses[1]) > 5
    # Rounding grows in training.
    assert losses[0][:5] == pytest.approx(losses[1][:5], rel=1e-3)


@measured
def test_run_goes_on_in_its_forms_on_another_kind_of_processor(digits_cfg, monkeypatch):
    cfg = digits_cfg(*NETWORK)
    here = forms.own_table().instruction_set
    train_model(cfg)
    longer = digits_cfg(*NETWORK, "OPTIM.MAX_EPOCH", 3)
    monkeypatch.setattr(machine, "instruction_set", lambda: "riscv64")
    record = train_model(longer)
    assert record["forms"]["table"]["instruction_set"] == here
    assert record["forms"]["convolutions"].get("direct")


@measured
def test_run_does_not_go_on_where_its_forms_cannot_be_had(digits_cfg, monkeypatch):
    train_model(digits_cfg(*NETWORK))
    monkeypatch.setattr(forms, "why_unavailable", lambda: "ImportError: no llvmlite")
    forms.find_table.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"forms of layers of cpu .* cannot be compiled here"):
            train_model(digits_cfg(*NETWORK, "OPTIM.MAX_EPOCH", 3))
    finally:
        forms.find_table.cache_clear()


@pytest.mark.parametrize("older", [False, True], ids=["chosen", "older version"])
def test_run_that_began_in_the_librarys_forms_keeps_them(digits_cfg, older):
    train_model(digits_cfg(*NETWORK, *([] if older else ["LAYER_FORMS", "library"])))
    cfg = digits_cfg(*NETWORK, "OPTIM.MAX_EPOCH", 3)
    if older:  # its checkpoints say nothing of forms
        path = last_checkpoint(cfg.OUT_DIR)
        state = checkpoint.load_checkpoint(path)
        del state["forms"]
        torch.save(state, path)
    assert set(train_model(cfg)["forms"]["convolutions"]) == {"library"}


@measured
@pytest.mark.parametrize(
    "change",
    [("TRAIN.MIXED_PRECISION", True), ("MEMORY_FORMAT", "contiguous")],
    ids=["mixed precision", "contiguous"],
)
def test_what_the_forms_cannot_do_the_library_does(digits_cfg, change):
    record = train_model(digits_cfg(*NETWORK, "OPTIM.MAX_EPOCH", 1, *change))
    assert record["forms"]["table"] is None


def test_testing_gives_the_errors_of_the_last_epoch(digits_cfg):
    cfg = digits_cfg(*NETWORK)
    record = train_model(cfg)
    tested = measure_errors(digits_cfg(*NETWORK, "TEST.WEIGHTS", str(last_checkpoint(cfg.OUT_DIR))))
    assert tested["top1_err"] == pytest.approx(record["result"]["final_top1_err"])
