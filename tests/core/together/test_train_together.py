"""Several networks in one process: each as it is alone, on batches that are made once."""

import os
import signal

import pytest
import torch
from run_checkpoints import last_checkpoint

from pycls.core.runs.record import read_record
from pycls.core.together.train import group_cfgs
from pycls.core.trainer import train_model
from pycls.core.training_launch import train_several
from pycls.core.weights import checkpoint
from pycls.datasets.loading.loader import Loader
from pycls.errors import RunError, RunInterruptedError

SHORT = ("OPTIM.MAX_EPOCH", 2, "NUM_THREADS", 1, "TEST.BATCH_SIZE", 100)
# What draws, what writes into its batch, what goes over the data again.
DROPS = (
    "MODEL.TYPE", "effnet", "EN.STEM_W", 8, "EN.DEPTHS", [1, 1], "EN.WIDTHS", [8, 16],
    "EN.EXP_RATIOS", [1, 2], "EN.STRIDES", [1, 2], "EN.KERNELS", [3, 3], "EN.HEAD_W", 16,
    "EN.DC_RATIO", 0.3, "EN.DROPOUT_RATIO", 0.3, "BN.USE_PRECISE_STATS", True,
)  # fmt: skip
OTHERS = (
    DROPS,
    ("TRAIN.CUTMIX_ALPHA", 1.0, "OPTIM.EMA_UPDATE_PERIOD", 1, "BN.USE_PRECISE_STATS", True),
    ("TRAIN.FULL_ERRORS", True, "ANYNET.STEM_W", 8),
)
DIVERGING = ("OPTIM.BASE_LR", 1e30, "LOG_PERIOD", 1)


@pytest.fixture
def alone(digits_cfg, tmp_path):
    """Return configurations that differ in the network, each trained by itself."""
    cfgs = [
        digits_cfg(*SHORT, *keys, "OUT_DIR", str(tmp_path / f"alone{i}"))
        for i, keys in enumerate(OTHERS)
    ]
    for cfg in cfgs:
        train_model(cfg)
    return cfgs


def together(digits_cfg, tmp_path, *more):
    return [
        digits_cfg(*SHORT, *keys, "OUT_DIR", str(tmp_path / f"together{i}"))
        for i, keys in enumerate((*OTHERS, *more))
    ]


def assert_same(cfgs, others):
    for cfg, other in zip(cfgs, others, strict=True):
        states = [checkpoint.load_checkpoint(last_checkpoint(c.OUT_DIR)) for c in (cfg, other)]
        for part in ("model_state", "ema_state"):
            for name, value in states[0].get(part, {}).items():
                assert torch.equal(value, states[1][part][name]), (cfg.OUT_DIR, name)
        assert read_record(cfg.OUT_DIR)["result"] == read_record(other.OUT_DIR)["result"]


@pytest.mark.slow
def test_each_ends_as_it_does_alone_and_batches_are_made_once(
    digits_cfg, tmp_path, alone, monkeypatch
):
    """One of them diverges, and one is told to stop and goes on later, at another place."""
    made = []
    make = Loader._train_batches

    def count(loader, epoch, start):
        for number, batch in enumerate(make(loader, epoch, start), start):
            made.append((epoch, number))
            yield batch

    monkeypatch.setattr(Loader, "_train_batches", count)
    cfgs = together(digits_cfg, tmp_path, DIVERGING)
    turns = []

    class Around:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            turns.append(self.index)
            if len(turns) == 30:  # amid the first epoch, in the turn of one of them
                os.kill(os.getpid(), signal.SIGTERM)

        def __exit__(self, *error):
            pass

    outcomes = dict(train_several(cfgs, Around))
    assert isinstance(outcomes.pop(3), RunError)
    assert all(isinstance(outcome, RunInterruptedError) for outcome in outcomes.values())
    made.clear()
    outcomes = dict(train_several(cfgs[:3], Around))
    assert {outcome["status"] for outcome in outcomes.values()} == {"done"}
    assert_same(cfgs[:3], alone)
    # Of the second epoch all see each batch: in training, and for the precise statistics.
    second = [number for epoch, number in made if epoch == 1]
    assert len(second) <= 3 * len(set(second))  # training, and statistics of network and average
    assert len(set(turns)) == 4


def test_only_runs_on_the_same_batches_go_together(digits_cfg):
    cfgs = [
        digits_cfg(*keys)
        for keys in (
            (), ("OPTIM.BASE_LR", 0.2), ("RNG_SEED", 7), ("DATA.PAD", 2), ("NUM_THREADS", 3),
            ("CUDNN.BENCHMARK", False), ("OPTIM.MAX_EPOCH", 5), ("NUM_GPUS", 2), ("NUM_GPUS", 2),
            (),
        )
    ]  # fmt: skip
    assert group_cfgs(cfgs) == [[0, 1, 9], [2], [3], [4], [5], [6], [7], [8]]
