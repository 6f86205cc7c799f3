"""The best networks of each data set by itself, how sure that is, and what can be told of luck."""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pycls.analysis.inputs.results_csv import finished_runs, population_runs
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.error_interval import wilson_interval

LEADERS = 10  # of each data set, at most
HALVES = ("half_1_err", "half_2_err")
_NORMAL_95 = 1.959963984540054


def seed_variance(repeats: pd.DataFrame, dataset: str) -> float:
    """Return the variance of the error over seeds in points squared, pooled; NaN without any."""
    runs = repeats[repeats["dataset"] == dataset]
    groups = [group.to_numpy(float) for _, group in runs.groupby(["sweep", "arch"])["error"]]
    degrees = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    return squares / degrees if degrees > 0 else math.nan


def leader_table(results: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the architectures with the lowest errors of each data set, with their uncertainty.

    The interval allows for the test images, of which others could have been taken (Wilson, 1927),
    and, where architectures were repeated, for the training seed. It does not allow for the choice
    of the lowest of many. Two errors of the same test images differ by less chance than two of
    different ones, so that `told_apart` errs on the side of "no".

    Args:
        results: as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        repeats: as from :func:`pycls.analysis.inputs.results_csv.repeat_runs`.
        study: for the data sets and their test images.

    Returns:
        dataset, rank, arch, run, epochs, error, ci_low, ci_high (percent), told_apart (of the
        best: "yes" or "no").
    """
    names = ["dataset", "rank", "arch", "run", "epochs", "error", "ci_low", "ci_high", "told_apart"]
    rows = []
    runs = finished_runs(population_runs(results, study))
    for key in study.dataset_keys():
        known = runs[runs["dataset"] == key].sort_values(["error", "arch"], kind="stable")
        images = study.datasets[key].get("test_images") or 0
        variance = seed_variance(repeats, key)
        spread = 0.0 if math.isnan(variance) else variance
        errors = known["error"].to_numpy(float)
        chance = _variance_of(errors, images) + spread
        ranks = known["error"].rank(method="min").to_numpy(int)
        for place, run in enumerate(known.head(LEADERS).to_dict("records")):
            low, high = _interval(errors[place], images, spread)
            apart = errors[place] - errors[0] > _NORMAL_95 * math.sqrt(chance[place] + chance[0])
            rows.append(
                (
                    *(key, ranks[place], run["arch"], run["run"], run["epochs"], run["error"]),
                    *(low, high, "yes" if apart else "no"),
                )
            )
    return pd.DataFrame(rows, columns=names)


def count_level(results: pd.DataFrame, repeats: pd.DataFrame, study: Study, dataset: str) -> int:
    """Return how many architectures cannot be told apart from the best, which is one of them."""
    runs = finished_runs(population_runs(results, study))
    errors = np.sort(runs[runs["dataset"] == dataset]["error"].to_numpy(float))
    variance = seed_variance(repeats, dataset)
    chance = _variance_of(errors, study.datasets[dataset].get("test_images") or 0)
    chance = chance + (0.0 if math.isnan(variance) else variance)
    return int((errors - errors[0] <= _NORMAL_95 * np.sqrt(chance + chance[0])).sum())


def agreement_table(results: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how far a ranking agrees with itself, a row a data set.

    Returns:
        dataset, n, rho_halves (Spearman's between the errors on two halves of the test images; NaN
        where they are not known), rho_images (what that says of all images, by Spearman and Brown),
        sd (of the population's errors), sd_seeds (of one architecture over seeds; NaN without),
        reliability (share of the population's variance that is not the seed's).
    """
    names = ["dataset", "n", "rho_halves", "rho_images", "sd", "sd_seeds", "reliability"]
    rows = []
    runs = finished_runs(population_runs(results, study))
    for key in study.dataset_keys():
        known = runs[runs["dataset"] == key]
        rho = math.nan
        if set(HALVES) <= set(known) and known[list(HALVES)].notna().all(axis=None):
            rho = spearman(known[HALVES[0]], known[HALVES[1]]).rho
        whole = 2 * rho / (1 + rho) if rho > -1 else math.nan
        variance, population = seed_variance(repeats, key), float(known["error"].var())
        share = max(0.0, 1 - variance / population) if population > 0 else math.nan
        sds = (math.sqrt(population) if population >= 0 else math.nan, math.sqrt(variance))
        rows.append((key, len(known), rho, whole, *sds, share))
    return pd.DataFrame(rows, columns=names)


def _variance_of(errors: NDArray[np.float64], images: int) -> NDArray[np.float64]:
    """Return the variance of errors in percent by chance of the test images, in points squared."""
    if not images:
        return np.zeros_like(errors)
    share = (errors / 100 * images + 2) / (images + 4)  # of Agresti and Coull, never zero
    return 1e4 * share * (1 - share) / images


def _interval(error: float, images: int, spread: float) -> tuple[float, float]:
    """Return the 95 % interval of an error in percent; NaN where the images are not known."""
    if not images:
        return math.nan, math.nan
    lowest, highest = wilson_interval(error, images)
    seeds = _NORMAL_95 * math.sqrt(spread)
    low = error - math.hypot(error - lowest, seeds)
    high = error + math.hypot(highest - error, seeds)
    return max(0.0, low), min(100.0, high)
