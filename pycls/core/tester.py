"""Testing a network: one pass over the test side."""

import math
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core import checkpoint
from pycls.core.env import move_model, run_settings
from pycls.core.loaders import build_loader
from pycls.core.meters import Meter, topk_wrong
from pycls.core.run_log import RunLog
from pycls.datasets.loader import Loader
from pycls.errors import ConfigError
from pycls.models import build_model

_TEST_FIELDS = (
    "epoch",
    "iter",
    "time_avg",
    "time_diff",
    "time_epoch",
    "top1_err",
    "top5_err",
    "mem",
)


def test_model(cfg: CfgNode) -> dict[str, float]:
    """Test the weights of TEST.WEIGHTS on the test side.

    Returns:
        {"top1_err", "top5_err"} in percent.

    Raises:
        ConfigError: no weights are named, or the class counts disagree.
        CheckpointError: the file is damaged or of another network.
    """
    if not cfg.TEST.WEIGHTS:
        raise ConfigError(
            "TEST.WEIGHTS is empty; name a checkpoint, for example "
            "TEST.WEIGHTS runs/a/checkpoints/model_epoch_0010.pyth"
        )
    with run_settings(cfg) as device:
        loader = build_loader(cfg, "TEST", device)
        model = build_model(cfg)
        state = checkpoint.load_checkpoint(cfg.TEST.WEIGHTS)
        checkpoint.load_weights(model, state["model_state"], cfg.TEST.WEIGHTS)
        model = move_model(model, device)
        meter = Meter(len(loader), 1, cfg.LOG_PERIOD, device)
        with RunLog() as log:
            log.line(f"Weights: {cfg.TEST.WEIGHTS} (epoch {state.get('epoch', -1) + 1})")
            return test_epoch(loader, model, meter, log, 0, min(5, cfg.MODEL.NUM_CLASSES), {})


@torch.no_grad()
def test_epoch(
    loader: Loader,
    model: nn.Module,
    meter: Meter,
    log: RunLog,
    epoch: int,
    topk: int,
    min_errors: dict[str, float],
) -> dict[str, float]:
    """Test a network on every image of the test side, once.

    Args:
        loader: the test side.
        model: the network; left in evaluation mode.
        meter: made for this loader.
        log: where the records go.
        epoch: 0-based, for the records.
        topk: the k of the second error (called top5_err in the records, as in pycls).
        min_errors: lowest errors so far, updated; may be empty.

    Returns:
        {"top1_err", "top5_err"} in percent.
    """
    model.eval()
    meter.reset()
    for images, labels in loader.epoch(epoch):
        meter.update(topk_wrong(model(images), labels, topk), None, len(labels))
        if meter.is_log_iter():
            log.stats(_test_fields(meter.iter_stats(epoch)), "test_iter")
    stats = _test_fields(meter.epoch_stats(epoch))
    for name in ("top1_err", "top5_err"):
        min_errors[f"min_{name}"] = min(min_errors.get(f"min_{name}", math.inf), stats[name])
    log.stats({**stats, **min_errors}, "test_epoch")
    return {name: stats[name] for name in ("top1_err", "top5_err")}


def _test_fields(stats: dict[str, Any]) -> dict[str, Any]:
    return {name: stats[name] for name in _TEST_FIELDS if name in stats}
