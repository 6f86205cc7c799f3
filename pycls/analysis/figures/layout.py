"""The two layouts of a figure: the report's page, and the columns of a journal.

A function that draws a figure is given :data:`PAGE` or :data:`COLUMN`, and asks it for all in
which the two differ: the grid of panels, labels, legends, scales and words.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from pycls.analysis.figures.style import (
    RC,
    TEXT_SIZE,
    TITLE_SIZE,
    DataFigure,
    PanelGrid,
    add_axes,
    add_legend,
    is_skewed,
    label_panel,
    panel_grid,
    use_log_scale,
    wrap,
)
from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.wording import RHO, correlation_lines, number

_MM = 1 / 25.4
COLUMN_WIDTH = 85 * _MM  # in inches, of a journal
FULL_WIDTH = 178 * _MM

# In inches around one panel of a journal's figure.
_LEFT, _RIGHT, _EDGE = 0.48, 0.06, 0.15
_TITLE_LINE, _LABEL_LINE, _TICKS, _LEGEND_LINE = 0.135, 0.12, 0.21, 0.135
_MAX_HEIGHT = 1.7
# How much wider than its panel a title (label_panel adds 0.33) and an x label may be.
_WIDER_TITLE, _TITLE_ROOM, _LABEL_ROOM = 0.33, 0.21, 0.36

_Either = TypeVar("_Either")


class Layout:
    """The layout of the report's page: every panel has its own labels, in full.

    Attributes:
        title_lines: lines above a scatter, its name among them.
        draws_gaps: whether a figure is drawn where no panel has data, each saying so.
    """

    title_lines = 3
    draws_gaps = True

    def grid(
        self,
        titles: Sequence[str],
        x_labels: Sequence[str] = (),
        *,
        title_lines: int | None = None,
        legend: int = 0,
        **_journal: Any,
    ) -> PanelGrid:
        """Return an empty figure with panels of one size.

        Args:
            titles: of the panels, at least one.
            x_labels: of the panels.
            title_lines: lines above each panel; by default those of a scatter.
            legend: entries of a legend under the panels.
            _journal: what else :meth:`ColumnLayout.grid` is to know.
        """
        lines = self.title_lines if title_lines is None else title_lines
        return panel_grid(len(titles), lines, legend)

    def label(
        self,
        grid: PanelGrid,
        axes: Axes,
        title: str,
        details: Sequence[str],
        x_label: str,
        y_label: str,
    ) -> None:
        """Write a panel's name, its numbers under it, and its axis labels."""
        label_panel(grid, axes, title, details, x_label, y_label)

    def legend(self, grid: PanelGrid, entries: Sequence[Line2D], length: float = 2.0) -> None:
        """Put one legend for all panels at the bottom; in a journal, keys `length` letters long."""
        if entries:
            add_legend(grid, entries)

    def scale(self, axes: Axes, axis: str, values: NDArray[np.float64]) -> None:
        """Make the "x" or "y" axis of a panel logarithmic."""
        with mpl.rc_context(RC):
            use_log_scale(axes, axis)

    def scale_curves(self, axes: Axes, errors: NDArray[np.float64]) -> None:
        """Choose the y-axis of training curves: on the page always linear."""

    def rho_lines(self, correlation: Correlation) -> list[str]:
        """Return a correlation as the lines above a panel."""
        return correlation_lines(correlation)

    def error_label(self, title: str, metric: str = "", is_own: bool = False) -> str:
        """Return an axis label with unit for the errors on a data set.

        Args:
            title: of the data set.
            metric: such as "top-1"; empty where it is not known.
            is_own: whether the data set's name stands above the panel.
        """
        return f"test error on {title} ({metric}, %)" if metric else f"test error on {title} (%)"

    def either(self, page: _Either, column: _Either) -> _Either:
        """Return one of two things, by the layout."""
        return page


class ColumnLayout(Layout):
    """The layout of a journal, one column or the page wide.

    Panels stand closer than on the report's page, their numbers are one line, and an axis label
    that all panels share is written once.
    """

    title_lines = 2
    draws_gaps = False

    def grid(
        self,
        titles: Sequence[str],
        x_labels: Sequence[str] = (),
        *,
        title_lines: int | None = None,
        legend: int = 0,
        columns: int = 0,
        stacked: bool | None = None,
        shared_x: bool = False,
        height: float = 0.0,
        width: float = 0.0,
        left: float = _LEFT,
        **_journal: Any,
    ) -> PanelGrid:
        """Return an empty figure of a journal's width with panels of one size.

        Args:
            titles: of the panels, at least one.
            x_labels: of the panels.
            title_lines: lines above each panel; by default those of a scatter.
            legend: entries of a legend under the panels.
            columns: panels side by side; 0 for as many as leave room for the titles.
            stacked: whether each entry of the legend has a line; by default in one column.
            shared_x: whether only the lowest panel of each column has an x label.
            height: of a panel in inches; 0 for one that suits its width.
            width: of the figure in inches; 0 for one column where the titles fit, else the page.
            left: of each panel in inches, for the labels of its y-axis.
            _journal: nothing else.
        """
        across, total = _columns(titles, columns, width)
        stacked = total < FULL_WIDTH if stacked is None else stacked
        legend_lines = legend if stacked else min(legend, 1)
        rows = math.ceil(len(titles) / across)
        wide = _panel_width(across, total) + _LEFT - left
        high = height or min(_MAX_HEIGHT, 0.85 * wide + 0.1)
        lines = [len(_wrapped(text, wide).splitlines()) for text in x_labels] or [1]
        label = max(lines) * _LABEL_LINE
        top = 0.07 + (self.title_lines if title_lines is None else title_lines) * _TITLE_LINE
        row = top + high + _TICKS + (0.04 if shared_x else label)
        below = label if shared_x else 0.0
        below += legend_lines * _LEGEND_LINE + 0.05 if legend_lines else 0.0
        size = (total, rows * row + below)
        with mpl.rc_context(RC):
            figure = DataFigure(figsize=size)
            axes = []
            for index in range(len(titles)):
                down, place = divmod(index, across)
                start = place * (total - _EDGE) / across + left
                panel = add_axes(figure, start, size[1] - down * row - top - high, wide, high)
                panel.xaxis.set_major_locator(MaxNLocator(4))
                panel.yaxis.set_major_locator(MaxNLocator(4))
                axes.append(panel)
        room = wide - _WIDER_TITLE + _TITLE_ROOM
        legend_columns = 1 if stacked else 0
        return PanelGrid(figure, tuple(axes), room, high - 0.05, across, shared_x, legend_columns)

    def label(
        self,
        grid: PanelGrid,
        axes: Axes,
        title: str,
        details: Sequence[str],
        x_label: str,
        y_label: str,
    ) -> None:
        """Write a panel's name, numbers and axis labels; x labels may be wider than it."""
        label_panel(grid, axes, title, details, "", y_label)
        wide = axes.get_position().width * grid.figure.get_figwidth()
        with mpl.rc_context(RC):
            axes.set_xlabel(_wrapped(x_label, wide), labelpad=2, linespacing=1.2)

    def legend(self, grid: PanelGrid, entries: Sequence[Line2D], length: float = 2.0) -> None:
        """Put one legend for all panels at the bottom, its keys `length` letters long."""
        with mpl.rc_context(RC):
            grid.figure.legend(
                handles=list(entries),
                loc="lower center",
                bbox_to_anchor=(0.5, 0.0),
                ncols=grid.legend_columns or len(entries),
                frameon=False,
                fontsize=TEXT_SIZE,
                handlelength=length,
                handletextpad=0.4,
                columnspacing=1.2,
                labelspacing=0.3,
                borderaxespad=0.2,
                borderpad=0.1,
            )

    def scale(self, axes: Axes, axis: str, values: NDArray[np.float64]) -> None:
        """Make an axis logarithmic, with so many ticks that some lie within the values."""
        if not len(values):
            return
        super().scale(axes, axis, values)
        ratio = float(np.max(values) / np.min(values))
        if ratio < 12:
            steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if ratio < 4 else (1.0, 2.0, 3.0, 5.0)
            (axes.xaxis if axis == "x" else axes.yaxis).set_major_locator(LogLocator(subs=steps))

    def scale_curves(self, axes: Axes, errors: NDArray[np.float64]) -> None:
        """Choose the y-axis of training curves: logarithmic where the errors are skewed."""
        if is_skewed(errors):
            self.scale(axes, "y", errors)

    def rho_lines(self, correlation: Correlation) -> list[str]:
        """Return rho and n as the one line above a panel."""
        if pd.isna(correlation.rho):
            return [f"{RHO} undefined, n = {correlation.n}"]
        return [f"{RHO} = {number(correlation.rho, 2)}, n = {correlation.n}"]

    def error_label(self, title: str, metric: str = "", is_own: bool = False) -> str:
        """Return a short label, such as "ImageNet top-5 error (%)" or "top-5 error (%)"."""
        words = ["" if is_own else title, metric, "error (%)"]
        return " ".join(word for word in words if word)

    def either(self, page: _Either, column: _Either) -> _Either:
        """Return one of two things, by the layout."""
        return column


PAGE: Layout = Layout()
COLUMN: Layout = ColumnLayout()


def hide_numbers(axes: Axes, axis: str) -> None:
    """Leave the numbers of the "x" or "y" axis away, as another panel has them."""
    (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(NullFormatter())


def _columns(titles: Sequence[str], columns: int, width: float) -> tuple[int, float]:
    """Return panels side by side and the figure's width, so that titles fit where they can."""
    count = len(titles)
    best = count if count <= 4 else 3 if count in (5, 6, 9) else 4
    choices = [(each, FULL_WIDTH) for each in dict.fromkeys((best, 3, 2)) if each <= best]
    if best <= 2:
        choices = [(best, COLUMN_WIDTH), (2, FULL_WIDTH)]
    if columns:
        widths = (COLUMN_WIDTH, FULL_WIDTH) if columns <= 2 else (FULL_WIDTH,)
        choices = [(columns, each) for each in widths]
    if width:
        choices = [(columns or best, width)]
    for choice in choices:
        room = _panel_width(*choice) + _TITLE_ROOM
        if all(wrap(title, room, 1, TITLE_SIZE, "bold") == title for title in titles):
            return choice
    return choices[-1]


def _panel_width(columns: int, total: float) -> float:
    return (total - _EDGE) / columns - _LEFT - _RIGHT


def _wrapped(text: str, wide: float) -> str:
    return wrap(text, wide + _LABEL_ROOM)
