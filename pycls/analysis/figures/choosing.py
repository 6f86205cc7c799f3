"""Figures on what to choose: ways of choosing, early ends, and what parameters do."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.choosing.replay import HALVING, RANDOM, SHARES
from pycls.analysis.figures import style
from pycls.analysis.figures.layout import PAGE, Layout
from pycls.analysis.figures.small_panels import draw_small_panels
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.tables.heat import parameter_title
from pycls.analysis.wording import RHO

_LOOKS = {
    RANDOM: ("random search", "o", style.INK),
    "reference": ("the best on the reference", "s", style.BLUE),
    HALVING: ("halving", "D", style.ORANGE),
    "scores": ("the best by a zero-cost score, each", "", style.BLUE_GREY),
}
_MOST_PARAMETERS = 6  # whose partial dependence is drawn


def replay_figure(replayed: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return the mean regret of each strategy by the share of the whole cost, a panel a target.

    Args:
        replayed: as from :func:`pycls.analysis.tables.replay.replay_table`.
        study: for names.
        layout: of the figure; it has one for the report's page only.
    """
    targets = [key for key in study.targets if (replayed["target"] == key).any()]

    def draw(axes: Axes, place: int) -> None:
        rows = replayed[replayed["target"] == targets[place]]
        for name, own in rows.groupby("strategy", sort=False):
            kind = "reference" if name == study.reference else str(name)
            if kind.startswith(f"{HALVING} "):
                continue
            _, marker, colour = _LOOKS.get(kind, _LOOKS["scores"])
            axes.plot(own["share"], own["lost"], **_line(marker, colour))
        axes.set_xscale("log", base=2)
        axes.set_xticks(SHARES, [f"1/{round(1 / share)}" for share in SHARES])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)

    has_scores = (~replayed["strategy"].isin([RANDOM, HALVING, study.reference])).any()
    present = {*replayed["strategy"], "reference", *(["scores"] if has_scores else [])}
    legend = [
        Line2D([], [], label=label, **_line(marker, colour))
        for kind, (label, marker, colour) in _LOOKS.items()
        if kind in present
    ]
    titles = [study.dataset_title(key) for key in targets]
    labels = ("share of the cost of training all (log)", "lost (points)")
    return draw_small_panels(titles, draw, labels, legend)


def early_figure(early: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return rho of shorter trainings with the end by their share of the cost, a panel a set.

    Args:
        early: as from :func:`pycls.analysis.tables.choosing.early_tables`.
        study: for names.
        layout: of the figure; it has one for the report's page only.
    """
    keys = list(dict.fromkeys(early["dataset"]))
    looks = {False: ("epochs of the training", "o", style.BLUE)}
    looks[True] = ("shorter trainings of their own", "D", style.ORANGE)

    def draw(axes: Axes, place: int) -> None:
        rows = early[early["dataset"] == keys[place]]
        for own, some in rows.groupby("own"):
            _, marker, colour = looks[bool(own)]
            shares = 100 * some["share_of_cost"]
            axes.vlines(shares, some["ci_low"], some["ci_high"], color=colour, linewidth=0.8)
            axes.plot(shares, some["rho"], **_line(marker, colour))
        axes.set_xlim(0, 100)
        axes.set_ylim(min(0.0, float(rows["ci_low"].min()) - 0.05), 1.02)

    legend = [
        Line2D([], [], label=label, **_line(marker, colour))
        for own, (label, marker, colour) in looks.items()
        if (early["own"] == own).any()
    ]
    titles = [study.dataset_title(key) for key in keys]
    return draw_small_panels(titles, draw, ("share of the cost (%)", f"{RHO} with the end"), legend)


def dependence_figure(
    dependence: pd.DataFrame, importance: pd.DataFrame, study: Study, layout: Layout = PAGE
) -> Figure:
    """Return the mean predicted error by the value of each of the most important parameters.

    Args:
        dependence: as of :class:`pycls.analysis.choosing.surrogate.Surrogate`.
        importance: of the same.
        study: for the reference's name.
        layout: of the figure; it has one for the report's page only.
    """
    names = [str(name) for name in importance["parameter"].head(_MOST_PARAMETERS)]
    shown = dependence[dependence["parameter"].isin(names)]
    low, high = float(shown["error"].min()), float(shown["error"].max())
    margin = 0.05 * (high - low) or 0.5

    def draw(axes: Axes, place: int) -> None:
        rows = shown[shown["parameter"] == names[place]]
        axes.plot(rows["value"], rows["error"], **_line("o", style.BLUE))
        axes.set_ylim(low - margin, high + margin)
        if len(rows) > 1 and rows["value"].min() > 0:
            style.use_log_scale(axes, "x")

    titles = [parameter_title(name) for name in names]
    label = style.wrap(f"error on {study.dataset_title(study.require_reference())} (%)", 1.5)
    return draw_small_panels(titles, draw, ("value", label), between=0.1)


def _line(marker: str, colour: str) -> dict:
    if not marker:
        return {"color": colour, "linewidth": 0.5, "alpha": 0.6, "zorder": 1}
    return {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.1}
