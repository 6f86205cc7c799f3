"""The main tables of a study: each function returns a DataFrame with plain column names.

Errors and spreads are in percent. Every rho comes with the number of architectures it was
computed over, its 95 % interval and its p-value; where it is undefined, all are NaN.
"""

import math
import os
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.inputs.results_csv import population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.averages import average, paired_influence
from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    Correlation,
    correlation_columns,
    spearman,
)
from pycls.analysis.statistics.dependent import Difference, compare_rhos, difference_columns
from pycls.analysis.statistics.distribution import edf, spread, tied_share
from pycls.analysis.statistics.multiple import adjust_p_values
from pycls.analysis.statistics.pair_statistics import PAIR_STATISTICS, pair_columns
from pycls.analysis.statistics.proxies import closest_member
from pycls.files import csv_text, write_text

AVERAGE = "average"
_COMPARED = (
    "p_reference",
    "p_difference",
)  # tests that are adjusted together


def rho_table(errors: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how well reference and closest member predict each target (paper, Table 3).

    Args:
        errors: architectures x data sets, in percent.
        study: which sets are reference, members and targets.

    Returns:
        A row per target: target, title, num_classes, then with the reference rho_reference,
        n_reference, ci_low_reference, ci_high_reference, p_reference, one_out_low_reference,
        one_out_high_reference; closest_member and the same with it (..._member; without a
        family they are empty); difference (member less reference, on architectures with all
        three errors), n_difference, ci_low_difference, ci_high_difference, p_difference;
        p_adjusted_reference and p_adjusted_difference (Holm, over both of all targets). A last
        row "average" holds the means over the targets where both rhos are defined (only the
        reference's without a family), in num_averaged their number, and two intervals: over
        architectures (ci_low_... as above) and over data sets (sets_low_..., sets_high_...); see
        :class:`pycls.analysis.statistics.averages.Average`.
    """
    members, reference = study.members(), study.require_reference()
    rows = []
    for key in study.targets:
        with_reference = spearman(errors[reference], errors[key])
        member = closest_member(study.num_classes(key), members) if members else None
        with_member, difference = Correlation(), Difference()
        if member:
            with_member = spearman(errors[member], errors[key])
            difference = compare_rhos(errors[reference], errors[member], errors[key])
        rows.append(
            {
                "target": key,
                "title": study.dataset_title(key),
                "num_classes": study.num_classes(key),
                **correlation_columns(with_reference, "_reference"),
                "closest_member": member or "",
                **correlation_columns(with_member, "_member"),
                **difference_columns(difference),
                "num_averaged": None,
            }
        )
    _adjust(rows)
    return _with_average(rows, errors, reference)


def structure_table(
    errors: pd.DataFrame,
    architectures: pd.DataFrame,
    study: Study,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return rho of the error with cumulative depth and width (paper, Table 4, Fig. 7).

    Args:
        errors: architectures x data sets, in percent.
        architectures: as from :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        study: for names and order.
        keys: of the data sets; all of the population without them.

    Returns:
        A row per data set: dataset, title, then rho, n, ci_low, ci_high, p with the
        suffixes _cum_depth and _cum_width. A negative rho: more of it, less error.
    """
    values = architectures.reindex(errors.index)
    return pd.DataFrame(
        [
            {
                "dataset": key,
                "title": study.dataset_title(key),
                **correlation_columns(spearman(values["cum_depth"], errors[key]), "_cum_depth"),
                **correlation_columns(spearman(values["cum_width"], errors[key]), "_cum_width"),
            }
            for key in (study.dataset_keys() if keys is None else keys)
        ]
    )


def pair_table(errors: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return :func:`pairs_of` all data sets of a study's population."""
    return pairs_of(errors, study.dataset_keys())


def pairs_of(
    errors: pd.DataFrame, keys: Iterable[str], families: pd.Series | None = None
) -> pd.DataFrame:
    """Return how alike every pair of data sets ranks the architectures.

    Args:
        errors: architectures x data sets.
        keys: which of the data sets, in order.
        families: of the architectures; see :func:`pycls.analysis.statistics.spearman`.

    Returns:
        A row per pair: dataset_a, dataset_b, rho, n, ci_low, ci_high, p, and a column for each
        of :data:`pycls.analysis.statistics.pair_statistics.PAIR_STATISTICS`.
    """
    rows = [
        {"dataset_a": a, "dataset_b": b, **pair_columns(errors[a], errors[b], families)}
        for a, b in combinations(keys, 2)
    ]
    names = ["dataset_a", "dataset_b", *CORRELATION_COLUMNS, *PAIR_STATISTICS]
    return pd.DataFrame(rows, columns=names)


def dataset_table(results: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return what each data set is and how the population did on it.

    Returns:
        A row per data set: dataset, title, num_classes, train_images, test_images,
        im_size, epochs, regime, error_metric, planned and done (runs of the population),
        then of the n finite errors median, best, worst and spread (90th less 10th
        percentile), zero (how many are 0) and tied_pairs (share of pairs with the same error).
    """
    population = population_runs(results, study)
    rows = []
    for key in study.dataset_keys():
        runs = population[population["dataset"] == key]
        done = runs[runs["status"] == "done"]
        values, _ = edf(done["error"])
        facts = study.datasets[key]
        rows.append(
            {
                "dataset": key,
                "title": study.dataset_title(key),
                "num_classes": study.num_classes(key),
                **{name: facts.get(name) for name in ("train_images", "test_images", "im_size")},
                "epochs": next(iter(runs["epochs"].dropna()), None),
                "regime": runs["regime"].iloc[0] if len(runs) else "",
                "error_metric": facts["error_metric"],
                "planned": len(runs),
                "done": len(done),
                "n": len(values),
                "median": float(np.median(values)) if len(values) else math.nan,
                "best": values.min(initial=math.inf) if len(values) else math.nan,
                "worst": values.max(initial=-math.inf) if len(values) else math.nan,
                "spread": spread(values),
                "zero": int((values == 0).sum()),
                "tied_pairs": tied_share(values),
            }
        )
    counts = ("train_images", "test_images", "im_size", "epochs")
    return pd.DataFrame(rows).astype(dict.fromkeys(counts, "Int64"))


def noise_table(errors: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the spread of retrained architectures beside the population's.

    Args:
        errors: architectures x data sets, in percent.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        study: for names.

    Returns:
        A row per sweep of repeats and architecture: sweep, dataset, title, arch, n_seeds,
        median_repeats, spread_repeats, n_population, median_population, spread_population
        and ratio (population to repeats; NaN with fewer than two seeds or no spread at all).
    """
    names = ["sweep", "dataset", "title", "arch", "n_seeds", "median_repeats"]
    names += ["spread_repeats", "n_population", "median_population", "spread_population", "ratio"]
    rows = []
    for group, runs in repeats.groupby(["sweep", "arch", "dataset"]):
        sweep, arch, key = (str(part) for part in group)
        of_repeats, of_population = spread(runs["error"]), spread(errors[key])
        measurable = len(runs) > 1 and of_repeats > 0
        rows.append(
            (
                *(sweep, key, study.dataset_title(key), arch, len(runs)),
                *(float(runs["error"].median()), of_repeats if len(runs) > 1 else math.nan),
                *(int(errors[key].notna().sum()), float(errors[key].median()), of_population),
                of_population / of_repeats if measurable else math.nan,
            )
        )
    return pd.DataFrame(rows, columns=names)


def table_text(table: pd.DataFrame) -> str:
    """Return a table as CSV with fixed formats, so that equal tables are equal bytes.

    Numbers have 12 significant digits, which hides the rounding of sums but nothing that was
    measured, and below 1e-12 they are 0; p-values are never. What is missing is empty.
    """
    columns = []
    for name, values in table.items():
        template = "{}"
        if pd.api.types.is_float_dtype(values):
            template = "{:.12g}"
            if name != "p" and not str(name).startswith("p_"):
                values = values.round(12) + 0.0  # no minus zero
        columns.append(["" if pd.isna(value) else template.format(value) for value in values])
    return csv_text([list(table), *zip(*columns, strict=True)])


def write_table(table: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table as CSV, atomically; see :func:`table_text`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, table_text(table))
    return path


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Add p-values that are adjusted for all comparisons with targets."""
    adjusted = adjust_p_values([row[name] for row in rows for name in _COMPARED])
    for place, row in enumerate(rows):
        for offset, name in enumerate(_COMPARED):
            column = name.replace("p_", "p_adjusted_")
            row[column] = float(adjusted[place * len(_COMPARED) + offset])


def _with_average(
    rows: Sequence[dict[str, Any]], errors: pd.DataFrame, reference: str
) -> pd.DataFrame:
    """Append the average row: over the same targets for every column, so that they agree."""
    with_members = any(row["closest_member"] for row in rows)
    used = [
        row
        for row in rows
        if math.isfinite(row["rho_reference"])
        and (not with_members or math.isfinite(row["difference"]))
    ]
    means: dict[str, Any] = {"target": AVERAGE, "title": "Average", "num_averaged": len(used)}
    of_reference = [paired_influence(errors[reference], errors[r["target"]])[1] for r in used]
    of_member = [
        paired_influence(errors[row["closest_member"]], errors[row["target"]])[1]
        for row in used
        if with_members
    ]
    gains = [member - other for member, other in zip(of_member, of_reference, strict=False)]
    for value, suffix, influences, limit in (
        ("rho_reference", "_reference", of_reference, 1),
        ("rho_member", "_member", of_member, 1),
        ("difference", "_difference", gains, 2),
    ):
        found = average([row[value] for row in used], influences, limit=limit)
        means |= {value: found.value}
        for bound in ("ci_low", "ci_high", "sets_low", "sets_high"):
            means[f"{bound}{suffix}"] = getattr(found, bound)
        if len(used) == 1:  # the interval of few architectures is another than a mean's
            means |= {key: used[0][key] for key in (f"ci_low{suffix}", f"ci_high{suffix}")}
    means["closest_member"] = ""
    table = pd.DataFrame([*rows, means])
    counts = ("num_classes", "n_reference", "n_member", "n_difference", "num_averaged")
    return table.astype({name: "Int64" for name in counts if name in table})
