"""Tests a network: one pass over the test side."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.env import move_model, run_settings
from pycls.core.loaders import build_loader
from pycls.core.meters import AnswersMeter, Meter, topk_right
from pycls.core.precision import Precision
from pycls.core.runs.interruption import StopRequest
from pycls.core.runs.log import RunLog
from pycls.core.together.steps import Steps, to_the_end
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.datasets.loading.loader import Loader
from pycls.errors import ConfigError
from pycls.models.builders import build_model
from pycls.schema import BALANCED, HALVES_KIND

_TEST_FIELDS = (
    "epoch", "iter", "time_avg", "time_diff", "time_epoch", "top1_err", "top5_err", "mem",
)  # fmt: skip


def test_model(cfg: CfgNode) -> dict[str, float]:
    """Test the weights of TEST.WEIGHTS on the test side.

    Returns:
        {"top1_err", "top5_err"} in percent, and "balanced_err" with TEST.BALANCED_ERROR.

    Raises:
        ConfigError: no weights are named, or the class counts disagree.
        CheckpointError: the file is damaged or of another network.
        DownloadError: TEST.WEIGHTS is an address, and the file could not be had.
    """
    if not cfg.TEST.WEIGHTS:
        raise ConfigError(
            "TEST.WEIGHTS is empty; name a checkpoint, for example "
            "TEST.WEIGHTS runs/a/checkpoints/model_epoch_0010.pyth"
        )
    with run_settings(cfg) as device:
        loader = build_loader(cfg, "TEST", device)
        model = build_model(cfg)
        weights = read_weights(cfg.TEST.WEIGHTS, cache_dir=cfg.DOWNLOAD_CACHE)
        notes = load_weights_into(model, weights)
        model = move_model(model, cfg, device)
        meter = Meter(len(loader), 1, cfg.LOG_PERIOD, device)
        with RunLog() as log:
            epoch = "unknown" if weights.epoch is None else weights.epoch + 1
            log.line(". ".join((f"Weights: {cfg.TEST.WEIGHTS} (epoch {epoch})", *notes)))
            topk = min(5, cfg.MODEL.NUM_CLASSES)
            precision = Precision(cfg, device)
            return to_the_end(
                evaluate(
                    loader, model, meter, log, 0, topk, {},
                    precision=precision, balanced=cfg.TEST.BALANCED_ERROR,
                )
            )  # fmt: skip


def describe_errors(cfg: CfgNode, errors: Mapping[str, float]) -> str:
    """Return what :func:`test_model` found, for a reader."""
    topk = min(5, cfg.MODEL.NUM_CLASSES)
    balanced = f", balanced {errors[BALANCED]:.2f} %" if BALANCED in errors else ""
    return (
        f"test error {errors['top1_err']:.2f} % top-1, {errors['top5_err']:.2f} % top-{topk}"
        f"{balanced}"
    )


@torch.no_grad()
def evaluate(
    loader: Loader,
    model: nn.Module,
    meter: Meter,
    log: RunLog,
    epoch: int,
    topk: int,
    min_errors: dict[str, float],
    *,
    kind: str = "test",
    halves: bool = False,
    stop: StopRequest | None = None,
    precision: Precision | None = None,
    balanced: bool = False,
    answers: AnswersMeter | None = None,
    compute: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Steps[dict[str, float]]:
    """Test a network on every image of the loader, once, in a step a batch.

    Args:
        loader: the test side, or this process's share of it.
        model: the network; left in evaluation mode.
        meter: made for this loader.
        log: where the records go.
        epoch: 0-based, for the records.
        topk: the k of the second error (called top5_err in the records, as in pycls).
        min_errors: lowest errors so far, updated; may be empty.
        kind: what the records are called: test, test_ema, train_full.
        halves: whether the errors on two halves of the images go to the log, too.
        stop: looked at between batches.
        precision: the number formats to compute in; None: float32.
        balanced: whether to measure the balanced error, too.
        answers: is told which images are wrong.
        compute: gives the network's results for images, in its place; None: the network itself.

    Returns:
        {"top1_err", "top5_err"} in percent, over the images of all processes; and "balanced_err"
        where it is measured.

    Raises:
        RunInterruptedError: `stop` asks for it.
    """
    model.eval()
    meter.reset()
    parts = meter.halves() if halves else None
    by_class = meter.balanced(loader.dataset.num_classes) if balanced else None
    for images, labels in loader.epoch(epoch):
        if compute is None:
            with nullcontext() if precision is None else precision.autocast():
                logits = model(images)
        else:
            logits = compute(images)
        right = topk_right(logits, labels, topk)
        meter.update(len(labels) - right.sum(dim=0), None, len(labels))
        if parts is not None:
            parts.update(right)
        if by_class is not None:
            by_class.update(right, labels)
        if answers is not None:
            answers.update(right)
        if meter.is_log_iter():
            # Processes have shares of unlike length: these records are of the first one's.
            log.stats(_test_fields(meter.iter_stats(epoch, add_up=False)), f"{kind}_iter")
        if stop:
            raise stop.to_error()
        yield
    stats = _test_fields(meter.epoch_stats(epoch))
    for name in ("top1_err", "top5_err"):
        min_errors[f"min_{name}"] = min(min_errors.get(f"min_{name}", math.inf), stats[name])
    errors = {name: stats[name] for name in ("top1_err", "top5_err")}
    if by_class is not None:
        stats[BALANCED] = errors[BALANCED] = by_class.error()
    log.stats({**stats, **min_errors}, f"{kind}_epoch")
    if parts is not None and (found := parts.stats()):
        log.stats({"epoch": stats["epoch"], **found}, HALVES_KIND)
    return errors


def _test_fields(stats: dict[str, Any]) -> dict[str, Any]:
    return {name: stats[name] for name in _TEST_FIELDS if name in stats}
