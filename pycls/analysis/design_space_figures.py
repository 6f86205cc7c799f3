"""Figures that compare design spaces, from the tables of :mod:`pycls.analysis.design_spaces`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from pycls.analysis.style import (
    RC,
    SERIES,
    add_legend,
    is_skewed,
    label_panel,
    mark_empty,
    panel_grid,
    use_log_scale,
)
from pycls.errors import ConfigError

_KINDS = {
    "cum_depth": "cumulative depth (blocks)",
    "cum_width": "cumulative width (channels)",
    "depth": "depth (blocks)",
    "width": "width (channels)",
    "width_ratio": "width ratio",
    "bottleneck": "bottleneck ratio b",
    "group_w": "group width g",
}
# Those whose values are powers of two, or near to them.
_LOGARITHMIC = ("width_ratio", "bottleneck", "group_w")
_WIDE = 40  # largest to smallest from which on only powers of ten have room on an axis


def space_edf_figure(edfs: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Return the error distributions of design spaces, a panel per data set.

    Args:
        edfs: title of a data set -> table of :func:`pycls.analysis.design_spaces.edf_table`.
        labels: title -> label of its errors, with unit.

    Raises:
        ConfigError: there is nothing to draw.
    """
    spaces = _spaces(edfs.values())
    grid = panel_grid(
        len(edfs), title_lines=2, legend_entries=len(spaces), max_pitch=4.9, max_height=2.6
    )
    for axes, (title, table) in zip(grid.axes, edfs.items(), strict=True):
        if table.empty:
            mark_empty(axes, "no finished runs")
        for space, curve in table.groupby("space", sort=False):
            _draw_edf(axes, curve, *SERIES[spaces.index(str(space)) % len(SERIES)])
        if is_skewed(table["error"].to_numpy()):
            with mpl.rc_context(RC):
                use_log_scale(axes, "x")
        details = ["bands: 95 %, pointwise"]
        label_panel(grid, axes, title, details, labels[title], "fraction of architectures")
    add_legend(grid, _legend(spaces))
    return grid.figure


def ranges_figure(ranges: pd.DataFrame, parameters: Sequence[str]) -> Figure:
    """Return where the best of a random sample lies, a panel per parameter.

    Args:
        ranges: table of :func:`pycls.analysis.design_spaces.parameter_ranges`.
        parameters: which to draw.

    Raises:
        ConfigError: there is nothing to draw.
    """
    spaces = _spaces([ranges])
    grid = panel_grid(len(parameters), title_lines=1, legend_entries=len(spaces), max_height=1.2)
    for axes, parameter in zip(grid.axes, parameters, strict=True):
        rows = ranges[ranges["parameter"] == parameter]
        kind, stage = _kind(parameter)
        with mpl.rc_context(RC):
            for row in rows.to_dict("records"):
                place = spaces.index(row["space"])
                colour, _ = SERIES[place % len(SERIES)]
                line: Any = {"color": colour, "solid_capstyle": "butt"}
                axes.plot(
                    [row["low_all"], row["high_all"]], [place] * 2, linewidth=5, alpha=0.2, **line
                )
                axes.plot([row["low"], row["high"]], [place] * 2, linewidth=1.6, **line)
                axes.plot([row["median"]], [place], "o", color=colour, markersize=4)
            axes.set_yticks([])
            axes.set_ylim(len(spaces) - 0.4, -0.6)
            if kind in _LOGARITHMIC and len(rows) and rows["low_all"].min() > 0:
                use_log_scale(axes, "x")
                if rows["high_all"].max() > _WIDE * rows["low_all"].min():
                    axes.xaxis.set_major_locator(LogLocator())
        unit = _KINDS.get(kind, parameter)
        title = f"Stage {stage}" if stage else "Whole network"
        if kind == "width_ratio" and stage:
            title = f"Stages {stage} and {int(stage) + 1}"
        label_panel(grid, axes, title, (), unit, "")
    add_legend(grid, _legend(spaces, solid=True))
    return grid.figure


def drawn_parameters(ranges: pd.DataFrame) -> list[str]:
    """Return the parameters of a table of ranges that its figure shows.

    Cumulative depth and width, width ratios, bottleneck ratios and group widths; those that
    are the same in all models are left out.
    """
    kinds = ("cum_depth", "cum_width", *_LOGARITHMIC)
    varied = ranges.groupby("parameter", sort=False).filter(
        lambda rows: rows["low_all"].min() < rows["high_all"].max()
    )
    names = dict.fromkeys(str(name) for name in varied["parameter"])
    return [name for name in names if _kind(name)[0] in kinds]


def parameter_label(parameter: str) -> str:
    """Return a parameter's name for people, such as "group width g, stage 2"."""
    kind, stage = _kind(parameter)
    name = _KINDS.get(kind, parameter.replace("_", " "))
    if kind == "width_ratio":
        return f"{name}, stage {int(stage) + 1} to stage {stage}"
    return f"{name}, stage {stage}" if stage else name


def _kind(parameter: str) -> tuple[str, str]:
    kind, _, stage = parameter.rpartition("_")
    return (kind, stage) if stage.isdigit() else (parameter, "")


def _spaces(tables: Iterable[pd.DataFrame]) -> list[str]:
    names: dict[str, None] = {}
    for table in tables:
        names |= dict.fromkeys(str(space) for space in table["space"])
    if not names:
        raise ConfigError("no finished runs of any design space to draw")
    return list(names)


def _legend(spaces: Sequence[str], solid: bool = False) -> list[Line2D]:
    looks: list[tuple[str, Any]] = [SERIES[place % len(SERIES)] for place in range(len(spaces))]
    return [
        Line2D([], [], color=colour, linestyle="-" if solid else style, label=space)
        for (colour, style), space in zip(looks, spaces, strict=True)
    ]


def _draw_edf(axes: Axes, curve: pd.DataFrame, colour: str, style: str) -> None:
    errors = curve["error"].to_numpy()
    x = np.concatenate([errors[:1], errors])
    lines = [
        np.concatenate([[0.0], curve[name].to_numpy()]) for name in ("share", "ci_low", "ci_high")
    ]
    with mpl.rc_context(RC):
        axes.fill_between(x, lines[1], lines[2], step="post", color=colour, alpha=0.13, linewidth=0)
        axes.step(x, lines[0], where="post", color=colour, linestyle=style, linewidth=1.3)
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
