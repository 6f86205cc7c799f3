"""The figure of ways of choosing: what each loses on a target, by its budget."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.choosing.replay import HALVING, RANDOM, SHARES
from pycls.analysis.figures import style
from pycls.analysis.figures.layout import PAGE, Layout
from pycls.analysis.inputs.study_json import Study

_LEFT, _GAP, _HEIGHT, _BOTTOM, _TOP = 0.5, 0.35, 1.5, 0.75, 0.25  # inches
_LOOKS = {
    RANDOM: ("random search", "o", style.INK),
    "reference": ("the best on the reference", "s", style.BLUE),
    HALVING: ("halving", "D", style.ORANGE),
    "scores": ("the best by a zero-cost score, each", "", style.BLUE_GREY),
}


def replay_figure(replayed: pd.DataFrame, study: Study, layout: Layout = PAGE) -> Figure:
    """Return the mean regret of each strategy by the share of the whole cost, a panel a target.

    Args:
        replayed: as from :func:`pycls.analysis.tables.replay.replay_table`.
        study: for names.
        layout: of the figure; it has one for the report's page only.
    """
    targets = [key for key in study.targets if (replayed["target"] == key).any()]
    columns = min(3, len(targets))
    lines = -(-len(targets) // columns)
    width = (style.PAGE_WIDTH - _LEFT - columns * _GAP) / columns
    row = _HEIGHT + _TOP + _GAP
    size = (style.PAGE_WIDTH, lines * row + _BOTTOM - _GAP)
    with mpl.rc_context(style.RC):
        figure = style.DataFigure(figsize=size)
        for place, key in enumerate(targets):
            left = _LEFT + (place % columns) * (width + _GAP)
            bottom = _BOTTOM + (lines - 1 - place // columns) * row
            axes = style.add_axes(figure, left, bottom, width, _HEIGHT)
            rows = replayed[replayed["target"] == key]
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
            axes.set_title(style.wrap(study.dataset_title(key), width, 1))
            if place % columns == 0:
                axes.set_ylabel("lost (points)")
            if place // columns == lines - 1:
                axes.set_xlabel("share of the cost of training all (log)")
        has_scores = (~replayed["strategy"].isin([RANDOM, HALVING, study.reference])).any()
        present = {*replayed["strategy"], "reference", *(["scores"] if has_scores else [])}
        figure.legend(
            handles=[
                Line2D([], [], label=label, **_line(marker, colour))
                for kind, (label, marker, colour) in _LOOKS.items()
                if kind in present
            ],
            loc="lower left", ncols=2, frameon=False, bbox_to_anchor=(_LEFT / size[0], 0),
            fontsize=style.TEXT_SIZE, borderaxespad=0.1,
        )  # fmt: skip
    return figure


def _line(marker: str, colour: str) -> dict:
    if not marker:
        return {"color": colour, "linewidth": 0.5, "alpha": 0.6, "zorder": 1}
    return {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.1}
