"""Figures A1, A4, A5 B and A6 of the paper: the population in its control experiments."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.appendix import (
    balanced,
    pretrained,
    top1_topk,
    training_errors,
    variants,
)
from pycls.analysis.appendix_data import Evidence, Experiment, Sweep
from pycls.analysis.appendix_figures import (
    ORIGINS,
    origin_legend,
)
from pycls.analysis.figures import highlighted
from pycls.analysis.paper_collection import Collection, MissingRuns
from pycls.analysis.paper_layout import (
    grid_columns,
    log_axis,
    paper_grid,
    paper_label,
    paper_legend,
)
from pycls.analysis.paper_panels import Panel, make_panel, scatter_panels
from pycls.analysis.statistics import spearman
from pycls.analysis.style import (
    RC,
    is_skewed,
    marker_style,
)
from pycls.analysis.wording import RHO, number


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
