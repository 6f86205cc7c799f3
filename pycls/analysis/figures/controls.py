"""Figures A1, A4, A5 B and A6 of the paper: the population in its control experiments."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.controls.comparisons import balanced, pretrained, variants
from pycls.analysis.controls.population import top1_topk, training_errors
from pycls.analysis.figures.layout import (
    grid_columns,
    log_axis,
    paper_grid,
    paper_label,
    paper_legend,
)
from pycls.analysis.figures.panels import (
    Panel,
    add_scatter_legend,
    draw_strip,
    highlighted,
    make_panel,
    scatter_panel,
    scatter_panels,
)
from pycls.analysis.figures.style import (
    BLUE,
    BLUE_GREY,
    GREEN,
    ORANGE,
    RC,
    RED,
    PanelGrid,
    add_legend,
    is_skewed,
    label_panel,
    marker_style,
    panel_grid,
    use_log_scale,
)
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.inputs.evidence import Evidence, Experiment, Sweep
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.wording import RHO, interval_text, number

MAX_BARS = 20
MAX_STRIPS = 4  # retrained architectures beside the population
# Column of the table "pretrained" -> colour, marker, word and entry of the legend.
ORIGINS = {
    "error_of": (BLUE, "o", "scratch", "trained from scratch"),
    "error": (GREEN, "^", "pretrained", "from pretrained weights"),
}
CONTINUED_LEGEND = (
    Line2D([], [], color=ORANGE, label="lowest error at the regular end"),
    Line2D([], [], color=RED, linestyle="--", label="highest error there"),
)
_NUMBERS = f"Above each panel: Spearman's {RHO} with its 95 % interval, n architectures, p-value."
_CAPTIONS = {
    "variants": "Test error of each variant (vertical) against the regular training, the "
    f"reference and the closest family member. {_NUMBERS}",
    "curves": "Test error by epoch of up to 20 architectures drawn at random, whole and from the "
    "regular number of epochs (dotted) on; from orange, the lowest final error, to blue, the "
    "highest.",
    "continued": "Test error by epoch of the architectures with the lowest and the highest "
    "error, trained on after the regular end.",
    "repeats": "Test errors of the population, each architecture once, and of single "
    "architectures under several seeds. Black: median and 10th to 90th percentile, whose "
    "difference is the spread.",
    "topk": f"Top-k against top-1 test error of the same runs. {_NUMBERS}",
    "training": "Training error against cumulative depth: of the whole training side after the "
    f"last epoch where that was measured, else the mean while training in it. {_NUMBERS}",
    "balanced": f"Test error on the balanced sets against the sets they are cut from. {_NUMBERS}",
    "pretrained": "Test error against the reference's, from scratch and from pretrained "
    "weights, each architecture twice.",
}


def _coloured(panels: Sequence[Panel]) -> int:
    """Return how many of the best and worst stand out: as many as in the smallest panel."""
    return highlighted(min((len(panel.data) for panel in panels if len(panel.data)), default=0))


def _label(evidence: Evidence, sweep: Sweep) -> str:
    return f"{evidence.sweep_title(sweep)} {sweep.metric_label} error (%)"


def _key_label(evidence: Evidence, key: str) -> str:
    if key not in evidence.main:
        return f"{evidence.title(key)} error (%)"
    return f"{evidence.title(key)} {evidence.main[key].metric_label} error (%)"


# ---------------------------------------------------------------- Figure A1
def variant_panels(collection: Collection) -> list[Panel]:
    """Return regular and varied training against the reference and the closest member.

    A row of panels per data set varied and set compared with; in each the regular training,
    then another stem, then longer training.
    """
    return [panel for row in _variant_rows(collection) for panel in row]


def variant_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. A1."""
    rows = _variant_rows(collection)
    columns = max(len(row) for row in rows)
    # Rows of one length: a data set with fewer variants ends in rows of its own.
    if any(len(row) != columns for row in rows):
        columns = 0
    panels = [panel for row in rows for panel in row]
    return scatter_panels(panels, _coloured(panels), columns)


def _variant_rows(collection: Collection) -> list[list[Panel]]:
    rows: dict[tuple[str, str], list[Panel]] = {}
    for experiment, evidence in collection.ask(variants, "stem", "duration"):
        pairs, rhos = experiment.tables["variants"], experiment.tables["variants_rho"]
        rhos = rhos[rhos["role"] != "of"].sort_values("control", kind="stable", ascending=False)
        for found in rhos.to_dict("records"):  # another stem first, as in the paper
            sweep, role = evidence.sweeps[found["sweep"]], found["role"]
            of = evidence.compared_with(sweep) or sweep
            other = evidence.main[found["compared_with"]]
            row = rows.setdefault((of.dataset, role), [])
            x_label = _key_label(evidence, other.dataset)
            if not row:
                row.append(_sweep_panel(evidence, of, other, x_label))
            own = pairs[pairs["sweep"] == sweep.name].set_index("arch")
            row.append(_sweep_panel(evidence, sweep, other, x_label, own["error"]))
    if not rows:
        raise MissingRuns("There are no runs of the reference or a class subset to compare with.")
    first = dict.fromkeys(of for of, _ in rows)
    return [
        rows[of, role] for of in first for role in ("reference", "member") if (of, role) in rows
    ]


def _sweep_panel(
    evidence: Evidence, sweep: Sweep, other: Sweep, x_label: str, errors: pd.Series | None = None
) -> Panel:
    y = sweep.errors if errors is None else errors
    names = (other.name, sweep.name)
    labels = (x_label, f"{sweep.metric_label} error (%)")
    return make_panel(evidence.sweep_title(sweep), names, other.errors, y, labels)


# ---------------------------------------------------------------- Figure A4
def topk_panels(collection: Collection) -> list[Panel]:
    """Return top-k against top-1 errors of the same runs (Fig. A4 A).

    The paper shows ImageNet, Cifar100 and Insects; elsewhere they are the sets whose headline
    is the top-5 error, or, where there are none, all with more classes than k.
    """
    found = _reasoned(top1_topk(collection.evidence))
    table, study = found.tables["topk"], collection.study
    known = [str(key) for key in table["dataset"].unique()]
    top5 = [key for key in known if study.datasets[key]["error_metric"] == "top5"]
    shown = collection.pick(("imagenet", "cifar100", "insects"), lambda: top5 or known)
    panels = []
    for key in (key for key in shown if key in known):
        rows = table[table["dataset"] == key].set_index("arch")
        k = int(rows["k"].iloc[0])
        labels = ("top-1 error (%)", f"top-{k} error (%)")
        names = (f"{key} top-1", f"{key} top-{k}")
        title = study.dataset_title(key)
        panels.append(make_panel(title, names, rows["top1_err"], rows["topk_err"], labels))
    if not panels:
        raise MissingRuns("No run on a data set with more classes than k has finished.")
    return panels


def training_panels(collection: Collection) -> list[Panel]:
    """Return cumulative depth against training errors (Fig. A4 B).

    The paper shows Powerline, Natural and Cifar100, whose best architectures are shallow;
    elsewhere they are the three targets whose test error rises most with depth.
    """
    found = _reasoned(training_errors(collection.evidence))
    table, study = found.tables["training"], collection.study
    depth, errors = collection.architectures["cum_depth"], collection.errors

    def deep_is_worse() -> list[str]:
        by = depth.reindex(errors.index)
        return collection.targets_by(lambda key: -spearman(by, errors[key]).rho, 3)

    keys = collection.pick(("powerline", "natural", "cifar100"), deep_is_worse)
    panels = []
    for key in keys:
        rows = table[table["dataset"] == key].set_index("arch")
        labels = (f"{study.metric(key)} training error (%)", "cumulative depth (blocks)")
        names = (f"{key} training error", "cum_depth")
        title = study.dataset_title(key)
        panels.append(make_panel(title, names, rows["train_error"], rows["cum_depth"], labels))
    return panels


def _reasoned(experiment: Experiment) -> Experiment:
    if not experiment.tables:
        raise MissingRuns(experiment.reason)
    return experiment


# ---------------------------------------------------------------- Figure A5 B
def balanced_panels(collection: Collection) -> list[Panel]:
    """Return errors on balanced sets against those on the sets they are cut from (A5 B)."""
    panels = []
    for experiment, evidence in collection.ask(balanced, "balanced"):
        pairs = experiment.tables["balanced"]
        for name, rows in pairs.groupby("sweep", sort=False):
            sweep = evidence.sweeps[str(name)]
            of = evidence.compared_with(sweep) or sweep
            errors = rows.set_index("arch")
            names = (of.name, sweep.name)
            labels = (_label(evidence, of), f"{sweep.metric_label} error (%)")
            title = evidence.sweep_title(sweep)
            panels.append(make_panel(title, names, errors["error_of"], errors["error"], labels))
    return panels


def balanced_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. A5 B."""
    panels = balanced_panels(collection)
    return scatter_panels(panels, _coloured(panels))


# ---------------------------------------------------------------- Figure A6
def pretrained_panels(collection: Collection) -> list[tuple[Panel, Panel]]:
    """Return errors from scratch and pretrained against the reference's, a pair per set."""
    pairs = []
    for experiment, evidence in collection.ask(pretrained, "pretrained"):
        reference = evidence.reference
        if reference is None:
            continue
        table = experiment.tables["pretrained"].dropna(subset=["error_of", "error_reference"])
        for name, rows in table.groupby("sweep", sort=False):
            sweep = evidence.sweeps[str(name)]
            of = evidence.compared_with(sweep) or sweep
            errors = rows.set_index("arch")
            labels = (_key_label(evidence, reference), f"{of.metric_label} error (%)")
            scratch, fine = (
                make_panel(
                    evidence.sweep_title(of),
                    (reference, f"{of.name} {word}"),
                    errors["error_reference"],
                    errors[column],
                    labels,
                )
                for column, (_, _, word, _) in ORIGINS.items()
            )
            pairs.append((scratch, fine))
    if not pairs:
        raise MissingRuns(
            "The runs on the reference that pretraining is compared with are missing."
        )
    return pairs


def pretrained_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. A6."""
    pairs = pretrained_panels(collection)
    titles, x_labels = [pair[0].title for pair in pairs], [pair[0].x_label for pair in pairs]
    shared = len(set(x_labels)) == 1
    grid = paper_grid(titles, x_labels, title_lines=3, legend=1, shared_x=shared)
    across = grid_columns(grid)
    for place, (axes, pair) in enumerate(zip(grid.axes, pairs, strict=True)):
        details = []
        for panel, (colour, marker, word, _) in zip(pair, ORIGINS.values(), strict=True):
            x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
            with mpl.rc_context(RC):
                axes.plot(x, y, marker=marker, color=colour, **marker_style(len(x)))
            details.append(f"{word} {RHO} = {number(panel.correlation.rho, 2)}")
        both = np.concatenate([panel.data["y"].to_numpy() for panel in pair])
        if is_skewed(both):
            log_axis(axes, "y", both)
        if pair[0].x_log:
            log_axis(axes, "x", pair[0].data["x"].to_numpy())
        label = pair[0].x_label if place + across >= len(pairs) or not shared else ""
        paper_label(grid, axes, pair[0].title, details, label, pair[0].y_label)
    paper_legend(grid, origin_legend())
    return grid.figure


def experiment_figure(experiment: Experiment, evidence: Evidence) -> Figure | None:
    """Return the figure of an experiment; None where it has none, or nothing to draw.

    Args:
        experiment: as from :mod:`pycls.analysis.controls.controls`.
        evidence: what it was made from, for names and metrics.
    """
    draw = _DRAW.get(experiment.name)
    return draw(experiment, evidence) if draw and experiment.tables else None


def experiment_caption(experiment: Experiment) -> str:
    """Return what the figure of an experiment shows, in sentences."""
    return _CAPTIONS.get(experiment.name, "")


def _variants(experiment: Experiment, evidence: Evidence) -> Figure:
    """Error of each variant against what it is compared with (paper, Fig. A1)."""
    return _pair_figure(experiment, evidence, ("of", "reference", "member"))


def _balanced(experiment: Experiment, evidence: Evidence) -> Figure:
    return _pair_figure(experiment, evidence, ("of",))


def _pair_figure(experiment: Experiment, evidence: Evidence, roles: Sequence[str]) -> Figure:
    pairs = experiment.tables[experiment.name]
    rhos = experiment.tables[f"{experiment.name}_rho"]
    shown = [row for row in rhos.to_dict("records") if row["role"] in roles]
    grid = panel_grid(len(shown), title_lines=3, legend_entries=3)
    architectures = pairs["arch"].nunique()
    for axes, row in zip(grid.axes, shown, strict=True):
        both = pairs[pairs["sweep"] == row["sweep"]][["error", f"error_{row['role']}"]].dropna()
        sweep = evidence.sweeps[row["sweep"]]
        title = evidence.sweep_title(sweep)
        if len(roles) > 1:  # the axis names the set, and there is no room for it twice
            title = title.rpartition(", ")[2].capitalize()
        x, y = both.iloc[:, 1].to_numpy(), both["error"].to_numpy()
        x_label = _dataset_label(evidence, row["compared_with"])
        labels = (title, x_label, _error_label(evidence, sweep))
        scatter_panel(grid, axes, (x, y), labels, highlighted(architectures))
        _scale_both(axes, x, y)
    add_scatter_legend(grid, architectures)
    return grid.figure


def _topk(experiment: Experiment, evidence: Evidence) -> Figure:
    """Top-k against top-1 error, a panel per data set (paper, Fig. A4 A)."""
    table = experiment.tables["topk"]
    groups = list(table.groupby("dataset", sort=False))
    grid = panel_grid(len(groups), title_lines=3)
    for axes, (key, rows) in zip(grid.axes, groups, strict=True):
        x, y = rows["top1_err"].to_numpy(), rows["topk_err"].to_numpy()
        labels = ("top-1 test error (%)", f"top-{rows['k'].iloc[0]} test error (%)")
        scatter_panel(grid, axes, (x, y), (evidence.title(str(key)), *labels))
        _scale_both(axes, x, y)
    return grid.figure


def _training(experiment: Experiment, evidence: Evidence) -> Figure:
    """Training error against cumulative depth, a panel per data set (paper, Fig. A4 B)."""
    table = experiment.tables["training"]
    groups = list(table.groupby("dataset", sort=False))
    grid = panel_grid(len(groups), title_lines=3)
    for axes, (key, rows) in zip(grid.axes, groups, strict=True):
        title = evidence.title(str(key))
        metric = evidence.main[str(key)].metric_label
        labels = (title, "cumulative depth (blocks)", f"training error ({metric}, %)")
        y = rows["train_error"].to_numpy()
        scatter_panel(grid, axes, (rows["cum_depth"].to_numpy(), y), labels)
        _scale(axes, "y", y)
    return grid.figure


def _pretrained(experiment: Experiment, evidence: Evidence) -> Figure | None:
    """From scratch and pretrained against the reference (paper, Fig. A6)."""
    pairs = experiment.tables["pretrained"].dropna(subset=["error_of", "error_reference"])
    groups = list(pairs.groupby("sweep", sort=False))
    reference = evidence.reference
    if not groups or reference is None:
        return None
    grid = panel_grid(len(groups), title_lines=3, legend_entries=2)
    for axes, (name, rows) in zip(grid.axes, groups, strict=True):
        sweep = evidence.sweeps[str(name)]
        of = evidence.compared_with(sweep) or sweep
        x = rows["error_reference"].to_numpy()
        details = []
        for column, (colour, marker, word, _) in ORIGINS.items():
            y = rows[column].to_numpy()
            found = spearman(x, y)
            interval = interval_text(found.ci_low, found.ci_high)
            details.append(f"{word} {RHO} = {number(found.rho, 2)} {interval}")
            with mpl.rc_context(RC):
                axes.plot(x, y, marker=marker, color=colour, **marker_style(len(x)))
        _scale_both(axes, x, rows[["error", "error_of"]].to_numpy().ravel())
        labels = (_dataset_label(evidence, reference), _error_label(evidence, of))
        label_panel(grid, axes, evidence.sweep_title(of), details, *labels)
    add_legend(grid, origin_legend())
    return grid.figure


def origin_legend() -> list[Line2D]:
    """Return the legend of :data:`ORIGINS`."""
    size: Any = {"linestyle": "none", "markersize": 4.5}
    return [
        Line2D([], [], marker=marker, color=colour, label=label, **size)
        for colour, marker, _, label in ORIGINS.values()
    ]


def _repeats(experiment: Experiment, evidence: Evidence) -> Figure:
    """Errors of the population and of retrained architectures (paper, Fig. A3)."""
    groups = list(experiment.tables["repeats"].groupby(["study", "sweep"], sort=False))
    noise = experiment.tables["noise"]
    grid = panel_grid(len(groups), title_lines=3)
    for axes, ((study, sweep), rows) in zip(grid.axes, groups, strict=True):
        by_arch = list(rows.groupby("arch"))[:MAX_STRIPS]
        of_sweep = noise[(noise["study"] == study) & (noise["sweep"] == sweep)].head(MAX_STRIPS)
        key = str(of_sweep["dataset"].iloc[0])
        population = evidence.population.get(key, pd.Series(dtype=float)).dropna().to_numpy()
        with mpl.rc_context(RC):
            draw_strip(axes, 0, population, BLUE_GREY)
            names = [f"population\n(n = {len(population)})"]
            for place, (arch, runs) in enumerate(by_arch, 1):
                draw_strip(axes, place, runs["error"].to_numpy(), BLUE)
                names.append(f"{arch}\n({len(runs)} seeds)")
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.grid(axis="x", visible=False)
            axes.set_xticks(range(len(names)), names)
        if len(population) and rows["error"].min() > 0:
            _scale(axes, "y", population)
        spreads = ", ".join(number(each, 2) for each in of_sweep["spread"])
        details = [
            f"spread: population {number(of_sweep['spread_population'].iloc[0], 2)},",
            f"retrained {spreads} points",
        ]
        title, label = evidence.title(key), _dataset_label(evidence, key)
        label_panel(grid, axes, title, details, "", label)
    return grid.figure


def _curves(experiment: Experiment, evidence: Evidence) -> Figure:
    """Test error by epoch of up to 20 architectures, whole and from the regular end on."""
    groups = list(experiment.tables["curves"].groupby("sweep", sort=False))
    grid = panel_grid(2 * len(groups), title_lines=2)
    for place, (name, rows) in enumerate(groups):
        sweep = evidence.sweeps[str(name)]
        of = evidence.compared_with(sweep)
        regular = (of.epochs if of else None) or int(rows["epoch"].max() // 4)
        title, label = evidence.sweep_title(sweep), _error_label(evidence, sweep)
        for axes, start in zip(grid.axes[2 * place : 2 * place + 2], (1, regular), strict=True):
            shown = rows[rows["epoch"] >= start]
            draw_curves(axes, shown, rows.groupby("arch")["test_error"].last())
            mark_epoch(axes, regular)
            many = f"{rows['arch'].nunique()} architectures"
            details = [many if start == 1 else f"{many}, from epoch {regular} on"]
            label_panel(grid, axes, title, details, "epoch", label)
    return grid.figure


def _continued(experiment: Experiment, evidence: Evidence) -> Figure | None:
    """Curves of the best and worst architectures, continued (paper, Fig. A2 B)."""
    table = experiment.tables.get("continued_curves")
    if table is None:
        return None
    groups = list(table.groupby("sweep", sort=False))
    grid = panel_grid(len(groups), title_lines=2, legend_entries=2)
    for axes, (name, rows) in zip(grid.axes, groups, strict=True):
        sweep = evidence.sweeps[str(name)]
        draw_continued(axes, rows)
        of = evidence.compared_with(sweep) or sweep
        details = [f"{rows['arch'].nunique()} architectures, dotted: regular end"]
        label_panel(
            grid, axes, evidence.sweep_title(of), details, "epoch", _error_label(evidence, of)
        )
    add_legend(grid, CONTINUED_LEGEND)
    return grid.figure


def draw_continued(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw one sweep of the table "continued_curves", dotted where the regular training ends."""
    more = rows[rows["phase"] == "continued"]
    with mpl.rc_context(RC):
        for (_, group), curve in rows.groupby(["arch", "group"]):
            colour = ORANGE if group == "best" else RED
            style = "-" if group == "best" else "--"
            axes.plot(curve["epoch"], curve["test_error"], style, color=colour, linewidth=0.9)
        mark_epoch(axes, more["epoch"].min() - 0.5)


def mark_epoch(axes: Axes, epoch: float) -> None:
    """Draw a dotted line at an epoch."""
    with mpl.rc_context(RC):
        axes.axvline(epoch, color="#777777", linewidth=0.8, linestyle=":")


def draw_curves(axes: Axes, rows: pd.DataFrame, final: pd.Series) -> None:
    """Draw curves, from orange for the lowest final error to blue for the highest."""
    order = final.rank().sub(1) / max(1, len(final) - 1)
    ends = [np.array(mpl.colors.to_rgb(colour)) for colour in (ORANGE, BLUE)]
    with mpl.rc_context(RC):
        for arch, curve in rows.groupby("arch"):
            share = float(order[arch])
            colour = tuple((1 - share) * ends[0] + share * ends[1])
            axes.plot(curve["epoch"], curve["test_error"], color=colour, linewidth=0.8)


def _scale(axes: Axes, axis: str, values: np.ndarray) -> None:
    """Give skewed errors a logarithmic axis."""
    if is_skewed(values):
        with mpl.rc_context(RC):
            use_log_scale(axes, axis)


def _scale_both(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    _scale(axes, "x", x)
    _scale(axes, "y", y)


def _dataset_label(evidence: Evidence, key: str) -> str:
    if key in evidence.main:
        return _error_label(evidence, evidence.main[key])
    return f"test error on {evidence.title(key)} (%)"


def _error_label(evidence: Evidence, sweep: Sweep) -> str:
    """Return an axis label with unit for the errors of a sweep."""
    return f"test error on {evidence.sweep_title(sweep)} ({sweep.metric_label}, %)"


def class_figure(classes: pd.DataFrame) -> Figure:
    """Return the class distributions of data sets, a panel each (paper, Fig. A5 A).

    Args:
        classes: table "classes" of the experiment on balance; the train sides are drawn,
            the 20 most frequent classes of each.
    """
    groups = list(classes[classes["side"] == "train"].groupby("title", sort=False))
    grid = panel_grid(len(groups), title_lines=2)
    for axes, (title, rows) in zip(grid.axes, groups, strict=True):
        shown = rows.sort_values("images", ascending=False, kind="stable").head(MAX_BARS)
        draw_bars(grid, axes, shown)
        total = int(rows["images"].sum())
        details = [f"{total:,} training images, {len(rows)} classes"]
        label_panel(grid, axes, str(title), details, "class", "training images")
    return grid.figure


def draw_bars(grid: PanelGrid, axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a bar per class: columns "class" and "images" of the table "classes"."""
    with mpl.rc_context(RC):
        axes.bar(np.arange(len(rows)), rows["images"], color=BLUE_GREY, width=0.75)
        axes.grid(axis="x", visible=False)
        names = [str(name) for name in rows["class"]]
        room = grid.panel_width / max(1, len(names))
        if max(map(len, names)) * 0.06 < room:
            axes.set_xticks(range(len(names)), names)
        else:
            axes.set_xticks([])


_DRAW: dict[str, Callable[[Experiment, Evidence], Figure | None]] = {
    "variants": _variants,
    "curves": _curves,
    "continued": _continued,
    "repeats": _repeats,
    "topk": _topk,
    "training": _training,
    "balanced": _balanced,
    "pretrained": _pretrained,
}
