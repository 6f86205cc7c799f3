"""The two layouts of a figure: the report's page, and the columns of a journal.

A function that draws a figure is given :data:`PAGE` or :data:`COLUMN`, and asks it for all in
which the two differ: the grid of panels, labels, legends, scales and words.
"""

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from pycls.analysis.figures import style
from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.wording import RHO, correlation_lines, rho_number

_MM = 1 / 25.4
COLUMN_WIDTH = 85 * _MM  # in inches, of a journal
FULL_WIDTH = 178 * _MM

# In inches around one panel of a journal's figure.
_LEFT, _RIGHT, _EDGE = 0.48, 0.06, 0.15
_TITLE_LINE, _LABEL_LINE, _TICKS, _LEGEND_LINE = 0.135, 0.12, 0.21, 0.135
_MAX_HEIGHT = 1.7
# How much wider than its panel a title (label_panel adds 0.33) and an x label may be.
_WIDER_TITLE, _TITLE_ROOM, _LABEL_ROOM = 0.33, 0.21, 0.36

JOURNAL_LEGEND: dict[str, Any] = {
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 0.0),
    "handlelength": 2.0,
    "handletextpad": 0.4,
    "columnspacing": 1.2,
    "labelspacing": 0.3,
    "borderaxespad": 0.2,
    "borderpad": 0.1,
}
_Either = TypeVar("_Either")


class Layout(Enum):
    """Where a figure stands.

    On the page every panel has its own labels in full, and rho with its interval and p. In a
    journal panels stand closer, their numbers are one line, and an axis label that all panels
    share is written once.
    """

    PAGE = "the report's page"
    COLUMN = "a journal, one column or the page wide"

    def either(self, page: _Either, column: _Either) -> _Either:
        """Return one of two things, by the layout."""
        return page if self is Layout.PAGE else column

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
    ) -> style.PanelGrid:
        """Return an empty figure with panels of one size.

        Args:
            titles: of the panels, at least one.
            x_labels: of the panels.
            title_lines: lines above each panel; by default those of a scatter.
            legend: entries of a legend under the panels.
            columns: panels side by side; 0 for as many as leave room for the titles. This and
                all that follow are for a journal only.
            stacked: whether each entry of the legend has a line; by default in one column.
            shared_x: whether only the lowest panel of each column has an x label.
            height: of a panel in inches; 0 for one that suits its width.
            width: of the figure in inches; 0 for one column where the titles fit, else the page.
            left: of each panel in inches, for the labels of its y-axis.
        """
        title_lines = self.either(3, 2) if title_lines is None else title_lines
        if self is Layout.PAGE:
            return style.panel_grid(len(titles), title_lines, legend)
        across, total = _columns(titles, columns, width)
        stacked = total < FULL_WIDTH if stacked is None else stacked
        legend_lines = legend if stacked else min(legend, 1)
        wide = _panel_width(across, total) + _LEFT - left
        high = height or min(_MAX_HEIGHT, 0.85 * wide + 0.1)
        room = wide + _LABEL_ROOM
        lines = [len(style.wrap(text, room).splitlines()) for text in x_labels] or [1]
        label = max(lines) * _LABEL_LINE
        top = 0.07 + title_lines * _TITLE_LINE
        row = top + high + _TICKS + (0.04 if shared_x else label)
        below = label if shared_x else 0.0
        below += legend_lines * _LEGEND_LINE + 0.05 if legend_lines else 0.0
        size = (total, math.ceil(len(titles) / across) * row + below)
        corners = []
        for index in range(len(titles)):
            down, place = divmod(index, across)
            start = place * (total - _EDGE) / across + left
            corners.append((start, size[1] - down * row - top - high))
        figure, axes = style.place_panels(size, corners, wide, high)
        look = JOURNAL_LEGEND | {"ncols": 1 if stacked else max(1, legend)}
        title_room = wide - _WIDER_TITLE + _TITLE_ROOM
        return style.PanelGrid(figure, axes, title_room, high - 0.05, room, across, shared_x, look)

    def scale(self, axes: Axes, axis: str, values: NDArray[np.float64]) -> None:
        """Make the "x" or "y" axis logarithmic; in a journal, with ticks within the values."""
        with mpl.rc_context(style.RC):
            if self is Layout.PAGE or len(values):
                style.use_log_scale(axes, axis)
        if self is Layout.PAGE or not len(values):
            return
        ratio = float(np.max(values) / np.min(values))
        if ratio < 12:
            steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if ratio < 4 else (1.0, 2.0, 3.0, 5.0)
            (axes.xaxis if axis == "x" else axes.yaxis).set_major_locator(LogLocator(subs=steps))

    def rho_lines(self, correlation: Correlation) -> list[str]:
        """Return a correlation as the lines above a panel: in a journal one, of rho and n."""
        lines = correlation_lines(correlation)
        if self is Layout.PAGE:
            return lines
        known = not pd.isna(correlation.rho)
        rho = f"{RHO} = {rho_number(correlation.rho)}" if known else lines[0]
        return [f"{rho}, n = {correlation.n}"]

    def error_label(self, title: str, metric: str = "", is_own: bool = False) -> str:
        """Return an axis label with unit for the errors on a data set.

        Args:
            title: of the data set.
            metric: such as "top-1"; empty where it is not known.
            is_own: whether the data set's name stands above the panel.
        """
        if self is Layout.PAGE:
            return f"test error on {title} ({f'{metric}, %' if metric else '%'})"
        words = ["" if is_own else title, metric, "error (%)"]
        return " ".join(word for word in words if word)


PAGE, COLUMN = Layout.PAGE, Layout.COLUMN


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
        if all(style.wrap(title, room, 1, style.TITLE_SIZE, "bold") == title for title in titles):
            return choice
    return choices[-1]


def _panel_width(columns: int, total: float) -> float:
    return (total - _EDGE) / columns - _LEFT - _RIGHT
