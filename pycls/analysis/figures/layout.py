"""Figures of the widths that a journal prints: one column, or the page.

Panels look as in :mod:`pycls.analysis.figures.style`, but stand closer: their numbers are one line,
and axis labels that all panels share are written once.
"""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from pycls.analysis.figures.style import (
    RC,
    TEXT_SIZE,
    TITLE_SIZE,
    PanelGrid,
    label_panel,
    use_log_scale,
    wrap,
)

_MM = 1 / 25.4
COLUMN = 85 * _MM  # in inches
PAGE = 178 * _MM

# In inches around one panel.
_LEFT, _RIGHT, _EDGE = 0.48, 0.06, 0.15
_TITLE_LINE, _LABEL_LINE, _TICKS, _LEGEND_LINE = 0.135, 0.12, 0.21, 0.135
_MAX_HEIGHT = 1.7
# How much wider than its panel a title (label_panel adds 0.33) and an x label may be.
_WIDER_TITLE, _TITLE_ROOM, _LABEL_ROOM = 0.33, 0.21, 0.36


def paper_grid(
    titles: Sequence[str],
    x_labels: Sequence[str] = (),
    columns: int = 0,
    title_lines: int = 2,
    legend: int = 0,
    shared_x: bool = False,
    height: float = 0.0,
    width: float = 0.0,
    left: float = _LEFT,
) -> PanelGrid:
    """Return an empty figure of a journal's width with panels of one size.

    Args:
        titles: of the panels, at least one.
        x_labels: of the panels.
        columns: panels side by side; 0 for as many as leave room for the titles.
        title_lines: lines above each panel.
        legend: lines of a legend under the panels.
        shared_x: whether only the lowest panel of each column has an x label.
        height: of a panel in inches; 0 for one that suits its width.
        width: of the figure in inches; 0 for one column where the titles fit in it, else the page.
        left: of each panel in inches, for the labels of its y-axis.
    """
    across, total = _columns(titles, columns, width)
    rows = math.ceil(len(titles) / across)
    wide = _panel_width(across, total) + _LEFT - left
    high = height or min(_MAX_HEIGHT, 0.85 * wide + 0.1)
    lines = [len(_wrapped(text, wide).splitlines()) for text in x_labels] or [1]
    label = max(lines) * _LABEL_LINE
    top = 0.07 + title_lines * _TITLE_LINE
    row = top + high + _TICKS + (0.04 if shared_x else label)
    below = (label if shared_x else 0.0) + (legend * _LEGEND_LINE + 0.05 if legend else 0.0)
    size = (total, rows * row + below)
    with mpl.rc_context(RC):
        figure = Figure(figsize=size)
        axes = []
        for index in range(len(titles)):
            down, place = divmod(index, across)
            start = place * (total - _EDGE) / across + left
            bottom = size[1] - down * row - top - high
            box = (start / size[0], bottom / size[1], wide / size[0], high / size[1])
            panel = figure.add_axes(box)
            panel.xaxis.set_major_locator(MaxNLocator(4))
            panel.yaxis.set_major_locator(MaxNLocator(4))
            axes.append(panel)
    return PanelGrid(figure, tuple(axes), wide - _WIDER_TITLE + _TITLE_ROOM, high - 0.05)


def paper_label(
    grid: PanelGrid, axes: Axes, title: str, details: Sequence[str], x_label: str, y_label: str
) -> None:
    """Write a panel's name, its numbers and its axis labels; x labels may be wider than it."""
    label_panel(grid, axes, title, details, "", y_label)
    wide = axes.get_position().width * grid.figure.get_figwidth()
    with mpl.rc_context(RC):
        axes.set_xlabel(_wrapped(x_label, wide), labelpad=2, linespacing=1.2)


def hide_numbers(axes: Axes, axis: str) -> None:
    """Leave the numbers of the "x" or "y" axis away, as another panel has them."""
    (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(NullFormatter())


def grid_columns(grid: PanelGrid) -> int:
    """Return how many panels of a figure stand side by side."""
    highest = grid.axes[0].get_position().y0
    return sum(abs(axes.get_position().y0 - highest) < 1e-9 for axes in grid.axes)


def log_axis(axes: Axes, axis: str, values: NDArray[np.float64]) -> None:
    """Make an axis logarithmic, with so many ticks that some lie within the values."""
    with mpl.rc_context(RC):
        use_log_scale(axes, axis)
        ratio = float(np.max(values) / np.min(values))
        if ratio < 12:
            steps = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if ratio < 4 else (1.0, 2.0, 3.0, 5.0)
            scale = axes.xaxis if axis == "x" else axes.yaxis
            scale.set_major_locator(LogLocator(subs=steps))


def _columns(titles: Sequence[str], columns: int, width: float) -> tuple[int, float]:
    """Return panels side by side and the figure's width, so that titles fit where they can."""
    count = len(titles)
    best = count if count <= 4 else 3 if count in (5, 6, 9) else 4
    choices = [(each, PAGE) for each in dict.fromkeys((best, 3, 2)) if each <= best]
    if best <= 2:
        choices = [(best, COLUMN), (2, PAGE)]
    if columns:
        choices = [(columns, COLUMN), (columns, PAGE)] if columns <= 2 else [(columns, PAGE)]
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


def paper_legend(
    grid: PanelGrid, entries: Sequence[Line2D], columns: int = 0, length: float = 2.0
) -> None:
    """Put one legend for all panels at the bottom of the figure, keys `length` letters long."""
    with mpl.rc_context(RC):
        grid.figure.legend(
            handles=list(entries),
            loc="lower center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=columns or len(entries),
            frameon=False,
            fontsize=TEXT_SIZE,
            handlelength=length,
            handletextpad=0.4,
            columnspacing=1.2,
            labelspacing=0.3,
            borderaxespad=0.2,
            borderpad=0.1,
        )
