"""Logs of runs as our formatter writes them, with errors that name start and epoch."""

from pathlib import Path

from pycls.core.runs.log import RunLog
from pycls.results.log_records import LogData, find_records

CFG = {
    "MODEL": {"TYPE": "anynet", "NUM_CLASSES": 10},
    "ANYNET": {"DEPTHS": [1, 2], "WIDTHS": [16, 32], "BOT_MULS": [0.5, 1.0], "GROUP_WS": [8, 16]},
    "TRAIN": {"DATASET": "digits"},
    "RNG_SEED": 3,
    "DESC": 'it says json_stats: {"_type": "test_epoch", "epoch": "1/9"} and "quotes"',
}
COMPLEXITY = {"flops": 1000, "params": 200, "acts": 30}


def write_epoch(log, epoch, last, value, ema=True, iterations=2):
    """Write an epoch's records; `value` is its test error, others follow from it."""
    shared = {"epoch": f"{epoch}/{last}", "mem": 0, "time_avg": 0.1}
    errors = {"top1_err": value, "top5_err": value / 2}
    log.line(f"Start epoch: {epoch}")
    for i in range(iterations):
        log.stats({**shared, **errors, "iter": f"{i + 1}/9", "lr": 0.1, "loss": 1.0}, "train_iter")
    train = {"top1_err": value + 1, "top5_err": value / 2 + 1, "loss": value / 10, "lr": 0.1}
    log.stats({**shared, **train, "eta": "00,00:00:01", "time_epoch": 2.0}, "train_epoch")
    log.stats({**shared, **errors, "iter": "1/1"}, "test_iter")
    tested = {**shared, "min_top1_err": value, "min_top5_err": value, "time_epoch": 0.5}
    log.stats({**tested, **errors}, "test_epoch")
    if ema:
        better = {"top1_err": value - 1, "top5_err": value / 2 - 1}
        log.stats({**tested, **better}, "test_ema_epoch")


def write_start(path, epochs, last, offset=0.0, cfg=CFG, complexity=COMPLEXITY, **options):
    """Append a start that goes through `epochs`; the test error is 50 - epoch + offset."""
    with RunLog(path) as log:
        log.config(cfg)
        log.stats(complexity, "complexity")
        log.line("Starting from the beginning")
        for epoch in epochs:
            write_epoch(log, epoch, last, 50.0 - epoch + offset, **options)
    return path


def parse_log(path):
    """Return what a run's log holds; nothing where there is no file."""
    data = LogData()
    for kind, record in find_records(Path(path).read_bytes() if Path(path).exists() else b""):
        data.add(kind, record)
    return data
