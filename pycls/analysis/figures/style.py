"""The look that all figures share: colours, sizes, grids of panels, legends, and saving.

Figures are built with matplotlib's objects, never pyplot, so that no state is shared with
the caller. Sizes are in inches; a figure is at most as wide as a page of two columns.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from pycls.files import atomic_path

if TYPE_CHECKING:  # setting up a sweep draws its figure without pandas
    import pandas as pd

# After Okabe and Ito: told apart by people with any colour vision. The red is darker than
# theirs so that it differs from the orange in lightness too; markers differ as well.
BLUE_GREY = "#5B7A9D"
ORANGE = "#E69F00"
RED = "#B3001B"
BLUE = "#0072B2"
GREEN = "#009E73"
INK = "#222222"
FAINT = "#D9DDE2"
# Of several series in one panel: colour and line style, so that either tells them apart.
SERIES = (
    *((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (RED, ":")),
    *(("#CC79A7", "-"), ("#56B4E9", "--"), (INK, "-.")),
)

PAGE_WIDTH = 7.2
TITLE_SIZE = 8.0
TEXT_SIZE = 7.0

RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica", "sans-serif"],
    "font.size": TEXT_SIZE,
    "axes.edgecolor": "#777777",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.titley": 1.0,  # where it is anyway: nothing stands above a panel that it could hit
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "svg.fonttype": "none",  # text stays text: searchable, and set in the reader's font
    "svg.hashsalt": "pycls",  # otherwise ids, and so bytes, differ from run to run
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "savefig.dpi": 200,  # of the parts that are stored as pixels
}

_X_DECADES = 1.5  # of a logarithmic x-axis up to which 1, 2 and 5 have room

# Margins of one panel and of the figure, in inches.
_LEFT, _RIGHT, _BOTTOM = 0.60, 0.08, 0.52
_EDGE = 0.25  # beside the last column, so that titles may be wider than their panels
_TITLE_LINE = 0.135
_LEGEND_LINE = 0.16
_LEGEND_WIDTH = 4.6  # from which on the legend is one line
_LEGEND_ENTRIES = 4  # at most in a line
_MAX_POINTS = 1000  # more points than this in a panel are drawn as pixels


class DataFigure(Figure):
    """A figure that knows the numbers it shows, where these are written beside it.

    Attributes:
        numbers: returns them as tables by name, such as "data" and "rho".
    """

    numbers: Callable[[], Mapping[str, pd.DataFrame]] = staticmethod(dict)


@dataclass(frozen=True)
class PanelGrid:
    """A figure with its panels in reading order, as many as were asked for.

    Attributes:
        figure: with the panels.
        axes: of the panels.
        panel_width: in inches.
        panel_height: in inches.
        x_room: of an x label, in inches; 0 for a little more than the panel's width.
        columns: panels side by side.
        shared_x: whether only the lowest panel of each column has an x label.
        legend: how its legend differs from that of :func:`add_legend`.
    """

    figure: DataFigure
    axes: tuple[Axes, ...]
    panel_width: float
    panel_height: float
    x_room: float = 0.0
    columns: int = 1
    shared_x: bool = False
    legend: Mapping[str, Any] = field(default_factory=dict)

    def x_label(self, place: int, label: str) -> str:
        """Return the x label of a panel, empty where a lower one has the same."""
        has_own = not self.shared_x or place + self.columns >= len(self.axes)
        return label if has_own else ""


def panel_grid(
    panels: int,
    title_lines: int,
    legend_entries: int = 0,
    max_pitch: float = 2.6,
    max_height: float = 1.6,
) -> PanelGrid:
    """Return an empty figure of `panels` axes of one size.

    Args:
        panels: at least 1.
        title_lines: lines above each panel to leave room for.
        legend_entries: of a legend under the panels to leave room for.
        max_pitch: most inches from one panel to the next beside it.
        max_height: most inches of a panel's height.
    """
    columns = _columns(panels)
    rows = math.ceil(panels / columns)
    pitch = min(max_pitch, (PAGE_WIDTH - _EDGE) / columns)
    width = pitch - _LEFT - _RIGHT
    height = min(max_height, width + 0.25)
    top = 0.06 + title_lines * _TITLE_LINE
    row_pitch = top + height + _BOTTOM
    total_width = columns * pitch + _EDGE
    lines = math.ceil(legend_entries / _legend_columns(total_width, legend_entries))
    size = (total_width, rows * row_pitch + lines * _LEGEND_LINE)
    corners = []
    for index in range(panels):
        row, column = divmod(index, columns)
        corners.append((column * pitch + _LEFT, size[1] - row * row_pitch - top - height))
    figure, axes = place_panels(size, corners, width, height, ticks=5)
    return PanelGrid(figure, axes, width, height)


def place_panels(
    size: tuple[float, float],
    corners: Sequence[tuple[float, float]],
    width: float,
    height: float,
    ticks: int = 4,
) -> tuple[DataFigure, tuple[Axes, ...]]:
    """Return a figure with panels of one size, all in inches.

    Args:
        size: of the figure.
        corners: lower left corner of each panel.
        width: of a panel.
        height: of a panel.
        ticks: intervals of a y-axis at most.
    """
    with mpl.rc_context(RC):
        figure = DataFigure(figsize=size)
        axes = tuple(add_axes(figure, *corner, width, height) for corner in corners)
        for each in axes:
            each.xaxis.set_major_locator(MaxNLocator(4))
            each.yaxis.set_major_locator(MaxNLocator(ticks))
    return figure, axes


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add a panel to a figure, its place and size in inches."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high))


def name_scale(label: str, is_log: bool) -> str:
    """Return the label of an axis, which says that the axis is logarithmic."""
    return f"{label}, log" if label and is_log else label


def label_panel(
    grid: PanelGrid,
    axes: Axes,
    title: str,
    details: Sequence[str] = (),
    x_label: str = "",
    y_label: str = "",
) -> None:
    """Write a panel's name in bold, its numbers under it, and its axis labels, wrapped.

    The label of an axis that is logarithmic by then says so.
    """
    x_label = name_scale(x_label, axes.get_xscale() == "log")
    y_label = name_scale(y_label, axes.get_yscale() == "log")
    with mpl.rc_context(RC):
        axes.set_title("\n".join(details), loc="left", fontsize=TEXT_SIZE, pad=4, linespacing=1.2)
        above = 4 + len(details) * TEXT_SIZE * 1.25
        axes.annotate(
            wrap(title, grid.panel_width + _RIGHT + _EDGE, 1, TITLE_SIZE, "bold"),
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, above),
            textcoords="offset points",
            fontsize=TITLE_SIZE,
            fontweight="bold",
            annotation_clip=False,
        )
        x_label = wrap(x_label, grid.x_room or grid.panel_width + 0.2)
        axes.set_xlabel(x_label, labelpad=2, linespacing=1.2)
        axes.set_ylabel(wrap(y_label, grid.panel_height + 0.1), labelpad=2, linespacing=1.2)


def is_skewed(values: NDArray[np.float64]) -> bool:
    """Say whether a few large values would press all others into a corner of a linear axis.

    That is: none is zero, and the largest is more than twice the 90th percentile.
    """
    if len(values) < 3 or float(np.min(values)) <= 0:
        return False
    return float(np.max(values)) > 2 * float(np.percentile(values, 90))


def use_log_scale(axes: Axes, axis: str) -> None:
    """Make the "x" or "y" axis of a panel logarithmic, with plain numbers at 1, 2, 5, 10 ...

    On an x-axis of many decades, where they would touch, they are at 1 and 10 only.
    """
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    scale = axes.xaxis if axis == "x" else axes.yaxis
    low, high = scale.get_view_interval()
    wide = axis == "x" and low > 0 and math.log10(high / low) > _X_DECADES
    scale.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    scale.set_minor_locator(NullLocator())
    scale.set_major_formatter(FormatStrFormatter("%g"))


def mark_empty(axes: Axes, text: str) -> None:
    """Turn a panel into a note that says why it shows nothing."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#666666")


def add_legend(grid: PanelGrid, entries: Sequence[Line2D], **look: Any) -> None:
    """Put one legend for all panels at the bottom of the figure; none without entries."""
    width = grid.figure.get_figwidth()
    usual: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (_LEFT / width, 0.0),
        "ncols": _legend_columns(width, len(entries)),
        "handletextpad": 0.3,
        "columnspacing": 1.4,
        "borderaxespad": 0.3,
    }
    if entries:
        with mpl.rc_context(RC):
            grid.figure.legend(
                handles=list(entries),
                frameon=False,
                fontsize=TEXT_SIZE,
                **(usual | dict(grid.legend) | look),
            )


def marker_style(points: int) -> dict[str, Any]:
    """Return size and opacity with which `points` markers in a panel stay readable."""
    return {
        "markersize": min(4.6, max(1.8, 4.6 * (50 / max(1, points)) ** 0.28)),
        "alpha": min(0.9, max(0.3, 0.9 * (50 / max(1, points)) ** 0.2)),
        "markeredgecolor": "white",
        "markeredgewidth": 0.35 if points <= 200 else 0.0,
        "linestyle": "none",
        "rasterized": points > _MAX_POINTS,
    }


def wrap(
    text: str, inches: float, max_lines: int = 2, size: float = TEXT_SIZE, weight: str = "normal"
) -> str:
    """Break `text` into lines that fit a width in inches.

    A unit in brackets at the end is never broken and never lost: where the text is too
    long, what stands before the unit ends in an ellipsis.
    """
    found = re.fullmatch(r"(.*?)(?:\s+(\([^()]*\)))?", text, flags=re.DOTALL)
    head, unit = (found[1], found[2]) if found else (text, None)
    words = [*head.split(), unit] if unit else head.split()
    lines = _fill(words, inches, size, weight)
    if len(lines) > max_lines:
        room = max_lines - 1 if unit and max_lines > 1 else max_lines
        lines = _fill(head.split(), inches, size, weight)
        if len(lines) > room:
            lines = [
                *lines[: room - 1],
                _shorten(" ".join(lines[room - 1 :]), inches, size, weight),
            ]
        lines += [unit] if unit and max_lines > 1 else []
    return "\n".join(_shorten(line, inches, size, weight) for line in lines)


def _fill(words: Sequence[str], inches: float, size: float, weight: str) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _text_width(longer, size, weight) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _shorten(text: str, inches: float, size: float, weight: str) -> str:
    if _text_width(text, size, weight) <= inches:
        return text
    while text and _text_width(f"{text}…", size, weight) > inches:
        text = text[:-1].rstrip()
    return f"{text}…"


@lru_cache(maxsize=4096)
def _text_width(text: str, size: float, weight: str) -> float:
    """Return the width in inches of one line in the first font of the figures."""
    font = get_font(_font_path(weight))
    font.set_size(size, 72)
    font.set_text(text)
    return font.get_width_height()[0] / 64 / 72


@lru_cache(maxsize=4)
def _font_path(weight: str) -> str:
    return str(findfont(FontProperties(family="DejaVu Sans", weight=weight)))


def save_figure(
    figure: Figure,
    path_without_suffix: str | os.PathLike[str],
    formats: Sequence[str] = ("svg", "pdf"),
) -> list[Path]:
    """Write a figure, each format atomically.

    The same figure gives the same bytes: no dates, no random ids.

    Args:
        figure: what to write.
        path_without_suffix: for example `report/figures/edf`.
        formats: any of matplotlib's, such as "svg", "pdf", "png".

    Returns:
        The paths written, in the order of `formats`.
    """
    base = Path(path_without_suffix)
    base.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    paths = []
    for suffix in formats:
        path = base.with_name(f"{base.name}.{suffix}")
        with mpl.rc_context(RC), atomic_path(path) as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata.get(suffix))
        paths.append(path)
    return paths


def _legend_columns(width: float, entries: int) -> int:
    return max(1, min(entries, _LEGEND_ENTRIES)) if width >= _LEGEND_WIDTH else 1


def _columns(panels: int) -> int:
    """Return how many panels stand side by side, so that rows are full where they can be."""
    if panels <= 4:
        return (1, 2, 3, 2)[panels - 1]
    return 3 if panels <= 9 else 4
