"""What one training works on: data, network, optimiser, and how far it is."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from pycls.core import checkpoint
from pycls.core.config import cfg_hash, computing_keys, dump_cfg, parse_cfg
from pycls.core.env import move_model
from pycls.core.loaders import build_loader
from pycls.core.meters import Meter
from pycls.core.optimizer import build_optimizer
from pycls.datasets.loader import Loader
from pycls.errors import CheckpointError, ConfigError
from pycls.models import build_model


class TrainingRun:
    """A training, built from its configuration.

    Attributes:
        cfg: the configuration.
        device: where it computes.
        train_loader, test_loader: the batches.
        topk: the k of the second error.
        model, optimizer: the network and what trains it.
        train_meter, test_meter: errors and times of an epoch.
        start_epoch: the first epoch (0-based) that is left to train.
        min_errors: {"min_top1_err", "min_top5_err"}, lowest test errors so far, in percent.
        last_errors: errors of the last finished epoch, in percent; empty before the first.
        start_time: when it was built, in seconds since the epoch.
    """

    def __init__(self, cfg: CfgNode, device: torch.device) -> None:
        """Open the data and build the network, with TRAIN.WEIGHTS where they are named."""
        self.start_time = time.time()
        self.cfg = cfg
        self.device = device
        self.train_loader = build_loader(cfg, "TRAIN", device)
        self.test_loader = build_loader(cfg, "TEST", device)
        self.topk = min(5, cfg.MODEL.NUM_CLASSES)
        model = build_model(cfg)
        if cfg.TRAIN.WEIGHTS:
            state = checkpoint.load_checkpoint(cfg.TRAIN.WEIGHTS)
            checkpoint.load_weights(model, state["model_state"], cfg.TRAIN.WEIGHTS)
        self.model = move_model(model, device)
        self.optimizer = build_optimizer(self.model, cfg)
        self.train_meter = self._meter(self.train_loader)
        self.test_meter = self._meter(self.test_loader)
        self.start_epoch = 0
        self.min_errors = {"min_top1_err": math.inf, "min_top5_err": math.inf}
        self.last_errors: dict[str, float] = {}

    def resume(self) -> str:
        """Go on from the newest checkpoint in OUT_DIR, where there is one.

        Returns:
            A sentence for the log: where the run begins.

        Raises:
            CheckpointError: the checkpoint is damaged, or not one to resume from.
            ConfigError: it was trained with another configuration or on other data, or
                TRAIN.AUTO_RESUME is off and the folder is not empty of checkpoints.
        """
        path = checkpoint.last_checkpoint(self.cfg.OUT_DIR)
        if path is None:
            weights = self.cfg.TRAIN.WEIGHTS
            return f"Starts from the weights of {weights}" if weights else "Starts from scratch"
        if not self.cfg.TRAIN.AUTO_RESUME:
            raise ConfigError(
                f"{path} is of an earlier run, and TRAIN.AUTO_RESUME is False; choose another "
                "OUT_DIR, or delete the folder of checkpoints to start again here"
            )
        state = checkpoint.load_checkpoint(path)
        self._require_same_run(state, path)
        checkpoint.load_weights(self.model, state["model_state"], str(path))
        try:
            self.optimizer.load_state_dict(state["optimizer_state"])
            self.min_errors.update(state["min_errors"])
            self.last_errors = dict(state["last_errors"])
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not a checkpoint to resume from ({error}); to start from its weights "
                "only, name it in TRAIN.WEIGHTS and choose another OUT_DIR"
            ) from None
        self.start_epoch = state["epoch"] + 1
        return f"Resumed from {path}, {self.start_epoch} of {self.cfg.OPTIM.MAX_EPOCH} epochs done"

    def is_finished_as(self, record: dict[str, Any]) -> bool:
        """Say whether an earlier record is of this very run, finished and still whole."""
        no_epoch_left = self.start_epoch == self.cfg.OPTIM.MAX_EPOCH
        return (
            record.get("status") == "done"
            and record.get("config_hash") == cfg_hash(self.cfg)
            and record.get("data") == self.data_fingerprints()
            and (no_epoch_left or self.cfg.CHECKPOINT.KEEP == "none")
        )

    def data_fingerprints(self) -> dict[str, str]:
        """Return what identifies the images, labels and split that the run works on."""
        return {
            "train": self.train_loader.dataset.fingerprint,
            "test": self.test_loader.dataset.fingerprint,
        }

    def checkpoint_state(self, epoch: int) -> dict[str, Any]:
        """Return what a checkpoint after an epoch (0-based) holds."""
        return {
            "epoch": epoch,
            "test_err": self.last_errors["top1_err"],
            "min_errors": dict(self.min_errors),
            "last_errors": dict(self.last_errors),
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "data": self.data_fingerprints(),
            "cfg": dump_cfg(self.cfg),
        }

    def result(self) -> dict[str, float]:
        """Return the final and the lowest errors, in percent, for the run's record."""
        errors, lowest = self.last_errors, self.min_errors
        return {
            "final_top1_err": errors["top1_err"],
            "final_topk_err": errors["top5_err"],
            "min_top1_err": lowest["min_top1_err"],
            "min_topk_err": lowest["min_top5_err"],
            "final_train_top1_err": errors["train_top1_err"],
            "final_train_topk_err": errors["train_top5_err"],
            "topk": self.topk,
        }

    def _meter(self, loader: Loader) -> Meter:
        return Meter(len(loader), self.cfg.OPTIM.MAX_EPOCH, self.cfg.LOG_PERIOD, self.device)

    def _require_same_run(self, state: dict[str, Any], path: Path) -> None:
        """Refuse to mix two runs in one folder; a finished one may get more epochs."""
        saved = computing_keys(parse_cfg(str(state.get("cfg", "")), str(path)))
        done = state["epoch"] + 1
        for key, value in computing_keys(self.cfg).items():
            if saved[key] == value:
                continue
            # The schedule depends on MAX_EPOCH: only after the last epoch can it be raised.
            if key == "OPTIM.MAX_EPOCH" and value > done == saved[key]:
                continue
            raise ConfigError(
                f"{path} was trained with {key} {saved[key]!r}, now it is {value!r}; choose "
                "another OUT_DIR, or delete the folder of checkpoints to start again here"
            )
        if state.get("data", self.data_fingerprints()) != self.data_fingerprints():
            raise ConfigError(
                f"{path} was trained on other images or another split than "
                f"{self.cfg.TRAIN.DATASET} holds now; restore the data set, or choose another "
                "OUT_DIR"
            )
