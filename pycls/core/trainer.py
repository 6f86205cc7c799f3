"""Trains one network: the run that a study consists of.

A run is a function of its configuration, its data and the code. Initial weights, order,
augmentation, mixing and random layers derive from RNG_SEED, the epoch, the iteration and the
image, so that a run stopped at any moment and started again goes on to the same weights.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from yacs.config import CfgNode

from pycls.core.benchmark import epoch_times, measure_iteration
from pycls.core.config.load import cfg_hash, cfg_to_dict, dump_cfg
from pycls.core.config.trainable import check_trainable
from pycls.core.env import describe_environment, run_settings, seed_generators
from pycls.core.meters import Meter, Spent
from pycls.core.precise_bn import update_bn_stats
from pycls.core.processes.faults import Fault, find_fault
from pycls.core.processes.group import any_over, buffers_from_main, wait_for_all
from pycls.core.processes.world import ONE_PROCESS, World
from pycls.core.runs.interruption import StopRequest, stop_requests
from pycls.core.runs.lease import run_lease
from pycls.core.runs.log import RunLog
from pycls.core.runs.packed import unpack
from pycls.core.runs.paths import checkpoint_dir
from pycls.core.runs.record import (
    TRAINED,
    failures_of,
    read_record,
    seconds_of_epochs,
    utc_now,
    write_record,
)
from pycls.core.runs.watchers import is_watched, open_watchers
from pycls.core.schedules import lr_at
from pycls.core.tester import evaluate
from pycls.core.together.steps import Steps, to_the_end
from pycls.core.training_run import TrainingRun
from pycls.core.weights import checkpoint, resume_point
from pycls.datasets.loading.loader import Batch
from pycls.datasets.randomness import make_key
from pycls.errors import (
    ConfigError,
    PyclsError,
    RunError,
    RunInterruptedError,
    find_environment_error,
)
from pycls.files import remove_partials, write_text_if_changed
from pycls.models.counting import complexity
from pycls.schema import ANSWERS, LOG_FILE

_ERRORS = ("top1_err", "top5_err")
_INTERRUPTS = (KeyboardInterrupt, SystemExit, GeneratorExit, RunInterruptedError)
_STREAM_STATISTICS = 103

# Processes agree on stopping this often: asking costs them a meeting.
_ITERATIONS_BETWEEN_MEETINGS = 10


def train_model(cfg: CfgNode, world: World = ONE_PROCESS) -> dict[str, Any]:
    """Train the network of a configuration, or finish its training; test it every epoch.

    Everything is written to OUT_DIR: the configuration, the log (LOG_DEST file), a
    checkpoint an epoch, and the record `run.json`. SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C save
    the state after the present step.

    Args:
        cfg: the configuration.
        world: the processes that train together, of which this is one; the first one writes.

    Returns:
        The run's record; record["result"] holds the final and the minimal test errors and
        the training errors of the last epoch, in percent.

    Raises:
        ConfigError: the configuration cannot be trained, or OUT_DIR holds another run.
        DataError: a data set is missing or damaged.
        CheckpointError: no checkpoint can be read, or it is of another network.
        DownloadError: TRAIN.WEIGHTS is an address, and the file could not be had.
        RunError: the loss is no longer finite.
        RunInterruptedError: a signal asked to stop; the state is saved.
        LeaseHeldError: another process is training in OUT_DIR.
        LeaseLostError: another process may have taken OUT_DIR over, this one having been
            suspended or cut off from the file system; it has written nothing since.
    """
    if world.size != max(1, cfg.NUM_GPUS):
        raise ConfigError(
            f"NUM_GPUS is {cfg.NUM_GPUS}, and this is one of {world.size} processes; train through "
            "tools/train_net.py or pycls.core.training_launch.train, which start as many as that"
        )
    with stop_requests() as stop, run_settings(cfg, world) as device:
        check_trainable(cfg, device)
        # Data and network first: a mistake there must leave no folder behind.
        run = TrainingRun(cfg, device, world)
        train = train_in_folder if world.is_main else _train_beside
        return to_the_end(train(run, stop))


def train_in_folder(run: TrainingRun, stop: StopRequest) -> Steps[dict[str, Any]]:
    """Train in OUT_DIR, as the process that writes there, and record how it ended.

    Between its steps, a batch each, the process may do what it likes but stop the batches of the
    run; raises and returns what :func:`train_model` does.
    """
    cfg, out_dir = run.cfg, Path(run.cfg.OUT_DIR)
    out_dir.mkdir(parents=True, exist_ok=True)
    with run_lease(out_dir) as lease:
        run.hold_folder(lease)
        remove_partials(out_dir)
        remove_partials(checkpoint_dir(out_dir))
        # Before anything is written: a refusal must leave an earlier run's files alone.
        origin = run.resume()
        before = read_record(out_dir)
        if before is not None and run.is_finished_as(before):
            return before
        run.require_folder()
        unpack(out_dir, out_dir)  # to go on with a log that was packed
        write_text_if_changed(out_dir / cfg.CFG_DEST, dump_cfg(cfg))
        record = _new_record(run, before)
        _write_record(run, record)
        # At a terminal a readable line an epoch takes the place of the log.
        to_file = cfg.LOG_DEST == "file" or is_watched()
        log_path = out_dir / LOG_FILE if to_file else None
        with RunLog(log_path, open_watchers(cfg), lease.check) as log:
            try:
                yield from _train(run, stop, log, origin, record)
            except BaseException as error:
                lease.check()  # without it the folder is another process's: nothing is written
                _end_record(
                    record, run, "interrupted" if isinstance(error, _INTERRUPTS) else "failed"
                )
                record["reason"] = _describe_error(error)
                _write_reason(out_dir, record, log)
                raise
        _end_record(record, run, "done")
        record["result"] = run.result()
        if run.last_answers is not None:
            record[ANSWERS] = run.last_answers
        if log_path is not None:
            record["log_bytes"] = log_path.stat().st_size
        if run.stops_early:
            record["stopped_after"] = run.epoch
        _write_record(run, record)
        if cfg.CHECKPOINT.KEEP == "none" and not run.stops_early:
            run.require_folder()
            checkpoint.remove_checkpoints(out_dir)
    return record


def _train_beside(run: TrainingRun, stop: StopRequest) -> Steps[dict[str, Any]]:
    """Train with the process that writes; what it reads is there before it begins."""
    run.resume()
    before = read_record(run.cfg.OUT_DIR)
    if before is not None and run.is_finished_as(before):
        return before
    record = _new_record(run, before)
    with RunLog(os.devnull) as log:
        yield from _train(run, stop, log, "", record)
    return {**record, "status": "done", "result": run.result()}


def _train(
    run: TrainingRun, stop: StopRequest, log: RunLog, origin: str, record: dict[str, Any]
) -> Steps[None]:
    """Log what the run is and go through the epochs that are left."""
    cfg, environment = run.cfg, record["environment"]
    log.line("Environment: " + ", ".join(f"{key}={value}" for key, value in environment.items()))
    log.config(cfg_to_dict(cfg))
    log.stats(complexity(cfg), "complexity")
    log.line(origin)
    for loader in (run.train_loader, run.test_loader):
        log.line(f"Data: {loader.describe()}")
    if run.epoch == run.iteration == 0 and cfg.PREC_TIME.NUM_ITER > 0:
        _log_times(run, log)
    spent = Spent(run.clock)
    # All of them have read where the run is before the first writes anew.
    wait_for_all(run.world)
    while run.epoch < run.last_epoch:
        try:
            train_stats = yield from train_epoch(run, log, spent, stop)
            is_best = yield from _test(run, log, spent, stop, train_stats)
        except RunInterruptedError:
            state = run.interrupted_state()  # by all of them: counts are added up
            if run.world.is_main:
                run.require_folder()
                run.checkpoints.flush()
                resume_point.save_inside_epoch(cfg.OUT_DIR, state)
            raise
        stops = any_over(run.world, bool(stop))
        if run.world.is_main:
            with spent.on("checkpoint"):
                _save(run, is_best, at_once=stops or run.epoch + 1 == run.last_epoch)
        record["epochs"].append({"epoch": run.epoch + 1, **spent.take()})
        if run.is_record_due():
            _write_record(run, record)
        run.end_epoch()
        if stops and run.epoch < run.last_epoch:
            raise stop.to_error()
    if cfg.TRAIN.FULL_ERRORS and not run.stops_early:
        yield from _measure_full_errors(run, log, stop)


def train_epoch(
    run: TrainingRun, log: RunLog, spent: Spent, stop: StopRequest
) -> Steps[dict[str, Any]]:
    """Train for what is left of the run's present epoch and return the epoch's record.

    Raises:
        RunError: the loss is not finite.
        RunInterruptedError: `stop` asks for it.
    """
    cfg, epoch, meter = run.cfg, run.epoch, run.train_meter
    iterations = len(run.train_loader)
    run.model.train()
    if run.iteration == 0:
        meter.reset()
    batches = run.train_loader.epoch(epoch, run.iteration)
    for images, labels in spent.waiting("data", batches):
        run.require_folder()
        with spent.on("step"):
            lr = lr_at(cfg.OPTIM, epoch + run.iteration / iterations)
            compiles, began = run.compiles, run.clock.now()
            run.train_step(images, labels, lr)
            if compiles:
                log.line(f"Compiled in the first step, {run.clock.now() - began:.1f} s")
            if meter.is_log_iter():
                stats = meter.iter_stats(epoch)
                log.stats({**stats, "lr": lr}, "train_iter")
                _require_finite(stats)
        if _shall_stop(run, stop):
            raise stop.to_error()
        yield
    stats = meter.epoch_stats(epoch)
    lr = lr_at(cfg.OPTIM, epoch + (iterations - 1) / iterations)
    log.stats({**stats, "lr": lr}, "train_epoch")
    _require_finite(stats)
    return stats


def _shall_stop(run: TrainingRun, stop: StopRequest) -> bool:
    """Say whether to stop after this step, the same in all processes."""
    if run.world.size == 1:
        return bool(stop)
    if run.iteration % _ITERATIONS_BETWEEN_MEETINGS:
        return False
    return any_over(run.world, bool(stop))


def _test(
    run: TrainingRun, log: RunLog, spent: Spent, stop: StopRequest, train_stats: dict[str, Any]
) -> Steps[bool]:
    """Test network and average after an epoch; return whether the error is the lowest so far.

    Nothing of the run is changed before all is tested: what an interruption in here saves is
    the end of the training, and testing again gives the same.
    """
    cfg, epoch = run.cfg, run.epoch
    lowest = {"test": dict(run.min_errors), "test_ema": dict(run.min_ema_errors)}
    errors: dict[str, float] = {f"train_{name}": train_stats[name] for name in _ERRORS}
    answers = run.answers_meter()
    for kind, model in run.networks():
        with spent.on("evaluation"):
            buffers_from_main(run.world, model)
            if cfg.BN.USE_PRECISE_STATS:
                yield from _set_precise_statistics(run, kind, model)
            tested = yield from evaluate(
                run.test_loader,
                model,
                run.test_meter,
                log,
                epoch,
                run.topk,
                lowest[kind],
                kind=kind,
                halves=kind == "test" and epoch + 1 == cfg.OPTIM.MAX_EPOCH,
                # Several processes must go through a test together.
                stop=stop if run.world.size == 1 else None,
                precision=run.precision,
                balanced=cfg.TEST.BALANCED_ERROR,
                answers=answers if kind == "test" else None,
                compute=run.replayed(kind, "test"),
            )
        prefix = "ema_" if kind == "test_ema" else ""
        errors |= {f"{prefix}{name}": value for name, value in tested.items()}
    return run.take_errors(errors, lowest, None if answers is None else answers.answers())


def _save(run: TrainingRun, is_best: bool, at_once: bool) -> None:
    """Save a finished epoch, where it is time."""
    run.require_folder()
    is_first = not run.checkpoints.has_saved
    if run.checkpoints.take(run.checkpoint_state, is_best=is_best, at_once=at_once) and is_first:
        resume_point.remove_inside_epoch(run.cfg.OUT_DIR)


def _set_precise_statistics(run: TrainingRun, kind: str, model: nn.Module) -> Steps[None]:
    cfg, loader = run.cfg, run.train_loader
    iterations = max(1, cfg.BN.NUM_SAMPLES_PRECISE // cfg.TRAIN.BATCH_SIZE)
    yield from update_bn_stats(
        model,
        _seeded(run, loader.epoch(run.epoch)),
        min(iterations, len(loader)),
        parts=cfg.TRAIN.ACCUMULATE,
        world=run.world,
        precision=run.precision,
        compute=run.replayed(kind, "statistics"),
    )


def _seeded(run: TrainingRun, batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, on which dropout and drop connect act the same way whenever it is done."""
    for number, batch in enumerate(batches):
        key = make_key(run.cfg.RNG_SEED, _STREAM_STATISTICS, run.epoch, number, run.world.rank)
        seed_generators(key, run.device)
        yield batch


def _measure_full_errors(run: TrainingRun, log: RunLog, stop: StopRequest) -> Steps[None]:
    """Test the network on all training images, as they are (the study's Fig A4 B)."""
    cfg, world = run.cfg, run.world
    loader = run.loader("TRAIN", evaluate=True)
    meter = Meter(len(loader), cfg.OPTIM.MAX_EPOCH, cfg.LOG_PERIOD, run.device, world, run.clock)
    epoch = cfg.OPTIM.MAX_EPOCH - 1
    errors = yield from evaluate(
        loader, run.model, meter, log, epoch, run.topk, {}, kind="train_full",
        stop=stop if world.size == 1 else None, precision=run.precision,
    )  # fmt: skip
    run.take_full_errors(errors)


def _log_times(run: TrainingRun, log: RunLog) -> None:
    """Measure what an iteration takes, as pycls does before the first one."""
    times = measure_iteration(run.model, run.cfg, run.device, run.train_loader)
    log.stats(times, "iter_times")
    log.stats(epoch_times(times, len(run.train_loader), len(run.test_loader)), "epoch_times")


def _require_finite(stats: dict[str, Any]) -> None:
    if not math.isfinite(stats["loss"]):
        raise RunError(
            f"the loss is {stats['loss']} in epoch {stats['epoch']}; training diverged. A lower "
            "OPTIM.BASE_LR or a warm-up (OPTIM.WARMUP_EPOCHS) may help"
        )


def _write_record(run: TrainingRun, record: dict[str, Any]) -> None:
    run.require_folder()
    record["forms"] = run.describe_forms()
    write_record(run.cfg.OUT_DIR, record)


def _new_record(run: TrainingRun, before: dict[str, Any] | None) -> dict[str, Any]:
    earlier = (before or {}).get("epochs", [])
    failures = failures_of(before)
    return {
        "status": "running",
        "config_hash": cfg_hash(run.cfg),
        "seed": run.cfg.RNG_SEED,
        "data": run.data_fingerprints(),
        "environment": describe_environment(run.device),
        "precision": run.precision.name,
        "cuda_graph": run.is_captured,
        "batches": run.train_loader.made_by,
        "processes": run.world.size,
        "pid": os.getpid(),
        "started": utc_now(),
        # Seconds by epoch, and what they went to.
        "epochs": [entry for entry in earlier if entry["epoch"] <= run.epoch],
        **({"failures": failures} if failures else {}),
    }


def _end_record(record: dict[str, Any], run: TrainingRun, status: str) -> None:
    record["status"] = status
    record["ended"] = utc_now()
    record["seconds"] = round(run.clock.now() - run.start_time, 3)
    record[TRAINED] = round(sum(seconds_of_epochs(record)), 3)


def _describe_error(error: BaseException) -> str:
    if isinstance(error, PyclsError):
        return str(error)
    if find_fault(error) is Fault.PEER_LOST:
        return "another process of this training ended"
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def _write_reason(out_dir: Path, record: dict[str, Any], log: RunLog) -> None:
    """Log and record why the run ended, as far as the disk allows; the error itself goes on."""
    try:
        log.line(f"Run {record['status']}: {record['reason']}")
        write_record(out_dir, record)
    except OSError as error:
        if find_environment_error(error) is None:
            raise
