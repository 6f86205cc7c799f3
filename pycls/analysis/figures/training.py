"""Figures of trainings: errors by epoch, and errors of one architecture under many seeds."""

import base64
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pycls.analysis.controls.curves import continued, duration_curves
from pycls.analysis.controls.population import training_noise
from pycls.analysis.figures import style
from pycls.analysis.figures.controls import (
    Found,
    Source,
    dataset_label,
    find_experiments,
    sweep_label,
)
from pycls.analysis.figures.layout import COLUMN, COLUMN_WIDTH, FULL_WIDTH, PAGE, Layout
from pycls.analysis.figures.panels import MAX_STRIPS, draw_strips
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.evidence import Evidence, Experiment, Sweep
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.wording import number

_DENSITY_LOOKS: tuple[tuple[str, Any], ...] = (
    (style.BLUE, "--"),
    (style.ORANGE, "-."),
    (style.RED, ":"),
    (style.GREEN, (0, (5, 1, 1, 1, 1, 1))),
)
_GRID_POINTS = 400
_MISSING = 4095  # stands for "no error" in packed curves


# ---------------------------------------------------------------- Figure A2
def curve_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return curves of long training, whole and from the regular end on (Fig. A2 A).

    Up to 20 architectures, from orange for the lowest final error to blue for the highest.
    """
    found = find_experiments(source, duration_curves, "duration")
    groups = list(_groups(found, "curves"))
    titles = [evidence.sweep_title(sweep) for _, sweep, evidence in groups for _ in range(2)]
    entries = layout.either(
        (), ((style.ORANGE, "lowest error at the last epoch"), (style.BLUE, "highest error there"))
    )
    grid = layout.grid(titles, title_lines=2, columns=2, width=FULL_WIDTH, legend=len(entries))
    for place, (rows, sweep, evidence) in enumerate(groups):
        of = evidence.compared_with(sweep)
        regular = (of.epochs if of else None) or int(rows["epoch"].max() // 4)
        final = rows.groupby("arch")["test_error"].last()
        for axes, start in zip(grid.axes[2 * place : 2 * place + 2], (1, regular), strict=True):
            shown = rows[rows["epoch"] >= start]
            _draw_curves(axes, shown, final)
            if layout is COLUMN and style.is_skewed(rows["test_error"].to_numpy()):
                layout.scale(axes, "y", shown["test_error"].to_numpy())  # of one kind in both
            _mark_epoch(axes, regular)
            many = f"{rows['arch'].nunique()} architectures"
            details = [many if start == 1 else f"{many}, from epoch {regular} on"]
            y_label = _curve_label(layout, evidence, sweep)
            style.label_panel(grid, axes, evidence.sweep_title(sweep), details, "epoch", y_label)
    style.add_legend(grid, [Line2D([], [], color=colour, label=text) for colour, text in entries])
    grid.figure.numbers = partial(_tables, found, {"data": "curves", "rho": "curve_ranks"})
    return grid.figure


def continued_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return the curves of the best and worst architectures, continued (Fig. A2 B)."""
    found = find_experiments(source, continued, "continued")
    groups = list(_groups(found, "continued_curves"))
    if not groups:
        raise MissingRuns("There is no curves.csv with errors by epoch of the continued runs.")
    # A sweep is drawn under the name of the one that it continues.
    shown = [(rows, each.compared_with(sweep) or sweep, each) for rows, sweep, each in groups]
    titles = [evidence.sweep_title(sweep) for _, sweep, evidence in groups]
    width = COLUMN_WIDTH if len(groups) == 1 else FULL_WIDTH
    columns = min(2, len(groups))
    grid = layout.grid(titles, title_lines=2, columns=columns, width=width, legend=2)
    for axes, (rows, of, evidence) in zip(grid.axes, shown, strict=True):
        _draw_continued(axes, rows)
        _scale_curves(layout, axes, rows["test_error"].to_numpy())
        mark = layout.either(",", ";")
        details = [f"{rows['arch'].nunique()} architectures{mark} dotted: regular end"]
        label = _curve_label(layout, evidence, of)
        style.label_panel(grid, axes, evidence.sweep_title(of), details, "epoch", label)
    legend = (
        Line2D([], [], color=style.ORANGE, label="lowest error at the regular end"),
        Line2D([], [], color=style.RED, linestyle="--", label="highest error there"),
    )
    style.add_legend(grid, legend)
    names = {"data": "continued_curves", "ends": "continued"}
    grid.figure.numbers = partial(_tables, found, names)
    return grid.figure


def _groups(found: Found, table: str) -> Iterator[tuple[pd.DataFrame, Sweep, Evidence]]:
    for experiment, evidence in found:
        if table in experiment.tables:
            for name, rows in experiment.tables[table].groupby("sweep", sort=False):
                yield rows, evidence.sweeps[str(name)], evidence


def _tables(found: Found, names: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return tables of experiments under new names, those of all studies in one."""
    return {
        new: pd.concat([e.tables[old] for e, _ in found if old in e.tables], ignore_index=True)
        for new, old in names.items()
    }


def _scale_curves(layout: Layout, axes: Axes, errors: np.ndarray) -> None:
    """Make the y-axis logarithmic where a journal's errors are skewed; the page's is linear."""
    if layout is COLUMN and style.is_skewed(errors):
        layout.scale(axes, "y", errors)


def _curve_label(layout: Layout, evidence: Evidence, sweep: Sweep) -> str:
    short = f"{sweep.metric_label} test error (%)"
    return layout.either(sweep_label(layout, evidence, sweep), short)


def _draw_continued(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw one sweep of the table "continued_curves", dotted where the regular training ends."""
    more = rows[rows["phase"] == "continued"]
    with mpl.rc_context(style.RC):
        for (_, group), curve in rows.groupby(["arch", "group"]):
            colour, dashes = (style.ORANGE, "-") if group == "best" else (style.RED, "--")
            axes.plot(curve["epoch"], curve["test_error"], dashes, color=colour, linewidth=0.9)
    _mark_epoch(axes, more["epoch"].min() - 0.5)


def _mark_epoch(axes: Axes, epoch: float) -> None:
    with mpl.rc_context(style.RC):
        axes.axvline(epoch, color="#777777", linewidth=0.8, linestyle=":")


def _draw_curves(axes: Axes, rows: pd.DataFrame, final: pd.Series) -> None:
    """Draw curves, from orange for the lowest final error to blue for the highest."""
    order = final.rank().sub(1) / max(1, len(final) - 1)
    ends = [np.array(mpl.colors.to_rgb(colour)) for colour in (style.ORANGE, style.BLUE)]
    with mpl.rc_context(style.RC):
        for arch, curve in rows.groupby("arch"):
            share = float(order[arch])
            colour = tuple((1 - share) * ends[0] + share * ends[1])
            axes.plot(curve["epoch"], curve["test_error"], color=colour, linewidth=0.8)


# ---------------------------------------------------------------- Figure A3
def repeats_figure(source: Source, layout: Layout = PAGE) -> Figure:
    """Return errors of the population and of retrained architectures as points, as on the page."""
    ((experiment, evidence),) = find_experiments(source, training_noise)
    groups = list(experiment.tables["repeats"].groupby(["study", "sweep"], sort=False))
    grid = layout.grid([""] * len(groups), title_lines=3)
    for axes, (_, rows) in zip(grid.axes, groups, strict=True):
        of_sweep = _noise_of(experiment, rows).head(MAX_STRIPS)
        key = str(of_sweep["dataset"].iloc[0])
        population = evidence.population.get(key, pd.Series(dtype=float)).dropna().to_numpy()
        by_arch = rows.groupby("arch")["error"]
        draw_strips(axes, population, {str(arch): each.to_numpy() for arch, each in by_arch})
        spreads = ", ".join(number(each, 2) for each in of_sweep["spread"])
        details = [
            f"spread: population {number(of_sweep['spread_population'].iloc[0], 2)},",
            f"retrained {spreads} points",
        ]
        y_label = dataset_label(layout, evidence, key)
        style.label_panel(grid, axes, evidence.title(key), details, "", y_label)
    return grid.figure


def _noise_of(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table "noise" that are about some of the table "repeats"."""
    noise, first = experiment.tables["noise"], rows.iloc[0]
    return noise[(noise["study"] == first["study"]) & (noise["sweep"] == first["sweep"])]


def _noise(collection: Collection) -> Found:
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


def density_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return error densities of retrained architectures and of the population (Fig. A3)."""
    found = _noise(collection)
    groups = [
        (rows, experiment, evidence)
        for experiment, evidence in found
        for _, rows in experiment.tables["repeats"].groupby(["study", "sweep"], sort=False)
    ]
    archs = max(rows["arch"].nunique() for rows, _, _ in groups)
    shown = min(archs, len(_DENSITY_LOOKS))
    grid = layout.grid(
        [""] * len(groups), title_lines=2, legend=shown + 1, stacked=True, height=1.7
    )
    entries: list[Line2D] = []
    for axes, (rows, experiment, evidence) in zip(grid.axes, groups, strict=True):
        lines = _draw_densities(grid, axes, rows, experiment, evidence, layout)
        entries = lines if len(lines) > len(entries) else entries
    if len(groups) > 1:  # names differ between the panels, looks do not
        words = ["population", *(f"retrained architecture {i}" for i in range(1, shown + 1))]
        for line, word in zip(entries, words, strict=True):
            line.set_label(word)
    style.add_legend(grid, entries)
    grid.figure.numbers = partial(_tables, found, {"data": "repeats", "noise": "noise"})
    return grid.figure


def _draw_densities(
    grid: style.PanelGrid,
    axes: Axes,
    rows: pd.DataFrame,
    experiment: Experiment,
    evidence: Evidence,
    layout: Layout,
) -> list[Line2D]:
    study, name = rows.iloc[0]["study"], rows.iloc[0]["sweep"]
    sweep = next(
        each for each in evidence.all_sweeps if (each.study.name, each.name) == (study, name)
    )
    of = evidence.compared_with(sweep)
    population = of.errors.to_numpy() if of is not None else np.empty(0)
    series: list[tuple[str, np.ndarray, tuple[str, Any]]] = [
        (f"population, {len(population)} architectures", population, (style.INK, "-"))
    ]
    by_arch = rows.groupby("arch")["error"]
    for (arch, errors), look in zip(by_arch, _DENSITY_LOOKS, strict=False):
        series.append((f"{arch}, trained {len(errors)} times", errors.to_numpy(), look))
    entries = []
    logarithmic = style.is_skewed(population)
    with mpl.rc_context(style.RC):
        for label, values, (colour, dashes) in series:
            _draw_density(axes, values, colour, dashes, logarithmic)
            entries.append(Line2D([], [], color=colour, linestyle=dashes, label=label))
        axes.set_ylim(bottom=0)
        if logarithmic:
            layout.scale(axes, "x", population)
    ratios = _noise_of(experiment, rows)["ratio_spread"].replace([np.inf], np.nan).dropna()
    details = [f"spread: population / retrained = {', '.join(number(r, 1) for r in ratios)}"]
    titled = of if of is not None else sweep
    labels = (
        _curve_label(layout, evidence, titled),
        "density (1/decade)" if logarithmic else "density (1/point)",
    )
    title = evidence.sweep_title(titled)
    style.label_panel(grid, axes, title, details if len(ratios) else [""], *labels)
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


def pack(errors: NDArray[np.float64]) -> dict[str, Any]:
    """Return errors in percent as two characters each, finer than a plot of them can show.

    Returns:
        "low" and "high", the lowest and the highest error, and "codes": the share of the way from
        one to the other in 4094 steps, in base64 of 12 bits each; 4095 for NaN.
    """
    known = errors[np.isfinite(errors)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    steps = np.rint((errors - low) / ((high - low) or 1) * (_MISSING - 1))
    whole = np.where(np.isfinite(steps), steps, _MISSING).astype(np.int64).ravel()
    whole = np.pad(whole, (0, len(whole) % 2), constant_values=_MISSING)  # three bytes hold two
    first, second = whole[::2], whole[1::2]
    three = np.column_stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    codes = base64.b64encode(three.astype(np.uint8).tobytes()).decode("ascii")
    return {"low": low, "high": high, "codes": codes}


def curves_figure(curves: Mapping[str, Curves], study: Study, layout: Layout = PAGE) -> Figure:
    """Return the population's errors over the epochs, a panel per data set.

    Lines are medians over the architectures; the band is the 10th to 90th percentile of the
    test error.
    """
    keys = [key for key in study.dataset_keys() if key in curves]
    legend = [
        Line2D([], [], color=style.BLUE, label="test"),
        Line2D([], [], color=style.ORANGE, linestyle="--", label="while training"),
    ]
    titles = [study.dataset_title(key) for key in keys]
    grid = layout.grid(titles, title_lines=2, legend=len(legend))
    for axes, key in zip(grid.axes, keys, strict=True):
        runs = curves[key]
        finished = int(np.isfinite(runs.test).any(axis=1).sum())
        details = [f"n = {finished}"]
        if finished:
            with mpl.rc_context(style.RC):
                _draw(axes, runs)
            last = runs.test[:, -1][np.isfinite(runs.test[:, -1])]
            if len(last):
                details = [f"n = {finished}, last median {number(float(np.median(last)), 2)} %"]
        else:
            style.mark_empty(axes, "no errors")
        title, label = study.dataset_title(key), f"error ({study.metric(key)}, %)"
        style.label_panel(grid, axes, title, details, "epoch", label)
    style.add_legend(grid, legend)
    return grid.figure


def _draw(axes: Axes, runs: Curves) -> None:
    low, middle, high = _percentiles(runs.test)
    axes.fill_between(runs.epochs, low, high, color=style.BLUE, alpha=0.2, linewidth=0)
    axes.plot(runs.epochs, middle, color=style.BLUE, linewidth=1.3)
    axes.plot(
        runs.epochs, _percentiles(runs.train)[1], color=style.ORANGE, linestyle="--", linewidth=1.1
    )
    axes.set_ylim(bottom=0)


def _percentiles(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 10th, 50th and 90th percentile by epoch; NaN where there is no error."""
    known = np.isfinite(errors).any(axis=0)
    found = np.full((3, errors.shape[1]), np.nan)
    if known.any():
        found[:, known] = np.nanpercentile(errors[:, known], [10, 50, 90], axis=0)
    return found
