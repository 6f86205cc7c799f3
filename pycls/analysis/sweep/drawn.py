"""The figure of what a sweep drew: a panel a parameter, and one a measure of complexity."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from pycls.analysis.figures import style
from pycls.analysis.sweep.sweep_json import is_number

_MAX_PANELS = 24
_MAX_BARS = 20  # up to so many different values each has a bar of its own
_MAX_BINS = 24
_LOG_RATIO = 8.0  # largest over smallest value from which on the axis is logarithmic
_UNITS = {"flops": ("MF", 1e6), "params": ("M", 1e6), "acts": ("M", 1e6)}
_LONGEST_NAME = 9  # letters of a bar's name


@dataclass(frozen=True)
class Drawn:
    """The values of one parameter over the runs.

    Attributes:
        name: the configuration key, or flops, params, acts.
        values: a value a run, numbers or anything else; a list of numbers a run is shown by
            its items.
    """

    name: str
    values: Sequence[Any]


def sweep_figure(parameters: Sequence[Drawn], complexity: Sequence[Drawn]) -> Figure:
    """Return a panel for each parameter, then one for each measure of complexity.

    A parameter with few values has a bar for each; others have a histogram, on a logarithmic
    axis where they span more than a factor of 8. Heights are numbers of runs.

    Args:
        parameters: what was drawn; of more than 21 the first are shown.
        complexity: flops, params and acts.
    """
    shown = [*parameters[: _MAX_PANELS - len(complexity)], *complexity]
    grid = style.panel_grid(len(shown), 2)
    for axes, drawn in zip(grid.axes, shown, strict=True):
        colour = style.ORANGE if drawn in complexity else style.BLUE_GREY
        values, is_list = _flatten(drawn.values)
        unit, scale = _UNITS.get(drawn.name, ("", 1.0))
        details = _draw_panel(axes, values, scale, colour)
        first = "runs" if axes is grid.axes[0] else ""
        y_label = "all items of the lists" if is_list else first
        style.label_panel(grid, axes, drawn.name, [f"{details} {unit}".strip()], "", y_label)
    return grid.figure


def _flatten(values: Sequence[Any]) -> tuple[list[Any], bool]:
    """Return the items of lists of numbers; all else as it is."""
    is_list = all(isinstance(v, list | tuple) and all(map(is_number, v)) for v in values)
    return ([item for v in values for item in v], True) if is_list else (list(values), False)


def _draw_panel(axes: Axes, values: list[Any], scale: float, colour: str) -> str:
    """Draw a parameter's values; return their range as a text."""
    with mpl.rc_context(style.RC):
        axes.grid(axis="x", visible=False)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        if not values:
            style.mark_empty(axes, "nothing drawn")
            return ""
        if not all(map(is_number, values)):
            counts = dict(sorted(Counter(map(str, values)).items()))
            _draw_bars(axes, counts, colour)
            return f"{len(counts)} different values"
        numbers = np.asarray(values, dtype=np.float64) / scale
        different = np.unique(numbers)
        if len(different) == 1:
            style.mark_empty(axes, "the same in all runs")
        elif len(different) <= _MAX_BARS and scale == 1.0:
            counts = {f"{v:.4g}": int((numbers == v).sum()) for v in different}
            _draw_bars(axes, counts, colour)
        else:
            _draw_histogram(axes, numbers, colour)
    return " to ".join(f"{value:.4g}" for value in dict.fromkeys(different[[0, -1]]))


def _draw_bars(axes: Axes, counts: Mapping[str, int], colour: str) -> None:
    names = [n if len(n) <= _LONGEST_NAME else f"{n[: _LONGEST_NAME - 1]}…" for n in counts]
    axes.bar(range(len(counts)), list(counts.values()), width=0.75, color=colour)
    axes.set_xlim(-0.6, max(len(counts), 3) - 0.4)
    axes.xaxis.set_minor_locator(NullLocator())
    step = -(-len(names) // 10)
    names = names[::step]
    axes.set_xticks(range(0, len(counts), step), names)
    if sum(map(len, names)) > 22:
        axes.tick_params(axis="x", labelrotation=45, labelsize=style.TEXT_SIZE - 1.5, pad=1)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")


def _draw_histogram(axes: Axes, numbers: NDArray[np.float64], colour: str) -> None:
    is_log = numbers.min() > 0 and numbers.max() / numbers.min() > _LOG_RATIO
    places = np.log(numbers) if is_log else numbers
    edges = np.linspace(places.min(), places.max(), _bins(places) + 1)
    if is_log:
        edges = np.exp(edges)
        style.use_log_scale(axes, "x")
    # Rounding must not push the outermost values out.
    edges[0], edges[-1] = min(edges[0], numbers.min()), max(edges[-1], numbers.max())
    axes.hist(numbers, bins=edges.tolist(), color=colour, edgecolor="white", linewidth=0.3)


def _bins(places: NDArray[np.float64]) -> int:
    """Return how many bins show a shape; none narrower than the steps of quantised values."""
    bins = int(np.clip(2 * len(places) ** (1 / 3) + 2, 4, _MAX_BINS))
    different = np.unique(places)
    if len(different) > len(places) / 2:
        return bins
    widest_step = float(np.diff(different).max())
    return max(4, min(bins, int((different[-1] - different[0]) / widest_step)))
