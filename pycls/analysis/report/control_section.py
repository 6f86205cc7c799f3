"""The report's section on control experiments: tables, figures and texts."""

import os
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from pycls.analysis.controls.controls import appendix_table, control_experiments, sweep_table
from pycls.analysis.figures.catalog import CONTROLS, Entry
from pycls.analysis.figures.controls import OneExperiment
from pycls.analysis.figures.layout import PAGE
from pycls.analysis.inputs.collection import MissingRuns
from pycls.analysis.inputs.evidence import Evidence, Experiment, load_evidence
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.report.figures import Plan, Planned, plan_figure
from pycls.analysis.report.html_tables import HtmlTable, plain
from pycls.analysis.wording import DASH, RHO, count, rho_interval, rho_number

PREFIX = "appendix"


@dataclass(frozen=True)
class ControlSection:
    """What the page shows of the control experiments.

    Attributes:
        intro: what they stand beside, in a sentence.
        sweeps: the sweeps as a table; None where the study has none of its own.
        summary: the findings as a table; None where there are none.
        parts: experiments with data: title, question, names of figures, paths of tables.
        missing: title and reason of the others.
        tables: name -> table, to be written as CSV.
        figures: name of its files -> how to draw it.
    """

    intro: str
    sweeps: HtmlTable | None
    summary: HtmlTable | None
    parts: list[tuple[str, str, list[str], list[str]]]
    missing: list[tuple[str, str]]
    tables: dict[str, pd.DataFrame]
    figures: Plan


def control_section(folder: str | os.PathLike[str], study: Study) -> ControlSection | None:
    """Return the section on control experiments; None where none belong to the study.

    Raises:
        ConfigError: a table is missing or damaged.
        DataError: the study and its base are of different populations.
    """
    if not study.has_controls():
        return None
    evidence = load_evidence(folder, study)
    experiments = control_experiments(evidence)
    tables = {PREFIX: appendix_table(experiments)}
    sweeps = sweep_table(evidence)
    if len(sweeps):
        tables[f"{PREFIX}_sweeps"] = sweeps
    figures: Plan = {}
    parts = []
    for experiment in experiments:
        if experiment.reason:
            continue
        own = {f"{PREFIX}_{name}": table for name, table in experiment.tables.items()}
        drawn = _plan_figures(experiment, evidence)
        paths = [f"tables/{name}.csv" for name in own]
        parts.append((experiment.title, experiment.question, list(drawn), paths))
        tables |= own
        figures |= drawn
    return ControlSection(
        intro=_intro(study),
        sweeps=_sweeps_html(sweeps) if len(sweeps) else None,
        summary=_summary_html(experiments),
        parts=parts,
        missing=[(e.title, e.reason) for e in experiments if e.reason],
        tables=tables,
        figures=figures,
    )


def control_summary(section: ControlSection, study: Study) -> str:
    """Return in a sentence or two what a study of control experiments is."""
    total, sweeps = len(section.parts) + len(section.missing), len(study.control_sweeps())
    base = f"the study '{study.base.name}'" if study.base else ""
    if sweeps:
        what = f"It holds {count(sweeps, 'sweep')} of control experiments"
        what += f" beside {base}" if base else ""
    else:
        what = f"It looks at runs of {base} and has none of its own"
    return (
        f"{what}; of {total} questions asked of such runs, {len(section.parts)} can be answered "
        "from what has finished."
    )


def _intro(study: Study) -> str:
    text = "Would the results be others if the networks had been trained or tested otherwise?"
    base = study.base
    if base is None:
        return text
    if all(each.has_results() for each in study.bases()):
        return f"{text} Compared with the runs of the study '{base.name}'."
    return (
        f"{text} They belong beside the study '{base.name}', whose results were not found, so "
        "comparisons with it are missing."
    )


def _plan_figures(experiment: Experiment, evidence: Evidence) -> Plan:
    """Return the figures of an experiment, drawn, as that shows whether there is data."""
    planned = {}
    for entry in CONTROLS:
        if entry.needs == experiment.name:
            with suppress(MissingRuns):
                figure = _drawn(entry, OneExperiment(experiment, evidence))
                planned[f"{PREFIX}_{entry.key}"] = figure
    return planned


def _drawn(entry: Entry, source: OneExperiment) -> Planned:
    figure = entry.make(source, PAGE)
    return plan_figure("controls", entry, lambda: figure, experiment=source.experiment.title)


def _sweeps_html(table: pd.DataFrame) -> HtmlTable:
    rows = [
        [
            *(row["sweep"], row["title"], row["control"], row["title_of"] or DASH),
            *(row["regime"] or DASH, plain(row["epochs"]), f"{row['done']} of {row['planned']}"),
        ]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption="Sweeps of control experiments, and what each is compared with.",
        headers=["sweep", "data set", "control", "compared with", "regime", "epochs", "runs done"],
        rows=rows,
        csv=f"tables/{PREFIX}_sweeps.csv",
        text_columns=(0, 1, 2, 3, 4),
    )


def _summary_html(experiments: list[Experiment]) -> HtmlTable | None:
    rows = []
    for experiment in experiments:
        for place, found in enumerate(experiment.findings):
            interval = rho_interval(found.ci_low, found.ci_high)
            rho = f"{rho_number(found.rho)} {interval}" if interval != DASH else DASH
            title = experiment.title if place == 0 else ""
            rows.append([title, found.what, rho, str(found.n), found.note])
    if not rows:
        return None
    return HtmlTable(
        caption=f"What the control experiments show. {RHO} is Spearman's, between the errors of "
        "the same architectures unless another measure is named; n counts architectures, or runs "
        "of one.",
        headers=["experiment", "compared", f"{RHO} [95 %]", "n", "more"],
        rows=rows,
        csv=f"tables/{PREFIX}.csv",
        text_columns=(0, 1, 4),
    )
