"""The report: one page with a study's answer, its figures and its tables."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis import figures, tables, wording
from pycls.analysis import presentation as show
from pycls.analysis.checks import study_warnings
from pycls.analysis.control_section import ControlSection, control_section, control_summary
from pycls.analysis.results import (
    architecture_table,
    error_table,
    load_results,
    population_runs,
    repeat_runs,
)
from pycls.analysis.space_section import SpaceSection, space_section
from pycls.analysis.statistics import MIN_PAIRS
from pycls.analysis.study import Study, load_status, load_study, load_trained_with
from pycls.analysis.wording import RHO
from pycls.errors import ConfigError
from pycls.files import remove_partials, write_text

_TEMPLATES = Path(__file__).parent / "templates"
_PIXELS_PER_INCH = 118  # a figure of page width fills the page's column


@dataclass(frozen=True)
class _Picture:
    """A figure as the page shows it; paths are relative to the page."""

    name: str
    title: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class _Analysis:
    """All that the page is made of."""

    study: Study
    results: pd.DataFrame
    errors: pd.DataFrame
    architectures: pd.DataFrame
    repeats: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    spaces: SpaceSection | None
    controls: ControlSection | None


def write_report(study_folder: str | os.PathLike[str]) -> Path:
    """Write `report/` of a study: index.html, figures (SVG, PDF) and tables (CSV).

    A study without a population of its own (control experiments only) or without a reference
    gets the parts that apply to it.

    The same inputs give the same bytes. Of an earlier report, figures and tables that no
    longer apply are removed.

    Args:
        study_folder: holds results.csv and study.json, and may hold status.json (why runs
            failed) and timings.csv.

    Returns:
        The path of the page.

    Raises:
        ConfigError: an input is missing or cannot be used; the message says which and why.
        DataError: the study and its base are of different populations.
    """
    folder = Path(study_folder)
    study = load_study(folder)
    analysis = _analyse(folder, study)
    context = {
        **_facts(analysis, folder),
        **_answer(analysis),
        "study": study,
        "warnings": study_warnings(analysis.results, study, analysis.tables),
        "failed": load_status(folder),
        "trained_with": load_trained_with(folder),
        "html": _html_tables(analysis),
        "spaces": analysis.spaces,
        "controls": analysis.controls,
    }
    report = folder / "report"
    written = [
        tables.write_table(table, report / "tables" / f"{name}.csv")
        for name, table in analysis.tables.items()
    ]
    spaces = analysis.spaces.figures if analysis.spaces else {}
    pictures = {}
    for name, (title, caption, draw) in _plan_figures(analysis).items():
        figure = draw()
        formats = ("svg", "pdf", "png") if name in spaces else ("svg", "pdf")
        written += figures.save_figure(figure, report / "figures" / name, formats)
        width, height = (round(inches * _PIXELS_PER_INCH) for inches in figure.get_size_inches())
        pictures[name] = _Picture(name, title, caption, width, height)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(context, figures=pictures)
    write_text(report / "index.html", page)
    _remove_stale(report, written)
    return report / "index.html"


def _analyse(folder: Path, study: Study) -> _Analysis:
    results = load_results(folder)
    errors = error_table(results, study)
    architectures = architecture_table(results, study)
    repeats = repeat_runs(results, study)
    spaces = space_section(results, study)
    controls = control_section(folder, study)
    computed: dict[str, pd.DataFrame] = {}
    if study.sweeps_of_role("main"):
        if study.reference:
            computed["rho"] = tables.rho_table(errors, study)
        computed |= {
            "structure": tables.structure_table(errors, architectures, study),
            "pairs": tables.pair_table(errors, study),
            "datasets": tables.dataset_table(results, study),
            "noise": tables.noise_table(errors, repeats, study),
        }
    for section in (spaces, controls):
        computed |= section.tables if section else {}
    return _Analysis(study, results, errors, architectures, repeats, computed, spaces, controls)


def _plan_figures(analysis: _Analysis) -> dict[str, tuple[str, str, Callable[[], Figure]]]:
    """Return name -> title, caption and how to draw it, for the figures there is data for."""
    planned = {} if analysis.errors.empty else _plan_population_figures(analysis)
    for section in (analysis.spaces, analysis.controls):
        planned |= section.figures if section else {}
    return planned


def _plan_population_figures(
    analysis: _Analysis,
) -> dict[str, tuple[str, str, Callable[[], Figure]]]:
    study, errors = analysis.study, analysis.errors
    reference = study.dataset_title(study.reference) if study.reference else ""
    coloured = (
        "In each panel the lowest errors on the vertical axis are orange (pointing down) and the "
        "highest red (pointing up): 10 of 100 or more architectures, a tenth of fewer, here "
        f"{figures.highlighted(len(errors))} of {len(errors)}."
    )
    rho = f"Above each panel: Spearman's {RHO} with its 95 % interval, n architectures, p-value."
    planned: dict[str, tuple[str, str, Callable[[], Figure]]] = {
        "edf": (
            "Error distributions",
            "Fraction of architectures whose test error is at most the value on the horizontal "
            "axis, per data set; the orange line marks the median. Scales differ; here and below, "
            "errors of which the largest is more than twice the 90th percentile have a "
            "logarithmic axis.",
            lambda: figures.edf_figure(errors, study),
        )
    }
    if study.targets:
        planned["reference"] = (
            f"Targets against {reference}",
            f"Test error on each target against {reference}, a point per architecture. {rho} "
            f"{coloured}",
            lambda: figures.reference_figure(errors, study),
        )
    if study.targets and study.members():
        planned["member"] = (
            "Targets against their closest family member",
            "Test error on each target against the family member closest in class count. "
            f"{rho} {coloured}",
            lambda: figures.member_figure(errors, study),
        )
    if study.members() and study.reference:
        planned["family"] = (
            f"Family members against {reference}",
            f"Test error on each family member against {reference}. {rho} {coloured}",
            lambda: figures.family_figure(errors, study),
        )
    for column, name in (("cum_depth", "depth"), ("cum_width", "width")):
        planned[name] = (
            f"Error and cumulative {name}",
            f"Test error against cumulative {name}, the sum of the stages' {name}s, per data "
            f"set. {rho}",
            partial(figures.structure_figure, errors, analysis.architectures, study, column),
        )
    if len(analysis.repeats):
        planned["noise"] = (
            "Population and repeats",
            "Test errors of the population and of one architecture retrained under several "
            "seeds. Black: median and 10th to 90th percentile, whose difference is the spread.",
            lambda: figures.noise_figure(errors, analysis.repeats, study),
        )
    return planned


def _answer(analysis: _Analysis) -> dict[str, Any]:
    """Return the summary and, per target, what the correlations show."""
    study = analysis.study
    if "rho" not in analysis.tables:
        return {"summary": _unranked_summary(analysis), "findings": []}
    reference = study.dataset_title(study.require_reference())
    with_members = bool(study.members())
    correlations, differences, findings = [], [], []
    average = ""
    for row in analysis.tables["rho"].to_dict("records"):
        if row["target"] == tables.AVERAGE:
            average = wording.average_text(
                int(row["num_averaged"]), row["rho_reference"], row["rho_member"], reference
            )
            continue
        correlation = tables.correlation_of(row, "_reference")
        texts = [wording.relation(correlation, reference, row["title"])]
        correlations.append(correlation)
        if with_members:
            member = study.dataset_title(row["closest_member"])
            difference = tables.difference_of(row)
            differences.append(difference)
            texts.append(wording.difference_relation(difference, member, reference))
        findings.append((row["title"], " ".join(texts)))
    return {
        "summary": f"{wording.summary(correlations, differences, reference)} {average}".strip(),
        "findings": findings,
    }


def _unranked_summary(analysis: _Analysis) -> str:
    """Return what a study without a reference is."""
    texts = [
        "The study names no reference, so it does not ask how well one data set predicts the "
        "ranking of architectures on others."
    ]
    if analysis.spaces:
        texts.append(analysis.spaces.summary)
    if analysis.controls:
        texts.append(control_summary(analysis.controls, analysis.study))
    return " ".join(texts)


def _html_tables(analysis: _Analysis) -> dict[str, show.HtmlTable | None]:
    study, data = analysis.study, analysis.tables
    regimes = show.regimes_html(study)
    if not study.sweeps_of_role("main"):
        names = ("rho", "structure", "pairs", "errors", "datasets", "noise")
        return {**dict.fromkeys(names), "regimes": regimes}
    return {
        "rho": show.rho_html(data["rho"], study, "tables/rho.csv") if study.targets else None,
        "structure": show.structure_html(data["structure"], "tables/structure.csv"),
        "pairs": show.pairs_html(data["pairs"], study, "tables/pairs.csv"),
        "errors": show.errors_html(data["datasets"], "tables/datasets.csv"),
        "datasets": show.datasets_html(data["datasets"], study),
        "noise": (
            show.noise_html(data["noise"], "tables/noise.csv") if len(data["noise"]) else None
        ),
        "regimes": regimes,
    }


def _facts(analysis: _Analysis, folder: Path) -> dict[str, Any]:
    study, results = analysis.study, analysis.results
    return {
        "reference": study.dataset_title(study.reference) if study.reference else None,
        "has_population": bool(study.sweeps_of_role("main")),
        "members": [study.dataset_title(key) for key in study.members()],
        "targets": [study.dataset_title(key) for key in study.targets],
        "num_architectures": len(analysis.errors),
        "counts": show.run_counts(results),
        "dataset_notes": show.dataset_notes(study),
        "population": show.population_facts(study),
        "seeds": _seeds(study, results),
        "seconds": _total_seconds(folder),
        "listing": wording.listing,
        "count": wording.count,
        "min_pairs": MIN_PAIRS,
        "n_boot": tables.N_BOOT,
    }


def _seeds(study: Study, results: pd.DataFrame) -> list[tuple[str, str]]:
    """Return which runs had which training seeds, as (runs, seeds)."""
    population = population_runs(results, study)
    repeats = results[results["sweep"].isin(study.sweeps_of_role("repeats"))]
    controls = results[results["sweep"].isin(study.control_sweeps())]
    rows = [("population", population), ("repeats", repeats)]
    if len(controls):
        rows = [row for row in rows if len(row[1])] + [("control experiments", controls)]
    return [(label, show.seeds_text(runs)) for label, runs in rows]


def _total_seconds(folder: Path) -> float | None:
    """Return the sum of the runs' times in seconds, or None where none were recorded."""
    path = folder / "timings.csv"
    if not path.exists():
        return None
    try:
        seconds = pd.to_numeric(pd.read_csv(path)["seconds"], errors="coerce")
    except (KeyError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        raise ConfigError(
            f"{path}: expected a CSV table with a column 'seconds'; repair or remove it"
        ) from None
    return float(seconds.sum()) or None


def _remove_stale(report: Path, written: list[Path]) -> None:
    """Remove what an earlier report left and this one does not link."""
    for name, suffixes in (("figures", (".svg", ".pdf", ".png")), ("tables", (".csv",))):
        remove_partials(report / name)
        for path in (report / name).glob("*"):
            if path.suffix in suffixes and path not in written:
                path.unlink()
    remove_partials(report)
