"""A check that a reader can read all texts of a figure."""

from itertools import combinations

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pycls.analysis.figures.style import RC


def check_texts(figure):
    """Check that no text overlaps another or leaves the figure; return how many there are."""
    with mpl.rc_context(RC):  # as it is saved: the room for ticks follows from the font size
        return _check_texts(figure)


def _check_texts(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = []
    for axes in figure.axes:
        texts = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        texts += [*axes.texts, *_shown_labels(axes.xaxis), *_shown_labels(axes.yaxis)]
        boxes += [text.get_window_extent(renderer) for text in texts if text.get_text()]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for box in boxes:
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
    shown = [box.padded(-1) for box in boxes if box.width and box.height]
    assert not [pair for pair in combinations(shown, 2) if pair[0].overlaps(pair[1])]
    return len(shown)


def _shown_labels(axis):
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label for place, label in ticks if low <= place <= high]
