"""The figures that a report has: those of the catalog that there is data for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.figures.catalog import POPULATION, Entry
from pycls.analysis.figures.layout import PAGE
from pycls.analysis.figures.panels import highlighted
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.study_json import Study


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


def plan_population_figures(
    errors: pd.DataFrame,
    architectures: pd.DataFrame,
    repeats: pd.DataFrame,
    curves: Mapping[str, Curves],
    study: Study,
) -> Plan:
    """Return the figures of a population that there is data for.

    Args:
        errors: architectures x data sets, in percent.
        architectures: as from :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        curves: as from :func:`pycls.analysis.inputs.curves_csv.population_curves`.
        study: for names and roles.
    """
    if errors.empty:
        return {}
    source = SimpleNamespace(  # by the names that the catalog uses
        errors=errors,
        architectures=architectures,
        repeats=repeats,
        curves=curves,
        study=study,
        reference=study.reference or "",
        targets=study.targets,
        members=study.members(),
    )
    reference = study.dataset_title(study.reference) if study.reference else ""
    words = {"reference": reference, "coloured": highlighted(len(errors)), "n": len(errors)}
    return {
        entry.key: plan_figure(section, entry, partial(entry.make, source, PAGE), **words)
        for section, listed in POPULATION.items()
        for entry in listed
        if entry.is_possible(source)
    }
