"""Figures of control experiments (paper, Figures A1 and A4 to A6), in both layouts.

A figure of the paper shows the experiments of all studies in a collection; one of the report shows
an experiment of its own study.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from pycls.analysis.controls.comparisons import balanced, pretrained, variants
from pycls.analysis.controls.population import top1_topk, training_errors
from pycls.analysis.figures import style
from pycls.analysis.figures.layout import COLUMN, FULL_WIDTH, PAGE, Layout
from pycls.analysis.figures.panels import (
    Panel,
    draw_panels,
    make_panel,
    panel_tables,
    structure_panel,
)
from pycls.analysis.figures.population import STRUCTURE_LABELS
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.evidence import Evidence, Experiment, Sweep
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.wording import RHO, rho_interval, rho_number

MAX_BARS = 20
# Column of the table "pretrained" -> colour, marker, word and entry of the legend.
ORIGINS = {
    "error_of": (style.BLUE, "o", "scratch", "trained from scratch"),
    "error": (style.GREEN, "^", "pretrained", "from pretrained weights"),
}


@dataclass(frozen=True)
class OneExperiment:
    """An experiment by itself, as the report draws it, with the runs that it is about."""

    experiment: Experiment
    evidence: Evidence


Source = Collection | OneExperiment
Found = Sequence[tuple[Experiment, Evidence]]  # experiments with the runs that they are about


def find_experiments(source: Source, ask: Callable[[Evidence], Experiment], *kinds: str) -> Found:
    """Return an experiment of each study that has it, with the runs that it is about.

    Args:
        source: a collection, or the experiment itself.
        ask: what makes the experiment.
        kinds: kinds of control experiments it needs; without any, only the collection's own
            study is asked.

    Raises:
        MissingRuns: no study has runs of these kinds.
    """
    if isinstance(source, OneExperiment):
        return [(source.experiment, source.evidence)]
    if kinds:
        return source.ask(ask, *kinds)
    experiment = ask(source.evidence)
    if not experiment.tables:
        raise MissingRuns(experiment.reason)
    return [(experiment, source.evidence)]


def sweep_label(layout: Layout, evidence: Evidence, sweep: Sweep, is_own: bool = False) -> str:
    """Return an axis label with unit for the errors of a sweep."""
    return layout.error_label(evidence.sweep_title(sweep), sweep.metric_label, is_own)


def dataset_label(layout: Layout, evidence: Evidence, key: str) -> str:
    """Return an axis label with unit for the population's errors on a data set."""
    metric = evidence.main[key].metric_label if key in evidence.main else ""
    return layout.error_label(evidence.title(key), metric)


def _coloured(panels: Sequence[Panel]) -> int:
    """Return the size that decides how many stand out: that of the smallest panel with data."""
    return min((len(panel.data) for panel in panels if len(panel.data)), default=0)


# ---------------------------------------------------------------- Figures A1 and A5 B
def roles_figure(source: Source, layout: Layout = PAGE) -> Figure:
    """Return each variant against the regular training, the reference and the closest member."""
    found = find_experiments(source, variants, "stem", "duration")
    return _pair_figure(found, ("of", "reference", "member"), layout)


def balanced_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return errors on balanced sets against those on the sets they are cut from (Fig. A5 B)."""
    return _pair_figure(find_experiments(source, balanced, "balanced"), ("of",), layout)


def _pair_figure(found: Found, roles: Sequence[str], layout: Layout) -> Figure:
    panels, archs = [], 0
    for experiment, evidence in found:
        pairs = experiment.tables[experiment.name]
        archs = max(archs, pairs["arch"].nunique())
        for row in experiment.tables[f"{experiment.name}_rho"].to_dict("records"):
            if row["role"] not in roles:
                continue
            sweep = evidence.sweeps[row["sweep"]]
            of = evidence.compared_with(sweep) if row["role"] == "of" else None
            x_name, x_label = row["compared_with"], ""
            if of is not None:
                x_name, x_label = of.name, sweep_label(layout, evidence, of)
            title = evidence.sweep_title(sweep)
            if len(roles) > 1:  # the axis names the set, and there is no room for it twice
                title = title.rpartition(", ")[2].capitalize()
            labels = (
                x_label or dataset_label(layout, evidence, x_name),
                sweep_label(layout, evidence, sweep, is_own=True),
            )
            errors = pairs[pairs["sweep"] == sweep.name].set_index("arch")
            series = (errors[f"error_{row['role']}"], errors["error"])
            panels.append(make_panel(title, (x_name, sweep.name), *series, labels))
    return draw_panels(panels, layout, layout.either(archs, _coloured(panels)))


def variant_figure(collection: Collection, layout: Layout = COLUMN) -> Figure:
    """Return regular and varied training against the reference and the closest member (Fig. A1).

    A row of panels per data set varied and set compared with; in each the regular training,
    then another stem, then longer training.
    """
    rows = _variant_rows(collection, layout)
    columns = max(len(row) for row in rows)
    # Rows of one length: a data set with fewer variants ends in rows of its own.
    if any(len(row) != columns for row in rows):
        columns = 0
    panels = [panel for row in rows for panel in row]
    return draw_panels(panels, layout, _coloured(panels), columns)


def _variant_rows(collection: Collection, layout: Layout) -> list[list[Panel]]:
    rows: dict[tuple[str, str], list[Panel]] = {}
    for experiment, evidence in find_experiments(collection, variants, "stem", "duration"):
        pairs, rhos = experiment.tables["variants"], experiment.tables["variants_rho"]
        rhos = rhos[rhos["role"] != "of"].sort_values("control", kind="stable", ascending=False)
        for found in rhos.to_dict("records"):  # another stem first, as in the paper
            sweep, role = evidence.sweeps[found["sweep"]], found["role"]
            of = evidence.compared_with(sweep) or sweep
            other = evidence.main[found["compared_with"]]
            row = rows.setdefault((of.dataset, role), [])
            own = pairs[pairs["sweep"] == sweep.name].set_index("arch")["error"]
            for shown, errors in ((of, of.errors), (sweep, own))[bool(row) :]:
                labels = (
                    dataset_label(layout, evidence, other.dataset),
                    sweep_label(layout, evidence, shown, is_own=True),
                )
                title, names = evidence.sweep_title(shown), (other.name, shown.name)
                row.append(make_panel(title, names, other.errors, errors, labels))
    if not rows:
        raise MissingRuns("There are no runs of the reference or a class subset to compare with.")
    first = dict.fromkeys(of for of, _ in rows)
    return [
        rows[of, role] for of in first for role in ("reference", "member") if (of, role) in rows
    ]


# ---------------------------------------------------------------- Figure A4
def topk_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return top-1 against top-k errors of the same runs (Fig. A4 A).

    The paper shows ImageNet, Cifar100 and Insects; elsewhere they are the sets whose headline
    is the top-5 error, or, where there are none, all with more classes than k. The report shows
    all.
    """
    ((experiment, evidence),) = find_experiments(source, top1_topk)
    table, study = experiment.tables["topk"], evidence.study
    keys = [str(key) for key in table["dataset"].unique()]
    if isinstance(source, Collection):
        top5 = [key for key in keys if study.datasets[key]["error_metric"] == "top5"]
        shown = source.pick(("imagenet", "cifar100", "insects"), lambda: top5 or keys)
        keys = [key for key in shown if key in keys]
    panels = []
    for key in keys:
        rows = table[table["dataset"] == key].set_index("arch")
        kinds = ("top-1", f"top-{rows['k'].iloc[0]}")
        what = layout.either("test error (%)", "error (%)")
        names = (f"{key} {kinds[1]}", f"{key} {kinds[0]}")
        labels = (f"{kinds[1]} {what}", f"{kinds[0]} {what}")
        series = (rows["topk_err"], rows["top1_err"])
        panels.append(make_panel(evidence.title(key), names, *series, labels))
    if not panels:
        raise MissingRuns("No run on a data set with more classes than k has finished.")
    return draw_panels(panels, layout)


def training_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return cumulative depth against training errors (Fig. A4 B).

    The paper shows Powerline, Natural and Cifar100, whose best architectures are shallow;
    elsewhere they are the three targets whose test error rises most with depth. The report shows
    all.
    """
    ((experiment, evidence),) = find_experiments(source, training_errors)
    table = experiment.tables["training"]
    keys = [str(key) for key in table["dataset"].unique()]
    if isinstance(source, Collection):
        errors = source.errors
        depth = source.architectures["cum_depth"].reindex(errors.index)
        keys = source.pick(
            ("powerline", "natural", "cifar100"),
            lambda: source.targets_by(lambda key: -spearman(depth, errors[key]).rho, 3),
        )
    panels = []
    for key in keys:
        rows = table[table["dataset"] == key].set_index("arch")
        metric = (evidence.main[key].study if key in evidence.main else evidence.study).metric(key)
        label = layout.either(f"training error ({metric}, %)", f"{metric} training error (%)")
        names, labels = (
            (f"{key} training error", "cum_depth"),
            (label, STRUCTURE_LABELS["cum_depth"]),
        )
        series = (rows["train_error"], rows["cum_depth"])
        panels.append(structure_panel(layout, evidence.title(key), names, series, labels))
    return draw_panels(panels, layout)


# ---------------------------------------------------------------- Figure A5 A
def class_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return class distributions before and after balancing, a panel per set (Fig. A5 A).

    The training sides are drawn, the 20 most frequent classes of each.

    Raises:
        MissingRuns: no study has such sets, or their counts are unknown.
    """
    found = find_experiments(source, balanced, "balanced")
    tables = [each.tables["classes"] for each, _ in found if "classes" in each.tables]
    if not any((table["side"] == "train").any() for table in tables):
        raise MissingRuns("The class counts of the balanced sets are not in study.json.")
    table = pd.concat(tables, ignore_index=True)
    classes = table[table["side"] == "train"]
    groups = [rows for _, rows in classes.groupby("dataset", sort=False)]
    titles = [str(rows["title"].iloc[0]) for rows in groups]
    grid = layout.grid(titles, title_lines=2, columns=2, width=FULL_WIDTH, height=0.9, left=0.62)
    for axes, title, rows in zip(grid.axes, titles, groups, strict=True):
        shown = rows.sort_values("images", ascending=False, kind="stable").head(MAX_BARS)
        _draw_bars(grid, axes, shown)
        if layout is COLUMN:
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        details = [f"{rows['images'].sum():,} training images, {len(rows)} classes"]
        few = len(rows) <= MAX_BARS or layout is PAGE
        labels = (
            "class" if few else "the 20 largest classes",
            layout.either("training images", "images"),
        )
        style.label_panel(grid, axes, title, details, *labels)
    grid.figure.numbers = lambda: {"data": table}
    return grid.figure


def _draw_bars(grid: style.PanelGrid, axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a bar per class: columns "class" and "images" of the table "classes"."""
    with mpl.rc_context(style.RC):
        axes.bar(np.arange(len(rows)), rows["images"], color=style.BLUE_GREY, width=0.75)
        axes.grid(axis="x", visible=False)
        names = [str(name) for name in rows["class"]]
        room = grid.panel_width / max(1, len(names))
        if max(map(len, names)) * 0.06 < room:
            axes.set_xticks(range(len(names)), names)
        else:
            axes.set_xticks([])


# ---------------------------------------------------------------- Figure A6
def pretrained_figure(source: Source, layout: Layout = COLUMN) -> Figure:
    """Return errors from scratch and pretrained against the reference's, a panel per set (A6)."""
    pairs = _pretrained_panels(source, layout)
    x_labels = [scratch.x_label for scratch, _ in pairs]
    grid = layout.grid(
        [scratch.title for scratch, _ in pairs],
        x_labels,
        title_lines=3,
        legend=len(ORIGINS),
        stacked=False,
        shared_x=len(set(x_labels)) == 1,
    )
    for place, (axes, pair) in enumerate(zip(grid.axes, pairs, strict=True)):
        details = []
        for panel, (colour, marker, word, _) in zip(pair, ORIGINS.values(), strict=True):
            x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
            with mpl.rc_context(style.RC):
                axes.plot(x, y, marker=marker, color=colour, **style.marker_style(len(x)))
            found = panel.correlation
            text = f"{word} {RHO} = {rho_number(found.rho)}"
            interval = rho_interval(found.ci_low, found.ci_high)
            details.append(layout.either(f"{text} {interval}", text))
        first = pair[0]
        both = np.concatenate([panel.data["y"].to_numpy() for panel in pair])
        for axis, values in (("x", first.data["x"].to_numpy()), ("y", both)):
            if style.is_skewed(values):
                layout.scale(axes, axis, values)
        x_label = grid.x_label(place, first.x_label)
        style.label_panel(grid, axes, first.title, details, x_label, first.y_label)
    size: Any = {"linestyle": "none", "markersize": 4.5}
    legend = [
        Line2D([], [], marker=marker, color=colour, label=label, **size)
        for colour, marker, _, label in ORIGINS.values()
    ]
    style.add_legend(grid, legend)
    grid.figure.numbers = partial(panel_tables, [panel for pair in pairs for panel in pair])
    return grid.figure


def _pretrained_panels(source: Source, layout: Layout) -> list[tuple[Panel, Panel]]:
    pairs = []
    for experiment, evidence in find_experiments(source, pretrained, "pretrained"):
        reference = evidence.reference
        if reference is None:
            continue
        table = experiment.tables["pretrained"].dropna(subset=["error_of", "error_reference"])
        for name, rows in table.groupby("sweep", sort=False):
            sweep = evidence.sweeps[str(name)]
            of = evidence.compared_with(sweep) or sweep
            title, errors = evidence.sweep_title(of), rows.set_index("arch")
            x = errors["error_reference"]
            labels = (
                dataset_label(layout, evidence, reference),
                sweep_label(layout, evidence, of, is_own=True),
            )
            scratch, fine = (
                make_panel(title, (reference, f"{of.name} {word}"), x, errors[column], labels)
                for column, (_, _, word, _) in ORIGINS.items()
            )
            pairs.append((scratch, fine))
    if not pairs:
        raise MissingRuns(
            "The runs on the reference that pretraining is compared with are missing."
        )
    return pairs
