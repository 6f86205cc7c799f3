"""Figures of error against metrics, and of good values of metrics from sweep to sweep.

Good values are those that the best of a random search has; see
:func:`pycls.analysis.statistics.design_spaces.parameter_ranges`.
"""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pycls.analysis.figures import style
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.design_spaces import parameter_ranges
from pycls.analysis.sweep.metrics import MetricTable
from pycls.analysis.wording import MINUS, correlation_lines

_MAX_CATEGORIES = 12
_LONGEST_TICK = 11  # letters under an axis
_MAX_TICKS = 10
_TEXTS = ("parameter", "label")  # columns of the table of good values


def good_values(table: MetricTable) -> pd.DataFrame:
    """Return the good values of each metric in each sweep.

    Returns:
        A row per sweep and metric: the columns of
        :func:`pycls.analysis.statistics.design_spaces.parameter_ranges`, and the metric's label.
    """
    ranges = parameter_ranges(table.models, list(table.labels))
    return ranges.assign(label=[table.labels[name] for name in ranges["parameter"]])


def value_figures(table: MetricTable, error_label: str) -> list[tuple[str, Figure]]:
    """Return error against each metric, a point per run, as (title, figure).

    One sweep gives one figure with a panel a metric, several one figure a metric with a panel
    a sweep, all with the same axes. The band holds the good values, the line their median.

    Args:
        table: of :func:`pycls.analysis.sweep.metrics.metric_table`.
        error_label: of the vertical axes, with unit.
    """
    spaces = list(dict.fromkeys(table.models["space"]))
    ranges = good_values(table)
    if len(spaces) == 1:
        grid = style.panel_grid(len(table.labels), title_lines=4)
        for axes, (metric, label) in zip(grid.axes, table.labels.items(), strict=True):
            _draw_values(grid, axes, table.models, ranges, metric, (label, label, error_label))
        return [("", grid.figure)]
    figures: list[tuple[str, Figure]] = []
    for metric, label in table.labels.items():
        grid = style.panel_grid(len(spaces), title_lines=4)
        for axes, space in zip(grid.axes, spaces, strict=True):
            rows = table.models[table.models["space"] == space]
            good = ranges[ranges["space"] == space]
            _draw_values(grid, axes, rows, good, metric, (space, label, error_label))
        _share_axes(grid)
        figures.append((label, grid.figure))
    return figures


def trend_figure(table: MetricTable) -> Figure:
    """Return the values of each metric from sweep to sweep, a panel a metric.

    Outer band: all runs. Inner band: good values. Line: their median.

    Args:
        table: of :func:`pycls.analysis.sweep.metrics.metric_table`, with several sweeps.
    """
    spaces = list(dict.fromkeys(table.models["space"]))
    ranges = good_values(table)
    grid = style.panel_grid(len(table.labels), title_lines=1, legend_entries=3, max_height=1.3)
    for axes, (metric, label) in zip(grid.axes, table.labels.items(), strict=True):
        rows = ranges[ranges["parameter"] == metric].set_index("space").reindex(spaces)
        with mpl.rc_context(style.RC):
            _draw_trend(axes, rows, spaces)
        style.label_panel(grid, axes, label)
    _add_trend_legend(grid)
    return grid.figure


def _draw_values(
    grid: style.PanelGrid,
    axes: Axes,
    rows: pd.DataFrame,
    ranges: pd.DataFrame,
    metric: str,
    labels: tuple[str, str, str],
) -> None:
    title, x_label, y_label = labels
    values, errors = rows[metric], rows["error"].to_numpy()
    if isinstance(values.dtype, pd.CategoricalDtype):
        _draw_categories(axes, values, errors)
        # No axis label: the names of the values need its room, and title or caption say it.
        style.label_panel(
            grid, axes, title, [f"{x_label}, a text", f"n = {len(rows)}"], "", y_label
        )
        return
    x = values.to_numpy(dtype=float)
    details = correlation_lines(spearman(x, errors))
    known = x[np.isfinite(x)]
    with mpl.rc_context(style.RC):
        if len(known) == 0 or np.ptp(known) == 0:
            style.mark_empty(axes, _why_nothing(known))
            style.label_panel(grid, axes, title, [], x_label, y_label)
            return
        for row in ranges[ranges["parameter"] == metric].to_dict("records"):
            axes.axvspan(row["low"], row["high"], color=style.ORANGE, alpha=0.18, linewidth=0)
            axes.axvline(row["median"], color=style.INK, linewidth=0.9)
            low, mid, high = _apart(row["low"], row["median"], row["high"])
            details.append(
                style.wrap(f"good {low} to {high}, mid {mid}", grid.panel_width + 0.3, 1)
            )
        axes.plot(x, errors, marker="o", color=style.BLUE_GREY, **style.marker_style(len(x)))
        axes.margins(0.07)
        axes.ticklabel_format(useOffset=False, style="plain")
        if style.is_skewed(errors):
            style.use_log_scale(axes, "y")
        if style.is_skewed(known) and known.max() > 8 * known.min():
            style.use_log_scale(axes, "x")
    style.label_panel(grid, axes, title, details, x_label, y_label)


def _draw_categories(axes: Axes, values: pd.Series, errors: np.ndarray) -> None:
    different = list(values.cat.categories)
    is_known = values.notna().to_numpy()
    with mpl.rc_context(style.RC):
        if len(different) > _MAX_CATEGORIES or not is_known.any():
            style.mark_empty(
                axes, f"{len(different)} different texts" if is_known.any() else "no values"
            )
            return
        places = values.cat.codes.to_numpy()[is_known]
        look = style.marker_style(len(errors))
        axes.plot(places, errors[is_known], marker="o", color=style.BLUE_GREY, **look)
        axes.set_xlim(-0.6, len(different) - 0.4)
        _name_ticks(axes, different, range(len(different)))


def _share_axes(grid: style.PanelGrid) -> None:
    """Give panels that show points the same axes, logarithmic ones if any is."""
    shown = [axes for axes in grid.axes if axes.get_lines()]
    for axis in ("x", "y"):
        if any(getattr(axes, f"get_{axis}scale")() == "log" for axes in shown):
            for axes in shown:
                label = getattr(axes, f"get_{axis}label")()
                if label and getattr(axes, f"get_{axis}scale")() != "log":
                    getattr(axes, f"set_{axis}label")(f"{label}, log")
                style.use_log_scale(axes, axis)
        limits = [getattr(axes, f"get_{axis}lim")() for axes in shown]
        for axes in shown:
            low, high = min(a for a, _ in limits), max(b for _, b in limits)
            getattr(axes, f"set_{axis}lim")(low, high)


def _draw_trend(axes: Axes, rows: pd.DataFrame, spaces: Sequence[str]) -> None:
    limits = rows[["low_all", "high_all"]].to_numpy(dtype=float)
    known = limits[np.isfinite(limits)]
    if len(known) == 0 or np.ptp(known) == 0:
        style.mark_empty(axes, _why_nothing(known).replace("all runs", "95 % of runs"))
        return
    x = np.arange(len(spaces))
    columns = {name: rows[name].to_numpy(dtype=float) for name in rows if name not in _TEXTS}
    axes.fill_between(
        x, columns["low_all"], columns["high_all"], color=style.BLUE_GREY, alpha=0.16, lw=0
    )
    axes.fill_between(x, columns["low"], columns["high"], color=style.ORANGE, alpha=0.35, lw=0)
    # A sweep between two without values would be a band of no width; bars show it.
    axes.vlines(x, columns["low_all"], columns["high_all"], color=style.BLUE_GREY, linewidth=1.0)
    axes.vlines(x, columns["low"], columns["high"], color=style.ORANGE, linewidth=3.0)
    axes.plot(x, columns["median"], color=style.INK, marker="o", markersize=3.6, linewidth=1.1)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=bool(np.all(known == np.round(known)))))
    if known.min() > 0 and known.max() > 8 * known.min():
        style.use_log_scale(axes, "y")
    axes.set_xlim(-0.4, len(spaces) - 0.6)
    _name_ticks(axes, spaces, x)


def _name_ticks(axes: Axes, names: Sequence[str], places: Any) -> None:
    """Name places on the x-axis, slanted where names are long."""
    step = math.ceil(len(names) / _MAX_TICKS)
    short = [n if len(n) <= _LONGEST_TICK else f"{n[: _LONGEST_TICK - 1]}…" for n in names]
    axes.set_xticks(list(places)[::step], short[::step])
    axes.grid(False, axis="x")
    if sum(map(len, short[::step])) > 22:
        axes.tick_params(axis="x", labelrotation=35, labelsize=style.TEXT_SIZE - 1.0, pad=1)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")


def _add_trend_legend(grid: style.PanelGrid) -> None:
    handles: list[Any] = [
        Line2D([], [], color=style.INK, marker="o", markersize=3.6, label="median of the good"),
        Patch(color=style.ORANGE, alpha=0.5, label="good values (95 %)"),
        Patch(color=style.BLUE_GREY, alpha=0.25, label="middle 95 % of all runs"),
    ]
    with mpl.rc_context(style.RC):
        style.add_legend(grid, handles)


def _why_nothing(known: np.ndarray) -> str:
    return f"the same in\nall runs: {_short(known[0])}" if len(known) else "no numbers"


def _apart(*values: float) -> list[str]:
    """Return numbers with as few digits as tell different ones apart."""
    texts: list[str] = []
    for digits in range(3, 8):
        texts = [f"{value:.{digits}g}".replace("-", MINUS) for value in values]
        if len(set(texts)) == len(set(values)):
            break
    return texts


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)
