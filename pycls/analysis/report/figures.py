"""The figures that a report has: those of the catalog that there is data for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from pycls.analysis.figures.catalog import POPULATION, Entry
from pycls.analysis.figures.layout import PAGE
from pycls.analysis.figures.panels import highlighted


@dataclass(frozen=True)
class Planned:
    """A figure of the report that is not drawn yet.

    Attributes:
        title: what it is called.
        caption: what it shows.
        section: of the page.
        draw: returns it.
    """

    title: str
    caption: str
    section: str
    draw: Callable[[], Figure]


Plan = dict[str, Planned]  # by the name of the figure's files


def plan_figure(section: str, entry: Entry, draw: Callable[[], Figure], **words: object) -> Planned:
    """Return a figure of the catalog, its title and caption with their words filled in."""
    return Planned(entry.title.format(**words), entry.caption.format(**words), section, draw)


def plan_population_figures(source: Any) -> Plan:
    """Return the figures of a population that there is data for.

    Args:
        source: has all that the catalog names: errors, architectures, structured, repeats, curves,
            study, reference, targets and members.
    """
    if source.errors.empty:
        return {}
    count = len(source.errors)
    reference = source.study.dataset_title(source.reference) if source.reference else ""
    words = {"reference": reference, "coloured": highlighted(count), "n": count}
    return {
        entry.key: plan_figure(section, entry, partial(entry.make, source, PAGE), **words)
        for section, listed in POPULATION.items()
        for entry in listed
        if entry.is_possible(source)
    }
