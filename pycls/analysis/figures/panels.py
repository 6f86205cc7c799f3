"""Scatter panels of the paper's figures, and the same data as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pycls.analysis.figures.layout import (
    PAGE,
    grid_columns,
    log_axis,
    paper_grid,
    paper_label,
    paper_legend,
)
from pycls.analysis.figures.style import (
    BLUE_GREY,
    INK,
    ORANGE,
    RC,
    RED,
    PanelGrid,
    add_legend,
    is_skewed,
    label_panel,
    mark_empty,
    marker_style,
)
from pycls.analysis.inputs.collection import MissingRuns
from pycls.analysis.statistics.correlation import Correlation, correlation_columns, spearman
from pycls.analysis.wording import RHO, correlation_lines, number


@dataclass(frozen=True)
class Panel:
    """One scatter: a point per architecture.

    Attributes:
        title: above it.
        x_name: what x is, for tables.
        y_name: what y is, for tables.
        data: index "arch", columns x and y without NaN.
        x_label: of the axis, with unit.
        y_label: of the axis, with unit.
        x_log: whether the axis is logarithmic.
        y_log: whether the axis is logarithmic.
    """

    title: str
    x_name: str
    y_name: str
    data: pd.DataFrame
    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False

    @property
    def correlation(self) -> Correlation:
        """Spearman's rho of x and y."""
        return spearman(self.data["x"], self.data["y"])


def make_panel(
    title: str, names: tuple[str, str], x: pd.Series, y: pd.Series, labels: tuple[str, str]
) -> Panel:
    """Return the panel of two series by architecture; skewed errors get logarithmic axes."""
    data = pd.DataFrame({"x": x, "y": y}).astype(float).dropna().rename_axis("arch")
    # By all values, not only the paired ones: the same set, the same axis in every figure.
    logs = [is_skewed(values.dropna().to_numpy(dtype=float)) for values in (x, y)]
    return Panel(title, *names, data, *labels, *logs)


def rho_line(correlation: Correlation) -> str:
    """Return rho and n as the one line above a panel."""
    if pd.isna(correlation.rho):
        return f"{RHO} undefined, n = {correlation.n}"
    return f"{RHO} = {number(correlation.rho, 2)}, n = {correlation.n}"


def scatter_panels(
    panels: Sequence[Panel], coloured: int = 0, columns: int = 0, shared_x: bool = False
) -> Figure:
    """Return a figure of scatter panels with rho in their titles.

    Args:
        panels: at least one with data.
        coloured: how many of the best and worst on y stand out; 0 for none, and no legend.
        columns: panels side by side; 0 for as many as fit.
        shared_x: whether all panels of a column have the same x-axis.

    Raises:
        MissingRuns: no panel has data.
    """
    if not any(len(panel.data) for panel in panels):
        raise MissingRuns("No architecture has finished runs on two of the data sets to compare.")
    titles, x_labels = [panel.title for panel in panels], [panel.x_label for panel in panels]
    lines = 0 if not coloured else 1
    grid = paper_grid(titles, x_labels, columns, legend=lines, shared_x=shared_x)
    if coloured and grid.figure.get_figwidth() < PAGE:  # a line for each entry
        grid = paper_grid(titles, x_labels, columns, legend=3, shared_x=shared_x)
    across = grid_columns(grid)
    for place, (axes, panel) in enumerate(zip(grid.axes, panels, strict=True)):
        x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
        draw_scatter(axes, x, y, coloured)
        for axis, values, log in (("x", x, panel.x_log), ("y", y, panel.y_log)):
            if log and len(values):
                log_axis(axes, axis, values)
        lowest = place + across >= len(panels)
        label = panel.x_label if lowest or not shared_x else ""
        paper_label(grid, axes, panel.title, [rho_line(panel.correlation)], label, panel.y_label)
    if coloured:
        paper_legend(grid, scatter_legend(coloured), 1 if grid.figure.get_figwidth() < PAGE else 0)
    return grid.figure


def scatter_legend(coloured: int) -> list[Line2D]:
    """Return the legend of the colours in a scatter."""
    size = {**marker_style(100), "markersize": 4.2, "alpha": 1.0, "rasterized": False}
    many = f"{coloured} " if coloured > 1 else ""
    errors = "errors" if coloured > 1 else "error"
    return [
        Line2D(
            [], [], marker="v", color=ORANGE, label=f"{many}lowest {errors} on the y-axis", **size
        ),
        Line2D([], [], marker="^", color=RED, label=f"{many}highest {errors} on it", **size),
        Line2D([], [], marker="o", color=BLUE_GREY, label="other architectures", **size),
    ]


def panel_tables(panels: Sequence[Panel]) -> dict[str, pd.DataFrame]:
    """Return the panels as tables.

    Returns:
        "data": panel (from 1), x_name, y_name, arch, x, y, a row per point; "rho": panel,
        x_name, y_name, rho, n, ci_low, ci_high, p, a row per panel.
    """
    data, rhos = [], []
    for place, panel in enumerate(panels, 1):
        head: dict[str, Any] = {"panel": place, "x_name": panel.x_name, "y_name": panel.y_name}
        rows = panel.data.reset_index()
        data.append(rows.assign(**head)[[*head, "arch", "x", "y"]])
        rhos.append(head | correlation_columns(panel.correlation))
    return {"data": pd.concat(data, ignore_index=True), "rho": pd.DataFrame(rhos)}


def highlighted(population: int) -> int:
    """Return how many best and worst architectures are coloured: 10 of 100 or more.

    The paper colours 10 of 500; of a smaller population it is a tenth, rounded, and at
    least one.
    """
    return 10 if population >= 100 else max(1, round(population / 10))


def add_scatter_legend(grid: PanelGrid, architectures: int) -> None:
    """Explain the colours of :func:`scatter_panel` under the panels."""
    size = marker_style(architectures)
    sizes = {"markersize": max(4.0, size["markersize"] * 1.15), "linestyle": "none"}
    add_legend(
        grid,
        [
            Line2D(
                [], [], marker="v", color=ORANGE, label="lowest error on the vertical axis", **sizes
            ),
            Line2D([], [], marker="^", color=RED, label="highest error on it", **sizes),
            Line2D([], [], marker="o", color=BLUE_GREY, label="other architectures", **sizes),
        ],
    )


def scatter_panel(
    grid: PanelGrid,
    axes: Axes,
    data: tuple[NDArray[np.float64], NDArray[np.float64]],
    labels: tuple[str, str, str],
    coloured: int = 0,
) -> None:
    """Fill one panel with a scatter and its rho.

    Args:
        grid: the figure.
        axes: one of its panels.
        data: x and y, a value per architecture, without NaN.
        labels: title, x label, y label.
        coloured: how many of the best and of the worst on y stand out.
    """
    x, y = data
    title, x_label, y_label = labels
    draw_scatter(axes, x, y, coloured)
    label_panel(grid, axes, title, correlation_lines(spearman(x, y)), x_label, y_label)


def draw_scatter(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], coloured: int = 0
) -> None:
    """Draw a point per architecture, the `coloured` best and worst on y in colours and shapes.

    Args:
        axes: an empty panel.
        x: n values without NaN; none leave a note that there are none.
        y: n values, paired with `x`.
        coloured: how many of the lowest and of the highest y stand out.
    """
    if not len(x):
        mark_empty(axes, "no architecture\nhas both values")
        return
    look = marker_style(len(x))
    ends = {"alpha": 1.0, "rasterized": False, "markersize": max(3.4, look["markersize"] * 1.15)}
    order = np.argsort(y, kind="stable")
    count = min(coloured, len(x) // 2)
    best, others, worst = np.split(order, [count, len(x) - count])
    with mpl.rc_context(RC):
        axes.plot(x[others], y[others], marker="o", color=BLUE_GREY, **look)
        axes.plot(x[best], y[best], marker="v", color=ORANGE, **{**look, **ends})
        axes.plot(x[worst], y[worst], marker="^", color=RED, **{**look, **ends})
        axes.margins(0.07)


def draw_strip(axes: Axes, position: float, values: NDArray[np.float64], colour: str) -> None:
    """Draw values as points in a column, with their median and 10th to 90th percentile."""
    # Multiples of the golden ratio spread neighbours evenly; no random numbers involved.
    offsets = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.5
    points = np.sort(values)
    axes.plot(position + offsets, points, marker="o", color=colour, **marker_style(len(values)))
    if len(values) > 1:
        low, middle, high = np.percentile(values, [10, 50, 90])
        axes.plot([position + 0.36] * 2, [low, high], color=INK, linewidth=1.0)
        axes.plot([position + 0.36], [middle], "o", color=INK, markersize=2.6)
