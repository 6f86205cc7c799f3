"""Training and testing one network: the run that a study consists of.

A run is a function of its configuration, its data and the code. Initial weights, order
and augmentation derive from RNG_SEED, the epoch and the image, so that a run killed at any
moment and started again goes on from its last checkpoint to the same weights.
"""

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from yacs.config import CfgNode

from pycls.core import checkpoint
from pycls.core.config import cfg_hash, cfg_to_dict, dump_cfg
from pycls.core.env import describe_environment, run_settings
from pycls.core.meters import topk_wrong
from pycls.core.optimizer import lr_at, set_lr
from pycls.core.precise_bn import update_bn_stats
from pycls.core.run_log import RunLog
from pycls.core.run_record import LOCK_FILE, read_record, utc_now, write_record
from pycls.core.supported import check_trainable
from pycls.core.tester import test_epoch
from pycls.core.training_run import TrainingRun
from pycls.datasets.randomness import make_key
from pycls.errors import PyclsError, RunError, find_environment_error
from pycls.files import exclusive_lock, remove_partials, write_text_if_changed
from pycls.models.counting import complexity

LOG_FILE = "stdout.log"


def train_model(cfg: CfgNode) -> dict[str, Any]:
    """Train the network of a configuration, or finish its training; test it every epoch.

    Everything is written to OUT_DIR: the configuration, the log (LOG_DEST file), a
    checkpoint an epoch, and the record `run.json`.

    Returns:
        The run's record; record["result"] holds the final and the minimal test errors and
        the training errors of the last epoch, in percent.

    Raises:
        ConfigError: the configuration cannot be trained, or OUT_DIR holds another run.
        DataError: a data set is missing or damaged.
        CheckpointError: the newest checkpoint is damaged or of another network.
        RunError: the loss is no longer finite.
        PyclsError: another process is training in OUT_DIR.
    """
    check_trainable(cfg)
    with run_settings(cfg) as device:
        # Data and network first: a mistake there shall leave no folder behind.
        return _train_in_folder(TrainingRun(cfg, device))


def train_epoch(run: TrainingRun, log: RunLog, epoch: int) -> dict[str, Any]:
    """Train for one epoch (0-based) and return its record."""
    cfg, model, optimizer, meter = run.cfg, run.model, run.optimizer, run.train_meter
    iterations = len(run.train_loader)
    model.train()
    meter.reset()
    # Dropout and drop connect draw from PyTorch's generator, the same in a resumed epoch.
    torch.manual_seed(make_key(cfg.RNG_SEED, epoch))
    for i, (images, labels) in enumerate(run.train_loader.epoch(epoch)):
        lr = lr_at(cfg.OPTIM, epoch + i / iterations)
        set_lr(optimizer, lr)
        logits = model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=cfg.TRAIN.LABEL_SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        meter.update(topk_wrong(logits, labels, run.topk), loss, len(labels))
        if meter.is_log_iter():
            stats = meter.iter_stats(epoch)
            log.stats({**stats, "lr": lr}, "train_iter")
            _require_finite(stats)
    stats = meter.epoch_stats(epoch)
    log.stats({**stats, "lr": lr}, "train_epoch")
    _require_finite(stats)
    return stats


def _train_in_folder(run: TrainingRun) -> dict[str, Any]:
    """Train in OUT_DIR, as its only process, and record how it ended."""
    cfg, out_dir = run.cfg, Path(run.cfg.OUT_DIR)
    out_dir.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(out_dir / LOCK_FILE, f"training in {out_dir}"):
        remove_partials(out_dir)
        remove_partials(checkpoint.checkpoint_dir(out_dir))
        # Before anything is written: a refusal shall leave an earlier run's files alone.
        origin = run.resume()
        before = read_record(out_dir)
        if before is not None and run.is_finished_as(before):
            return before
        write_text_if_changed(out_dir / cfg.CFG_DEST, dump_cfg(cfg))
        record = _new_record(run)
        write_record(out_dir, record)
        with RunLog(out_dir / LOG_FILE if cfg.LOG_DEST == "file" else None) as log:
            try:
                _train(run, log, origin, record["environment"])
            except BaseException as error:
                _end_record(record, run, "interrupted" if _is_interrupt(error) else "failed")
                record["reason"] = _describe_error(error)
                _write_last_words(out_dir, record, log)
                raise
        _end_record(record, run, "done")
        record["result"] = run.result()
        write_record(out_dir, record)
        if cfg.CHECKPOINT.KEEP == "none":
            checkpoint.remove_checkpoints(out_dir)
    return record


def _train(run: TrainingRun, log: RunLog, origin: str, environment: dict[str, Any]) -> None:
    """Log what the run is and go through the epochs that are left."""
    cfg = run.cfg
    log.line("Environment: " + ", ".join(f"{key}={value}" for key, value in environment.items()))
    log.config(cfg_to_dict(cfg))
    log.stats(complexity(cfg), "complexity")
    log.line(origin)
    for epoch in range(run.start_epoch, cfg.OPTIM.MAX_EPOCH):
        train_stats = train_epoch(run, log, epoch)
        if cfg.BN.USE_PRECISE_STATS:
            iterations = min(
                max(1, cfg.BN.NUM_SAMPLES_PRECISE // cfg.TRAIN.BATCH_SIZE), len(run.train_loader)
            )
            update_bn_stats(run.model, run.train_loader.epoch(epoch), iterations)
        best_before = run.min_errors["min_top1_err"]
        errors = test_epoch(
            run.test_loader, run.model, run.test_meter, log, epoch, run.topk, run.min_errors
        )
        run.last_errors = {
            **errors,
            "train_top1_err": train_stats["top1_err"],
            "train_top5_err": train_stats["top5_err"],
        }
        checkpoint.save_checkpoint(
            cfg.OUT_DIR,
            run.checkpoint_state(epoch),
            keep=cfg.CHECKPOINT.KEEP,
            is_best=errors["top1_err"] < best_before,
        )


def _require_finite(stats: dict[str, Any]) -> None:
    if not math.isfinite(stats["loss"]):
        raise RunError(
            f"the loss is {stats['loss']} in epoch {stats['epoch']}; training diverged. A lower "
            "OPTIM.BASE_LR or a warm-up (OPTIM.WARMUP_EPOCHS) may help"
        )


def _new_record(run: TrainingRun) -> dict[str, Any]:
    return {
        "status": "running",
        "config_hash": cfg_hash(run.cfg),
        "seed": run.cfg.RNG_SEED,
        "data": run.data_fingerprints(),
        "environment": describe_environment(run.device),
        "pid": os.getpid(),
        "started": utc_now(),
    }


def _end_record(record: dict[str, Any], run: TrainingRun, status: str) -> None:
    record["status"] = status
    record["ended"] = utc_now()
    record["seconds"] = round(time.time() - run.start_time, 3)


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _describe_error(error: BaseException) -> str:
    if isinstance(error, PyclsError):
        return str(error)
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _write_last_words(out_dir: Path, record: dict[str, Any], log: RunLog) -> None:
    """Record how the run ended, as far as the disk lets us; the error itself goes on."""
    try:
        log.line(f"Run {record['status']}: {record['reason']}")
        write_record(out_dir, record)
    except OSError as error:
        if find_environment_error(error) is None:
            raise
