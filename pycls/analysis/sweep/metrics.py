"""Metrics that the runs of a sweep are compared by, with pycls's names, and filters on them.

A metric is one of the names below or the way to any value of `sweep.json`, such as
cfg.OPTIM.MAX_EPOCH or train_epoch.loss. Names, meanings and transforms are pycls's
(pycls/sweep/analysis.py at 5719de6), so that its sweep files mean the same here; filters are
on the transformed value: `lr` is a logarithm, `flops` are billions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pycls.analysis.sweep.sweep_json import SweepRun, SweepRuns, is_number, lowest, numbers
from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

_BY_EPOCH = ("train_epoch", "test_epoch", "test_ema_epoch")


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        label: for axes, with unit.
        keys: ways to the values in `sweep.json` that it is made of.
        transform: makes them one value; without it the value is shown as it is.
        units: (unit, how many make one of the first) to choose from for axes, falling.
    """

    label: str
    keys: tuple[str, ...]
    transform: Callable[..., Any] | None = None
    units: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class MetricTable:
    """Metrics of the runs of all sweeps.

    Attributes:
        models: a row per run: space (the sweep), run, error (percent), and a column a metric;
            metrics that are lists have a column an item.
        labels: column -> label.
    """

    models: pd.DataFrame
    labels: Mapping[str, str]

    def without_constants(self) -> "tuple[MetricTable, dict[str, str]]":
        """Return the metrics that differ between runs, and label -> value of the others."""
        constant: dict[str, str] = {}
        labels = {}
        for column, label in self.labels.items():
            known = self.models[column].dropna().unique()
            if len(known) > 1:
                labels[column] = label
            elif len(known):
                value = known[0]
                constant[label] = f"{value:g}" if isinstance(value, float) else str(value)
            else:
                constant[label] = "not a number in any run"
        return MetricTable(self.models, labels), constant


def _scaled(unit: float) -> Callable[[Any], float]:
    return lambda value: value / unit


def _log10(value: Any) -> float:
    return math.log10(value) if value > 0 else math.nan


def _mean(values: Any) -> float:
    kept = [value for value in numbers(values) if math.isfinite(value)]
    return sum(kept) / len(kept) if kept else math.nan


def _gigabytes(values: Any) -> float:
    return max(numbers(values), default=math.nan) / 1e3


def _share_done(last: Any, planned: Any) -> float:
    return last[-1] / planned[-1]


_FLOPS = (("GF", 1.0), ("MF", 1e3), ("kF", 1e6))
_COUNTS = (("M", 1.0), ("k", 1e3))
METRICS: dict[str, Metric] = {
    "error_ema": Metric("lowest EMA error (%)", ("test_ema_epoch.top1_err",), lowest),
    "error_tst": Metric("lowest test error (%)", ("test_epoch.top1_err",), lowest),
    "ema_gain": Metric(
        "gain by EMA (points)",
        ("test_epoch.top1_err", "test_ema_epoch.top1_err"),
        lambda test, ema: max(0.0, lowest(test) - lowest(ema)),
    ),
    "done": Metric("fraction done", ("test_epoch.epoch_ind", "test_epoch.epoch_max"), _share_done),
    "epochs": Metric("epochs", ("cfg.OPTIM.MAX_EPOCH",)),
    "flops": Metric("flops", ("complexity.flops",), _scaled(1e9), _FLOPS),
    "params": Metric("parameters", ("complexity.params",), _scaled(1e6), _COUNTS),
    "acts": Metric("activations", ("complexity.acts",), _scaled(1e6), _COUNTS),
    "memory": Metric("GPU memory (GB)", ("train_epoch.mem",), _gigabytes),
    "resolution": Metric("resolution (pixels)", ("cfg.TRAIN.IM_SIZE",)),
    "epoch_fw_bw": Metric("fw + bw of an epoch (s)", ("epoch_times.train_fw_bw_time",)),
    "epoch_time": Metric("time of an epoch (s)", ("train_epoch.time_epoch",), _mean),
    "batch_size": Metric("batch size", ("cfg.TRAIN.BATCH_SIZE",)),
    "regnet_depth": Metric("depth (blocks)", ("cfg.REGNET.DEPTH",)),
    "regnet_w0": Metric("initial width w_0", ("cfg.REGNET.W0",)),
    "regnet_wa": Metric("slope w_a", ("cfg.REGNET.WA",)),
    "regnet_wm": Metric("width step w_m", ("cfg.REGNET.WM",)),
    "regnet_gw": Metric("group width g", ("cfg.REGNET.GROUP_W",)),
    "regnet_bm": Metric("bottleneck multiplier", ("cfg.REGNET.BOT_MUL",)),
    "anynet_ds": Metric("depth d", ("cfg.ANYNET.DEPTHS",)),
    "anynet_ws": Metric("width w", ("cfg.ANYNET.WIDTHS",)),
    "anynet_gs": Metric("group width g", ("cfg.ANYNET.GROUP_WS",)),
    "anynet_bs": Metric("bottleneck multiplier", ("cfg.ANYNET.BOT_MULS",)),
    "anynet_d": Metric("sum of depths", ("cfg.ANYNET.DEPTHS",), sum),
    "anynet_w": Metric("largest width", ("cfg.ANYNET.WIDTHS",), max),
    "anynet_g": Metric("largest group width", ("cfg.ANYNET.GROUP_WS",), max),
    "anynet_b": Metric("largest bottleneck multiplier", ("cfg.ANYNET.BOT_MULS",), max),
    "effnet_ds": Metric("depth d", ("cfg.EN.DEPTHS",)),
    "effnet_ws": Metric("width w", ("cfg.EN.WIDTHS",)),
    "effnet_ss": Metric("stride s", ("cfg.EN.STRIDES",)),
    "effnet_bs": Metric("expansion ratio", ("cfg.EN.EXP_RATIOS",)),
    "effnet_d": Metric("sum of depths", ("cfg.EN.DEPTHS",), sum),
    "effnet_w": Metric("largest width", ("cfg.EN.WIDTHS",), max),
    "lr": Metric("log10 of learning rate", ("cfg.OPTIM.BASE_LR",), _log10),
    "min_lr": Metric("final learning rate, share", ("cfg.OPTIM.MIN_LR",)),
    "wd": Metric("log10 of weight decay", ("cfg.OPTIM.WEIGHT_DECAY",), _log10),
    "lr_wd": Metric(
        "log10 of lr x wd",
        ("cfg.OPTIM.BASE_LR", "cfg.OPTIM.WEIGHT_DECAY"),
        lambda lr, wd: _log10(lr) + _log10(wd),
    ),
    "bn_wd": Metric("log10 of BN weight decay", ("cfg.BN.CUSTOM_WEIGHT_DECAY",), _log10),
    "momentum": Metric("momentum", ("cfg.OPTIM.MOMENTUM",)),
    "ema_alpha": Metric("log10 of EMA alpha", ("cfg.OPTIM.EMA_ALPHA",), _log10),
    "ema_beta": Metric("log10 of EMA beta", ("cfg.OPTIM.EMA_BETA",), _log10),
    "ema_update": Metric(
        "log2 of EMA period",
        ("cfg.OPTIM.EMA_UPDATE_PERIOD",),
        lambda value: math.log2(value) if value > 0 else math.nan,
    ),
}


def metric_values(runs: Sequence[SweepRun], name: str) -> list[Any]:
    """Return a metric of each run: a number, a text, a list of numbers, or None for none.

    Args:
        runs: at least one.
        name: a key of METRICS, "error", or the way to a value. Of a value an epoch the last
            one counts.

    Raises:
        ConfigError: no run has it.
    """
    if name == "error":
        return [run.error for run in runs]
    metric = find_metric(name)
    values = [_value(run.record, metric) for run in runs]
    if all(value is None for value in values):
        raise ConfigError(f"metric {name!r}: none of {len(runs)} runs has it; {_what_is(name)}")
    return values


def is_unmeasured(runs: Sequence[SweepRun], name: str) -> bool:
    """Say whether a metric that pycls names is one that none of the runs has logged."""
    if name.removeprefix("aug.") not in METRICS:
        return False
    return all(_value(run.record, find_metric(name)) is None for run in runs)


def find_metric(name: str) -> Metric:
    """Return the metric of a name, or one for the way to a value."""
    plain = name.removeprefix("aug.")
    return METRICS[plain] if plain in METRICS else Metric(name.removeprefix("cfg."), (name,))


def metric_table(sweeps: Sequence[SweepRuns], names: Sequence[str]) -> MetricTable:
    """Return metrics of all runs.

    Raises:
        ConfigError: no run has one of them.
    """
    runs = [run for sweep in sweeps for run in sweep.runs]
    columns: dict[str, Any] = {
        "space": [sweep.name for sweep in sweeps for _ in sweep.runs],
        "run": [run.name for run in runs],
        "error": [run.error for run in runs],
    }
    labels = {}
    for name in dict.fromkeys(names):
        found = metric_values(runs, name)
        label = "error (%)" if name == "error" else find_metric(name).label
        if name in METRICS and METRICS[name].units:
            found, unit = _in_unit(found, METRICS[name])
            label = f"{label} ({unit})"
        for suffix, values in _columns(found).items():
            column = f"metric {name}{suffix}"  # never a name of the columns above
            columns[column] = values
            labels[column] = f"{label}{suffix}"
    return MetricTable(pd.DataFrame(columns), labels)


def apply_filters(
    sweep: SweepRuns, filters: Mapping[str, Sequence[float]], name: str | None = None
) -> SweepRuns:
    """Return the runs whose metrics lie within closed ranges.

    Args:
        sweep: the runs.
        filters: metric -> [lowest, anything, highest]; pycls writes its range of good values
            so, and does not use the middle.
        name: of what is left; the sweep's without it.

    Raises:
        ConfigError: no run has one of the metrics, or it is not a number.
    """
    inside = [True] * len(sweep.runs)
    for metric, (low, _, high) in filters.items() if sweep.runs else ():
        for place, value in enumerate(metric_values(sweep.runs, metric)):
            if value is not None and not isinstance(value, int | float):
                raise ConfigError(f"filter {metric}: expected numbers, but a run has {value!r}")
            inside[place] &= value is not None and low <= value <= high
    runs = tuple(run for run, is_inside in zip(sweep.runs, inside, strict=True) if is_inside)
    return replace(sweep, name=sweep.name if name is None else name, runs=runs)


def filters_text(filters: Mapping[str, Sequence[float]]) -> str:
    """Return filters for people, such as "done 0 to 1, epochs 50"."""
    return ", ".join(
        f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}"
        for name, (low, _, high) in filters.items()
    )


def _what_is(name: str) -> str:
    """Return what to do about a metric that no run has."""
    if name.removeprefix("aug.") in METRICS:
        return "leave it out, or run what logs it and collect again"
    known = ["error", *METRICS]
    return (
        f"{near_miss(name, known)}expected one of {', '.join(known)}, or the way to a value of "
        "sweep.json such as cfg.OPTIM.MAX_EPOCH"
    )


def _value(record: Mapping[str, Any], metric: Metric) -> Any:
    found = [_look_up(record, key) for key in metric.keys]
    if any(value is None for value in found):
        return None
    if metric.transform is None:
        value = found[0]
        by_epoch = metric.keys[0].startswith(_BY_EPOCH) and isinstance(value, list)
        return (value[-1] if value else None) if by_epoch else value
    try:
        value = metric.transform(*found)
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def _look_up(record: Mapping[str, Any], key: str) -> Any:
    parts = key.split(".")
    node: Any = record if parts[0] in record else record.get("cfg")
    for part in parts:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def quantity_text(run: SweepRun, name: str) -> str:
    """Return a metric that has units as a text, such as "124 MF"; "" where the run has none."""
    if is_unmeasured([run], name):
        return ""
    (value,), unit = _in_unit(metric_values([run], name), METRICS[name])
    return f"{value:.3g} {unit}"


def _in_unit(values: Sequence[Any], metric: Metric) -> tuple[list[Any], str]:
    """Return values in the largest unit in which the largest of them is at least 1."""
    largest = max((value for value in values if value is not None), default=0.0)
    fitting = [pair for pair in metric.units if largest * pair[1] >= 1] or [metric.units[-1]]
    unit, factor = fitting[0]
    return [None if value is None else value * factor for value in values], unit


def _columns(values: Sequence[Any]) -> dict[str, Any]:
    """Return a metric's values as columns: numbers, texts, or of lists of numbers one an item."""
    known = [value for value in values if value is not None]
    if all(map(is_number, known)):
        return {"": [math.nan if value is None else float(value) for value in values]}
    if not all(isinstance(value, list) and all(map(is_number, value)) for value in known):
        # Of all sweeps together: they get the same categories, in one order.
        return {"": pd.Categorical([None if value is None else str(value) for value in values])}
    longest = max(map(len, known))
    rows = [numbers(value) if value is not None else [] for value in values]
    return {
        f", stage {place + 1}": [row[place] if place < len(row) else math.nan for row in rows]
        for place in range(longest)
    }
