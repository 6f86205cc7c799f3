"""Scatter panels of the paper's figures, and the same data as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.figures import draw_scatter
from pycls.analysis.paper_collection import MissingRuns
from pycls.analysis.paper_layout import (
    PAGE,
    grid_columns,
    log_axis,
    paper_grid,
    paper_label,
    paper_legend,
)
from pycls.analysis.statistics import Correlation, spearman
from pycls.analysis.style import (
    BLUE_GREY,
    ORANGE,
    RED,
    is_skewed,
    marker_style,
)
from pycls.analysis.tables import correlation_columns
from pycls.analysis.wording import RHO, number


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
