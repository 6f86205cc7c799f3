"""Figures of a study: each function turns tables of results into one figure.

`errors` is always the table of :func:`pycls.analysis.inputs.results_csv.error_table`:
architectures x data sets, test errors in percent.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pycls.analysis.figures.panels import add_scatter_legend, draw_strip, highlighted, scatter_panel
from pycls.analysis.figures.style import (
    BLUE,
    BLUE_GREY,
    ORANGE,
    RC,
    is_skewed,
    label_panel,
    mark_empty,
    panel_grid,
    use_log_scale,
)
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.distribution import edf, spread
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.wording import number
from pycls.errors import ConfigError

__all__ = [
    "add_scatter_legend",
    "draw_strip",
    "edf_figure",
    "family_figure",
    "highlighted",
    "member_figure",
    "noise_figure",
    "reference_figure",
    "scatter_figure",
    "scatter_panel",
    "structure_figure",
]

STRUCTURE_LABELS = {
    "cum_depth": "cumulative depth (blocks)",
    "cum_width": "cumulative width (channels)",
}


def edf_figure(errors: pd.DataFrame, study: Study) -> Figure:
    """Return the empirical distribution function of the errors, a panel per data set."""
    keys = study.dataset_keys()
    grid = panel_grid(len(keys), title_lines=2)
    for axes, key in zip(grid.axes, keys, strict=True):
        values, fraction = edf(errors[key])
        details = [f"n = {len(values)}"]
        if len(values):
            details = [f"n = {len(values)}, median {number(float(np.median(values)), 2)} %"]
            with mpl.rc_context(RC):
                _draw_edf(axes, values, fraction)
                _scale_errors(axes, "x", errors, key)
        else:
            mark_empty(axes, "no finished runs")
        label_panel(
            grid,
            axes,
            study.dataset_title(key),
            details,
            study.error_label(key),
            "fraction of architectures",
        )
    return grid.figure


def reference_figure(errors: pd.DataFrame, study: Study) -> Figure:
    """Return a panel per target: its error against the reference's (paper, Fig. 3)."""
    reference = study.require_reference()
    return scatter_figure(errors, study, [(reference, key) for key in study.targets])


def member_figure(errors: pd.DataFrame, study: Study) -> Figure:
    """Return a panel per target: its error against its closest member's (paper, Fig. 5)."""
    members = study.members()
    pairs = [(closest_member(study.num_classes(key), members), key) for key in study.targets]
    return scatter_figure(errors, study, pairs)


def family_figure(errors: pd.DataFrame, study: Study) -> Figure:
    """Return a panel per family member: its error against the reference's (paper, Fig. 4)."""
    reference = study.require_reference()
    return scatter_figure(errors, study, [(reference, key) for key in study.members()])


def scatter_figure(errors: pd.DataFrame, study: Study, pairs: Sequence[tuple[str, str]]) -> Figure:
    """Return scatter panels of errors, with Spearman's rho in the titles.

    The best architectures on y are orange and the worst red, as many as
    :func:`highlighted` says.

    Args:
        errors: architectures x data sets, in percent.
        study: for names and metrics.
        pairs: (x, y) data sets of each panel.

    Raises:
        ConfigError: there are no pairs.
    """
    if not pairs:
        raise ConfigError("no pairs of data sets to draw; the study names no targets or members")
    grid = panel_grid(len(pairs), title_lines=3, legend_entries=3)
    for axes, (x_key, y_key) in zip(grid.axes, pairs, strict=True):
        both = errors[[x_key, y_key]].dropna()
        scatter_panel(
            grid,
            axes,
            (both[x_key].to_numpy(), both[y_key].to_numpy()),
            (study.dataset_title(y_key), study.error_label(x_key), study.error_label(y_key)),
            coloured=highlighted(len(errors)),
        )
        _scale_errors(axes, "x", errors, x_key)
        _scale_errors(axes, "y", errors, y_key)
    add_scatter_legend(grid, len(errors))
    return grid.figure


def structure_figure(
    errors: pd.DataFrame, architectures: pd.DataFrame, study: Study, column: str
) -> Figure:
    """Return a panel per data set: error against a property of the architecture.

    Args:
        errors: architectures x data sets, in percent.
        architectures: as from :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        study: for names and metrics.
        column: "cum_depth" or "cum_width" (paper, Fig. 7 A and B).

    Raises:
        ConfigError: `column` is another one.
    """
    if column not in STRUCTURE_LABELS:
        raise ConfigError(f"column '{column}': expected {' or '.join(STRUCTURE_LABELS)}")
    keys = study.dataset_keys()
    values = architectures[column].reindex(errors.index)
    grid = panel_grid(len(keys), title_lines=3)
    for axes, key in zip(grid.axes, keys, strict=True):
        kept = errors[key].notna() & values.notna()
        scatter_panel(
            grid,
            axes,
            (values[kept].to_numpy(), errors.loc[kept, key].to_numpy()),
            (study.dataset_title(key), STRUCTURE_LABELS[column], study.error_label(key)),
        )
        _scale_errors(axes, "y", errors, key)
    return grid.figure


def noise_figure(errors: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> Figure:
    """Return, per sweep of repeats, the population's errors beside the repeated ones.

    Args:
        errors: architectures x data sets, in percent.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        study: for names and metrics.

    Raises:
        ConfigError: there are no finished repeats.
    """
    groups = list(repeats.groupby(["sweep", "arch", "dataset"]))
    if not groups:
        raise ConfigError("no finished repeats to draw")
    grid = panel_grid(len(groups), title_lines=3)
    for axes, (group, runs) in zip(grid.axes, groups, strict=True):
        _, arch, key = (str(part) for part in group)
        population = errors[key].dropna().to_numpy()
        seeds = runs["error"].to_numpy()
        with mpl.rc_context(RC):
            draw_strip(axes, 0, population, BLUE_GREY)
            draw_strip(axes, 1, seeds, BLUE)
            if seeds.min() > 0:
                _scale_errors(axes, "y", errors, key)
            axes.set_xlim(-0.6, 1.6)
            axes.grid(axis="x", visible=False)
            axes.set_xticks(
                [0, 1],
                [f"population\n(n = {len(population)})", f"{arch}\n({len(seeds)} seeds)"],
            )
        details = [
            f"spread: population {number(spread(population), 2)},",
            f"one architecture {number(spread(seeds), 2)} points",
        ]
        label_panel(grid, axes, study.dataset_title(key), details, "", study.error_label(key))
    return grid.figure


def _scale_errors(axes: Axes, axis: str, errors: pd.DataFrame, key: str) -> None:
    """Give skewed errors a logarithmic axis, the same data set the same one in every figure."""
    if is_skewed(errors[key].dropna().to_numpy()):
        with mpl.rc_context(RC):
            use_log_scale(axes, axis)


def _draw_edf(axes: Axes, values: NDArray[np.float64], fraction: NDArray[np.float64]) -> None:
    median = float(np.median(values))
    axes.step(
        np.concatenate([values[:1], values]),
        np.concatenate([[0.0], fraction]),
        where="post",
        color=BLUE,
        linewidth=1.3,
        solid_joinstyle="miter",
    )
    axes.plot([median, median], [0, 0.5], color=ORANGE, linewidth=1.0)
    axes.plot([median], [0.5], "o", color=ORANGE, markersize=3.2)
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
