"""Figures A2, A3 and A5 A of the paper: training curves, training noise, class distributions."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from pycls.analysis.controls.comparisons import balanced
from pycls.analysis.controls.curves import continued, duration_curves
from pycls.analysis.controls.population import training_noise
from pycls.analysis.figures.controls import (
    CONTINUED_LEGEND,
    draw_bars,
    draw_continued,
    draw_curves,
    mark_epoch,
)
from pycls.analysis.figures.layout import (
    COLUMN,
    PAGE,
    log_axis,
    paper_grid,
    paper_label,
    paper_legend,
)
from pycls.analysis.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RC,
    RED,
    PanelGrid,
    add_legend,
    is_skewed,
    label_panel,
    mark_empty,
    panel_grid,
)
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.evidence import Evidence, Experiment, Sweep
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.wording import number

_DENSITY_LOOKS: tuple[tuple[str, Any], ...] = (
    (BLUE, "--"),
    (ORANGE, "-."),
    (RED, ":"),
    (GREEN, (0, (5, 1, 1, 1, 1, 1))),
)
_GRID_POINTS = 400
_MISSING = 65535  # stands for "no error" in packed curves


# ---------------------------------------------------------------- Figure A2
def curve_tables(collection: Collection) -> dict[str, pd.DataFrame]:
    """Return the curves of Fig. A2 A, and rho of each epoch's errors with the last ones."""
    found = collection.ask(duration_curves, "duration")
    return {
        "data": pd.concat([each.tables["curves"] for each, _ in found], ignore_index=True),
        "rho": pd.concat([each.tables["curve_ranks"] for each, _ in found], ignore_index=True),
    }


def curve_figure(collection: Collection) -> Figure:
    """Return curves of long training, whole and from the regular end on (Fig. A2 A)."""
    groups = list(_groups(collection, "duration", duration_curves, "curves"))
    titles = [evidence.sweep_title(sweep) for _, sweep, evidence in groups for _ in range(2)]
    grid = paper_grid(titles, columns=2, width=PAGE, legend=1)
    for place, (rows, sweep, evidence) in enumerate(groups):
        of = evidence.compared_with(sweep)
        regular = (of.epochs if of else None) or int(rows["epoch"].max() // 4)
        final = rows.groupby("arch")["test_error"].last()
        for axes, start in zip(grid.axes[2 * place : 2 * place + 2], (1, regular), strict=True):
            shown = rows[rows["epoch"] >= start]
            draw_curves(axes, shown, final)
            _log_if_skewed(axes, shown["test_error"].to_numpy())
            mark_epoch(axes, regular)
            many = f"{rows['arch'].nunique()} architectures"
            details = [many if start == 1 else f"{many}, from epoch {regular} on"]
            label = f"{sweep.metric_label} test error (%)"
            paper_label(grid, axes, evidence.sweep_title(sweep), details, "epoch", label)
    entries = ((ORANGE, "lowest error at the last epoch"), (BLUE, "highest error there"))
    paper_legend(grid, [Line2D([], [], color=colour, label=text) for colour, text in entries])
    return grid.figure


def continued_tables(collection: Collection) -> dict[str, pd.DataFrame]:
    """Return the curves of Fig. A2 B, and the errors before and after."""
    found = collection.ask(continued, "continued")
    curves = [e.tables["continued_curves"] for e, _ in found if "continued_curves" in e.tables]
    ends = pd.concat([each.tables["continued"] for each, _ in found], ignore_index=True)
    return ({"data": pd.concat(curves, ignore_index=True)} if curves else {}) | {"ends": ends}


def continued_figure(collection: Collection) -> Figure:
    """Return the curves of the best and worst architectures, continued (Fig. A2 B)."""
    groups = list(_groups(collection, "continued", continued, "continued_curves"))
    if not groups:
        raise MissingRuns("There is no curves.csv with errors by epoch of the continued runs.")
    titles = [evidence.sweep_title(sweep) for _, sweep, evidence in groups]
    alone = len(groups) == 1
    width = COLUMN if alone else PAGE
    grid = paper_grid(titles, columns=min(2, len(groups)), width=width, legend=1 + alone)
    for axes, (rows, sweep, evidence) in zip(grid.axes, groups, strict=True):
        of = evidence.compared_with(sweep) or sweep
        draw_continued(axes, rows)
        _log_if_skewed(axes, rows["test_error"].to_numpy())
        details = [f"{rows['arch'].nunique()} architectures; dotted: regular end"]
        label = f"{of.metric_label} test error (%)"
        paper_label(grid, axes, evidence.sweep_title(of), details, "epoch", label)
    paper_legend(grid, CONTINUED_LEGEND, 1 if alone else 0)
    return grid.figure


def _groups(
    collection: Collection, kind: str, ask: Callable[[Evidence], Experiment], table: str
) -> Iterator[tuple[pd.DataFrame, Sweep, Evidence]]:
    for experiment, evidence in collection.ask(ask, kind):
        if table in experiment.tables:
            for name, rows in experiment.tables[table].groupby("sweep", sort=False):
                yield rows, evidence.sweeps[str(name)], evidence


def _log_if_skewed(axes: Axes, values: np.ndarray) -> None:
    if is_skewed(values):
        log_axis(axes, "y", values)


# ---------------------------------------------------------------- Figure A3
def noise_tables(collection: Collection) -> dict[str, pd.DataFrame]:
    """Return the errors of retrained architectures, and their spread beside the population's."""
    found = _noise(collection)
    return {
        "data": pd.concat([each.tables["repeats"] for each, _ in found], ignore_index=True),
        "noise": pd.concat([each.tables["noise"] for each, _ in found], ignore_index=True),
    }


def _noise(collection: Collection) -> list[tuple[Experiment, Evidence]]:
    """Return the experiments on training noise; the study's own repeats where none is a control."""
    try:
        found = collection.ask(training_noise, "repeats")
    except MissingRuns:
        own = training_noise(collection.evidence)
        if own.reason:
            raise
        return [(own, collection.evidence)]
    return [(_own_sweeps(each, evidence), evidence) for each, evidence in found]


def _own_sweeps(experiment: Experiment, evidence: Evidence) -> Experiment:
    """Leave out the repeats of the bases, which training_noise looks at too."""
    own = set(evidence.study.control_sweeps("repeats"))
    tables = {
        name: table[(table["study"] == evidence.study.name) & table["sweep"].isin(own)]
        for name, table in experiment.tables.items()
    }
    return Experiment(experiment.name, experiment.title, experiment.question, tables)


def noise_figure(collection: Collection) -> Figure:
    """Return error densities of retrained architectures and of the population (Fig. A3)."""
    groups = [
        (rows, experiment.tables["noise"], evidence)
        for experiment, evidence in _noise(collection)
        for _, rows in experiment.tables["repeats"].groupby(["study", "sweep"], sort=False)
    ]
    archs = max(rows["arch"].nunique() for rows, _, _ in groups)
    shown = min(archs, len(_DENSITY_LOOKS))
    grid = paper_grid([""] * len(groups), legend=shown + 1, height=1.7)
    entries: list[Line2D] = []
    for axes, (rows, noise, evidence) in zip(grid.axes, groups, strict=True):
        lines = _draw_densities(grid, axes, rows, noise, evidence)
        entries = lines if len(lines) > len(entries) else entries
    if len(groups) > 1:  # names differ between the panels, looks do not
        words = ["population", *(f"retrained architecture {i}" for i in range(1, shown + 1))]
        for line, word in zip(entries, words, strict=True):
            line.set_label(word)
    paper_legend(grid, entries, 1)
    return grid.figure


def _draw_densities(
    grid: PanelGrid, axes: Axes, rows: pd.DataFrame, noise: pd.DataFrame, evidence: Evidence
) -> list[Line2D]:
    first = rows.iloc[0]
    of_sweep = noise[(noise["study"] == first["study"]) & (noise["sweep"] == first["sweep"])]
    sweep = next(
        each
        for each in evidence.all_sweeps
        if (each.study.name, each.name) == (first["study"], first["sweep"])
    )
    of = evidence.compared_with(sweep)
    population = of.errors.to_numpy() if of is not None else np.empty(0)
    series: list[tuple[str, np.ndarray, tuple[str, Any]]] = [("population", population, (INK, "-"))]
    by_arch = rows.groupby("arch")["error"]
    for (arch, errors), look in zip(by_arch, _DENSITY_LOOKS, strict=False):
        series.append((f"{arch}, trained {len(errors)} times", errors.to_numpy(), look))
    entries = []
    logarithmic = is_skewed(population)
    with mpl.rc_context(RC):
        for label, values, (colour, dashes) in series:
            name = label if label != "population" else f"population, {len(values)} architectures"
            _draw_density(axes, values, colour, dashes, logarithmic)
            entries.append(Line2D([], [], color=colour, linestyle=dashes, label=name))
        axes.set_ylim(bottom=0)
        if logarithmic:
            log_axis(axes, "x", population)
    ratios = of_sweep["ratio_spread"].replace([np.inf], np.nan).dropna()
    details = [f"spread: population / retrained = {', '.join(number(r, 1) for r in ratios)}"]
    titled = of if of is not None else sweep
    x_label = f"{titled.metric_label} test error (%)"
    y_label = "density (1/decade)" if logarithmic else "density (1/point)"
    details = details if len(ratios) else [""]
    paper_label(grid, axes, evidence.sweep_title(titled), details, x_label, y_label)
    return entries


def _draw_density(
    axes: Axes, values: np.ndarray, colour: str, dashes: Any, logarithmic: bool
) -> None:
    """Draw a Gaussian kernel density; a vertical line where all values are equal."""
    from scipy.stats import gaussian_kde  # costly to import

    points = np.log10(values) if logarithmic and len(values) and values.min() > 0 else values
    if len(points) < 2 or np.ptp(points) == 0:
        for value in np.unique(values):
            axes.axvline(value, color=colour, linestyle=dashes, linewidth=1.2)
        return
    kernel = gaussian_kde(points)
    margin = 3 * float(np.sqrt(kernel.covariance[0, 0]))  # where the outermost kernels end
    low, high = points.min() - margin, points.max() + margin
    ends = (low, min(high, 2.0)) if logarithmic else (max(low, 0.0), min(high, 100.0))
    places = np.linspace(*ends, _GRID_POINTS)  # errors end at 0 and at 100 %
    density = kernel(places)
    shown = 10**places if logarithmic else places
    axes.fill_between(shown, density, color=colour, alpha=0.15, linewidth=0)
    axes.plot(shown, density, color=colour, linestyle=dashes, linewidth=1.2)


# ---------------------------------------------------------------- Figure A5 A
def class_tables(collection: Collection) -> dict[str, pd.DataFrame]:
    """Return the class counts of balanced sets and those they are cut from.

    Raises:
        MissingRuns: no study has such sets, or their counts are unknown.
    """
    found = [
        each.tables["classes"]
        for each, _ in collection.ask(balanced, "balanced")
        if "classes" in each.tables
    ]
    if not found:
        raise MissingRuns("The class counts of the balanced sets are not in study.json.")
    return {"data": pd.concat(found, ignore_index=True)}


def class_figure(collection: Collection) -> Figure:
    """Return class distributions before and after balancing (Fig. A5 A)."""
    classes = class_tables(collection)["data"]
    groups = list(classes[classes["side"] == "train"].groupby("dataset", sort=False))
    titles = [str(rows["title"].iloc[0]) for _, rows in groups]
    grid = paper_grid(titles, columns=2, width=PAGE, height=0.9, left=0.62)
    for axes, (_, rows) in zip(grid.axes, groups, strict=True):
        shown = rows.sort_values("images", ascending=False, kind="stable").head(20)
        draw_bars(grid, axes, shown)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        details = [f"{rows['images'].sum():,} training images, {len(rows)} classes"]
        x_label = "class" if len(rows) <= 20 else "the 20 largest classes"
        paper_label(grid, axes, str(rows["title"].iloc[0]), details, x_label, "images")
    return grid.figure


def pack(errors: NDArray[np.float64]) -> str:
    """Return errors in hundredths of a percent as base64 of little-endian 16-bit numbers.

    Two bytes an error instead of five characters and a comma; NaN is 65535.
    """
    hundredths = np.rint(100 * np.clip(errors, 0, 100))
    whole = np.where(np.isfinite(hundredths), hundredths, _MISSING).astype("<u2")
    return base64.b64encode(whole.tobytes()).decode("ascii")


def curves_figure(curves: dict[str, Curves], study: Study) -> Figure:
    """Return the population's errors over the epochs, a panel per data set.

    Lines are medians over the architectures; the band is the 10th to 90th percentile of the
    test error.
    """
    keys = [key for key in study.dataset_keys() if key in curves]
    grid = panel_grid(len(keys), title_lines=2, legend_entries=2)
    for axes, key in zip(grid.axes, keys, strict=True):
        runs = curves[key]
        finished = int(np.isfinite(runs.test).any(axis=1).sum())
        details = [f"n = {finished}"]
        if finished:
            with mpl.rc_context(RC):
                _draw(axes, runs)
            last = runs.test[:, -1][np.isfinite(runs.test[:, -1])]
            if len(last):
                details = [f"n = {finished}, last median {number(float(np.median(last)), 2)} %"]
        else:
            mark_empty(axes, "no errors")
        title = study.dataset_title(key)
        label_panel(grid, axes, title, details, "epoch", f"error ({study.metric(key)}, %)")
    add_legend(
        grid,
        [
            Line2D([], [], color=BLUE, label="test"),
            Line2D([], [], color=ORANGE, linestyle="--", label="while training"),
        ],
    )
    return grid.figure


def _draw(axes: Axes, runs: Curves) -> None:
    low, middle, high = _percentiles(runs.test)
    axes.fill_between(runs.epochs, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(runs.epochs, middle, color=BLUE, linewidth=1.3)
    axes.plot(runs.epochs, _percentiles(runs.train)[1], color=ORANGE, linestyle="--", linewidth=1.1)
    axes.set_ylim(bottom=0)


def _percentiles(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 10th, 50th and 90th percentile by epoch; NaN where there is no error."""
    known = np.isfinite(errors).any(axis=0)
    found = np.full((3, errors.shape[1]), np.nan)
    if known.any():
        found[:, known] = np.nanpercentile(errors[:, known], [10, 50, 90], axis=0)
    return found
