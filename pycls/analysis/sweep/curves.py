"""The figure of errors by epoch of the best and the worst runs of a sweep."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pycls.analysis.figures import style
from pycls.analysis.sweep.sweep_json import SweepRun, numbers
from pycls.analysis.wording import number

# records in sweep.json, name, and looks that differ in colour, lightness and dashes
_SERIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "train_epoch",
        "train",
        {"color": style.BLUE_GREY, "linestyle": (0, (4, 1.5)), "linewidth": 0.9},
    ),
    ("test_epoch", "test", {"color": style.BLUE, "linestyle": "-", "linewidth": 1.2}),
    (
        "test_ema_epoch",
        "EMA",
        {"color": style.ORANGE, "linestyle": (0, (1.2, 1)), "linewidth": 1.4},
    ),
)
_FEW_EPOCHS = 3
_LOG_RATIO = 4.0  # highest over lowest error from which on the axis is logarithmic


def curve_figure(runs: Sequence[SweepRun], error_label: str = "top-1 error (%)") -> Figure:
    """Return top-1 errors by epoch, a panel a run: training, test, and test of the EMA.

    All panels have the same error axis, logarithmic where errors span much; a ring marks the
    lowest test error. The training error is the one measured while training, on augmented images.

    Args:
        runs: at least one.
        error_label: of the vertical axis.
    """
    grid = style.panel_grid(len(runs), title_lines=3, legend_entries=len(_SERIES))
    lowest, highest = math.inf, -math.inf
    for axes, run in zip(grid.axes, runs, strict=True):
        with mpl.rc_context(style.RC):
            low, high = _draw_run(axes, run)
        lowest, highest = min(lowest, low), max(highest, high)
        details = [f"error {number(run.error, 2)} %", _final_errors(run)]
        last, planned = run.epochs
        title = run.name if run.is_finished else f"{run.name} ({last} of {planned} epochs)"
        style.label_panel(grid, axes, title, details, "epoch", error_label)
    _scale(grid.axes, lowest, highest)
    handles = [Line2D([], [], label=name, **look) for _, name, look in _SERIES]
    style.add_legend(grid, handles)
    return grid.figure


def _draw_run(axes: Axes, run: SweepRun) -> tuple[float, float]:
    """Draw a run's curves; return their lowest positive and their highest value."""
    drawn: list[float] = []
    for section, _, look in _SERIES:
        x, y = _curve(run, section)
        marker = {"marker": "o", "markersize": 2.5} if len(x) <= _FEW_EPOCHS else {}
        axes.plot(x, y, **{**look, **marker})
        drawn += [value for value in y if math.isfinite(value)]
    x, y = _curve(run, "test_epoch")
    best = min((pair for pair in zip(y, x, strict=True) if math.isfinite(pair[0])), default=None)
    if best:
        ring: Any = {"markerfacecolor": "none", "markeredgecolor": style.INK, "markersize": 5}
        axes.plot([best[1]], [best[0]], marker="o", linestyle="none", **ring)
    axes.set_xlim(0, run.epochs[1] * 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return min((v for v in drawn if v > 0), default=1.0), max(drawn, default=100.0)


def _curve(run: SweepRun, section: str) -> tuple[list[float], list[float]]:
    """Return epochs and top-1 errors of one kind; empty where there are none."""
    records = run.record.get(section)
    if not isinstance(records, dict):
        return [], []
    epochs, errors = numbers(records.get("epoch_ind")), numbers(records.get("top1_err"))
    pairs = [(e, err) for e, err in zip(epochs, errors, strict=False) if math.isfinite(e)]
    return [epoch for epoch, _ in pairs], [error for _, error in pairs]


def _final_errors(run: SweepRun) -> str:
    parts = []
    for section, name, _ in _SERIES:
        _, errors = _curve(run, section)
        if errors:
            parts.append(f"{name} {number(errors[-1], 1)}")
    return ", ".join(parts)


def _scale(panels: Sequence[Axes], lowest: float, highest: float) -> None:
    for axes in panels:
        if highest > _LOG_RATIO * lowest:
            style.use_log_scale(axes, "y")
            axes.set_ylim(lowest / 1.15, highest * 1.1)
        else:
            room = 0.08 * (highest - lowest) or 1.0
            axes.set_ylim(lowest - room, highest + room)
