"""Runs that are stopped or killed at any moment end in the undisturbed result, bit for bit."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
import training_jobs
from processes import HANG_S, wait_until
from run_checkpoints import last_checkpoint
from run_logs import parse_log

from pycls.core.config.load import dump_cfg
from pycls.core.runs import paths
from pycls.core.runs.interruption import StopRequest, stop_requests
from pycls.core.runs.record import read_record
from pycls.core.trainer import train_model
from pycls.core.weights import checkpoint, resume_point
from pycls.errors import CheckpointError, RunInterruptedError

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("PYCLS_SOAK_RUNS", "4"))

# All that has a state or draws: averages, mixing, random layers, precise statistics.
EVERYTHING = (
    "OPTIM.EMA_UPDATE_PERIOD", 2, "OPTIM.EMA_ALPHA", 1e-3, "OPTIM.WARMUP_EPOCHS", 1,
    "TRAIN.MIXUP_ALPHA", 0.3, "TRAIN.CUTMIX_ALPHA", 0.5, "TRAIN.LABEL_SMOOTHING", 0.1,
    "BN.USE_PRECISE_STATS", True, "BN.NUM_SAMPLES_PRECISE", 256, "LOG_PERIOD", 3,
    "MODEL.TYPE", "effnet", "MODEL.ACTIVATION_FUN", "silu", "EN.STEM_W", 8, "EN.DEPTHS", [1, 2],
    "EN.WIDTHS", [8, 16], "EN.EXP_RATIOS", [1, 2], "EN.STRIDES", [1, 1], "EN.KERNELS", [3, 3],
    "EN.HEAD_W", 32, "EN.DC_RATIO", 0.2, "EN.DROPOUT_RATIO", 0.2,
)  # fmt: skip


@pytest.fixture
def start(processes, tmp_path):
    """Return a function (cfg, *signal and moment) -> a process that trains it."""
    started = []

    def start(cfg, *when):
        path = tmp_path / f"{Path(cfg.OUT_DIR).name}.yaml"
        path.write_text(dump_cfg(cfg))
        process = processes.Process(target=training_jobs.train, args=(str(path), *when))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function (digits_cfg, options) -> configuration of a finished run, trained once."""
    finished = {}

    def train(digits_cfg, options):
        key = str(options)
        if key not in finished:
            finished[key] = digits_cfg(*options, "OUT_DIR", str(tmp_path_factory.mktemp("whole")))
            train_model(finished[key])
        return finished[key]

    return train


def last_state(cfg):
    return checkpoint.load_checkpoint(resume_point.resume_points(cfg.OUT_DIR)[0])


def assert_same_run(cfg, other):
    """Check that two runs ended with the same bits and the same errors."""
    a, b = last_state(cfg), last_state(other)
    for part in ("model_state", "ema_state"):
        for name, value in a.get(part, {}).items():
            assert torch.equal(value, b[part][name]), f"{part} {name}"
    for key in ("epoch", "min_errors", "last_errors", "scaler_state"):
        assert a[key] == b[key]
    momenta = [state["optimizer_state"]["state"] for state in (a, b)]
    for i, entry in momenta[0].items():
        assert torch.equal(entry["momentum_buffer"], momenta[1][i]["momentum_buffer"])
    logs = [parse_log(Path(c.OUT_DIR) / "stdout.log") for c in (cfg, other)]
    for epoch, record in logs[0].test.items():
        assert logs[1].test[epoch]["top1_err"] == record["top1_err"]
        assert logs[1].train[epoch]["top1_err"] == logs[0].train[epoch]["top1_err"]
        assert logs[1].train[epoch]["loss"] == logs[0].train[epoch]["loss"]


def count_records(cfg):
    log = Path(cfg.OUT_DIR) / "stdout.log"
    return log.read_text().count("json_stats: ") if log.exists() else 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_signal_saves_the_present_step_and_leaves(name, digits_cfg, undisturbed, tmp_path, start):
    options = [*EVERYTHING, "OPTIM.MAX_EPOCH", 4]
    whole = undisturbed(digits_cfg, options)
    stopped = digits_cfg(*options, "OUT_DIR", str(tmp_path / "stopped"))
    process = start(stopped, getattr(signal, name), 8 + 1 + 5)  # inside the second epoch
    process.join(HANG_S)
    assert process.exitcode == RunInterruptedError.exit_code == 75
    record = read_record(stopped.OUT_DIR)
    assert record["status"] == "interrupted"
    assert name in record["reason"]
    state = last_state(stopped)
    assert (state["epoch"], state["iteration"]) == (len(record["epochs"]), 5) == (1, 5)
    train_model(stopped)
    assert_same_run(whole, stopped)
    assert read_record(stopped.OUT_DIR)["status"] == "done"
    epochs = [entry["epoch"] for entry in read_record(stopped.OUT_DIR)["epochs"]]
    assert epochs == list(range(1, 5))
    # Nothing of the interruption stays.
    names = [path.name for path in paths.checkpoint_dir(stopped.OUT_DIR).iterdir()]
    assert sorted(names) == [f"model_epoch_{i:04d}.pyth" for i in range(1, 5)]


@pytest.mark.parametrize(
    "options",
    [EVERYTHING, ("CHECKPOINT.KEEP", "last", "CHECKPOINT.PERIOD", 0.0)],
    ids=["everything", "plain"],
)
def test_killed_within_the_third_epoch_four_equal_two_and_two(
    digits_cfg, undisturbed, tmp_path, start, options
):
    options = [*options, "OPTIM.MAX_EPOCH", 4]
    whole = undisturbed(digits_cfg, options)
    killed = digits_cfg(*options, "OUT_DIR", str(tmp_path / "killed"))
    process = start(killed, signal.SIGKILL, 2 * (8 + 1) + 5)
    process.join(HANG_S)
    assert process.exitcode == -signal.SIGKILL
    assert read_record(killed.OUT_DIR)["status"] == "running"
    state = last_state(killed)
    assert "iteration" not in state
    assert state["epoch"] == 1  # from 0 on
    train_model(killed)
    assert_same_run(whole, killed)
    assert read_record(killed.OUT_DIR)["status"] == "done"


@pytest.mark.parametrize("accumulate", [1, 4])
def test_stopped_again_and_again_within_epochs_and_tests(
    digits_cfg, tmp_path, monkeypatch, accumulate
):
    options = [*EVERYTHING, "OPTIM.MAX_EPOCH", 2, "TRAIN.ACCUMULATE", accumulate]
    whole = digits_cfg(*options, "OUT_DIR", str(tmp_path / "whole"))
    train_model(whole)
    broken = digits_cfg(*options, "OUT_DIR", str(tmp_path / "broken"))
    stops = 0
    while stops < 60:
        # One to four more steps (or batches of a test) before the next stop.
        request = StopAfter(stops % 4 + 1)
        monkeypatch.setattr("pycls.core.trainer.stop_requests", lambda request=request: request)
        try:
            train_model(broken)
            break
        except RunInterruptedError:
            stops += 1
    assert 6 <= stops < 60
    assert_same_run(whole, broken)


class StopAfter(StopRequest):
    """A request to stop that is there after some looks."""

    def __init__(self, looks):
        super().__init__()
        self.looks_left = looks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def __bool__(self):
        self.looks_left -= 1
        return self.looks_left < 0


def test_second_ctrl_c_does_not_wait():
    with stop_requests() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop
        assert stop.name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # handlers are as they were
        signal.raise_signal(signal.SIGINT)


def damage(path):
    path.write_bytes(path.read_bytes()[:1000])


def test_truncated_checkpoint_falls_back_to_the_one_before(digits_cfg, tmp_path):
    whole = digits_cfg("OUT_DIR", str(tmp_path / "whole"))
    train_model(whole)
    cut = digits_cfg()
    train_model(cut)
    damage(last_checkpoint(cut.OUT_DIR))
    (tmp_path / "run" / "run.json").unlink()
    with pytest.warns(UserWarning, match=r"model_epoch_0003\.pyth: the checkpoint is cut short"):
        train_model(cut)
    assert_same_run(whole, cut)


def test_no_readable_checkpoint_is_an_error_not_a_new_start(digits_cfg):
    cfg = digits_cfg()
    train_model(cfg)
    for path in resume_point.resume_points(cfg.OUT_DIR):
        damage(path)
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read, the newest"),
    ):
        train_model(cfg)


def test_runs_under_random_signals_end_in_the_undisturbed_result(digits_cfg, tmp_path, start):
    options = [
        *EVERYTHING,
        "OPTIM.MAX_EPOCH",
        6,
        "CHECKPOINT.KEEP",
        "last",
        "CHECKPOINT.PERIOD",
        0.0,
    ]
    whole = digits_cfg(*options, "OUT_DIR", str(tmp_path / "whole"))
    train_model(whole)
    moments, signals = random.Random(11), 0
    for number in range(RUNS):
        cfg = digits_cfg(*options, "OUT_DIR", str(tmp_path / f"run{number}"))
        for attempt in range(moments.randint(1, 3)):
            process = start(cfg)
            if attempt == 0 and number % 2:  # while it starts, or soon after
                time.sleep(moments.uniform(0.0, 0.5))
            else:
                records = count_records(cfg) + moments.randint(1, int(0.8 * count_records(whole)))
                wait_for_records(process, cfg, records)
            kind = moments.choice((signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1))
            if process.exitcode is None:
                os.kill(process.pid, kind)
                signals += 1
            process.join(HANG_S)
            assert process.exitcode in (0, 75, -kind)
        process = start(cfg)
        process.join(HANG_S)
        assert process.exitcode == 0
        assert_same_run(whole, cfg)
        assert read_record(cfg.OUT_DIR)["status"] == "done"
    # One that ends before its moment gets none: rare on any machine.
    assert signals >= RUNS // 2


def wait_for_records(process, cfg, number):
    """Wait until a run has logged so many records, or has ended."""
    wait_until(lambda: count_records(cfg) >= number or process.exitcode is not None)
