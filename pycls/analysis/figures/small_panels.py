"""A page-wide figure of small panels of one kind, three a row."""

from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pycls.analysis.figures import style

_LEFT, _GAP, _HEIGHT, _BOTTOM, _TOP = 0.62, 0.35, 1.5, 0.75, 0.25  # inches
_COLUMNS = 3


def draw_small_panels(
    titles: Sequence[str],
    draw: Callable[[Axes, int], None],
    labels: tuple[str, str],
    legend: Sequence[Line2D] = (),
    between: float = 0.0,
) -> Figure:
    """Return a figure with a panel for each title.

    Args:
        titles: above the panels.
        draw: fills the panel of a place.
        labels: of the x-axes, under the last row, and of the y-axes, left of the first column.
        legend: entries under the panels.
        between: more room between rows, in inches, where x-axes differ.
    """
    columns = min(_COLUMNS, len(titles))
    lines = -(-len(titles) // columns)
    width = (style.PAGE_WIDTH - _LEFT - columns * _GAP) / columns
    row = _HEIGHT + _TOP + _GAP + between
    size = (style.PAGE_WIDTH, lines * row + _BOTTOM - _GAP - between)
    with mpl.rc_context(style.RC):
        figure = style.DataFigure(figsize=size)
        for place, title in enumerate(titles):
            left = _LEFT + (place % columns) * (width + _GAP)
            bottom = _BOTTOM + (lines - 1 - place // columns) * row
            axes = style.add_axes(figure, left, bottom, width, _HEIGHT)
            draw(axes, place)
            axes.set_title(style.wrap(title, width, 1))
            if place % columns == 0:
                axes.set_ylabel(labels[1])
            if place // columns == lines - 1:
                axes.set_xlabel(labels[0])
        if legend:
            figure.legend(
                handles=list(legend), loc="lower left", ncols=2, frameon=False,
                bbox_to_anchor=(_LEFT / size[0], 0), fontsize=style.TEXT_SIZE, borderaxespad=0.1,
            )  # fmt: skip
    return figure
