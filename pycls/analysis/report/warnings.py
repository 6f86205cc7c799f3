"""The warnings of a report: sentences to read before trusting a study's numbers."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from pycls.analysis.inputs.results_csv import population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.intervals import fisher_interval
from pycls.analysis.statistics.pairs import MIN_PAIRS
from pycls.analysis.tables.study_tables import AVERAGE
from pycls.analysis.wording import (
    MAX_TIED,
    MINUS,
    RHO,
    count,
    interval_text,
    listing,
    number,
    rho_number,
    ties_text,
)

FEW_ARCHITECTURES = 30
MAX_SATURATED = 0.1  # fraction of errors at zero from which a set is reported
MIN_NOISE_RATIO = 2.0
MAX_NAMES = 40  # of architectures in a row; the others are counted
# A network is as good as untrained from this share of the error of guessing, and from this many
# times the median error.
UNTRAINED_SHARE = 0.75
UNTRAINED_TIMES = 3.0
FEW_NAMES = 5  # in a sentence
GUESSING_MARGIN = 1.0  # points of error above guessing from which a set is reported


def study_warnings(
    results: pd.DataFrame, study: Study, tables: Mapping[str, pd.DataFrame]
) -> list[str]:
    """Return the warnings of a report, most general first.

    Args:
        results: as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        study: as from :func:`pycls.analysis.inputs.study_json.load_study`.
        tables: of :mod:`pycls.analysis.tables.study_tables`: "datasets", "noise" and, where
            there is a reference, "rho"; none where the study has no population of its own.

    Returns:
        Sentences; empty where there is nothing to warn of.
    """
    if not study.sweeps_of_role("main"):
        return _undone(results)
    datasets = tables["datasets"]
    if not datasets["n"].any():
        return ["No run of the population has finished, so there is nothing to compare yet."]
    return [
        *_incomplete(results, datasets),
        *_few(datasets),
        *_parts_of_others(study),
        *_unequal_epochs(population_runs(results, study), study),
        *_worse_than_guessing(datasets),
        *_untrained(population_runs(results, study), datasets),
        *(_degenerate(tables["rho"]) if "rho" in tables else []),
        *(_apart(tables["apart"], study) if "apart" in tables else []),
        *_saturated(datasets),
        *_near_noise(tables["noise"]),
    ]


def _apart(table: pd.DataFrame, study: Study) -> list[str]:
    """Name the architectures that stand apart from all others, in one warning."""
    texts = [
        f"{row['archs']} on {study.dataset_title(row['target'])} and "
        f"{study.dataset_title(row['proxy'])} ({RHO} {rho_number(row['rho'])}, without "
        f"{rho_number(row['rho_without'])})"
        for row in table.to_dict("records")
    ]
    if not texts:
        return []
    return [
        f"Architectures that stand apart from the order of all others: {'; '.join(texts)}. Look at "
        f"their training; the intervals of {RHO} hold those without them too."
    ]


def undone_runs(results: pd.DataFrame) -> list[tuple[str, str]]:
    """Return each sweep that has failed or missing runs, with the names of their architectures."""
    undone = results[results["status"] != "done"]
    listed = []
    for sweep, runs in undone.groupby("sweep", sort=False):
        texts = []
        for status, group in runs.groupby("status"):
            names = [
                f"{row.arch} (seed {row.seed})" if several else str(row.arch)
                for row, several in zip(
                    group.itertuples(), group["arch"].duplicated(keep=False), strict=True
                )
            ]
            more = len(names) - MAX_NAMES
            texts.append(
                f"{status}: {', '.join(names[:MAX_NAMES])}"
                + (f" and {count(more, 'other')}" if more > 0 else "")
            )
        listed.append((str(sweep), "; ".join(texts)))
    return listed


def _undone(results: pd.DataFrame) -> list[str]:
    undone = int((results["status"] != "done").sum())
    if not undone:
        return []
    return [
        f"The study is incomplete: {count(undone, 'run')} of {len(results):,} "
        f"{'has' if undone == 1 else 'have'} failed or "
        f"{'is' if undone == 1 else 'are'} missing. Each {RHO} is computed over the "
        "architectures that have both errors, so n may differ between them."
    ]


def _parts_of_others(study: Study) -> list[str]:
    """Warn of sets whose images are among those of another one."""
    warnings = []
    for key in study.dataset_keys():
        whole = study.datasets[key].get("part_of")
        among = [
            study.dataset_title(other)
            for other in study.dataset_keys()
            if whole and study.datasets[other].get("catalogue_key") == whole
        ]
        if among:
            warnings.append(
                f"The images of {study.dataset_title(key)} are among those of {listing(among)}: "
                f"their {RHO} says less about other data than that of independent sets."
            )
    return warnings


def _incomplete(results: pd.DataFrame, datasets: pd.DataFrame) -> list[str]:
    unplanned, lost, undone = [], [], []
    for row in datasets.to_dict("records"):
        title = row["title"]
        if row["planned"] == 0:
            unplanned.append(title)
        elif row["n"] < row["done"]:
            lost.append(f"{row['done'] - row['n']} of {title}")
        if row["done"] < row["planned"]:
            undone.append(f"{row['done']} of {row['planned']} on {title}")
    warnings = _undone(results)
    if undone:
        warnings.append(f"Architectures done: {listing(undone)}.")
    if lost:
        warnings.append(f"Finished runs without a finite error are left out: {listing(lost)}.")
    if unplanned:
        warnings.append(f"No run of the population is planned on {listing(unplanned)}.")
    return warnings


def _few(datasets: pd.DataFrame) -> list[str]:
    row = min(datasets.to_dict("records"), key=lambda record: record["n"])
    few, title = int(row["n"]), row["title"]
    if few >= FEW_ARCHITECTURES:
        return []
    least = f"Few architectures: {title} has only {count(few, 'error')}"
    if few < MIN_PAIRS:
        return [f"{least}, and {RHO} needs at least {MIN_PAIRS}."]
    interval = interval_text(*fisher_interval(0.5, few))
    return [f"{least}. At n = {few} the 95 % interval of a {RHO} of 0.50 is {interval}."]


def _unequal_epochs(population: pd.DataFrame, study: Study) -> list[str]:
    mixed = []
    done = population[population["status"] == "done"]
    for key, runs in done.groupby("dataset", sort=False):
        epochs = runs["epochs"].dropna()
        if epochs.nunique() > 1:
            mixed.append(f"{epochs.min()} to {epochs.max()} on {study.dataset_title(str(key))}")
    if mixed:
        return [
            f"Architectures were trained for different numbers of epochs: {listing(mixed)}; their "
            "errors differ by that too."
        ]
    by_set = done.groupby("dataset")["epochs"].max().dropna()
    if by_set.nunique() > 1:
        return [
            f"Data sets were trained for different numbers of epochs ({by_set.min()} to "
            f"{by_set.max()}), so two of them differ in more than their images."
        ]
    return []


def _worse_than_guessing(datasets: pd.DataFrame) -> list[str]:
    worse = []
    for row in datasets[datasets["error_metric"] == "top1"].to_dict("records"):
        guessing = 100 - 100 / row["num_classes"]
        if row["median"] > guessing + GUESSING_MARGIN:
            median, chance = number(row["median"], 2), number(guessing, 2)
            worse.append(f"{median} % on {row['title']}, where guessing has {chance} %")
    if not worse:
        return []
    return [
        f"Median errors above those of guessing among classes of one size: {listing(worse)}. "
        "Training failed there, one class is far more frequent on one side, or the numbers are "
        "accuracies and not errors."
    ]


def _untrained(population: pd.DataFrame, datasets: pd.DataFrame) -> list[str]:
    """Return, in one sentence, the networks that came out as if they had hardly been trained."""
    found = []
    done = population[population["status"] == "done"]
    for row in datasets.to_dict("records"):
        k = 1 if row["error_metric"] == "top1" else min(5, row["num_classes"])
        guessing = 100 - 100 * k / row["num_classes"]
        least = max(UNTRAINED_SHARE * guessing, UNTRAINED_TIMES * row["median"])
        runs = done[(done["dataset"] == row["dataset"]) & (done["error"] > least)]
        if guessing > 0 and len(runs):
            worst = [f"{run.arch} {number(run.error, 2)} %" for run in runs.itertuples()]
            more = f" and {len(worst) - FEW_NAMES:,} more" if len(worst) > FEW_NAMES else ""
            found.append(
                f"{row['title']}: {listing(worst[:FEW_NAMES])}{more}, where the median is "
                f"{number(row['median'], 2)} %"
            )
    if not found:
        return []
    return [
        f"Networks that hardly learned anything: {'; '.join(found)}. Training failed there (a "
        "learning rate too high for them, most often); they stretch every axis and weigh on the "
        "rest."
    ]


def _degenerate(rho: pd.DataFrame) -> list[str]:
    targets = rho[rho["target"] != AVERAGE]
    for suffix in ("_reference", "_member"):
        if (targets[f"rho{suffix}"].abs() >= 1).any():
            return [
                f"A {RHO} of exactly 1 or {MINUS}1 says little with few architectures; its "
                "interval is that of the same ranking with two neighbours swapped, and as that it "
                "is compared with others."
            ]
    return []


def _saturated(datasets: pd.DataFrame) -> list[str]:
    constant, saturated, tied = [], [], []
    for row in datasets[datasets["n"] > 0].to_dict("records"):
        title = row["title"]
        if row["n"] > 1 and row["best"] == row["worst"]:
            constant.append(f"all {row['n']} are {number(row['best'], 2)} % on {title}")
        elif row["zero"] > MAX_SATURATED * row["n"]:
            saturated.append(f"{row['zero']} of {row['n']} are 0 on {title}")
        elif row["tied_pairs"] > MAX_TIED:
            tied.append(row)
    warnings = []
    if constant:
        warnings.append(
            f"Errors that do not differ: {listing(constant)}. Architectures cannot be ranked by "
            f"them, and every {RHO} with them is undefined."
        )
    if saturated:
        warnings.append(
            f"Saturated errors: {listing(saturated)}; the architectures behind them cannot be "
            "ranked."
        )
    return [*warnings, *([_ties(tied)] if tied else [])]


def _ties(rows: list[dict[Hashable, Any]]) -> str:
    """Return which sets have many equal errors, and how coarse the coarsest errors are."""
    text = ties_text([f"{number(100 * row['tied_pairs'], 0)} % on {row['title']}" for row in rows])
    known = [row for row in rows if row["test_images"] and not pd.isna(row["test_images"])]
    if not known:
        return text
    row = min(known, key=lambda each: each["test_images"])
    return (
        f"{text} One of the {row['test_images']:,} test images of {row['title']} is "
        f"{number(100 / row['test_images'])} points of error."
    )


def _near_noise(noise: pd.DataFrame) -> list[str]:
    near = [
        f"{number(row['ratio'], 2)} times on {row['title']} ({row['n_seeds']} seeds)"
        for row in noise.to_dict("records")
        if math.isfinite(row["ratio"]) and row["ratio"] < MIN_NOISE_RATIO
    ]
    if not near:
        return []
    return [
        f"The population's spread is close to that of one architecture retrained: {listing(near)}. "
        f"Training noise lowers every {RHO} with these sets."
    ]


def device_warnings(devices: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a sentence where runs that are compared were trained on devices that differ.

    `devices` is {sweep: {device: number of finished runs}}.
    """
    if len({device for found in devices.values() for device in found}) < 2:
        return []
    told = "; ".join(
        f"{sweep} on {', '.join(f'{device} ({number:,} runs)' for device, number in found.items())}"
        for sweep, found in devices.items()
    )
    return [f"Runs were trained on devices that differ, so that last digits may: {told}."]
