"""Holds one training: data, network, what trains it, and how far it has come."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.core.config.load import cfg_hash, computing_keys, dump_cfg, parse_cfg
from pycls.core.config.rules import get_value
from pycls.core.config.trainable import captures_steps
from pycls.core.cuda_graph import GraphedEma, GraphedForward, GraphedStep
from pycls.core.ema import Ema, ema_alpha
from pycls.core.env import move_model
from pycls.core.inputs import check_classes
from pycls.core.loaders import LoaderBuilder, build_loader
from pycls.core.meters import AnswersMeter, Clock, Meter
from pycls.core.mixing import class_weights
from pycls.core.optimizer import build_optimizer, load_optimizer_state
from pycls.core.precision import Precision
from pycls.core.processes.group import wrap
from pycls.core.processes.world import ONE_PROCESS, World
from pycls.core.runs.lease import Lease
from pycls.core.step import TrainStep
from pycls.core.weights.checkpoint import EpochCheckpoints, load_weights
from pycls.core.weights.resume_point import load_newest, resume_points
from pycls.core.weights.weights import load_weights_into, read_weights
from pycls.datasets.loading.loader import Loader
from pycls.errors import CheckpointError, ConfigError
from pycls.kernels.forms import find_table
from pycls.models.builders import build_model
from pycls.models.layers import count_forms, table_name, use_forms
from pycls.schema import ANSWERS, BALANCED

_SECONDS_BETWEEN_RECORDS = 60.0  # the log tells how far a run is


class TrainingRun:
    """A training, built from its configuration.

    Its methods alone change its attributes; others read them.

    Attributes:
        cfg: the configuration.
        device: where it computes.
        world: the processes that train together.
        train_loader, test_loader: the batches.
        topk: the k of the second error.
        model: the network.
        ema: its moving average; None where OPTIM.EMA_UPDATE_PERIOD is 0.
        optimizer, precision, step: what trains it.
        is_captured: its steps are replayed as a graph.
        compiles: the next step compiles the network.
        weights_notes: what was done to the weights of TRAIN.WEIGHTS; None where none were read.
        train_meter, test_meter: errors and times of an epoch.
        epoch: the epoch (0-based) that is left to train, or to finish.
        iteration: the iterations of it that are done.
        min_errors, min_ema_errors: {"min_top1_err", "min_top5_err"}, lowest test errors so far of
            the network and of its average, in percent.
        last_errors: errors of the last finished epoch, in percent; empty before the first.
        last_answers: which test images were wrong then; None where TEST.ANSWERS does not ask for
            it, and before the last epoch.
        checkpoints: writes those of its epochs, in the process that writes.
        clock: its own time, of which `start_time` is when it was built.
    """

    def __init__(
        self,
        cfg: CfgNode,
        device: torch.device,
        world: World = ONE_PROCESS,
        build: LoaderBuilder = build_loader,
    ) -> None:
        """Open the data and build the network, with TRAIN.WEIGHTS where they are named.

        Batches come from what `build` returns, which is called as
        :func:`pycls.core.loaders.build_loader`.
        """
        self.clock = Clock()
        self.start_time, self._last_shown = self.clock.now(), time.monotonic()
        self._lease: Lease | None = None
        keep = cfg.CHECKPOINT.KEEP
        self.checkpoints = EpochCheckpoints(cfg.OUT_DIR, keep, cfg.CHECKPOINT.PERIOD)
        self.cfg = cfg
        self.device = device
        self.world = world
        self._build = build
        self.train_loader = self.loader("TRAIN")
        self.test_loader = self.loader("TEST")
        check_classes(
            cfg, self.train_loader.dataset.class_names, self.test_loader.dataset.class_names
        )
        self.topk = min(5, cfg.MODEL.NUM_CLASSES)
        self.weights_notes: tuple[str, ...] | None = None
        self.model = build_model(cfg)
        if not resume_points(cfg.OUT_DIR):
            self._load_first_weights()
        self.model = move_model(self.model, cfg, device)
        self.ema = Ema(self.model) if cfg.OPTIM.EMA_UPDATE_PERIOD else None
        self.optimizer = build_optimizer(self.model, cfg)
        self.precision = Precision(cfg, device)
        self.is_captured = captures_steps(cfg, device)
        self.step = self._build_step()
        self._replayed: dict[tuple[str, str], GraphedForward] = {}
        self._graphed_ema: GraphedEma | None = None
        if self.ema is not None and self.is_captured:
            self._graphed_ema = GraphedEma(self.ema, self.model)
        self.compiles = bool(cfg.TRAIN.COMPILE)
        iterations = len(self.train_loader)
        meter = (cfg.OPTIM.MAX_EPOCH, cfg.LOG_PERIOD, device, world, self.clock)
        self.train_meter = Meter(iterations, *meter)
        self.test_meter = Meter(len(self.test_loader), *meter)
        self.epoch = 0
        self.iteration = 0
        self.min_errors = {"min_top1_err": math.inf, "min_top5_err": math.inf}
        self.min_ema_errors = dict(self.min_errors)
        self.last_errors: dict[str, float] = {}
        self.last_answers: dict[str, Any] | None = None

    def loader(self, side: str, evaluate: bool = False) -> Loader:
        """Return the loader of a side, of this process's share of it."""
        world = self.world
        return self._build(self.cfg, side, self.device, world.rank, world.size, evaluate)

    def resume(self) -> str:
        """Go on from the newest checkpoint in OUT_DIR, where there is one.

        Returns:
            A sentence for the log: where the run begins.

        Raises:
            CheckpointError: no checkpoint can be read, or it is not one to resume from.
            ConfigError: it was trained with another configuration or on other data, or
                TRAIN.AUTO_RESUME is off and the folder is not empty of checkpoints.
        """
        points = resume_points(self.cfg.OUT_DIR)
        if points and not self.cfg.TRAIN.AUTO_RESUME:
            raise ConfigError(
                f"{points[0]} is of an earlier run, and TRAIN.AUTO_RESUME is False; choose another "
                "OUT_DIR, or delete the folder of checkpoints to start again here"
            )
        newest = load_newest(self.cfg.OUT_DIR)
        if newest is None:
            self._load_first_weights()
            if self.ema is not None:
                self.ema.update(self.model, 1.0)
            if self.weights_notes is None:
                return "Starts from scratch"
            return ". ".join(
                (f"Starts from the weights of {self.cfg.TRAIN.WEIGHTS}", *self.weights_notes)
            )
        path, state = newest
        if "min_errors" not in state:
            if state.get("epoch") == self.cfg.OPTIM.MAX_EPOCH - 1:
                raise ConfigError(
                    f"{path} was written by pycls, which finished this run: nothing is left to "
                    "train; test it with tools/test_net.py, or choose another OUT_DIR to train anew"
                )
            raise ConfigError(
                f"{path} was written by pycls: its checkpoints do not hold what a run needs to go "
                "on to the same result here (which images it was trained on, its errors so far); "
                "finish it with pycls, or start from its weights with TRAIN.WEIGHTS and another "
                "OUT_DIR"
            )
        self._require_same_run(state, path)
        self._take_state(state, path)
        done = f"{self.epoch} of {self.cfg.OPTIM.MAX_EPOCH} epochs"
        if self.iteration:
            done += f" and {self.iteration} of {len(self.train_loader)} iterations"
        return f"Resumed from {path}, {done} done"

    def is_finished_as(self, record: dict[str, Any]) -> bool:
        """Say whether an earlier record is of this very run, finished and still whole."""
        # Without checkpoints only the record knows how far it came.
        forgets = self.cfg.CHECKPOINT.KEEP == "none" and "stopped_after" not in record
        return (
            record.get("status") == "done"
            and record.get("config_hash") == cfg_hash(self.cfg)
            and record.get("data") == self.data_fingerprints()
            and (self.epoch >= self.last_epoch or forgets)
        )

    @property
    def last_epoch(self) -> int:
        """The epochs after which it ends, or stops to go on some other time (OPTIM.STOP_EPOCH)."""
        optim = self.cfg.OPTIM
        return min(optim.STOP_EPOCH or optim.MAX_EPOCH, optim.MAX_EPOCH)

    @property
    def stops_early(self) -> bool:
        """Whether it stops before the end of its schedule."""
        return self.last_epoch < self.cfg.OPTIM.MAX_EPOCH

    def data_fingerprints(self) -> dict[str, str]:
        """Return what identifies the images, labels and split that the run works on."""
        return {
            "train": self.train_loader.dataset.fingerprint,
            "test": self.test_loader.dataset.fingerprint,
        }

    def hold_folder(self, lease: Lease) -> None:
        """Take note of the lease on OUT_DIR, in the process that writes there."""
        self._lease = lease

    def require_folder(self) -> None:
        """Make sure that OUT_DIR still belongs to this process, where it writes there.

        Raises:
            LeaseLostError: another process may have taken it over.
        """
        if self._lease is not None:
            self._lease.check()

    def train_step(self, images: torch.Tensor, labels: torch.Tensor, lr: float) -> None:
        """Train by the next mini-batch of the epoch, at a learning rate."""
        result = self.step(images, labels, lr, self.epoch, self.iteration)
        self.compiles = False
        if self.ema is not None and self.iteration % self.cfg.OPTIM.EMA_UPDATE_PERIOD == 0:
            alpha = ema_alpha(self.cfg, self.epoch)
            if self._graphed_ema is None:
                self.ema.update(self.model, alpha)
            else:
                self._graphed_ema.update(alpha)
        self.train_meter.update_row(result.row, len(labels))
        self.iteration += 1

    def answers_meter(self) -> AnswersMeter | None:
        """Return what keeps the answers of the last epoch; None: not asked for, or another one."""
        if not self.cfg.TEST.ANSWERS or self.epoch + 1 < self.last_epoch:
            return None
        loader = self.test_loader
        return AnswersMeter(len(loader.dataset), loader.own, self.device, self.world)

    def take_errors(
        self,
        errors: dict[str, float],
        lowest: dict[str, dict[str, float]],
        answers: dict[str, Any] | None = None,
    ) -> bool:
        """Take up what testing the network and its average after an epoch gave.

        Args:
            errors: of this epoch, in percent, as `last_errors`.
            lowest: "test" and "test_ema" -> the lowest errors so far, these among them.
            answers: of :class:`pycls.core.meters.AnswersMeter`.

        Returns:
            Whether the network's top-1 error is the lowest so far.
        """
        is_best = errors["top1_err"] < self.min_errors["min_top1_err"]
        self.last_errors, self.last_answers = errors, answers
        self.min_errors, self.min_ema_errors = lowest["test"], lowest["test_ema"]
        return is_best

    def take_full_errors(self, errors: dict[str, float]) -> None:
        """Take up the errors on all training images, in percent."""
        self.last_errors |= {f"train_full_{name}": value for name, value in errors.items()}

    def end_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch, self.iteration = self.epoch + 1, 0

    def is_record_due(self) -> bool:
        """Say whether it is time to write the record of the run under way, and count from now."""
        now = time.monotonic()
        if not self.world.is_main or now - self._last_shown <= _SECONDS_BETWEEN_RECORDS:
            return False
        self._last_shown = now
        return True

    def checkpoint_state(self) -> dict[str, Any]:
        """Return what a checkpoint after the present epoch holds."""
        errors = self.last_errors
        state = {
            **self._common_state(),
            "epoch": self.epoch,
            "test_err": errors["top1_err"],
            "last_errors": dict(errors),
        }
        if self.last_answers is not None:
            state[ANSWERS] = self.last_answers
        if self.ema is not None:
            state["ema_err"] = errors["ema_top1_err"]
        return state

    def interrupted_state(self) -> dict[str, Any]:
        """Return what a checkpoint inside the present epoch holds; asked for by all processes."""
        return {
            **self._common_state(),
            "epoch": self.epoch,
            "iteration": self.iteration,
            "train_meter": self.train_meter.state(),
            "last_errors": dict(self.last_errors),
        }

    def result(self) -> dict[str, float]:
        """Return the final and the lowest errors, in percent, for the run's record."""
        errors, lowest = self.last_errors, self.min_errors
        result = {
            "final_top1_err": errors["top1_err"],
            "final_topk_err": errors["top5_err"],
            "min_top1_err": lowest["min_top1_err"],
            "min_topk_err": lowest["min_top5_err"],
            "final_train_top1_err": errors["train_top1_err"],
            "final_train_topk_err": errors["train_top5_err"],
            "topk": self.topk,
        }
        if self.ema is not None:
            result |= {
                "final_ema_top1_err": errors["ema_top1_err"],
                "final_ema_topk_err": errors["ema_top5_err"],
                "min_ema_top1_err": self.min_ema_errors["min_top1_err"],
                "min_ema_topk_err": self.min_ema_errors["min_top5_err"],
            }
        balanced = [name for name in (BALANCED, f"ema_{BALANCED}") if name in errors]
        result |= {f"final_{name}": errors[name] for name in balanced}
        if self.cfg.TRAIN.FULL_ERRORS and not self.stops_early:
            result |= {
                "full_train_top1_err": errors["train_full_top1_err"],
                "full_train_topk_err": errors["train_full_top5_err"],
            }
        return result

    @property
    def forms(self) -> dict[str, str] | None:
        """The table that the layers' forms are taken from; None: they are PyTorch's own."""
        return table_name(self.model)

    def describe_forms(self) -> dict[str, Any]:
        """Return what run.json says of the layers' forms: the table, and how many took which."""
        return {"table": self.forms, **count_forms(self.model)}

    def replayed(self, kind: str, use: str) -> GraphedForward | None:
        """Return what computes a network in place of itself, where the run captures its work.

        Args:
            kind: of the network, as :meth:`networks` has it.
            use: what for; each has a graph of its own.
        """
        if not self.is_captured:
            return None
        if (kind, use) not in self._replayed:
            model = dict(self.networks())[kind]
            self._replayed[kind, use] = GraphedForward(model, self.precision)
        return self._replayed[kind, use]

    def networks(self) -> list[tuple[str, nn.Module]]:
        """Return (kind of its test records, network) of the network and its average."""
        own = [("test", self.model)]
        return own if self.ema is None else [*own, ("test_ema", self.ema.model)]

    def _build_step(self) -> TrainStep | GraphedStep:
        wrapped: nn.Module = wrap(self.model, self.world, self.device)
        if self.cfg.TRAIN.COMPILE:
            wrapped = torch.compile(wrapped)  # type: ignore[assignment]
        weights = class_weights(
            self.cfg.TRAIN.CLASS_WEIGHTS,
            self.train_loader.dataset.labels,
            self.cfg.MODEL.NUM_CLASSES,
        )
        step = TrainStep(
            wrapped, self.optimizer, self.precision, self.cfg, self.topk, self.world.rank,
            None if weights is None else torch.from_numpy(weights).to(self.device),
        )  # fmt: skip
        return GraphedStep(step) if self.is_captured else step

    def _common_state(self) -> dict[str, Any]:
        state = {
            "min_errors": dict(self.min_errors),
            "model_state": self.model.state_dict(),
            "optimizer_state": self.optimizer.state_dict(),
            "scaler_state": self.precision.state_dict(),
            "data": self.data_fingerprints(),
            "forms": self.forms,
            "precision": self.precision.name,
            "cuda_graph": self.is_captured,
            "batches": self.train_loader.made_by,
            "channels": "rgb",  # pycls's checkpoints have no such entry, and BGR on ImageNet
            "cfg": dump_cfg(self.cfg),
        }
        if self.ema is not None:
            state["ema_state"] = self.ema.model.state_dict()
            state["min_ema_errors"] = dict(self.min_ema_errors)
        return state

    def _take_state(self, state: dict[str, Any], path: Path) -> None:
        load_weights(self.model, state["model_state"], str(path))
        self._keep_forms(state.get("forms"), path)
        try:
            if self.ema is not None:
                load_weights(self.ema.model, state["ema_state"], str(path))
                self.min_ema_errors.update(state["min_ema_errors"])
            load_optimizer_state(self.optimizer, state["optimizer_state"])
            self.precision.load_state_dict(state["scaler_state"])
            self.min_errors.update(state["min_errors"])
            self.last_errors = dict(state["last_errors"])
            self.last_answers = state.get(ANSWERS)
            if "iteration" in state:
                self.train_meter.restore(state["train_meter"])
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path}: not a checkpoint to resume from ({error}); to start from its weights "
                "only, name it in TRAIN.WEIGHTS and choose another OUT_DIR"
            ) from None
        self.iteration = state.get("iteration", 0)
        self.epoch = state["epoch"] + ("iteration" not in state)

    def _keep_forms(self, name: dict[str, str] | None, path: Path) -> None:
        """Go on in the forms that the run has had, if on another kind of processor."""
        if name == self.forms:
            return
        table = None if name is None else find_table(**name)
        for _, model in self.networks():
            use_forms(model, table)
        # On a device of another type no kernel is the same in any case.
        if self.forms != name and name is not None and name["device"] == self.device.type:
            raise ConfigError(
                f"{path} was trained in the forms of layers of {' '.join(name.values())}, whose "
                "kernels cannot be compiled here (docs/training.md); go on where they can, or "
                "choose another OUT_DIR"
            )

    def _load_first_weights(self) -> None:
        """Read TRAIN.WEIGHTS, where they are named and not read yet."""
        if self.cfg.TRAIN.WEIGHTS and self.weights_notes is None:
            weights = read_weights(self.cfg.TRAIN.WEIGHTS, cache_dir=self.cfg.DOWNLOAD_CACHE)
            self.weights_notes = load_weights_into(self.model, weights, replace_head=True)

    def _require_same_run(self, state: dict[str, Any], path: Path) -> None:
        """Refuse to mix two runs in one folder; a finished one may get more epochs."""
        saved_cfg = parse_cfg(str(state.get("cfg", "")), str(path))
        saved = computing_keys(saved_cfg)
        done = state["epoch"] + ("iteration" not in state)
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
        for name, key, here in (
            ("precision", "TRAIN.MIXED_PRECISION", self.precision.name),
            ("cuda_graph", "TRAIN.CUDA_GRAPH", self.is_captured),
            ("batches", "LAYER_FORMS", self.train_loader.made_by),
        ):
            if state.get(name, here) != here:
                raise ConfigError(
                    f"{path} was trained with {key} {get_value(saved_cfg, key)!r} ({name}: "
                    f"{state[name]}), and {key} {get_value(self.cfg, key)!r} on this device means "
                    f"{here}; go on as before, on such a device, or choose another OUT_DIR"
                )
        if state.get("data", self.data_fingerprints()) != self.data_fingerprints():
            raise ConfigError(
                f"{path} was trained on other images or another split than "
                f"{self.cfg.TRAIN.DATASET} holds now; restore the data set, or choose another "
                "OUT_DIR"
            )
