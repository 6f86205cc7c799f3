"""The figure of the networks of a sweep's best and worst runs, block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from pycls.analysis.figures import style
from pycls.analysis.figures.networks import NetworkStages
from pycls.analysis.sweep.metrics import quantity_text
from pycls.analysis.sweep.sweep_json import SweepRun
from pycls.analysis.wording import number

_COMPLEXITY = (("flops", ""), ("params", "par."), ("acts", "act."))


@dataclass(frozen=True)
class SweepNetwork:
    """A run's network.

    Attributes:
        stages: None where the network has no stages of blocks.
        kind: MODEL.TYPE.
        linear_widths: of each block before quantisation, of a RegNet.
        notes: further parameters, such as "w_a 19.5, w_0 96".
    """

    stages: NetworkStages | None
    kind: str
    linear_widths: Sequence[float] = ()
    notes: str = ""


def model_figure(runs: Sequence[SweepRun], networks: Sequence[SweepNetwork]) -> Figure:
    """Return the width of each block, a panel a run, with what defines the network.

    Rings mark the first block of each stage; the dotted line is a RegNet's width before
    quantisation. All panels have the same axes, that of widths logarithmic.

    Args:
        runs: at least one.
        networks: one a run.
    """
    texts = [_details(run, network) for run, network in zip(runs, networks, strict=True)]
    lines = max(map(len, texts))
    grid = style.panel_grid(len(runs), title_lines=lines + 1)
    drawn = []
    for axes, run, network, details in zip(grid.axes, runs, networks, texts, strict=True):
        padded = [*details, *[""] * (lines - len(details))]
        room = grid.panel_width + 0.3
        with mpl.rc_context(style.RC):
            if network.stages is None:
                style.mark_empty(axes, f"{network.kind}: has no\nstages of widths")
            else:
                _draw_blocks(axes, network.stages, network.linear_widths)
                drawn.append((axes, network))
        shown = [style.wrap(text, room, 1, style.TEXT_SIZE) for text in padded]
        style.label_panel(
            grid, axes, f"{run.name}: {number(run.error, 2)} %", shown, "block", "width"
        )
    _share_axes(grid, drawn)
    return grid.figure


def _details(run: SweepRun, network: SweepNetwork) -> list[str]:
    costs = {what: quantity_text(run, metric) for metric, what in _COMPLEXITY}
    known = [f"{text} {what}".strip() for what, text in costs.items() if text]
    lines = [", ".join(known) or "complexity was not logged"]
    if network.stages is not None:
        stages = network.stages
        for letter, values in (
            ("d", stages.depths),
            ("w", stages.widths),
            ("g", _once(stages.group_widths)),
            ("b", _once(stages.bottleneck_ratios)),
            ("exp", _once(stages.expansion_ratios)),
            ("k", _once(stages.kernels)),
        ):
            if values:
                lines.append(f"{letter} {', '.join(f'{value:g}' for value in values)}")
    if network.notes:
        lines.append(network.notes)
    return lines


def _once(values: Sequence[float]) -> Sequence[float]:
    """Return one value where all are equal."""
    return values[:1] if len(set(values)) == 1 and len(values) > 1 else values


def _draw_blocks(axes: Axes, stages: NetworkStages, linear_widths: Sequence[float]) -> None:
    widths = [
        width for d, width in zip(stages.depths, stages.widths, strict=True) for _ in range(d)
    ]
    starts = [0, *accumulate(stages.depths)][:-1]
    blocks = range(1, len(widths) + 1)
    linear_blocks = range(1, len(linear_widths) + 1)
    axes.plot(linear_blocks, linear_widths, color=style.BLUE_GREY, linestyle=":", linewidth=1.0)
    axes.plot(blocks, widths, color=style.BLUE, marker="o", markersize=2.8, linewidth=1.0)
    axes.plot(
        [start + 1 for start in starts],
        stages.widths,
        marker="o",
        linestyle="none",
        markersize=5.5,
        markerfacecolor="none",
        markeredgecolor=style.INK,
        markeredgewidth=0.8,
    )


def _share_axes(grid: style.PanelGrid, drawn: Sequence[tuple[Axes, SweepNetwork]]) -> None:
    stages = [network.stages for _, network in drawn if network.stages]
    if not stages:
        return
    widths: list[float] = [width for each in stages for width in each.widths]
    widths += [width for _, network in drawn for width in network.linear_widths if width > 0]
    deepest = max(sum(each.depths) for each in stages)
    low, high = min(widths) / 1.2, max(widths) * 1.2
    powers = [2.0**power for power in range(20) if low <= 2.0**power <= high]
    for axes, _ in drawn:
        axes.set_xlim(0.3, deepest + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_yscale("log", base=2)
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(FixedLocator(powers))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
