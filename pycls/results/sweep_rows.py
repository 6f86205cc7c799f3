"""The rows of a sweep's tables, taken from the log and the configuration of each run."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pycls.errors import ConfigError
from pycls.files import csv_text
from pycls.models.widths import stage_lists
from pycls.results.log_records import EPOCH_KINDS, FULL, LogData, Record, epoch_of
from pycls.spaces.bounds import METRICS, STAGE_COLUMNS

# {kind of record: how its errors are called}
_SIDES = {"test_epoch": "", "train_epoch": "train_", "test_ema_epoch": "ema_"}
_ERRORS = {"top1_err": "top1_err", "topk_err": "top5_err"}  # {ours: the log's}

ERROR_COLUMNS = (
    *(
        f"{which}_{side}{name}"
        for side in _SIDES.values()
        for name in _ERRORS
        for which in ("final", "min")
    ),
    *(f"full_train_{name}" for name in _ERRORS),
)
CURVE_COLUMNS = (
    "run",
    "epoch",
    "epochs",
    *(f"{side or 'test_'}{name}" for side in _SIDES.values() for name in _ERRORS),
    "loss",
    "lr",
    "seconds",
)

Facts = dict[str, Any]


def derive(run: str, log: LogData) -> dict[str, Any]:
    """Return what the tables need of a log, for JSON.

    Returns:
        "facts" (columns of `results.csv`, and "stages", {column: [by stage]}) and "curves"
        (lines of `curves.csv`).
    """
    cfg = log.last.get("cfg", {})
    facts: Facts = {**_settings(cfg), **_progress(log), **_errors(log)}
    facts |= {name: log.complexity[name] for name in METRICS if name in log.complexity}
    facts |= describe_network(cfg)
    # The log's starts may be of different networks.
    facts["mixed"] = log.first.get("complexity") != log.last.get("complexity")
    return {"facts": facts, "curves": _curves(run, log)}


def _settings(cfg: Mapping[str, Any]) -> Facts:
    classes = _at(cfg, "MODEL", "NUM_CLASSES")
    classes = classes if isinstance(classes, int) else None
    return {
        "dataset": str(_at(cfg, "TRAIN", "DATASET") or ""),
        "seed": _at(cfg, "RNG_SEED"),
        "num_classes": classes,
        "topk": None if classes is None else min(5, classes),
    }


def _at(cfg: Any, *keys: str) -> Any:
    for key in keys:
        cfg = cfg.get(key) if isinstance(cfg, Mapping) else None
    return cfg


def _progress(log: LogData) -> Facts:
    """Return how far the log goes and the seconds that its epochs took."""
    last = max(log.test, default=0)
    ends = [epoch_of(record)[1] for record in (log.test or log.train).values()]
    times = [
        record["time_epoch"]
        for kind in EPOCH_KINDS
        for record in log.by_epoch(kind).values()
        if "time_epoch" in record
    ]
    return {
        "epochs": ends[-1] if ends else None,
        "epochs_done": last,
        "seconds": round(math.fsum(times), 4) if times else None,
    }


def _errors(log: LogData) -> Facts:
    """Return errors after the last epoch that was tested, and the lowest of all epochs, in %."""
    errors: Facts = {}
    last = max(log.test, default=0)
    for kind, side in _SIDES.items():
        records = log.by_epoch(kind)
        for ours, theirs in _ERRORS.items():
            errors[f"final_{side}{ours}"] = records.get(last, {}).get(theirs)
            # Not the log's own minimum: pycls begins it anew with every start.
            errors[f"min_{side}{ours}"] = _lowest(record.get(theirs) for record in records.values())
    full = log.by_epoch(FULL).get(last, {})
    return errors | {f"full_train_{ours}": full.get(theirs) for ours, theirs in _ERRORS.items()}


def _lowest(values: Iterable[float | None]) -> float | None:
    """Return the lowest value, NaN only where there is nothing else."""
    given = [value for value in values if value is not None]
    return min((v for v in given if not math.isnan(v)), default=math.nan if given else None)


def _curves(run: str, log: LogData) -> str:
    tables = {kind: log.by_epoch(kind) for kind in EPOCH_KINDS}
    lines = []
    for epoch in sorted(set().union(*tables.values())):
        rows = {kind: table.get(epoch, {}) for kind, table in tables.items()}
        some = next(row for row in rows.values() if row)
        cells: list[Any] = [run, epoch, epoch_of(some)[1]]
        cells += [rows[kind].get(name) for kind in _SIDES for name in _ERRORS.values()]
        train = rows["train_epoch"]
        times = [row["time_epoch"] for row in rows.values() if "time_epoch" in row]
        cells += [train.get("loss"), train.get("lr")]
        cells.append(round(math.fsum(times), 4) if times else None)
        lines.append(cells)
    return csv_text(lines)


# ---------------------------------------------------------------- the network
def describe_network(cfg: Mapping[str, Any]) -> Facts:
    """Return a network's kind and stages, as far as its nested configuration says them by stage.

    Returns:
        "model", and for AnyNets, RegNets and EfficientNets "cum_depth", "cum_width" and
        "stages"; less where the configuration is incomplete.
    """
    kind = _at(cfg, "MODEL", "TYPE")
    if not isinstance(kind, str):
        return {}
    try:
        stages = _stages(kind, cfg)
        sums = {f"cum_{name}": sum(stages[name]) for name in ("depth", "width") if name in stages}
    except (ConfigError, KeyError, TypeError, ValueError, ArithmeticError):
        return {"model": kind}
    return {"model": kind, **sums, "stages": stages}


def _stages(kind: str, cfg: Mapping[str, Any]) -> dict[str, list]:
    if kind == "effnet":
        lists = [cfg["EN"]["DEPTHS"], cfg["EN"]["WIDTHS"]]
    elif kind in ("anynet", "regnet"):
        lists = list(stage_lists(kind, cfg[kind.upper()]))
    else:
        lists = []
    return {name: list(values) for name, values in zip(STAGE_COLUMNS, lists, strict=False)}


# ---------------------------------------------------------------- the table
def result_columns(drawn: Iterable[str], stages: int) -> list[str]:
    """Return the columns of a sweep's `results.csv`: `drawn` keys, and up to `stages` stages."""
    return [
        "run", "cfg", "status", "reason", "dataset", "model", "seed", "num_classes", "epochs",
        "epochs_done", "topk", *ERROR_COLUMNS, "seconds", "started", *METRICS, "cum_depth",
        "cum_width", *(f"{name}_{i + 1}" for name in STAGE_COLUMNS for i in range(stages)),
        *drawn,
    ]  # fmt: skip


def result_row(columns: Sequence[str], facts: Facts, drawn: Mapping[str, Any]) -> list[Any]:
    """Return a row of `results.csv`; a run that is not done has no errors.

    Args:
        columns: of :func:`result_columns`.
        facts: of :func:`derive`, with run, cfg, status, reason and started.
        drawn: {configuration key: value}.
    """
    values: Record = {**facts, **{key: _cell(value) for key, value in drawn.items()}}
    if facts["status"] != "done":
        values |= dict.fromkeys(ERROR_COLUMNS)
    for name, by_stage in facts.get("stages", {}).items():
        values |= {f"{name}_{i + 1}": value for i, value in enumerate(by_stage)}
    return ["" if values.get(name) is None else values[name] for name in columns]


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
