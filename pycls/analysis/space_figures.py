"""Figures of a design space: what its parameters are, and what was drawn from it.

The functions take plain numbers: {parameter: (values, probabilities)}, values increasing,
probabilities summing to 1.
"""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.style import (
    BLUE_GREY,
    INK,
    RC,
    TITLE_SIZE,
    PanelGrid,
    add_legend,
    label_panel,
    panel_grid,
)

Parameters = Mapping[str, tuple[ArrayLike, ArrayLike]]
_MOST_BARS = 24  # up to so many values each has a bar of its own
_MOST_LABELS = 6
# Most names of parameters say what they are; these have a unit.
_UNITS = {"width": "channels", "group_w": "channels", "depth": "blocks", "w_0": "channels"}


def space_figure(title: str, parameters: Parameters) -> Figure:
    """Return a panel of bars a parameter: the share of each value, or range of values.

    Args:
        title: above the panels: the space's name and size.
        parameters: what is drawn from.
    """
    grid = panel_grid(len(parameters), title_lines=3)
    for axes, (name, (values, probabilities)) in zip(grid.axes, parameters.items(), strict=True):
        bins = _Bins(np.asarray(values, dtype=np.float64))
        with mpl.rc_context(RC):
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
    grid = panel_grid(len(shown), title_lines=3, legend_entries=2)
    for axes, (name, (values, probabilities)) in zip(grid.axes, shown.items(), strict=True):
        members = np.asarray(drawn[name], dtype=np.float64).ravel()
        bins = _Bins(np.asarray(values, dtype=np.float64))
        with mpl.rc_context(RC):
            _draw_bars(axes, bins, bins.shares(members, np.full(len(members), 1 / len(members))))
            shares = bins.shares(values, probabilities)
            axes.plot(
                bins.centres[shares > 0],
                100 * shares[shares > 0],
                color=INK,
                marker="o",
                markersize=2.6,
                linewidth=0.8,
            )
        details = [f"median {np.median(members):g}, mean {members.mean():.3g}"]
        _finish(grid, axes, name, details, bins)
    add_legend(
        grid,
        [
            Line2D([], [], color=BLUE_GREY, marker="s", linestyle="none", label="drawn"),
            Line2D([], [], color=INK, marker="o", markersize=2.6, linewidth=0.8, label="space"),
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
        left, 100 * shares, right - left, align="edge", color=BLUE_GREY, edgecolor="white", lw=0.6
    )
    axes.grid(False, axis="x")


def _finish(grid: PanelGrid, axes: Axes, name: str, details: list[str], bins: _Bins) -> None:
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
    label_panel(grid, axes, name, details, f"{name} ({unit})" if unit else name, "share (%)")


def _describe(values: NDArray[np.float64]) -> str:
    if len(values) == 1:
        return "one value"
    return f"{len(values):,} values, {values[0]:g} to {values[-1]:g}"


def _add_title(grid: PanelGrid, title: str) -> None:
    """Write a line above all panels, in room that is added for it."""
    with mpl.rc_context(RC):
        grid.figure.suptitle(
            title,
            x=0.1 / grid.figure.get_figwidth(),
            ha="left",
            va="top",
            y=0.995,
            fontsize=TITLE_SIZE + 1,
            fontweight="bold",
        )
