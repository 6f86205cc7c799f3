"""Scatter panels and strips of points, as figures of either layout and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pycls.analysis.figures import style
from pycls.analysis.figures.layout import COLUMN, PAGE, Layout
from pycls.analysis.inputs.collection import MissingRuns
from pycls.analysis.statistics.correlation import Correlation, correlation_columns, spearman

MAX_STRIPS = 4  # retrained architectures beside the population


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
        families: by architecture, where they are no random sample.
    """

    title: str
    x_name: str
    y_name: str
    data: pd.DataFrame
    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    families: pd.Series | None = None

    @cached_property
    def correlation(self) -> Correlation:
        """Spearman's rho of x and y."""
        families = None if self.families is None else self.families.reindex(self.data.index)
        return spearman(self.data["x"], self.data["y"], families=families)


def make_panel(
    title: str, names: tuple[str, str], x: pd.Series, y: pd.Series, labels: tuple[str, str]
) -> Panel:
    """Return the panel of two series by architecture; skewed errors get logarithmic axes."""
    data = pd.DataFrame({"x": x, "y": y}).astype(float).dropna().rename_axis("arch")
    # By all values, not only the paired ones: the same set, the same axis in every figure.
    x_log, y_log = (style.is_skewed(values.dropna().to_numpy(dtype=float)) for values in (x, y))
    return Panel(title, *names, data, *labels, x_log, y_log)


def structure_panel(
    layout: Layout,
    title: str,
    names: tuple[str, str],
    series: tuple[pd.Series, pd.Series],
    labels: tuple[str, str],
) -> Panel:
    """Return the panel of errors and a property of the architectures.

    In a journal the property is on the y-axis; on the page it is, as what one chooses, on the
    x-axis, which is linear.

    Args:
        layout: of the figure.
        title: above the panel.
        names: of the errors and the property, for tables.
        series: errors and property by architecture.
        labels: of the errors' and the property's axis.
    """
    panel = make_panel(title, names, *series, labels)
    turned = replace(
        panel,
        x_name=panel.y_name,
        y_name=panel.x_name,
        data=panel.data.rename(columns={"x": "y", "y": "x"}),
        x_label=panel.y_label,
        y_label=panel.x_label,
        x_log=False,
        y_log=panel.x_log,
    )
    return layout.either(turned, panel)


def draw_panels(
    panels: Sequence[Panel],
    layout: Layout = PAGE,
    population: int | None = None,
    columns: int = 0,
    shared_x: bool = False,
) -> style.DataFigure:
    """Return a figure of scatter panels with rho in their titles.

    Args:
        panels: at least one; in a journal at least one with data.
        layout: of the figure.
        population: size of the one whose best and worst stand out; None for none, and no legend.
        columns: panels side by side in a journal; 0 for as many as fit.
        shared_x: whether all panels of a column have the same x-axis.

    Raises:
        MissingRuns: no panel has data.
    """
    if layout is COLUMN and not any(len(panel.data) for panel in panels):
        raise MissingRuns("No architecture has finished runs on two of the data sets to compare.")
    coloured = 0 if population is None else highlighted(population)
    legend = [] if population is None else scatter_legend(layout, population)
    grid = layout.grid(
        [panel.title for panel in panels],
        [style.name_scale(panel.x_label, panel.x_log) for panel in panels],
        legend=len(legend),
        columns=columns,
        shared_x=shared_x,
    )
    for place, (axes, panel) in enumerate(zip(grid.axes, panels, strict=True)):
        x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
        draw_scatter(axes, x, y, coloured)
        if len(x) and x.max() >= 1000:  # four ticks of four digits would touch
            axes.xaxis.set_major_locator(MaxNLocator(3))
        for axis, values, log in (("x", x, panel.x_log), ("y", y, panel.y_log)):
            if log:
                layout.scale(axes, axis, values)
        details, x_label = layout.rho_lines(panel.correlation), grid.x_label(place, panel.x_label)
        style.label_panel(grid, axes, panel.title, details, x_label, panel.y_label)
    style.add_legend(grid, legend)
    grid.figure.numbers = partial(panel_tables, panels)
    return grid.figure


def scatter_legend(layout: Layout, population: int) -> list[Line2D]:
    """Return the legend of the colours in a scatter of a population of a size."""
    size, many = style.marker_style(population)["markersize"], highlighted(population)
    page: dict[str, Any] = {"markersize": max(4.0, size * 1.15), "linestyle": "none"}
    column = style.marker_style(100) | {"markersize": 4.2, "alpha": 1.0, "rasterized": False}
    lowest, highest = layout.either(
        ("lowest error on the vertical axis", "highest error on it"),
        (f"{many} lowest errors on the y-axis", f"{many} highest errors on it")
        if many > 1
        else ("lowest error on the y-axis", "highest error on it"),
    )
    looks = (
        ("v", style.ORANGE, lowest),
        ("^", style.RED, highest),
        ("o", style.BLUE_GREY, "other architectures"),
    )
    return [
        Line2D([], [], marker=marker, color=colour, label=label, **layout.either(page, column))
        for marker, colour, label in looks
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


def add_scatter_legend(grid: style.PanelGrid, architectures: int) -> None:
    """Explain the colours of :func:`scatter_panel` under the panels."""
    style.add_legend(grid, scatter_legend(PAGE, architectures))


def scatter_panel(
    grid: style.PanelGrid,
    axes: Axes,
    data: tuple[NDArray[np.float64], NDArray[np.float64]],
    labels: tuple[str, str, str],
    coloured: int = 0,
) -> None:
    """Fill one panel of the report's page with a scatter and its rho.

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
    style.label_panel(grid, axes, title, PAGE.rho_lines(spearman(x, y)), x_label, y_label)


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
        style.mark_empty(axes, "no architecture\nhas both values")
        return
    look = style.marker_style(len(x))
    ends = {"alpha": 1.0, "rasterized": False, "markersize": max(3.4, look["markersize"] * 1.15)}
    order = np.argsort(y, kind="stable")
    count = min(coloured, len(x) // 2)
    best, others, worst = np.split(order, [count, len(x) - count])
    with mpl.rc_context(style.RC):
        axes.plot(x[others], y[others], marker="o", color=style.BLUE_GREY, **look)
        axes.plot(x[best], y[best], marker="v", color=style.ORANGE, **{**look, **ends})
        axes.plot(x[worst], y[worst], marker="^", color=style.RED, **{**look, **ends})
        axes.margins(0.07)


def draw_strip(axes: Axes, position: float, values: NDArray[np.float64], colour: str) -> None:
    """Draw values as points in a column, with their median and 10th to 90th percentile."""
    # Multiples of the golden ratio spread neighbours evenly; no random numbers involved.
    offsets = (np.arange(len(values)) * 0.618034 % 1 - 0.5) * 0.5
    points = np.sort(values)
    axes.plot(
        position + offsets, points, marker="o", color=colour, **style.marker_style(len(values))
    )
    if len(values) > 1:
        low, middle, high = np.percentile(values, [10, 50, 90])
        axes.plot([position + 0.36] * 2, [low, high], color=style.INK, linewidth=1.0)
        axes.plot([position + 0.36], [middle], "o", color=style.INK, markersize=2.6)


def draw_strips(
    axes: Axes, population: NDArray[np.float64], retrained: Mapping[str, NDArray[np.float64]]
) -> None:
    """Draw the population's errors beside those of architectures under several seeds.

    Args:
        axes: an empty panel.
        population: errors in percent.
        retrained: architecture -> errors in percent; the first few are drawn.
    """
    shown = list(retrained.items())[:MAX_STRIPS]
    names = [f"population\n(n = {len(population)})"]
    names += [f"{arch}\n({len(errors)} seeds)" for arch, errors in shown]
    with mpl.rc_context(style.RC):
        draw_strip(axes, 0, population, style.BLUE_GREY)
        for place, (_, errors) in enumerate(shown, 1):
            draw_strip(axes, place, errors, style.BLUE)
        if min(errors.min() for errors in retrained.values()) > 0 and style.is_skewed(population):
            style.use_log_scale(axes, "y")
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.grid(axis="x", visible=False)
        axes.set_xticks(range(len(names)), names)
