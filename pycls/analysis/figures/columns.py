"""The figures of the paper's main part, from a collection of studies.

Each figure is a list of panels, which is drawn and, as tables, written beside it. Data sets
are chosen by their part in the study; where those that the paper shows are there, by name.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.figures.layout import log_axis, paper_grid, paper_legend
from pycls.analysis.figures.panels import Panel, highlighted, make_panel, scatter_panels
from pycls.analysis.figures.population import STRUCTURE_LABELS
from pycls.analysis.figures.style import BLUE, INK, ORANGE, RC, marker_style
from pycls.analysis.inputs.collection import Collection, MissingRuns
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.wording import RHO, number

MAX_SETS = 6  # panels of Figure 7
_TREND_POINTS = 8


def error_axis(collection: Collection, key: str) -> str:
    """Return the x label of a data set's errors, such as "ImageNet top-5 error (%)"."""
    study = collection.study
    return f"{study.dataset_title(key)} {study.metric(key)} error (%)"


def pair_panel(collection: Collection, x: str, y: str) -> Panel:
    """Return the panel of the errors on two data sets."""
    errors, study = collection.errors, collection.study
    labels = (error_axis(collection, x), f"{study.metric(y)} error (%)")
    return make_panel(study.dataset_title(y), (x, y), errors[x], errors[y], labels)


def best_and_worst(collection: Collection) -> int:
    """Return how many of the best and of the worst architectures are coloured."""
    return highlighted(len(collection.errors))


# ---------------------------------------------------------------- Figure 1
def relative_panels(collection: Collection) -> list[Panel]:
    """Return the errors of three sets, relative to their medians, against the reference's.

    The paper shows ImageNet, Powerline and Insects; elsewhere they are the reference and the
    targets with the lowest and the highest rho with it.
    """
    reference = collection.reference

    def ends() -> list[str]:
        order = collection.targets_by(lambda key: collection.rho(reference, key), 99)
        known = [key for key in order if np.isfinite(collection.rho(reference, key))]
        return [reference, *dict.fromkeys([*known[:1], *known[-1:]])]

    keys = collection.pick((reference, "powerline", "insects"), ends)
    return [_relative_panel(collection, reference, key) for key in keys]


def _relative_panel(collection: Collection, reference: str, key: str) -> Panel:
    errors, study = collection.errors, collection.study
    median = errors[key].median()
    relative = errors[key] / median if median > 0 else errors[key] * np.nan
    labels = (error_axis(collection, reference), "error / median error of the set")
    return make_panel(
        study.dataset_title(key), (reference, key), errors[reference], relative, labels
    )


def relative_figure(collection: Collection) -> Figure:
    """Return relative errors of three data sets in one panel (paper, Fig. 1)."""
    panels = [panel for panel in relative_panels(collection) if len(panel.data)]
    if len(panels) < 2:
        raise MissingRuns("No architecture has finished runs on the reference and a target.")
    grid = paper_grid([""], title_lines=0, legend=len(panels), height=2.1)
    axes = grid.axes[0]
    looks = ((INK, "o", "-"), (ORANGE, "v", "--"), (BLUE, "^", "-."))
    entries = []
    with mpl.rc_context(RC):
        for panel, (colour, marker, dashes) in zip(panels, looks, strict=False):
            x, y = panel.data["x"].to_numpy(), panel.data["y"].to_numpy()
            style = marker_style(len(x)) | {"alpha": 0.35}
            axes.plot(x, y, marker=marker, color=colour, **style)
            is_reference = panel.x_name == panel.y_name
            label = panel.title if is_reference else f"{panel.title}, {_rho_text(x, y)}"
            trend: dict[str, Any] = {} if is_reference else _trend(axes, x, y, colour, dashes)
            line = Line2D([], [], marker=marker, color=colour, markersize=4, label=label, **trend)
            if is_reference:
                line.set_linestyle("none")
            entries.append(line)
        axes.margins(0.05)
        if any(panel.y_log for panel in panels):
            log_axis(axes, "y", np.concatenate([panel.data["y"] for panel in panels]))
        if panels[0].x_log:
            log_axis(axes, "x", panels[0].data["x"].to_numpy())
        axes.set_xlabel(panels[0].x_label, labelpad=2)
        axes.set_ylabel(panels[0].y_label, labelpad=2)
    paper_legend(grid, entries, 1, length=3.2)
    return grid.figure


def _rho_text(x: np.ndarray, y: np.ndarray) -> str:
    return f"{RHO} = {number(spearman(x, y).rho, 2)}"


def _trend(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, dashes: Any) -> dict[str, Any]:
    """Draw the medians of eight groups of neighbours on x; return the line's look."""
    look = {"linestyle": dashes, "linewidth": 1.3}
    groups = [g for g in np.array_split(np.argsort(x, kind="stable"), _TREND_POINTS) if len(g)]
    points = [(np.median(x[group]), np.median(y[group])) for group in groups]
    xs, ys = zip(*points, strict=True)
    axes.plot(xs, ys, color="white", linewidth=2.6)
    axes.plot(xs, ys, color=colour, **look)
    return look


# ---------------------------------------------------------------- Figures 3 to 6
def reference_panels(collection: Collection) -> list[Panel]:
    """Return each target's errors against the reference's (paper, Fig. 3)."""
    reference = collection.reference
    return [pair_panel(collection, reference, key) for key in collection.targets]


def family_panels(collection: Collection) -> list[Panel]:
    """Return each class subset's errors against the reference's (paper, Fig. 4)."""
    reference = collection.reference
    return [pair_panel(collection, reference, key) for key in collection.members]


def member_panels(collection: Collection) -> list[Panel]:
    """Return each target's errors against the closest class subset's (paper, Fig. 5)."""
    return [pair_panel(collection, collection.member_of(key), key) for key in collection.targets]


def subsample_panels(collection: Collection) -> list[Panel]:
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
    return [pair_panel(collection, x, key) for x in (reference, control, member) for key in keys]


def structure_panels(collection: Collection, column: str) -> list[Panel]:
    """Return cumulative depth or width against the errors (paper, Fig. 7 A and B).

    Args:
        collection: the studies.
        column: "cum_depth" or "cum_width".
    """
    reference, study = collection.reference, collection.study
    paper = (reference, "insects", "ham10000", "powerline", "natural", "cifar100")
    keys = collection.pick(paper, lambda: collection.sets[:MAX_SETS])
    values = collection.architectures[column]
    return [
        make_panel(
            study.dataset_title(key),
            (key, column),
            collection.errors[key],
            values,
            (f"{study.metric(key)} error (%)", STRUCTURE_LABELS[column]),
        )
        for key in keys
    ]


def reference_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. 3."""
    return _coloured(collection, reference_panels(collection), shared_x=True)


def family_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. 4."""
    return _coloured(collection, family_panels(collection), shared_x=True)


def member_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. 5."""
    return _coloured(collection, member_panels(collection))


def subsample_figure(collection: Collection) -> Figure:
    """Return the paper's Fig. 6."""
    panels = subsample_panels(collection)
    return _coloured(collection, panels, columns=len(panels) // 3)


def structure_figure(collection: Collection, column: str) -> Figure:
    """Return the paper's Fig. 7 A (`column` "cum_depth") or B ("cum_width")."""
    return scatter_panels(structure_panels(collection, column))


def _coloured(
    collection: Collection,
    panels: Sequence[Panel],
    columns: int = 0,
    shared_x: bool = False,
) -> Figure:
    return scatter_panels(panels, best_and_worst(collection), columns, shared_x)


def population_size(errors: pd.DataFrame) -> int:
    """Return how many architectures have an error at all."""
    return int(errors.notna().any(axis=1).sum())
