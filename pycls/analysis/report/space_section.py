"""The report's section on design spaces: tables, figures and texts."""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from pycls.analysis.figures.catalog import SPACES
from pycls.analysis.figures.spaces import drawn_parameters, parameter_label
from pycls.analysis.inputs.results_csv import population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.report.figures import Plan, plan_figure
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.statistics.design_spaces import (
    edf_table,
    parameter_ranges,
    parameter_table,
    space_table,
)
from pycls.analysis.wording import DASH, count, estimate_text, interval_text, listing, number


@dataclass(frozen=True)
class SpaceSection:
    """What the page shows of the design spaces.

    Attributes:
        spaces: how good each space is, as a table.
        ranges: where good parameters lie, as a table; None where no run has finished.
        tables: name -> table, to be written as CSV.
        figures: name of its files -> how to draw it.
        summary: what was compared, in a sentence or two.
    """

    spaces: HtmlTable
    ranges: HtmlTable | None
    tables: dict[str, pd.DataFrame]
    figures: Plan
    summary: str


def space_models(results: pd.DataFrame, study: Study) -> dict[str, pd.DataFrame]:
    """Return the models of the study's design spaces for each data set.

    Returns:
        data set -> a row per planned run of the population: space, arch, error (percent, NaN
        where the run is not done), and the columns of
        :func:`pycls.analysis.statistics.design_spaces.parameter_table`. Architectures of no
        space are left out.
    """
    space_of = {arch: space for space, archs in study.spaces().items() for arch in archs}
    runs = population_runs(results, study)
    runs = runs.assign(space=runs["arch"].map(space_of)).dropna(subset=["space"])
    runs["error"] = runs["error"].where(runs["status"] == "done")
    models = {}
    for key in study.dataset_keys():
        rows = runs[runs["dataset"] == key]
        if len(rows):
            named = rows[["space", "arch", "error"]]
            models[key] = pd.concat([named, parameter_table(rows)], axis=1)
    return models


def space_section(results: pd.DataFrame, study: Study) -> SpaceSection | None:
    """Return the section on design spaces; None where the study compares none."""
    models = space_models(results, study) if study.spaces() else {}
    if not models:
        return None
    spaces, edfs, ranges = {}, {}, {}
    for key, table in models.items():
        spaces[key], edfs[key] = space_table(table), edf_table(table)
        named = ("space", "arch", "error")
        ranges[key] = parameter_ranges(table, [str(name) for name in table if name not in named])
    tables = {
        name: pd.concat(
            [table.assign(dataset=key)[["dataset", *table]] for key, table in group.items()],
            ignore_index=True,
        )
        for name, group in (("spaces", spaces), ("edf", edfs), ("ranges", ranges))
    }
    finished = any(len(table) for table in edfs.values())
    return SpaceSection(
        spaces=_spaces_html(tables["spaces"], study),
        ranges=_ranges_html(tables["ranges"], study) if finished else None,
        tables=tables,
        figures=_plan_figures(edfs, ranges, study) if finished else {},
        summary=_summary(tables["spaces"], study),
    )


def _plan_figures(
    edfs: dict[str, pd.DataFrame], ranges: dict[str, pd.DataFrame], study: Study
) -> Plan:
    titles = {study.dataset_title(key): table for key, table in edfs.items()}
    labels = {study.dataset_title(key): study.error_label(key) for key in edfs}
    edf, good = SPACES
    planned = {edf.key: plan_figure("spaces", edf, partial(edf.load(), titles, labels))}
    for key, table in ranges.items():
        parameters = drawn_parameters(table)
        if parameters:
            name = good.key if len(ranges) == 1 else f"{good.key}_{key}"
            draw = partial(good.load(), table, parameters)
            planned[name] = plan_figure("spaces", good, draw, dataset=study.dataset_title(key))
    return planned


def _spaces_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    rows = []
    for row in table.to_dict("records"):
        cells = [study.dataset_title(row["dataset"]), row["space"]]
        cells += [f"{row['n']} of {row['planned']}", number(row["best"], 2)]
        for name in ("median", "mean"):
            cells.append(estimate_text(row[name], row[f"ci_low_{name}"], row[f"ci_high_{name}"]))
        rows.append(cells)
    return HtmlTable(
        caption="Test errors of the architectures of each design space, in percent, with "
        "95 % bootstrap intervals over architectures.",
        headers=["data set", "space", "runs done", "best", "median [95 %]", "mean [95 %]"],
        rows=rows,
        csv="tables/spaces.csv",
        text_columns=(0, 1),
    )


def _ranges_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    shown = set(drawn_parameters(table))
    rows = []
    for row in table[table["parameter"].isin(shown)].to_dict("records"):
        best = [number(row[name]) for name in ("median", "low", "high")]
        everyone = [number(row[f"{name}_all"]) for name in ("median", "low", "high")]
        mode = DASH
        if pd.notna(row["mode"]):
            mode = f"{number(row['mode'])} ({number(100 * row['mode_share'], 0)} %)"
        cells = [study.dataset_title(row["dataset"]), row["space"]]
        cells += [parameter_label(row["parameter"]), str(row["n"])]
        cells += [f"{best[0]} ({best[1]} to {best[2]})", mode]
        rows.append([*cells, f"{everyone[0]} ({everyone[1]} to {everyone[2]})"])
    return HtmlTable(
        caption="Parameters of the best of a random quarter of a space's architectures: median "
        "(2.5th to 97.5th percentile), and the most frequent value of those with few; beside "
        "them those of all architectures. The file has all parameters.",
        headers=["data set", "space", "parameter", "n", "of the best", "most often", "of all"],
        rows=rows,
        csv="tables/ranges.csv",
        text_columns=(0, 1, 2),
    )


def _summary(table: pd.DataFrame, study: Study) -> str:
    names = list(dict.fromkeys(table["space"]))
    text = f"It compares {count(len(names), 'design space')}: {listing(names)}."
    for key, rows in table.groupby("dataset", sort=False):
        known = rows.dropna(subset=["median"])
        if len(known):
            best = known.sort_values("median", kind="stable").iloc[0]
            interval = interval_text(best["ci_low_median"], best["ci_high_median"])
            text += (
                f" On {study.dataset_title(str(key))} the median error is lowest in "
                f"{best['space']}, {number(best['median'], 2)} % (95 % interval {interval})."
            )
    return text
