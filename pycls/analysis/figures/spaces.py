"""Figures of design spaces: their parameters, what was drawn from them, and their errors.

The parameters of a space are plain numbers: {parameter: (values, probabilities)}, values
increasing, probabilities summing to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.figures import style
from pycls.errors import ConfigError

if TYPE_CHECKING:  # setting up a sweep draws its figure without pandas
    import pandas as pd

Parameters = Mapping[str, tuple[ArrayLike, ArrayLike]]
_MOST_BARS = 24  # up to so many values each has a bar of its own
_MOST_LABELS = 6
# Most names of parameters say what they are; these have a unit.
_UNITS = {"width": "channels", "group_w": "channels", "depth": "blocks", "w_0": "channels"}
_KINDS = {
    "cum_depth": "cumulative depth (blocks)",
    "cum_width": "cumulative width (channels)",
    "depth": "depth (blocks)",
    "width": "width (channels)",
    "width_ratio": "width ratio",
    "bottleneck": "bottleneck ratio b",
    "group_w": "group width g",
}
# Those whose values are powers of two, or near to them.
_LOGARITHMIC = ("width_ratio", "bottleneck", "group_w")
_WIDE = 40  # largest to smallest from which on only powers of ten have room on an axis


def space_figure(title: str, parameters: Parameters) -> Figure:
    """Return a panel of bars a parameter: the share of each value, or range of values.

    Args:
        title: above the panels: the space's name and size.
        parameters: what is drawn from.
    """
    grid = style.panel_grid(len(parameters), title_lines=3)
    for axes, (name, (values, probabilities)) in zip(grid.axes, parameters.items(), strict=True):
        bins = _Bins(np.asarray(values, dtype=np.float64))
        with mpl.rc_context(style.RC):
            _draw_bars(axes, bins, bins.shares(values, probabilities))
        _finish(grid, axes, name, [_describe(bins.values)], bins)
    _add_title(grid, title)
    return grid.figure


def population_figure(title: str, parameters: Parameters, drawn: Mapping[str, ArrayLike]) -> Figure:
    """Return a panel a parameter: bars of what was drawn, points of what the space holds.

    Args:
        title: above the panels.
        parameters: what is drawn from.
        drawn: {parameter: values of the population}; those of `parameters` that are in both.
    """
    shown = {name: marginal for name, marginal in parameters.items() if name in drawn}
    grid = style.panel_grid(len(shown), title_lines=3, legend_entries=2)
    for axes, (name, (values, probabilities)) in zip(grid.axes, shown.items(), strict=True):
        members = np.asarray(drawn[name], dtype=np.float64).ravel()
        bins = _Bins(np.asarray(values, dtype=np.float64))
        with mpl.rc_context(style.RC):
            _draw_bars(axes, bins, bins.shares(members, np.full(len(members), 1 / len(members))))
            shares = bins.shares(values, probabilities)
            axes.plot(
                bins.centres[shares > 0],
                100 * shares[shares > 0],
                color=style.INK,
                marker="o",
                markersize=2.6,
                linewidth=0.8,
            )
        details = [f"median {np.median(members):g}, mean {members.mean():.3g}"]
        _finish(grid, axes, name, details, bins)
    style.add_legend(
        grid,
        [
            Line2D([], [], color=style.BLUE_GREY, marker="s", linestyle="none", label="drawn"),
            Line2D(
                [], [], color=style.INK, marker="o", markersize=2.6, linewidth=0.8, label="space"
            ),
        ],
    )
    _add_title(grid, title)
    return grid.figure


class _Bins:
    """Few values: a bar each. Many: ranges, of equal ratio where the values span much.

    A bar holds what lies above the one before, up to its own value or upper end: groups that
    were made to fit are narrower than those drawn.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values
        self.is_log = False
        self.has_bar_each = len(values) <= _MOST_BARS
        if self.has_bar_each:
            self.edges = np.arange(len(values) + 1) - 0.5
            return
        low, high = values[0], values[-1]
        self.is_log = bool(low > 0 and high >= 16 * low)
        if self.is_log:
            # Where values are sparse, the smallest one has a range of its own.
            is_sparse = values[1] >= 1.5 * low
            count = int(np.ceil(np.log2(high / low))) * (1 if is_sparse else 2)
            ratio = (high / low) ** (1 / count)
            self.edges = low * ratio ** np.arange(-1 if is_sparse else 0, count + 1)
        else:
            self.edges = np.linspace(low, high, 13)

    @property
    def centres(self) -> NDArray[np.float64]:
        left, right = self.edges[:-1], self.edges[1:]
        return np.sqrt(left * right) if self.is_log else (left + right) / 2

    def shares(self, values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
        """Return the sum of the weights in each bin."""
        values = np.asarray(values, dtype=np.float64)
        if self.has_bar_each:
            index = np.searchsorted(self.values, values, side="left")
        else:
            # A value that is an edge but for its last place belongs below it.
            edges = self.edges + 1e-9 * np.abs(self.edges)
            index = np.searchsorted(edges, values, side="left") - 1
        shares = np.zeros(len(self.edges) - 1)
        np.add.at(shares, np.clip(index, 0, len(shares) - 1), weights)
        return shares


def _draw_bars(axes: Axes, bins: _Bins, shares: NDArray[np.float64]) -> None:
    left, right = bins.edges[:-1], bins.edges[1:]
    if bins.is_log:
        axes.set_xscale("log", base=2)
    axes.bar(
        left,
        100 * shares,
        right - left,
        align="edge",
        color=style.BLUE_GREY,
        edgecolor="white",
        lw=0.6,
    )
    axes.grid(False, axis="x")


def _finish(grid: style.PanelGrid, axes: Axes, name: str, details: list[str], bins: _Bins) -> None:
    """Label a panel and its ticks."""
    axes.set_ylim(bottom=0)
    if bins.has_bar_each:
        step = -(-len(bins.values) // _MOST_LABELS)
        positions = np.arange(0, len(bins.values), step)
        axes.xaxis.set_major_locator(FixedLocator(positions.tolist()))
        axes.set_xticks(positions, [f"{value:g}" for value in bins.values[positions]])
        axes.set_xlim(-0.7, len(bins.values) - 0.3)
    elif bins.is_log:
        powers = np.arange(np.ceil(np.log2(bins.edges[0])), np.log2(bins.edges[-1]) + 0.01)
        step = -(-len(powers) // _MOST_LABELS)
        axes.xaxis.set_major_locator(FixedLocator((2.0 ** powers[::-1][::step]).tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    unit = _UNITS.get(name.split(" ")[0])
    style.label_panel(grid, axes, name, details, f"{name} ({unit})" if unit else name, "share (%)")


def _describe(values: NDArray[np.float64]) -> str:
    if len(values) == 1:
        return "one value"
    return f"{len(values):,} values, {values[0]:g} to {values[-1]:g}"


def _add_title(grid: style.PanelGrid, title: str) -> None:
    """Write a line above all panels, in room that is added for it."""
    with mpl.rc_context(style.RC):
        grid.figure.suptitle(
            title,
            x=0.1 / grid.figure.get_figwidth(),
            ha="left",
            va="top",
            y=0.995,
            fontsize=style.TITLE_SIZE + 1,
            fontweight="bold",
        )


def space_edf_figure(edfs: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Return the error distributions of design spaces, a panel per data set.

    Args:
        edfs: title of a data set -> table of
            :func:`pycls.analysis.statistics.design_spaces.edf_table`.
        labels: title -> label of its errors, with unit.

    Raises:
        ConfigError: there is nothing to draw.
    """
    spaces = _spaces(edfs.values())
    grid = style.panel_grid(
        len(edfs), title_lines=2, legend_entries=len(spaces), max_pitch=4.9, max_height=2.6
    )
    for axes, (title, table) in zip(grid.axes, edfs.items(), strict=True):
        if table.empty:
            style.mark_empty(axes, "no finished runs")
        for space, curve in table.groupby("space", sort=False):
            _draw_edf(axes, curve, *style.SERIES[spaces.index(str(space)) % len(style.SERIES)])
        if style.is_skewed(table["error"].to_numpy()):
            with mpl.rc_context(style.RC):
                style.use_log_scale(axes, "x")
        details = ["bands: 95 %, pointwise"]
        style.label_panel(grid, axes, title, details, labels[title], "fraction of architectures")
    style.add_legend(grid, _legend(spaces))
    return grid.figure


def ranges_figure(ranges: pd.DataFrame, parameters: Sequence[str]) -> Figure:
    """Return where the best of a random sample lies, a panel per parameter.

    Args:
        ranges: table of :func:`pycls.analysis.statistics.design_spaces.parameter_ranges`.
        parameters: which to draw.

    Raises:
        ConfigError: there is nothing to draw.
    """
    spaces = _spaces([ranges])
    grid = style.panel_grid(
        len(parameters), title_lines=1, legend_entries=len(spaces), max_height=1.2
    )
    for axes, parameter in zip(grid.axes, parameters, strict=True):
        rows = ranges[ranges["parameter"] == parameter]
        kind, stage = _kind(parameter)
        with mpl.rc_context(style.RC):
            for row in rows.to_dict("records"):
                place = spaces.index(row["space"])
                colour, _ = style.SERIES[place % len(style.SERIES)]
                line: Any = {"color": colour, "solid_capstyle": "butt"}
                axes.plot(
                    [row["low_all"], row["high_all"]], [place] * 2, linewidth=5, alpha=0.2, **line
                )
                axes.plot([row["low"], row["high"]], [place] * 2, linewidth=1.6, **line)
                axes.plot([row["median"]], [place], "o", color=colour, markersize=4)
            axes.set_yticks([])
            axes.set_ylim(len(spaces) - 0.4, -0.6)
            if kind in _LOGARITHMIC and len(rows) and rows["low_all"].min() > 0:
                style.use_log_scale(axes, "x")
                if rows["high_all"].max() > _WIDE * rows["low_all"].min():
                    axes.xaxis.set_major_locator(LogLocator())
        unit = _KINDS.get(kind, parameter)
        title = f"Stage {stage}" if stage else "Whole network"
        if kind == "width_ratio" and stage:
            title = f"Stages {stage} and {int(stage) + 1}"
        style.label_panel(grid, axes, title, (), unit, "")
    style.add_legend(grid, _legend(spaces, solid=True))
    return grid.figure


def drawn_parameters(ranges: pd.DataFrame) -> list[str]:
    """Return the parameters of a table of ranges that its figure shows.

    Cumulative depth and width, width ratios, bottleneck ratios and group widths; those that
    are the same in all models are left out.
    """
    kinds = ("cum_depth", "cum_width", *_LOGARITHMIC)
    varied = ranges.groupby("parameter", sort=False).filter(
        lambda rows: rows["low_all"].min() < rows["high_all"].max()
    )
    names = dict.fromkeys(str(name) for name in varied["parameter"])
    return [name for name in names if _kind(name)[0] in kinds]


def parameter_label(parameter: str) -> str:
    """Return a parameter's name for people, such as "group width g, stage 2"."""
    kind, stage = _kind(parameter)
    name = _KINDS.get(kind, parameter.replace("_", " "))
    if kind == "width_ratio":
        return f"{name}, stage {int(stage) + 1} to stage {stage}"
    return f"{name}, stage {stage}" if stage else name


def _kind(parameter: str) -> tuple[str, str]:
    kind, _, stage = parameter.rpartition("_")
    return (kind, stage) if stage.isdigit() else (parameter, "")


def _spaces(tables: Iterable[pd.DataFrame]) -> list[str]:
    names: dict[str, None] = {}
    for table in tables:
        names |= dict.fromkeys(str(space) for space in table["space"])
    if not names:
        raise ConfigError("no finished runs of any design space to draw")
    return list(names)


def _legend(spaces: Sequence[str], solid: bool = False) -> list[Line2D]:
    looks: Iterable[tuple[str, Any]] = cycle(style.SERIES)
    return [
        Line2D([], [], color=colour, linestyle="-" if solid else dashes, label=space)
        for space, (colour, dashes) in zip(spaces, looks, strict=False)
    ]


def _draw_edf(axes: Axes, curve: pd.DataFrame, colour: str, dashes: str) -> None:
    errors = curve["error"].to_numpy()
    x = np.concatenate([errors[:1], errors])
    lines = [
        np.concatenate([[0.0], curve[name].to_numpy()]) for name in ("share", "ci_low", "ci_high")
    ]
    with mpl.rc_context(style.RC):
        axes.fill_between(x, lines[1], lines[2], step="post", color=colour, alpha=0.13, linewidth=0)
        axes.step(x, lines[0], where="post", color=colour, linestyle=dashes, linewidth=1.3)
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
