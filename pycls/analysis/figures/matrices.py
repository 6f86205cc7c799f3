"""Figures A7 and A8 of the paper: the best architectures, and all pairs of data sets."""

import math
from functools import partial
from itertools import combinations, product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from pycls.analysis.figures import style
from pycls.analysis.figures.layout import (
    COLUMN,
    COLUMN_WIDTH,
    FULL_WIDTH,
    JOURNAL_LEGEND,
    Layout,
    hide_numbers,
)
from pycls.analysis.figures.panels import Panel, panel_tables
from pycls.analysis.figures.population import FIGURE_3, pair_panel
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.results_csv import population_runs
from pycls.analysis.wording import rho_number

TOP = 15  # architectures behind the means of Figure A7, of 100 or more
MAX_SETS = 9  # columns of Figure A7 in one row
# In inches: margins, most from one set to the next, from one parameter to the next.
_TOP_LEFT, _TOP_RIGHT, _MAX_PITCH, _TOP_ROW = 0.62, 0.08, 1.3, 0.72
LEFT_OUT = "concrete"  # as in the paper: nearly all of its errors are zero

_PARAMETERS = {
    "depth": "depth d\n(blocks)",
    "width": "width w\n(channels)",
    "bottleneck": "bottleneck\nratio b",
    "group_w": "group width g\n(channels)",
}


def top_size(population: int) -> int:
    """Return how many architectures the mean is over: 15 of 100 or more, else a tenth, at least 3.

    The paper averages 15 of 500.
    """
    return TOP if population >= 100 else min(population, max(3, round(population / 10)))


def top_table(collection: Collection) -> pd.DataFrame:
    """Return the stages of the best architectures of each set (paper, Fig. A7).

    Networks without stages, of other libraries, are left out.

    Returns:
        A row per data set, parameter ("depth", "width", "bottleneck": 1 / bot_mul, "group_w")
        and stage: dataset, n, best_arch, best_error (percent), parameter, stage, best,
        top (how many the mean is over), mean, sd (NaN for one architecture).
    """
    stages = _stages(collection)
    rows = []
    known = pd.DataFrame(stages).dropna(how="all").index
    for key in collection.sets:
        errors = collection.errors[key].dropna().sort_values(kind="stable")
        errors = errors[errors.index.isin(known)]
        top = errors.index[: top_size(len(errors))]
        if not len(top):
            continue
        for (parameter, stage), values in stages.items():
            chosen = values[top]
            rows.append(
                {
                    "dataset": key,
                    "n": len(errors),
                    "best_arch": top[0],
                    "best_error": errors.iloc[0],
                    "parameter": parameter,
                    "stage": stage,
                    "best": values[top[0]],
                    "top": len(top),
                    "mean": chosen.mean(),
                    "sd": chosen.std(ddof=1),
                }
            )
    if not rows:
        raise MissingRuns("results.csv does not say what the stages of the architectures are.")
    return pd.DataFrame(rows)


def _stages(collection: Collection) -> dict[tuple[str, int], pd.Series]:
    """Return the value of each parameter and stage by architecture."""
    runs = population_runs(collection.results, collection.study)
    runs = runs.drop_duplicates("arch").set_index("arch")
    found = {}
    for parameter in _PARAMETERS:
        column = "bot_mul" if parameter == "bottleneck" else parameter
        stage = 1
        while f"{column}_{stage}" in runs:
            values = runs[f"{column}_{stage}"].astype(float)
            found[parameter, stage] = 1 / values if parameter == "bottleneck" else values
            stage += 1
    return found


def top_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return the best architecture and the mean of the best ones, per set (paper, Fig. A7)."""
    table = top_table(collection)
    keys = list(dict.fromkeys(table["dataset"]))
    across = min(MAX_SETS, len(keys))
    pitch = min(_MAX_PITCH, (FULL_WIDTH - _TOP_LEFT - _TOP_RIGHT) / across)
    width = max(COLUMN_WIDTH, _TOP_LEFT + _TOP_RIGHT + pitch * across)
    titles = [
        style.wrap(collection.study.dataset_title(key), pitch - 0.02, 2, style.TEXT_SIZE, "bold")
        for key in keys
    ]
    head = 0.32 if any("\n" in title for title in titles) else 0.21
    block = head + len(_PARAMETERS) * _TOP_ROW + 0.22
    height = math.ceil(len(keys) / across) * block + 0.2
    with mpl.rc_context(style.RC):
        figure = style.DataFigure(figsize=(width, height))
        for place, (key, title) in enumerate(zip(keys, titles, strict=True)):
            down, column = divmod(place, across)
            corner = (_TOP_LEFT + column * pitch, height - down * block - head)
            _draw_set(figure, table[table["dataset"] == key], table, corner, pitch)
            top = figure.axes[-len(_PARAMETERS)]
            top.set_title(title, fontsize=style.TEXT_SIZE, pad=3, fontweight="bold")
            for axes, label in zip(figure.axes[-4:], _PARAMETERS.values(), strict=True):
                if column == 0:
                    axes.set_ylabel(label, linespacing=1.1)
                    axes.yaxis.set_label_coords(-0.36 / (pitch - 0.09), 0.5)
                else:
                    hide_numbers(axes, "y")
    grid = style.PanelGrid(figure, tuple(figure.axes), pitch, _TOP_ROW)
    style.add_legend(grid, _top_legend(table), **JOURNAL_LEGEND, ncols=2)
    figure.numbers = lambda: {"data": table}
    return figure


def _draw_set(
    figure: Figure,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    corner: tuple[float, float],
    pitch: float,
) -> None:
    """Draw a panel per parameter, one under the other, from the upper left corner in inches."""
    for row, parameter in enumerate(_PARAMETERS):
        bottom = corner[1] - (row + 1) * _TOP_ROW + 0.1
        axes = style.add_axes(figure, corner[0], bottom, pitch - 0.09, _TOP_ROW - 0.1)
        alike = table[table["parameter"] == parameter]
        highest = max(alike["best"].max(), (alike["mean"] + alike["sd"].fillna(0)).max())
        _draw_stages(axes, rows[rows["parameter"] == parameter], 1.06 * float(highest))
        if row == len(_PARAMETERS) - 1:
            axes.set_xlabel("stage", labelpad=1)
        else:
            hide_numbers(axes, "x")


def _draw_stages(axes: Axes, rows: pd.DataFrame, limit: float) -> None:
    stages = rows["stage"].to_numpy()
    # A mean less its deviation may be below zero, where no parameter is.
    sd = rows["sd"].fillna(0).to_numpy()
    below = np.minimum(sd, rows["mean"].to_numpy())
    spread = [below, sd]
    axes.errorbar(
        stages + 0.08, rows["mean"], yerr=spread, color=style.ORANGE, marker="s", markersize=2.6,
        linestyle="--", linewidth=0.9, elinewidth=0.7, capsize=1.4, capthick=0.7,
    )  # fmt: skip
    axes.plot(
        stages - 0.08, rows["best"], color=style.BLUE, marker="o", markersize=2.8, linewidth=0.9
    )
    axes.set_xlim(0.5, stages.max() + 0.5)
    axes.set_xticks(stages)
    axes.set_ylim(0, limit)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="x", visible=False)


def _top_legend(table: pd.DataFrame) -> list[Line2D]:
    many = f"mean and standard deviation of the {table['top'].max()} best"
    return [
        Line2D([], [], color=style.BLUE, marker="o", markersize=3.5, label="best architecture"),
        Line2D([], [], color=style.ORANGE, marker="s", markersize=3.3, linestyle="--", label=many),
    ]


# ---------------------------------------------------------------- Figure A8
def matrix_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return scatter plots of all pairs above the diagonal, their rhos under it (Fig. A8).

    The first row has the targets (y) against the reference (x), in the order of Figure 3.
    """
    errors, study = collection.errors, collection.study
    sets = [collection.reference, *collection.pick(FIGURE_3, lambda: collection.targets)]
    keys = [key for key in dict.fromkeys(sets) if key != LEFT_OUT and errors[key].notna().any()]
    panels = {pair: pair_panel(errors, study, *pair, layout) for pair in combinations(keys, 2)}
    edge = 0.05
    cell = (FULL_WIDTH - 2 * edge) / len(keys) if len(keys) > 4 else 1.25
    size = (2 * edge + cell * len(keys),) * 2
    with mpl.rc_context(style.RC):
        figure = style.DataFigure(figsize=size)
        for (row, y), (column, x) in product(enumerate(keys), repeat=2):
            corner = (edge + column * cell + 0.03, size[1] - edge - (row + 1) * cell + 0.03)
            axes = style.add_axes(figure, *corner, cell - 0.06, cell - 0.06)
            if row == column:
                _draw_name(axes, collection, x, cell)
            elif row > column:
                _draw_rho(axes, panels[x, y])
            else:
                _draw_cell(axes, panels[y, x])
    figure.numbers = partial(panel_tables, list(panels.values()))
    return figure


def _draw_name(axes: Axes, collection: Collection, key: str, cell: float) -> None:
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])
    study = collection.study
    name = style.wrap(study.dataset_title(key), cell - 0.04, 2, style.TEXT_SIZE, "bold")
    place: Any = {"transform": axes.transAxes, "ha": "center"}
    axes.text(0.5, 0.53, name, va="bottom", fontweight="bold", linespacing=1.1, **place)
    axes.text(0.5, 0.45, f"({study.metric(key)})", va="top", **place)


def _draw_rho(axes: Axes, panel: Panel) -> None:
    """Write rho on a ground whose darkness is its size; a minus sign says the rest."""
    rho = panel.correlation.rho
    strength = 0.0 if math.isnan(rho) else abs(rho)
    colour = np.array(mpl.colors.to_rgb(style.BLUE if not rho < 0 else style.ORANGE))
    axes.set_facecolor(tuple(1 - 0.75 * strength * (1 - colour)))
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(NullLocator())
    text = rho_number(rho)
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.INK,
        fontsize=style.TEXT_SIZE + 1,
    )  # fmt: skip


def _draw_cell(axes: Axes, panel: Panel) -> None:
    x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
    look = style.marker_style(len(x))
    axes.plot(
        x, y, marker="o", color=style.BLUE_GREY, **(look | {"markersize": 0.6 * look["markersize"]})
    )
    axes.margins(0.07)
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    for axis, log in (("x", panel.x_log), ("y", panel.y_log)):
        if log:
            style.use_log_scale(axes, axis)  # few ticks, as the cells are small
        hide_numbers(axes, axis)  # they would touch the next cell's; Figure 3 has them
