"""A figure of the stages of networks: depth, width, bottleneck ratio and group width.

The form is that of the paper's Figure A7: one small panel a parameter, stages on the x-axis.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pycls.analysis.figures import style
from pycls.errors import ConfigError

# Told apart by colour, lightness, marker and dashes. The markers get smaller from the first
# to the last, so that none hides another.
_LOOKS = (
    (style.BLUE, "o", "-"),
    (style.ORANGE, "s", (0, (4, 1.5))),
    (style.INK, "^", (0, (1.2, 1.2))),
    (style.RED, "D", (0, (5, 1.5, 1.2, 1.5))),
    (style.BLUE_GREY, "v", (0, (8, 1.5))),
    ("#7A4B00", "P", (0, (2.5, 1.2))),
)
MAX_NETWORKS = len(_LOOKS)

# In inches: one column of a paper with two.
_WIDTH = 3.5
_LEFT, _RIGHT, _GAP = 0.42, 0.10, 0.50
_ABOVE, _PANEL_HEIGHT, _BELOW = 0.36, 0.95, 0.36
_LEGEND_LINE, _LEGEND_KEY = 0.137, 0.37
_DODGE = 0.08  # of a stage, between networks, so that equal values stay visible
_COLUMNS = 2


@dataclass(frozen=True)
class NetworkStages:
    """The parameters of a network's stages; each one value a stage, or () if it has none.

    Attributes:
        name: for the legend.
        depths: blocks.
        widths: output channels.
        bottleneck_ratios: width over bottleneck width.
        group_widths: channels of a group of the 3x3 convolutions.
        expansion_ratios: depthwise over input channels, of inverted bottlenecks.
        kernels: size of the depthwise convolutions, of inverted bottlenecks.
    """

    name: str
    depths: Sequence[int]
    widths: Sequence[int]
    bottleneck_ratios: Sequence[float] = ()
    group_widths: Sequence[int] = ()
    expansion_ratios: Sequence[float] = ()
    kernels: Sequence[int] = ()


_PANELS = (
    ("depths", "depth d", "blocks"),
    ("widths", "width w", "channels"),
    ("bottleneck_ratios", "bottleneck ratio b", "width over bottleneck width"),
    ("group_widths", "group width g", "channels of a group"),
    ("expansion_ratios", "expansion ratio", "times the input channels"),
    ("kernels", "kernel size", "pixels, depthwise"),
)


def network_figure(networks: Sequence[NetworkStages]) -> Figure:
    """Return a panel for each parameter that the stages have (paper, Figure A7).

    Args:
        networks: one, or several to compare (then with a legend).

    Raises:
        ConfigError: no network, one without stages, or more than can be told apart.
    """
    _check(networks)
    panels = [panel for panel in _PANELS if any(getattr(net, panel[0]) for net in networks)]
    grid = _empty_grid(len(panels), _legend_shape(networks)[1] if len(networks) > 1 else 0)
    longest = max(len(net.depths) for net in networks)
    for index, (axes, (field, title, unit)) in enumerate(zip(grid.axes, panels, strict=True)):
        with mpl.rc_context(style.RC):
            for place, net in enumerate(networks):
                values = getattr(net, field)
                shift = (place - (len(networks) - 1) / 2) * _DODGE
                axes.plot([i + 1 + shift for i in range(len(values))], values, **_look(place))
            _scale_axes(axes, [v for net in networks for v in getattr(net, field)], longest)
        is_lowest = index + _COLUMNS >= len(panels)
        style.label_panel(grid, axes, title, [unit], "stage" if is_lowest else "")
    if len(networks) > 1:
        _add_legend(grid, networks)
    return grid.figure


def _check(networks: Sequence[NetworkStages]) -> None:
    if not networks:
        raise ConfigError("no networks to draw; name at least one")
    if len(networks) > MAX_NETWORKS:
        raise ConfigError(
            f"{len(networks)} networks to draw; expected at most {MAX_NETWORKS}, more cannot be "
            "told apart in one figure. Name fewer"
        )
    for net in networks:
        if not net.depths:
            raise ConfigError(f"{net.name}: has no stages to draw; leave it out of the figure")


def _empty_grid(panels: int, legend_lines: int) -> style.PanelGrid:
    """Return a figure of one column's width with empty panels, two in a row."""
    rows = math.ceil(panels / _COLUMNS)
    width = (_WIDTH - _LEFT - _RIGHT - _GAP) / _COLUMNS
    row_pitch = _ABOVE + _PANEL_HEIGHT
    # The lowest row alone has an axis label.
    height = rows * (row_pitch + _BELOW) - (rows - 1) * (_BELOW - 0.2)
    height += legend_lines * _LEGEND_LINE + (0.05 if legend_lines else 0)
    corners = []
    for index in range(panels):
        row, column = divmod(index, _COLUMNS)
        bottom = height - row * (row_pitch + 0.2) - row_pitch
        corners.append((_LEFT + column * (width + _GAP), bottom))
    figure, axes = style.place_panels((_WIDTH, height), corners, width, _PANEL_HEIGHT)
    return style.PanelGrid(figure, axes, width, _PANEL_HEIGHT)


def _look(place: int) -> dict[str, Any]:
    colour, marker, dashes = _LOOKS[place]
    return {
        "color": colour,
        "marker": marker,
        "linestyle": dashes,
        "linewidth": 1.1,
        "markersize": 4.4 - 0.2 * place,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        "clip_on": False,
    }


def _scale_axes(axes: Axes, values: Sequence[float], stages: int) -> None:
    """Start the y-axis at zero, so that heights compare; whole numbers on both axes."""
    axes.set_xlim(0.6, stages + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(min(stages, 8), integer=True))
    axes.set_ylim(0, max(values) * 1.08)
    whole = all(float(value).is_integer() for value in values)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=whole))
    axes.grid(axis="x", visible=False)


def _legend_shape(networks: Sequence[NetworkStages]) -> tuple[int, int]:
    """Return how many columns and lines a legend has whose names are not cut off."""
    for columns in (3, 2):
        room = (_WIDTH - _RIGHT) / columns - _LEGEND_KEY
        if all(style.wrap(net.name, room, 1) == net.name for net in networks):
            break
    else:
        columns = 1
    columns = min(columns, len(networks))
    return columns, math.ceil(len(networks) / columns)


def _add_legend(grid: style.PanelGrid, networks: Sequence[NetworkStages]) -> None:
    columns, _ = _legend_shape(networks)
    room = (_WIDTH - _RIGHT) / columns - _LEGEND_KEY
    handles = [
        Line2D([], [], label=style.wrap(net.name, room, 1), **_look(place))
        for place, net in enumerate(networks)
    ]
    style.add_legend(
        grid,
        handles,
        bbox_to_anchor=(0.0, 0.0),
        ncols=columns,
        handlelength=2.2,
        columnspacing=0.8,
        labelspacing=0.3,
        borderaxespad=0.2,
        borderpad=0.2,
    )
