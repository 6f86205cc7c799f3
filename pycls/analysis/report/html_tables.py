"""The tables and facts of a study as texts, for the report's page."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import correlation_of
from pycls.analysis.statistics.dependent import difference_of
from pycls.analysis.statistics.pair_statistics import PAIR_STATISTICS
from pycls.analysis.tables.best import MOST, SHOWN, STAGED
from pycls.analysis.tables.study_tables import AVERAGE
from pycls.analysis.wording import (
    DASH,
    RHO,
    count,
    estimate_text,
    number,
    p_cell,
    percent_text,
    rho_estimate,
    rho_interval,
    rho_number,
)


@dataclass(frozen=True)
class HtmlTable:
    """A table of texts.

    Attributes:
        caption: what it shows.
        groups: (label, columns spanned) of a first header row; empty for none.
        headers: one per column.
        rows: texts, one per column.
        csv: path of the same table as a file, relative to the page.
        text_columns: indices of columns that hold words and are set flush left.
        has_total: the last row sums up the others.
        summary: of the sweep analysis, what the table is folded under; empty: it is not.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    csv: str = ""
    groups: Sequence[tuple[str, int]] = ()
    text_columns: Sequence[int] = (0,)
    has_total: bool = False
    summary: str = ""


RHO_HEADERS = (f"{RHO} [95 %]", "one left out", "n", "p")
STATISTIC_HEADERS = tuple(header for header, _ in PAIR_STATISTICS.values())


def rho_html(table: pd.DataFrame, study: Study, lost: Mapping[str, Sequence[str]]) -> HtmlTable:
    """Return the answer's table: each target with the reference and its closest member.

    Args:
        table: as from :func:`pycls.analysis.tables.study_tables.rho_table`.
        study: for names and roles.
        lost: target -> texts of what choosing on the reference costs, and choosing at random.
    """
    reference = study.dataset_title(study.require_reference())
    with_members = bool(study.members())
    rows = []
    for row in table.to_dict("records"):
        if row["target"] == AVERAGE:
            if row["num_averaged"]:
                rows.append([*_average_cells(row, with_members), "", ""])
            continue
        cells = [row["title"], str(row["num_classes"]), *rho_cells(row, "_reference")]
        cells.append(p_cell(row["p_adjusted_reference"]))
        if with_members:
            found = difference_of(row)
            cells += [study.dataset_title(row["closest_member"]), *rho_cells(row, "_member")]
            cells += [estimate_text(found.difference, found.ci_low, found.ci_high), str(found.n)]
            cells += [p_cell(found.p_value), p_cell(row["p_adjusted_difference"])]
        rows.append([*cells, *lost.get(row["target"], (DASH, DASH))])
    groups = [("Target", 2), (f"With the reference, {reference}", 1 + len(RHO_HEADERS))]
    headers = ["data set", "classes", *RHO_HEADERS, "adjusted"]
    compared = "."
    if with_members:
        groups += [("With the closest family member", 1 + len(RHO_HEADERS))]
        groups += [("Member less reference", 4)]
        headers += ["member", *RHO_HEADERS, f"{RHO} difference [95 %]", "n", "p", "adjusted"]
        compared = (
            f", and on the family member closest in class count. The difference is {RHO} with the "
            f"member less {RHO} with the reference."
        )
    return HtmlTable(
        caption=f"Spearman's {RHO} between the architectures' test errors on each target and on "
        f"the reference, {reference}{compared} Lost: the error on the target of the architecture "
        "that is best on the reference, or of one drawn at random, less the lowest error on the "
        "target.",
        headers=[*headers, "points", "at random"],
        rows=rows,
        csv="tables/rho.csv",
        groups=[*groups, ("Lost", 2)],
        text_columns=(0, 3 + len(RHO_HEADERS)) if with_members else (0,),
        has_total=len(rows) > len(study.targets),
    )


def structure_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    """Return rho of the error with cumulative depth and width."""
    rows = [
        [row["title"], *rho_cells(row, "_cum_depth"), *rho_cells(row, "_cum_width")]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption=f"Spearman's {RHO} between test error and cumulative depth (sum of the stages' "
        "depths) or cumulative width (sum of the stages' widths). Negative: deeper or wider "
        "architectures tend to have lower error.",
        headers=["data set", *RHO_HEADERS, *RHO_HEADERS],
        rows=rows,
        csv="tables/structure.csv",
        groups=[
            ("", 1),
            ("Cumulative depth", len(RHO_HEADERS)),
            ("Cumulative width", len(RHO_HEADERS)),
        ],
    )


def pairs_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    """Return rho of every pair of data sets."""
    rows = [
        [
            *(study.dataset_title(row[f"dataset_{side}"]) for side in "ab"),
            *rho_cells(row),
            *statistic_cells(row),
        ]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption=f"Spearman's {RHO} between the test errors of every pair of data sets.",
        headers=["data set", "data set", *RHO_HEADERS, *STATISTIC_HEADERS],
        rows=rows,
        csv="tables/pairs.csv",
        text_columns=(0, 1),
    )


def errors_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    """Return how the population did on each data set."""
    rows = [
        [
            *(row["title"], row["error_metric"].replace("top", "top-")),
            f"{row['done']} of {row['planned']}",
            *(number(row[name], 2) for name in ("median", "best", "worst", "spread")),
            number(100 * row["tied_pairs"], 1),
        ]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption="Test errors of the population, in percent. Spread is the 90th less the 10th "
        "percentile; tied is the share of pairs of architectures with the same error, in percent.",
        headers=["data set", "error", "runs done", "median", "best", "worst", "spread", "tied"],
        rows=rows,
        csv="tables/datasets.csv",
        text_columns=(0, 1),
    )


def datasets_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    """Return what the data sets are."""
    rows = [
        [
            *(row["title"], _role(study, row["dataset"])),
            *(plain(row[name]) for name in ("num_classes", "train_images", "test_images")),
            f"{row['im_size']} px" if not pd.isna(row["im_size"]) else DASH,
            *(plain(row["epochs"]), row["regime"] or DASH),
        ]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption="Data sets, and how long each architecture was trained on them.",
        headers=[
            *("data set", "role", "classes", "training images", "test images", "size"),
            *("epochs", "regime"),
        ],
        rows=rows,
        text_columns=(0, 1, 7),
    )


def dataset_notes(study: Study) -> list[tuple[str, str]]:
    """Return each data set's title with its description, origin and fingerprint."""
    notes = []
    for key in dict.fromkeys([*study.dataset_keys(), *study.datasets]):
        facts = study.datasets[key]
        parts = [_sentence(str(facts["description"]))] if facts.get("description") else []
        if facts.get("view_of") in study.datasets:
            parts.append(f"A view of {study.dataset_title(facts['view_of'])}.")
        if facts.get("part_of_title"):
            parts.append(f"Its images are part of {facts['part_of_title']}.")
        if facts.get("mirror") is False:
            parts.append("Never mirrored: that would change the class.")
        for label, name in (("Split", "split_rule"), ("Source", "source"), ("Licence", "licence")):
            if facts.get(name):
                parts.append(_sentence(f"{label}: {facts[name]}"))
        if facts.get("fingerprint"):
            parts.append(f"Fingerprint: {str(facts['fingerprint'])[:16]}.")
        if parts:
            notes.append((study.dataset_title(key), " ".join(parts)))
    return notes


def noise_html(table: pd.DataFrame, study: Study) -> HtmlTable | None:
    """Return the spread of the repeats beside the population's; None where there are none."""
    if table.empty:
        return None
    rows = [
        [
            *(row["title"], row["arch"], str(row["n_seeds"])),
            *(number(row[name], 2) for name in ("median_repeats", "spread_repeats")),
            str(row["n_population"]),
            *(number(row[name], 2) for name in ("median_population", "spread_population", "ratio")),
        ]
        for row in table.to_dict("records")
    ]
    return HtmlTable(
        caption="Median test error (%) and spread (90th less 10th percentile, in points) of one "
        "architecture retrained under several seeds, and of the population. The ratio is the "
        "population's spread to that of the one architecture.",
        headers=[
            *("data set", "architecture", "seeds", "median", "spread"),
            *("n", "median", "spread", "ratio of spreads"),
        ],
        rows=rows,
        csv="tables/noise.csv",
        groups=[("", 1), ("One architecture", 4), ("Population", 3), ("", 1)],
        text_columns=(0, 1),
    )


def regimes_html(study: Study) -> HtmlTable | None:
    """Return the training recipes, a column each; None where none is described."""
    if not study.regimes:
        return None
    names = list(study.regimes)
    settings = dict.fromkeys(key for regime in study.regimes.values() for key in regime)
    rows = [
        [label, *(plain(study.regimes[name].get(setting)) for name in names)]
        for setting, label in _labelled(settings, _REGIME_LABELS)
    ]
    return HtmlTable(
        caption="Training regimes.",
        headers=["setting", *names],
        rows=rows,
        text_columns=range(len(names) + 1),
    )


def population_facts(study: Study) -> list[tuple[str, str]]:
    """Return how the architectures were drawn, as (what, value)."""
    facts = study.population
    return [
        (label, _population_value(key, facts[key]))
        for key, label in _labelled(facts, _POPULATION_LABELS)
    ]


def run_counts(results: pd.DataFrame) -> str:
    """Return planned, done, failed and missing runs in a sentence."""
    counts = results["status"].value_counts()
    done, failed, missing = (int(counts.get(name, 0)) for name in ("done", "failed", "missing"))
    return (
        f"{count(len(results), 'run')} planned: {done:,} done, {failed:,} failed, "
        f"{missing:,} missing."
    )


def seeds_text(runs: pd.DataFrame) -> str:
    """Return the training seeds of some runs: a list, or how many and their range."""
    seeds = sorted(int(seed) for seed in runs["seed"].dropna().unique())
    if not seeds:
        return DASH
    if len(seeds) <= 12:
        return ", ".join(str(seed) for seed in seeds)
    return f"{len(seeds):,} different ones, {seeds[0]} to {seeds[-1]}"


# What the keys of study.json are called on the page, and in which order they come.
_POPULATION_LABELS = {
    "space": "design space",
    "spaces": "design spaces",
    "libraries": "networks of other libraries",
    "stages": "stages",
    "depth": "depth d of a stage",
    "width": "width w of a stage",
    "bot_mul": "bottleneck multiplier 1/b",
    "group_w": "group width g",
    "strides": "strides of the stages",
    "block_type": "block",
    "stem_type": "stem",
    "stem_w": "stem width",
    "head_w": "head width (0: none)",
    "regime": "complexity regime",
    "resolution": "counted at resolution",
    "num_classes": "counted with classes",
    "size": "architectures",
    "drawn": "drawn",
    "accepted": "in the regime",
    "seed": "seed of the draw",
}
_RANGES = ("depth", "width", "bot_mul", "group_w")
_REGIME_LABELS = {
    "epochs": "epochs",
    "batch_size": "batch size",
    "optimizer": "optimizer",
    "base_lr": "learning rate",
    "lr_policy": "schedule",
    "warmup_epochs": "warm-up epochs",
    "momentum": "momentum",
    "weight_decay": "weight decay",
    "label_smoothing": "label smoothing",
    "pad": "padding before the random crop, pixels",
    "flip": "random mirroring",
}


def _labelled(keys: Iterable[str], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (key, label) of the keys, known ones in the order of their labels, others last."""
    keys = list(keys)
    known = [(key, label) for key, label in labels.items() if key in keys]
    return known + [(key, key.replace("_", " ")) for key in keys if key not in labels]


def _population_value(key: str, value: Any) -> str:
    if key == "spaces" and isinstance(value, Mapping):
        return ", ".join(f"{space} ({len(archs):,})" for space, archs in value.items())
    if key in _RANGES and isinstance(value, list) and len(value) == 2:
        return f"{plain(value[0])} to {plain(value[1])}"
    return plain(value)


def _sentence(text: str) -> str:
    """Return text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def plain(value: Any) -> str:
    """Return a value of a study's description as text; a dash where there is none."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {plain(entry)}" for key, entry in value.items()) or DASH
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(entry) for entry in value) or DASH
    if value is None or value == "" or pd.isna(value):
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def rho_cells(row: Mapping[Any, Any], suffix: str = "") -> list[str]:
    """Return the cells of a row's correlation under `RHO_HEADERS`."""
    found = correlation_of(row, suffix)
    if math.isnan(found.rho):
        return ["undefined", DASH, str(found.n), DASH]
    value = rho_estimate(found.rho, found.ci_low, found.ci_high)
    ends = f"{rho_number(found.one_out_low)} to {rho_number(found.one_out_high)}"
    return [value, ends, str(found.n), p_cell(found.p_value)]


def statistic_cells(row: Mapping[Any, Any]) -> list[str]:
    """Return the cells of a row's further statistics under `STATISTIC_HEADERS`."""
    return [rho_number(row[name]) for name in PAIR_STATISTICS]


def _average_cells(row: Mapping[Any, Any], with_members: bool) -> list[str]:
    label = f"Average over {count(int(row['num_averaged']), 'target')}"

    def mean(value: str, suffix: str) -> str:
        bounds = (row[f"ci_low{suffix}"], row[f"ci_high{suffix}"])
        sets = rho_interval(row[f"sets_low{suffix}"], row[f"sets_high{suffix}"])
        return f"{rho_estimate(row[value], *bounds)}; over data sets {sets}"

    empty = [""] * len(RHO_HEADERS)  # one_left_out, n, p, adjusted
    cells = [label, "", mean("rho_reference", "_reference"), *empty]
    if with_members:
        cells += ["", mean("rho_member", "_member"), *empty[1:]]
        cells += [mean("difference", "_difference"), "", "", ""]
    return cells


def _role(study: Study, key: str) -> str:
    if key == study.reference:
        return "reference"
    if key in study.family:
        return "family member"
    return "target" if key in study.targets else "other"


def best_html(table: pd.DataFrame, study: Study) -> HtmlTable | None:
    """Return the first few of each data set; None where there are no errors."""
    if table.empty:
        return None
    kinds = [name for name in STAGED if name in table]
    rows = []
    for key, group in table.groupby("dataset", sort=False):
        for place, row in enumerate(group.head(SHOWN).to_dict("records")):
            elsewhere = DASH
            if key != study.reference and pd.notna(row["rank_reference"]):
                elsewhere = f"{row['rank_reference']} of {row['n_reference']}"
            title = study.dataset_title(str(key)) if place == 0 else ""
            cells = [title, str(row["rank"]), row["arch"], number(row["error"], 2)]
            cells += [elsewhere] * (study.reference is not None)
            rows.append([*cells, *(row[kind] for kind in kinds)])
    where = [f"rank on {study.dataset_title(study.reference)}"] if study.reference else []
    first = 4 + len(where)
    return HtmlTable(
        caption=f"The architectures with the lowest test error on each data set, {SHOWN} at most, "
        f"and their parameters by stage. The file has up to {MOST}.",
        headers=["data set", "rank", "architecture", "error (%)", *where]
        + [STAGED[kind] for kind in kinds],
        rows=rows,
        csv="tables/best.csv",
        text_columns=(0, 2, *range(first, first + len(kinds))),
    )


def choice_html(table: pd.DataFrame, study: Study) -> HtmlTable:
    """Return the table of what a choice costs; that of zero-cost scores is in the file."""
    table = table[table["role"] != "score"]
    rows = []
    for key, group in table.groupby("target", sort=False):
        for place, row in enumerate(group.to_dict("records")):
            title = study.dataset_title(str(key)) if place == 0 else ""
            cells = [title, study.dataset_title(row["proxy"]), str(row["k"]), str(row["n"])]
            cells += [number(row[name], 2) for name in ("best", "chosen")]
            cells += [number(row[name], 2) for name in ("lost", "random_lost")]
            limits = (row["better"], row["ci_low_better"], row["ci_high_better"])
            rows.append([*cells, percent_text(*limits)])
    return HtmlTable(
        caption="What choosing costs: the k architectures with the lowest error on another data "
        "set are taken and trained on the target, and the best of them is kept. Errors in "
        "percent; lost is in points, against the target's own best, beside what k architectures "
        "drawn at random lose on average. Better: the share of the design space with a lower error "
        "on the target than the chosen.",
        headers=[
            *("target", "chosen on", "k", "n", "lowest error", "of the chosen"),
            *("lost", "lost at random", "better, % [95 %]"),
        ],
        rows=rows,
        csv="tables/choice.csv",
        text_columns=(0, 1),
    )
