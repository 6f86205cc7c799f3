"""The report: one page with a study's answer, its figures and its tables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pycls.analysis import wording
from pycls.analysis.choosing.surrogate import Surrogate, fit_surrogate
from pycls.analysis.figures.style import save_figure
from pycls.analysis.inputs.collection import duration_runs
from pycls.analysis.inputs.curves_csv import (
    MAX_EPOCHS,
    Curves,
    load_curves,
    population_curves,
)
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    load_results,
    population_runs,
    repeat_runs,
)
from pycls.analysis.inputs.scores_csv import load_scores
from pycls.analysis.inputs.study_json import (
    Study,
    load_devices,
    load_status,
    load_study,
    load_trained_with,
)
from pycls.analysis.paper.beside import writer
from pycls.analysis.report import html_tables as show
from pycls.analysis.report.answer import answer, noise_sentences
from pycls.analysis.report.choosing_section import choosing_parts
from pycls.analysis.report.control_section import ControlSection, control_section
from pycls.analysis.report.figures import plan_population_figures
from pycls.analysis.report.own_section import OwnSection, own_section
from pycls.analysis.report.page import Picture, csv_links, picture, render_page
from pycls.analysis.report.page_data import json_text, page_data
from pycls.analysis.report.paper_section import FOLDER, paper_section
from pycls.analysis.report.space_section import SpaceSection, space_section
from pycls.analysis.report.warnings import device_warnings, study_warnings, undone_runs
from pycls.analysis.statistics.pairs import MIN_PAIRS
from pycls.analysis.tables import choosing
from pycls.analysis.tables import study_tables as tables
from pycls.analysis.tables.best import best_table
from pycls.analysis.tables.choice import choice_table
from pycls.analysis.tables.choosing import training_hours
from pycls.analysis.tables.forest import forest_table
from pycls.analysis.tables.heat import (
    driver_heat,
    driver_table,
    matrix_heat,
    parameter_values,
    stage_parameters,
)
from pycls.analysis.tables.pairs import with_own_runs
from pycls.analysis.tables.replay import replay_table
from pycls.analysis.tables.scores import score_table
from pycls.analysis.wording import number
from pycls.errors import ConfigError
from pycls.files import remove_partials, write_text
from pycls.progress import tracked
from pycls.schema import TIMINGS_CSV


@dataclass(frozen=True)
class _Analysis:
    """All that the page is made of."""

    study: Study
    results: pd.DataFrame
    errors: pd.DataFrame
    architectures: pd.DataFrame
    repeats: pd.DataFrame
    stages: pd.DataFrame
    parameters: pd.DataFrame
    curves: Mapping[str, Curves]
    durations: pd.DataFrame
    hours: Mapping[str, float]
    scores: Mapping[str, pd.DataFrame]
    tables: dict[str, pd.DataFrame]
    spaces: SpaceSection | None
    controls: ControlSection | None
    own: OwnSection | None

    # What figures of the catalog need of a study.
    @property
    def reference(self) -> str:
        return self.study.reference or ""

    @property
    def forest(self) -> pd.DataFrame:
        return self.tables["forest"]

    @property
    def early(self) -> pd.DataFrame:
        """How early is enough; empty without curves."""
        return self.tables.get("early", pd.DataFrame())

    @property
    def importance(self) -> pd.DataFrame:
        """What matters, by the surrogate; empty where it says nothing."""
        return self.tables.get("importance", pd.DataFrame())

    @property
    def dependence(self) -> pd.DataFrame:
        """Its partial dependence."""
        return self.tables.get("dependence", pd.DataFrame())

    @property
    def replayed(self) -> pd.DataFrame:
        return self.tables.get("replay", pd.DataFrame())

    @property
    def structured(self) -> pd.DataFrame:
        """The architectures of which something is known but their errors."""
        return self.architectures.dropna(how="all")

    @property
    def targets(self) -> tuple[str, ...]:
        return self.study.targets

    @property
    def members(self) -> dict[str, int]:
        return self.study.members()


def write_report(study_folder: str | os.PathLike[str]) -> Path:
    """Write `report/` of a study: index.html, which needs no other file, and files to take.

    Beside the page are `figures/` (SVG, PDF), `tables/` (CSV) and `paper/` (the outputs of the
    paper). A study without a population of its own (control experiments only) or without a
    reference gets the parts that apply to it.

    The same inputs give the same bytes. Of an earlier report, files that no longer apply are
    removed.

    Args:
        study_folder: holds results.csv and study.json, and may hold status.json (why runs
            failed), timings.csv and curves.csv.

    Returns:
        The path of the page.

    Raises:
        ConfigError: an input is missing or cannot be used; the message says which and why.
        DataError: the study and its base are of different populations.
    """
    folder = Path(study_folder)
    study = load_study(folder)
    results = load_results(folder)
    errors = error_table(results, study)
    report = folder / "report"
    can_be_paper = bool(study.reference) and not errors.empty
    with writer(folder, report / FOLDER, len(errors) * can_be_paper) as outputs:
        analysis = _analyse(folder, study, results, errors)
        context = _context(analysis, folder)
        written = [
            tables.write_table(table, report / "tables" / f"{name}.csv")
            for name, table in analysis.tables.items()
        ]
        pictures = _write_figures(analysis, report, written)
        paper = paper_section(outputs, report) if can_be_paper else None
    written += paper.paths if paper else []
    links = csv_links(analysis.tables) | (paper.links if paper else {})
    page = render_page(
        "report.html", {**context, "figures": pictures, "paper": paper, "csv": links}
    )
    write_text(report / "index.html", page)
    _remove_stale(report, written)
    return report / "index.html"


def _context(analysis: _Analysis, folder: Path) -> dict[str, Any]:
    """Return what the page's template is given but figures and outputs of the paper."""
    study = analysis.study
    surrogate = _surrogate(analysis)
    return {
        **_facts(analysis, folder),
        **answer(study, analysis.tables, analysis.spaces, analysis.controls, analysis.own),
        "study": study,
        "title": study.title,
        "description": study.description,
        "warnings": [
            *study_warnings(analysis.results, study, analysis.tables),
            *device_warnings(load_devices(folder)),
        ],
        "failed": load_status(folder),
        "trained_with": load_trained_with(folder),
        "html": _html_tables(analysis),
        "heat": _heat_tables(analysis),
        "noise_texts": _noise_texts(analysis),
        "choosing": choosing_parts(analysis.tables, study, surrogate),
        "data": _embedded_data(analysis),
        "spaces": analysis.spaces,
        "controls": analysis.controls,
        "own": analysis.own,
    }


def _analyse(folder: Path, study: Study, results: pd.DataFrame, errors: pd.DataFrame) -> _Analysis:
    repeats = repeat_runs(results, study)
    analysis = _Analysis(
        study=study,
        results=results,
        errors=errors,
        architectures=architecture_table(results, study),
        repeats=repeats,
        stages=stage_parameters(results, study, errors.index),
        parameters=parameter_values(results, study, errors.index),
        curves=population_curves(load_curves(folder), study, errors.index),
        durations=duration_runs(folder, study, results),
        hours=training_hours(_timings(folder), results, study),
        scores=load_scores(folder, errors.index),
        tables={},
        spaces=space_section(results, study),
        controls=control_section(folder, study),
        own=own_section(folder, results, repeats, study),
    )
    if study.sweeps_of_role("main"):
        analysis.tables.update(_population_tables(analysis))
    for section in (analysis.spaces, analysis.controls, analysis.own):
        analysis.tables.update(section.tables if section else {})
    return analysis


def _population_tables(analysis: _Analysis) -> dict[str, pd.DataFrame]:
    study, errors = analysis.study, analysis.errors
    computed: dict[str, pd.DataFrame] = {}
    if study.reference:
        computed["rho"] = tables.rho_table(errors, study)
        if study.targets:
            computed["choice"] = choice_table(errors, study, analysis.scores)
            runs = with_own_runs(analysis.repeats, analysis.results, study)
            computed["forest"] = forest_table(
                errors, analysis.architectures, runs, computed["rho"], study, analysis.scores
            )
            computed |= _choosing_tables(analysis)
    if len(analysis.structured):
        computed["structure"] = tables.structure_table(errors, analysis.architectures, study)
    return computed | {
        "drivers": driver_table(errors, analysis.parameters, study),
        "pairs": tables.pair_table(errors, study),
        "best": best_table(errors, analysis.stages, study),
        "datasets": tables.dataset_table(analysis.results, study),
        "noise": tables.noise_table(errors, analysis.repeats, study),
    }


def _choosing_tables(analysis: _Analysis) -> dict[str, pd.DataFrame]:
    study, errors, parameters = analysis.study, analysis.errors, analysis.parameters
    found = {
        "race": choosing.race_table(errors, parameters, study, analysis.scores, analysis.curves),
        "scores": score_table(analysis.scores, errors, study),
        "replay": replay_table(errors, analysis.curves, analysis.scores, study),
        "prediction": choosing.prediction_table(errors, study, analysis.scores),
        "top": choosing.top_table(errors, study, analysis.scores),
        "early": choosing.early_tables(
            analysis.curves, study, analysis.hours, analysis.results, analysis.durations
        ),
        "several": choosing.several_table(errors, parameters, study),
        "apart": choosing.apart_table(errors, study),
    }
    return {name: table for name, table in found.items() if len(table)}


def _surrogate(analysis: _Analysis) -> Surrogate | None:
    """Return the surrogate of the errors on the reference, whose table is added to the report's."""
    if analysis.reference not in analysis.errors or analysis.parameters.empty:
        return None
    names = [name for name in analysis.parameters if name not in ("cum_depth", "cum_width")]
    found = fit_surrogate(analysis.parameters[names], analysis.errors[analysis.reference])
    if len(found.importance):
        analysis.tables["importance"] = found.importance
        analysis.tables["dependence"] = found.dependence
    return found


def _write_figures(analysis: _Analysis, report: Path, written: list[Path]) -> dict[str, Picture]:
    """Draw and write the figures; the paths are added to `written`."""
    planned = plan_population_figures(analysis)
    for section in (analysis.spaces, analysis.controls):
        planned |= section.figures if section else {}
    pictures = {}
    for name, each in tracked(planned.items(), "report", "figures"):
        figure = each.draw()
        formats = ("svg", "pdf", "png") if each.section == "spaces" else ("svg", "pdf")
        paths = save_figure(figure, report / "figures" / name, formats)
        pictures[name] = picture(paths[0], each.title, each.caption, figure, each.section)
        written += paths
    return pictures


def _embedded_data(analysis: _Analysis) -> str | None:
    """Return the JSON of the interactive part; None where there is nothing to show."""
    if analysis.errors.empty:
        return None
    data = page_data(
        analysis.errors,
        analysis.stages,
        analysis.parameters,
        analysis.tables,
        analysis.curves,
        analysis.study,
    )
    return json_text(data)


def _heat_tables(analysis: _Analysis) -> dict[str, Any]:
    if "pairs" not in analysis.tables:
        return {"pairs": None, "drivers": None}
    study, data = analysis.study, analysis.tables
    return {
        "pairs": matrix_heat(data["pairs"], study, "tables/pairs.csv"),
        "drivers": driver_heat(data["drivers"], study, "tables/drivers.csv"),
    }


def _noise_texts(analysis: _Analysis) -> list[str]:
    study = analysis.study
    runs = with_own_runs(analysis.repeats, analysis.results, study)
    return noise_sentences(analysis.errors, runs, study)


# What the page calls a table of texts -> the table that it is made from, and how.
_HTML = {
    "structure": ("structure", show.structure_html),
    "pairs": ("pairs", show.pairs_html),
    "best": ("best", show.best_html),
    "errors": ("datasets", show.errors_html),
    "datasets": ("datasets", show.datasets_html),
    "noise": ("noise", show.noise_html),
}


def _html_tables(analysis: _Analysis) -> dict[str, show.HtmlTable | None]:
    study, data = analysis.study, analysis.tables
    shown: dict[str, show.HtmlTable | None] = dict.fromkeys(("rho", "choice", *_HTML))
    shown["regimes"] = show.regimes_html(study)
    if study.sweeps_of_role("main"):
        shown |= {
            name: make(data[table], study) for name, (table, make) in _HTML.items() if table in data
        }
        if "choice" in data:
            choices = data["choice"].query("role == 'reference' and k == 1").to_dict("records")
            lost = {
                row["target"]: (number(row["lost"], 2), number(row["random_lost"], 2))
                for row in choices
            }
            if lost:
                shown["rho"] = show.rho_html(data["rho"], study, lost)
                shown["choice"] = show.choice_html(data["choice"], study)
    return shown


def _facts(analysis: _Analysis, folder: Path) -> dict[str, Any]:
    study, results = analysis.study, analysis.results
    return {
        "reference": study.dataset_title(study.reference) if study.reference else None,
        "has_structure": bool(len(analysis.structured)),
        "has_population": bool(study.sweeps_of_role("main")),
        "members": [study.dataset_title(key) for key in study.members()],
        "targets": [study.dataset_title(key) for key in study.targets],
        "has_curves": bool(analysis.curves) and not analysis.errors.empty,
        "num_architectures": len(analysis.errors),
        "counts": show.run_counts(results),
        "undone": undone_runs(results),
        "dataset_notes": show.dataset_notes(study),
        "population": show.population_facts(study),
        "seeds": _seeds(study, results),
        "seconds": _total_seconds(folder),
        "listing": wording.listing,
        "count": wording.count,
        "min_pairs": MIN_PAIRS,
        "max_epochs": MAX_EPOCHS,
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
    timings = _timings(folder)
    return None if timings is None else float(timings["seconds"].sum()) or None


def _timings(folder: Path) -> pd.DataFrame | None:
    """Return the runs' times in seconds, run and seconds; None where none were recorded."""
    path = folder / TIMINGS_CSV
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path, dtype={"run": str})[["run", "seconds"]]
        return table.assign(seconds=pd.to_numeric(table["seconds"], errors="coerce"))
    except (KeyError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise ConfigError(
            f"{path}: expected a CSV table with columns 'run' and 'seconds'; repair or remove it"
        ) from None


def _remove_stale(report: Path, written: list[Path]) -> None:
    """Remove what an earlier report left and this one does not link."""
    for name, suffixes in (
        ("figures", (".svg", ".pdf", ".png")),
        ("tables", (".csv",)),
        ("paper", (".svg", ".pdf", ".csv", ".tex")),
    ):
        remove_partials(report / name)
        for path in (report / name).glob("*"):
            if path.suffix in suffixes and path not in written:
                path.unlink()
    remove_partials(report)
