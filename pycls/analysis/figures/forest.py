"""The report's first figure: the rhos of every target, with their intervals, in one panel."""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.figures import style
from pycls.analysis.figures.layout import PAGE, Layout
from pycls.analysis.wording import RHO

# Measure of the table -> label, marker, colour, place within a target's row (1: the next row).
_LOOKS = {
    "reference": ("with the reference", "o", style.BLUE, -0.22),
    "member": ("with the closest family member", "s", style.ORANGE, 0.0),
    "partial": ("with the reference, given depth and width", "D", style.BLUE_GREY, 0.22),
    "ceiling": ("highest that training noise leaves room for", "|", style.INK, -0.22),
}
_NAMES, _ROW, _BOTTOM, _LEGEND = 1.5, 0.42, 0.42, 0.2  # inches


def forest_figure(forest: pd.DataFrame, layout: Layout = PAGE) -> Figure:
    """Return rho of each target with the reference and what belongs beside it, a row a target.

    Args:
        forest: as from :func:`pycls.analysis.tables.forest.forest_table`; zero-cost scores, of
            which there are many, are left out.
        layout: of the figure; it has one for the report's page only.
    """
    forest = forest[forest["measure"].isin(_LOOKS)]
    titles = dict(zip(forest["target"], forest["title"], strict=True))
    places = {key: place for place, key in enumerate(titles)}
    shown = [measure for measure in _LOOKS if (forest["measure"] == measure).any()]
    lines = math.ceil(len(shown) / 2)
    height = _ROW * len(places)
    size = (style.PAGE_WIDTH, height + _BOTTOM + 0.1 + _LEGEND * lines)
    with mpl.rc_context(style.RC):
        figure = style.DataFigure(figsize=size)
        bottom = _BOTTOM + _LEGEND * lines
        axes = style.add_axes(figure, _NAMES, bottom, size[0] - _NAMES - 0.2, height)
        axes.axvline(0, color=style.INK, linewidth=0.6)
        for row in forest.to_dict("records"):
            _, marker, colour, shift = _LOOKS[row["measure"]]
            if not math.isfinite(row["rho"]):
                continue
            place = places[row["target"]] + shift
            if math.isfinite(row["ci_low"]):
                axes.plot([row["ci_low"], row["ci_high"]], [place] * 2, color=colour, linewidth=1.1)
            axes.plot([row["rho"]], [place], **_mark(marker, colour))
        axes.set_xlim(-1.04, 1.04)
        axes.set_ylim(len(places) - 0.5, -0.5)
        names = [style.wrap(title, _NAMES - 0.15, 2) for title in titles.values()]
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="y", visible=False)
        for place in range(1, len(names)):
            axes.axhline(place - 0.5, color=style.FAINT, linewidth=0.5)
        axes.set_xlabel(f"Spearman's {RHO}", labelpad=2)
        handles = [
            Line2D([], [], label=_LOOKS[measure][0], **_mark(*_LOOKS[measure][1:3]))
            for measure in shown
        ]
        figure.legend(
            handles=handles, loc="lower left", ncols=2, frameon=False,
            bbox_to_anchor=(_NAMES / size[0], 0), fontsize=style.TEXT_SIZE, borderaxespad=0.1,
        )  # fmt: skip
    return figure


def _mark(marker: str, colour: str) -> dict:
    large = {"markersize": 9, "markeredgewidth": 1.4} if marker == "|" else {"markersize": 4.5}
    return {"marker": marker, "color": colour, "linestyle": "none", **large}
