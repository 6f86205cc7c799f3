"""Figures of a table from elsewhere: scatter plots with the reference, and the matrix."""

import math
from collections.abc import Sequence
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from pycls.analysis.any_table.read import AnyTable
from pycls.analysis.figures import style
from pycls.analysis.figures.panels import draw_panels, make_panel
from pycls.analysis.wording import RHO, rho_number

PANELS = 12  # of one figure; more targets make more figures
_LABEL = 1.3  # inches beside the matrix for names, at most
_LETTER = 0.065  # inches of a letter of them
_MOST_NUMBERS = 24  # data sets up to which the matrix has its numbers written in
_COLOURS = LinearSegmentedColormap.from_list("rho", ["#B35806", "#FFFFFF", style.BLUE])


def scatter_figures(table: AnyTable) -> list[Figure]:
    """Return the errors on each target against those on the reference, 12 panels a figure."""
    keys = table.targets
    return [_scatter_figure(table, keys[i : i + PANELS]) for i in range(0, len(keys), PANELS)]


def _scatter_figure(table: AnyTable, keys: Sequence[str]) -> Figure:
    errors, x, labels = table.errors, table.reference, table.labels
    panels = [
        replace(
            make_panel(y, (x, y), errors[x], errors[y], (labels[x], labels[y])),
            families=table.families,
        )
        for y in keys
    ]
    return draw_panels(panels, population=len(errors))


def matrix_figure(table: AnyTable, matrix: pd.DataFrame) -> Figure:
    """Return rho of all pairs of data sets as a matrix of colours and numbers.

    Args:
        table: for the data sets and their order.
        matrix: as from :func:`pycls.analysis.any_table.correlations.matrix_table`.
    """
    keys = [str(key) for key in table.errors]
    places = {key: place for place, key in enumerate(keys)}
    values = np.full((len(keys), len(keys)), math.nan)
    for row in matrix.to_dict("records"):
        first, second = places[row["dataset_a"]], places[row["dataset_b"]]
        values[first, second] = values[second, first] = row["rho"]
    label = min(_LABEL, 0.2 + _LETTER * max(len(key) for key in keys))
    cell = min(0.5, (style.PAGE_WIDTH - label - 0.7) / len(keys))
    side = cell * len(keys)
    width, height = label + side + 0.7, label + side + 0.2
    with mpl.rc_context(style.RC):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((label / width, label / height, side / width, side / height))
        image = axes.imshow(values, cmap=_COLOURS, vmin=-1, vmax=1, interpolation="nearest")
        size = min(style.TEXT_SIZE, cell * 72 * 0.9)
        names = [style.wrap(key, label - 0.1, 2 if cell > 0.25 else 1, size) for key in keys]
        axes.set_yticks(range(len(keys)), names, fontsize=size)
        axes.set_xticks(range(len(keys)), names, fontsize=size, rotation=90)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if len(keys) <= _MOST_NUMBERS:
            _write_numbers(axes, values, min(style.TEXT_SIZE, cell * 72 * 0.32))
        bar = figure.add_axes(
            ((label + side + 0.12) / width, label / height, 0.1 / width, side / height)
        )
        figure.colorbar(image, cax=bar, ticks=[-1, -0.5, 0, 0.5, 1])
        bar.set_title(RHO, fontsize=style.TEXT_SIZE, pad=3)
        bar.grid(False)
    return figure


def _write_numbers(axes: mpl.axes.Axes, values: np.ndarray, size: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            colour = "white" if abs(value) > 0.65 else style.INK
            text = rho_number(value)
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
