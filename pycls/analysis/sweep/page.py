"""The page of a sweep's analysis: one HTML file with its figures inside."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from pycls.analysis.figures.spaces import space_edf_figure
from pycls.analysis.figures.style import RC
from pycls.analysis.report.html_tables import HtmlTable
from pycls.analysis.report.page import Picture, data_url, render_page, svg_pixels
from pycls.analysis.statistics.design_spaces import edf_table, space_table
from pycls.analysis.sweep.curves import curve_figure
from pycls.analysis.sweep.metrics import apply_filters, filters_text, is_unmeasured, metric_table
from pycls.analysis.sweep.networks import SweepNetwork, model_figure
from pycls.analysis.sweep.panels import good_values, trend_figure, value_figures
from pycls.analysis.sweep.sweep_json import ERRORS, PYCLS_ERROR, SweepRuns, sweep_notes
from pycls.analysis.wording import count, number
from pycls.errors import ConfigError
from pycls.files import write_text

Describe = Callable[[Mapping[str, Any]], SweepNetwork]
_MAX_BOOT_CELLS = 5e7  # runs x resamples; of very many runs fewer resamples do


@dataclass
class _Section:
    title: str
    intro: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[HtmlTable] = field(default_factory=list)


def write_analysis(
    path: str | os.PathLike[str],
    sweeps: Sequence[SweepRuns],
    options: Mapping[str, Any],
    describe: Describe,
    *,
    title: str,
    description: str = "",
    error: str = "final",
    texts: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Write the analysis of one sweep, or of several to compare.

    The same inputs give the same bytes.

    Args:
        path: of the page.
        sweeps: at least one, each with at least one run.
        options: pycls's ANALYZE section, complete.
        describe: makes a run's `cfg` a network to draw.
        title: of the page.
        description: under the title.
        error: which error the runs have, a key of :data:`ERRORS`.
        texts: (name, text) of what to show folded at the end, such as the sweep file.

    Returns:
        What a reader must know before trusting the numbers, as on the page.

    Raises:
        ConfigError: filters leave no run, or no run has a metric.
    """
    error_label = f"{ERRORS[error][2]} (%)"
    notes = [note for sweep in sweeps for note in sweep_notes(sweep)]
    sections = [_distributions("Error distributions", "", sweeps, error_label)]
    parts = list(sweeps)
    if options["PRE_FILTERS"]:
        within = filters_text(options["PRE_FILTERS"])
        parts = _pre_filtered(parts, options["PRE_FILTERS"], notes)
        if parts == list(sweeps):
            sections[0].intro = f"All runs are within PRE_FILTERS: {within}."
        else:
            kept = f"Runs within PRE_FILTERS only: {within}. All that follows is of these."
            title_filtered = "Error distributions, filtered"
            sections.append(_distributions(title_filtered, kept, parts, error_label))
    if options["SPLIT_FILTERS"]:
        if len(parts) == 1:
            parts = _split(parts[0], options["SPLIT_FILTERS"], notes)
            intro = "The parts of the sweep that SPLIT_FILTERS names; all that follows is by part."
            sections.append(_distributions("Error distributions, split", intro, parts, error_label))
        else:
            notes.append(
                "SPLIT_FILTERS has no effect beside EXTRA_SWEEP_NAMES: several sweeps are "
                "compared, not parts of one."
            )
    sections += _metric_sections(parts, options, "top-1 error (%)", notes)
    sections += _run_sections(parts, options, describe)
    context = {
        "title": title,
        "description": description,
        "summary": _summary(parts, error_label),
        "notes": notes,
        "sections": sections,
        "error": _error_text(error),
        "texts": texts,
    }
    write_text(path, render_page("sweep_analysis.html", context))
    return notes


def _pre_filtered(
    sweeps: Sequence[SweepRuns], filters: Mapping[str, Sequence[float]], notes: list[str]
) -> list[SweepRuns]:
    kept = []
    for sweep in sweeps:
        part = apply_filters(sweep, filters)
        if part.runs:
            kept.append(part)
        else:
            notes.append(f"{sweep.name}: no run is within PRE_FILTERS; the sweep is left out.")
    if not kept:
        total = sum(len(sweep.runs) for sweep in sweeps)
        raise ConfigError(
            f"ANALYZE.PRE_FILTERS ({filters_text(filters)}): none of {count(total, 'run')} is "
            "within them; loosen them, or run and collect more"
        )
    return kept


def _split(
    sweep: SweepRuns, filters: Mapping[str, Mapping[str, Sequence[float]]], notes: list[str]
) -> list[SweepRuns]:
    parts = []
    for name, limits in filters.items():
        part = apply_filters(sweep, limits, name)
        if part.runs:
            parts.append(part)
        else:
            notes.append(f"{name}: no run is within {filters_text(limits)}; the part is left out.")
    if not parts:
        raise ConfigError(
            f"ANALYZE.SPLIT_FILTERS: none of {count(len(sweep.runs), 'run')} is within any of "
            f"{', '.join(filters)}; loosen them, or run and collect more"
        )
    in_parts = {run.name for part in parts for run in part.runs}
    others = [run.name for run in sweep.runs if run.name not in in_parts]
    if others:
        notes.append(f"{count(len(others), 'run')} in no part: {', '.join(others)}.")
    return parts


def _distributions(
    title: str, intro: str, sweeps: Sequence[SweepRuns], error_label: str
) -> _Section:
    table = metric_table(sweeps, ())
    resamples = int(min(1000, max(100, _MAX_BOOT_CELLS // len(table.models))))
    edfs = {"Runs": edf_table(table.models, n_boot=resamples)}
    caption = (
        "Fraction of runs whose error is at most the value on the horizontal axis, with a "
        "pointwise 95 % bootstrap band over runs."
    )
    figure = space_edf_figure(edfs, {"Runs": error_label})
    figure.axes[0].set_ylabel("fraction of runs")  # which may all be of one architecture
    picture = _picture(figure, title, caption)
    rows = [
        [
            row["space"],
            str(row["n"]),
            *(number(row[name], 2) for name in ("best", "median")),
            _interval(row, "median"),
            number(row["mean"], 2),
            _interval(row, "mean"),
        ]
        for row in space_table(table.models).to_dict("records")
    ]
    headers = ["", "runs", "lowest", "median", "95 %", "mean", "95 %"]
    tables = [HtmlTable(f"{error_label}, with bootstrap intervals over runs", headers, rows)]
    return _Section(title, intro, [picture], [*tables, *map(_run_table, sweeps)])


def _interval(row: Mapping[Any, Any], name: str) -> str:
    low, high = row[f"ci_low_{name}"], row[f"ci_high_{name}"]
    return f"{number(low, 2)} to {number(high, 2)}"


def _run_table(sweep: SweepRuns) -> HtmlTable:
    """Return all runs by error, as pycls describes them."""
    shown = ("error_tst", "error_ema", "done")
    frame = metric_table([sweep], [name for name in shown if not is_unmeasured(sweep.runs, name)])
    columns = {label: frame.models[name].to_list() for name, label in frame.labels.items()}
    rows = []
    for place in frame.models["error"].argsort(kind="stable"):
        run = sweep.runs[place]
        cells = [number(values[place], 2) for values in columns.values()]
        rows.append(
            [run.name, number(run.error, 2), *cells, str(run.record["cfg"].get("DESC", ""))]
        )
    headers = ["run", "error (%)", *columns, "description"]
    label = f"{sweep.name}: {count(len(rows), 'run')} by error"
    return HtmlTable("", headers, rows, summary=label, text_columns=(0, len(headers) - 1))


def _metric_sections(
    parts: Sequence[SweepRuns], options: Mapping[str, Any], error_label: str, notes: list[str]
) -> Iterator[_Section]:
    runs = [run for part in parts for run in part.runs]
    for title, key in (("Metrics", "METRIC"), ("Complexity", "COMPLEXITY")):
        wanted = options["METRICS" if key == "METRIC" else key]
        absent = [name for name in wanted if is_unmeasured(runs, name)]
        notes += [f"{title}: no run has logged {name}; it is left out." for name in absent]
        names = [name for name in wanted if name not in absent]
        show_values = options[f"PLOT_{key}_VALUES"]
        show_trends = options[f"PLOT_{key}_TRENDS"] and len(parts) > 1
        if not names or not (show_values or show_trends):
            continue
        table, constant = metric_table(parts, names).without_constants()
        section = _Section(title)
        if constant:
            listed = ", ".join(f"{label}: {value}" for label, value in constant.items())
            section.intro = f"The same in all runs: {listed}."
        if not table.labels:
            yield section
            continue
        section.tables.append(_good_table(good_values(table)))
        if show_values:
            caption = (
                "Error against the metric, a point per run, with Spearman's rho, its 95 % "
                "interval and p-value. Band: good values; line: their median."
            )
            for name, figure in value_figures(table, error_label):
                picture = _picture(figure, f"Error and {name or title.lower()}", caption)
                section.pictures.append(picture)
                caption = ""  # once is enough
        if show_trends:
            caption = (
                f"Each metric from one to the next of: {', '.join(part.name for part in parts)}."
            )
            section.pictures.append(_picture(trend_figure(table), f"{title}: trends", caption))
        yield section


def _good_table(ranges: pd.DataFrame) -> HtmlTable:
    rows = [
        [
            row["label"],
            row["space"],
            str(row["n"]),
            str(row["k"]),
            *(f"{row[name]:.4g}" for name in ("low", "median", "high")),
            f"{row['low_all']:.4g} to {row['high_all']:.4g}",
        ]
        for row in ranges.sort_values("label", kind="stable").to_dict("records")
    ]
    headers = ["metric", "", "runs", "k", "low", "median", "high", "middle 95 % of all"]
    caption = "Good values: those that the best of k runs drawn with replacement has, in 95 %."
    folded = "Good values as numbers"
    return HtmlTable(caption, headers, rows, summary=folded, text_columns=(0, 1))


def _run_sections(
    parts: Sequence[SweepRuns], options: Mapping[str, Any], describe: Describe
) -> Iterator[_Section]:
    for what in ("CURVES", "MODELS"):
        for which in ("BEST", "WORST"):
            wanted = options[f"PLOT_{what}_{which}"]
            if not wanted:
                continue
            shown = "errors by epoch" if what == "CURVES" else "networks"
            section = _Section(f"{which.capitalize()} runs: {shown}")
            for part in parts:
                runs = part.by_error(which == "WORST")[:wanted]
                name = f"{part.name}: {which.lower()} {len(runs)} of {len(part.runs)}"
                if what == "CURVES":
                    figure, caption = curve_figure(runs), _CURVES
                else:
                    networks = [describe(run.record["cfg"]) for run in runs]
                    figure, caption = model_figure(runs, networks), _MODELS
                section.pictures.append(_picture(figure, name, "" if section.pictures else caption))
            yield section


_CURVES = (
    "Top-1 errors by epoch; the axis is logarithmic where they span much. The training error is "
    "the one measured while training, on augmented images; the ring marks the lowest test error."
)
_MODELS = (
    "Width of each block, on a logarithmic axis; rings mark the first block of a stage, the "
    "dotted line is a RegNet's width before quantisation. d, w: depth and width of each stage; "
    "g: group width; b: bottleneck ratio, one value where all stages have the same."
)


def _picture(figure: Figure, title: str, caption: str) -> Picture:
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return Picture("", title, caption, *svg_pixels(svg), data_url(svg, "image/svg+xml"))


def _summary(parts: Sequence[SweepRuns], error_label: str) -> list[str]:
    texts = []
    for part in parts:
        best = part.by_error()[0]
        median = float(pd.Series([run.error for run in part.runs]).median())
        texts.append(
            f"{part.name}: {count(len(part.runs), 'run')}, lowest {number(best.error, 2)} % "
            f"(run {best.name}), median {number(median, 2)} %."
        )
    label = error_label.removesuffix(" (%)")
    return [f"{label[0].upper()}{label[1:]}:", *texts]


def _error_text(error: str) -> str:
    text = f"The error of a run is its {ERRORS[error][2]}, in percent."
    if ERRORS[error][1] == "lowest":
        text += (
            " An error chosen as the lowest of all epochs on the test images is lower than what "
            "new images would give, the more so the more it varies from epoch to epoch."
        )
    if error == PYCLS_ERROR:
        return f"{text} This is the error that pycls analyses."
    return f"{text} pycls analyses the {ERRORS[PYCLS_ERROR][2]} (--error {PYCLS_ERROR})."
