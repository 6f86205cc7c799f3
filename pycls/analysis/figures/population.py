"""Figures of a population: errors on data sets against each other, and against the architecture.

`errors` is always the table of :func:`pycls.analysis.inputs.results_csv.error_table`:
architectures x data sets, test errors in percent. Where the data sets that the paper shows are
there, the paper's figures show them; elsewhere their part in the study decides.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pycls.analysis.figures import style
from pycls.analysis.figures.layout import COLUMN, PAGE, Layout
from pycls.analysis.figures.panels import (
    Panel,
    draw_panels,
    draw_strips,
    make_panel,
    panel_tables,
    structure_panel,
)
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.distribution import edf, spread
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.wording import RHO, number, rho_number
from pycls.errors import ConfigError

STRUCTURE_LABELS = {
    "cum_depth": "cumulative depth (blocks)",
    "cum_width": "cumulative width (channels)",
}
# The published study's targets in the order of its Figure 3: those that the reference predicts
# first; of the others, whose order is not told, by falling rho.
FIGURE_3 = (
    *("insects", "mlc2008", "ham10000", "cifar100"),
    *("concrete", "cifar10", "natural", "powerline"),
)
MAX_SETS = 6  # panels of Figure 7
_TREND_POINTS = 8


def pair_panel(errors: pd.DataFrame, study: Study, x: str, y: str, layout: Layout = PAGE) -> Panel:
    """Return the panel of the errors on two data sets."""
    labels = (
        layout.error_label(study.dataset_title(x), study.metric(x)),
        layout.error_label(study.dataset_title(y), study.metric(y), is_own=True),
    )
    return make_panel(study.dataset_title(y), (x, y), errors[x], errors[y], labels)


def scatter_figure(
    errors: pd.DataFrame,
    study: Study,
    pairs: Sequence[tuple[str, str]],
    layout: Layout = PAGE,
    columns: int = 0,
    shared_x: bool = False,
) -> Figure:
    """Return scatter panels of errors, with Spearman's rho in the titles.

    The best architectures on y are orange and the worst red, as many as
    :func:`pycls.analysis.figures.panels.highlighted` says.

    Args:
        errors: architectures x data sets, in percent.
        study: for names and metrics.
        pairs: (x, y) data sets of each panel.
        layout: of the figure.
        columns: panels side by side in a journal; 0 for as many as fit.
        shared_x: whether all pairs have the same x.

    Raises:
        ConfigError: there are no pairs.
        MissingRuns: in a journal's layout, if no pair has an architecture with both errors.
    """
    if not pairs:
        raise ConfigError("no pairs of data sets to draw; the study names no targets or members")
    panels = [pair_panel(errors, study, x, y, layout) for x, y in pairs]
    return draw_panels(panels, layout, len(errors), columns, shared_x)


def reference_figure(errors: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return a panel per target: its error against the reference's (paper, Fig. 3)."""
    keys = FIGURE_3 if set(FIGURE_3) == set(study.targets) else study.targets
    pairs = [(study.require_reference(), key) for key in keys]
    return scatter_figure(errors, study, pairs, layout, shared_x=True)


def family_figure(errors: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return a panel per family member: its error against the reference's (paper, Fig. 4)."""
    pairs = [(study.require_reference(), key) for key in study.members()]
    return scatter_figure(errors, study, pairs, layout, shared_x=True)


def member_figure(errors: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return a panel per target: its error against its closest member's (paper, Fig. 5)."""
    members = study.members()
    pairs = [(closest_member(study.num_classes(key), members), key) for key in study.targets]
    return scatter_figure(errors, study, pairs, layout)


def structure_figure(
    errors: pd.DataFrame,
    architectures: pd.DataFrame,
    study: Study,
    column: str,
    layout: Layout = PAGE,
    keys: Sequence[str] = (),
) -> Figure:
    """Return a panel per data set: error against a property of the architecture.

    Args:
        errors: architectures x data sets, in percent.
        architectures: as from :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        study: for names and metrics.
        column: "cum_depth" or "cum_width" (paper, Fig. 7 A and B).
        layout: of the figure.
        keys: data sets to draw; all of the population's without any.

    Raises:
        ConfigError: `column` is another one.
        MissingRuns: in a journal's layout, if there are no errors.
    """
    if column not in STRUCTURE_LABELS:
        raise ConfigError(f"column '{column}': expected {' or '.join(STRUCTURE_LABELS)}")
    panels = []
    for key in keys or study.dataset_keys():
        title, series = study.dataset_title(key), (errors[key], architectures[column])
        label = layout.error_label(title, study.metric(key), is_own=True)
        labels = (label, STRUCTURE_LABELS[column])
        panels.append(structure_panel(layout, title, (key, column), series, labels))
    return draw_panels(panels, layout)


def edf_figure(errors: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return the empirical distribution function of the errors, a panel per data set."""
    keys = study.dataset_keys()
    titles = [study.dataset_title(key) for key in keys]
    grid = layout.grid(titles, title_lines=2)
    for axes, key, title in zip(grid.axes, keys, titles, strict=True):
        values, fraction = edf(errors[key])
        details = [f"n = {len(values)}"]
        if len(values):
            details = [f"n = {len(values)}, median {number(float(np.median(values)), 2)} %"]
            with mpl.rc_context(style.RC):
                _draw_edf(axes, values, fraction)
            if style.is_skewed(errors[key].dropna().to_numpy()):
                layout.scale(axes, "x", values)
        else:
            style.mark_empty(axes, "no finished runs")
        labels = (layout.error_label(title, study.metric(key)), "fraction of architectures")
        style.label_panel(grid, axes, title, details, *labels)
    return grid.figure


def _draw_edf(axes: Axes, values: NDArray[np.float64], fraction: NDArray[np.float64]) -> None:
    median = float(np.median(values))
    axes.step(
        np.concatenate([values[:1], values]),
        np.concatenate([[0.0], fraction]),
        where="post",
        color=style.BLUE,
        linewidth=1.3,
        solid_joinstyle="miter",
    )
    axes.plot([median, median], [0, 0.5], color=style.ORANGE, linewidth=1.0)
    axes.plot([median], [0.5], "o", color=style.ORANGE, markersize=3.2)
    axes.set_ylim(0, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])


def noise_figure(
    errors: pd.DataFrame, repeats: pd.DataFrame, study: Study, layout: Layout = PAGE
) -> Figure:
    """Return, per sweep of repeats, the population's errors beside the repeated ones.

    Args:
        errors: architectures x data sets, in percent.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        study: for names and metrics.
        layout: of the figure.

    Raises:
        ConfigError: there are no finished repeats.
    """
    groups = list(repeats.groupby(["sweep", "arch", "dataset"]))
    if not groups:
        raise ConfigError("no finished repeats to draw")
    titles = [study.dataset_title(str(group[2])) for group, _ in groups]
    grid = layout.grid(titles, title_lines=3)
    for axes, (group, runs) in zip(grid.axes, groups, strict=True):
        _, arch, key = (str(part) for part in group)
        population, seeds = errors[key].dropna().to_numpy(), runs["error"].to_numpy()
        draw_strips(axes, population, {arch: seeds})
        details = [
            f"spread: population {number(spread(population), 2)},",
            f"one architecture {number(spread(seeds), 2)} points",
        ]
        title = study.dataset_title(key)
        style.label_panel(
            grid, axes, title, details, "", layout.error_label(title, study.metric(key))
        )
    return grid.figure


def relative_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return the errors of three sets, relative to their medians, in one panel (paper, Fig. 1).

    The paper shows ImageNet, Powerline and Insects; elsewhere they are the reference and the
    targets with the lowest and the highest rho with it.
    """
    reference = collection.reference

    def ends() -> list[str]:
        order = collection.targets_by(lambda key: collection.rho(reference, key), 99)
        known = [key for key in order if np.isfinite(collection.rho(reference, key))]
        return [reference, *dict.fromkeys([*known[:1], *known[-1:]])]

    keys = collection.pick((reference, "powerline", "insects"), ends)
    panels = [_relative_panel(collection, reference, key, layout) for key in keys]
    shown = [panel for panel in panels if len(panel.data)]
    if len(shown) < 2:
        raise MissingRuns("No architecture has finished runs on the reference and a target.")
    grid = layout.grid([""], title_lines=0, legend=len(shown) + 1, height=2.1)
    axes = grid.axes[0]
    looks = ((style.INK, "o", "-"), (style.ORANGE, "v", "--"), (style.BLUE, "^", "-."))
    entries = []
    with mpl.rc_context(style.RC):
        for panel, (colour, marker, dashes) in zip(shown, looks, strict=False):
            x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
            look = style.marker_style(len(x)) | {"alpha": 0.35}
            axes.plot(x, y, marker=marker, color=colour, **look)
            label = panel.title
            trend: dict[str, Any] = {"linestyle": "none"}
            if panel.x_name != panel.y_name:
                label += f", {RHO} = {rho_number(panel.correlation.rho)}"
                trend = _trend(axes, x, y, colour, dashes)
            entries.append(
                Line2D([], [], marker=marker, color=colour, markersize=4, label=label, **trend)
            )
        said = f"lines: medians of {_TREND_POINTS} groups of neighbours"
        entries.append(Line2D([], [], linestyle="none", label=said))
        axes.margins(0.05)
        if any(panel.y_log for panel in shown):
            layout.scale(axes, "y", np.concatenate([panel.data["y"] for panel in shown]))
        if shown[0].x_log:
            layout.scale(axes, "x", shown[0].data["x"].to_numpy())
        axes.set_xlabel(shown[0].x_label, labelpad=2)
        axes.set_ylabel(shown[0].y_label, labelpad=2)
    style.add_legend(grid, entries, handlelength=3.2)
    grid.figure.numbers = partial(panel_tables, panels)
    return grid.figure


def _relative_panel(collection: Collection, reference: str, key: str, layout: Layout) -> Panel:
    errors, study = collection.errors, collection.study
    median = errors[key].median()
    relative = errors[key] / median if median > 0 else errors[key] * np.nan
    x_label = layout.error_label(study.dataset_title(reference), study.metric(reference))
    labels = (x_label, "error / median error of the set")
    title = study.dataset_title(key)
    return make_panel(title, (reference, key), errors[reference], relative, labels)


def _trend(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, dashes: Any) -> dict[str, Any]:
    """Draw the medians of eight groups of neighbours on x; return the line's look."""
    look = {"linestyle": dashes, "linewidth": 1.3}
    groups = [g for g in np.array_split(np.argsort(x, kind="stable"), _TREND_POINTS) if len(g)]
    points = [(np.median(x[group]), np.median(y[group])) for group in groups]
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, color="white", linewidth=2.6)
    axes.plot(xs, ys, color=colour, **look)
    return look


def subsample_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return three targets against the reference, fewer images and fewer classes (Fig. 6).

    The targets are those with the lowest rho with the reference, which are the paper's in the
    published study; the member is the one closest in class count to most of them.
    """
    reference, control = collection.reference, collection.size_control
    paper = ("cifar10", "natural", "powerline")
    keys = collection.pick(
        paper, lambda: collection.targets_by(lambda key: collection.rho(reference, key), 3)
    )
    closest = [collection.member_of(key) for key in keys]
    member = max(closest, key=lambda key: (closest.count(key), collection.members[key]))
    pairs = [(x, key) for x in (reference, control, member) for key in keys]
    return scatter_figure(collection.errors, collection.study, pairs, layout, columns=len(keys))


def published_structure_figure(
    collection: Collection, column: str, layout: Layout = COLUMN
) -> Figure:
    """Return :func:`structure_figure` of the sets in the paper's Fig. 7, or the first six."""
    reference = collection.reference
    paper = (reference, "insects", "ham10000", "powerline", "natural", "cifar100")
    keys = collection.pick(paper, lambda: collection.sets[:MAX_SETS])
    tables = (collection.errors, collection.architectures, collection.study)
    return structure_figure(*tables, column, layout, keys)


def population_size(errors: pd.DataFrame) -> int:
    """Return how many architectures have an error at all."""
    return int(errors.notna().any(axis=1).sum())
