"""Control experiments on runs as they are: repeats, top-k, training errors, known networks."""

import re

import numpy as np
import pandas as pd

from pycls.analysis.inputs.evidence import Evidence, Experiment, Finding, Sweep
from pycls.analysis.statistics.correlation import correlation_columns, spearman
from pycls.analysis.statistics.distribution import spread
from pycls.analysis.wording import RHO, count, number, rho_interval, rho_number

# Top-1 errors in percent on Cifar10 (paper, Table A1).
PUBLISHED_CIFAR10 = {
    "ResNet-56": 5.91,
    "ResNet-110": 5.23,
    "AnyNet-56": 5.68,
    "AnyNet-110": 5.59,
}
_NETWORK = re.compile(r"(resnet|r|anynet|an)[-_ ]?(?:r[-_]?)?(56|110)(?!\d)", re.IGNORECASE)


def networks(evidence: Evidence) -> Experiment:
    """Return the errors of hand-written networks (paper, Table A1).

    Returns:
        Table "networks": sweep, dataset, network, n_seeds, error (percent, mean over seeds),
        published (percent; NaN where none is known), epochs, flops, params.
    """
    title = "Reference networks"
    question = "What error do known networks reach with this training?"
    rows, findings = [], []
    for sweep in evidence.controls("networks"):
        for name, runs in sweep.done.groupby("arch"):
            error, published = runs["error"].mean(), published_error(str(name), sweep.dataset)
            rows.append(
                {
                    "sweep": sweep.name,
                    "dataset": sweep.dataset,
                    "network": name,
                    "n_seeds": len(runs),
                    "error": error,
                    "published": published,
                    **{column: runs[column].iloc[0] for column in ("epochs", "flops", "params")},
                }
            )
            note = f"error {number(error, 2)} %"
            if np.isfinite(published):
                note += f", published {number(published, 2)} %"
            findings.append(Finding(f"{name} on {sweep.title}", len(runs), note=note))
    if not rows:
        return Experiment("networks", title, question, reason=evidence.why_none("networks"))
    tables = {"networks": pd.DataFrame(rows)}
    return Experiment("networks", title, question, tables, tuple(findings))


def published_error(network: str, dataset: str) -> float:
    """Return the published top-1 error in percent of a network on Cifar10, else NaN.

    Args:
        network: a name such as "R-56", "ResNet-110", "AnyNet-56" or a file name that
            begins so.
        dataset: key of the data set; other ones than cifar10 have no published values.
    """
    found = _NETWORK.match(network)
    if not found or not re.match(r"cifar-?10(?!\d)", dataset, re.IGNORECASE):
        return np.nan
    kind = "AnyNet" if found[1].lower().startswith("a") else "ResNet"
    return PUBLISHED_CIFAR10[f"{kind}-{found[2]}"]


def training_noise(evidence: Evidence) -> Experiment:
    """Return the errors of retrained architectures beside the population's (paper, Fig. A3).

    Returns:
        Tables "repeats" (study, sweep, dataset, arch, seed, error) and "noise", a row per
        sweep and architecture: study, sweep, dataset (of the population it belongs to),
        arch, n_seeds, mean, sd, then of the population
        n_population, q25, q50, q75, mean_population, sd_population (all in percent),
        percentile (where the mean lies in the population, 0 to 100), ratio
        (sd_population / sd) and noise_share (sd^2 / sd_population^2); then, less moved by
        single failures, spread and spread_population (90th less 10th percentile) and
        ratio_spread.
    """
    title = "Training noise"
    question = "How much of the spread of the errors is training noise?"
    runs, rows = [], []
    for sweep in evidence.repeats():
        done = sweep.done.assign(study=sweep.study.name)
        runs.append(done[["study", "sweep", "dataset", "arch", "seed", "error"]])
        for arch, group in done.groupby("arch"):
            rows.append(_noise_row(evidence, sweep, str(arch), group["error"].to_numpy()))
    if not rows:
        reason = evidence.why_none("repeats")
        return Experiment("repeats", title, question, reason=reason)
    tables = {"repeats": pd.concat(runs, ignore_index=True), "noise": pd.DataFrame(rows)}
    findings = tuple(_noise_finding(evidence, row) for row in rows)
    return Experiment("repeats", title, question, tables, findings)


def top1_topk(evidence: Evidence) -> Experiment:
    """Compare top-1 with top-k error of each data set (paper, Fig. A4 A).

    Sets whose k is their number of classes have no top-k error worth comparing.

    Returns:
        Tables "topk" (dataset, arch, k, top1_err, topk_err) and "topk_rho" (dataset, k,
        rho, n, ci_low, ci_high, p).
    """
    title = "Top-1 and top-k error"
    question = "Do top-1 and top-k error rank the architectures alike?"
    rows, rhos, findings = [], [], []
    for key, sweep in evidence.looked_at.items():
        runs = sweep.done
        runs = runs[(runs["topk"] > 1) & (runs["topk"] < runs["num_classes"])]
        k = runs["topk"].max()
        table = runs[["dataset", "arch", "topk", "final_top1_err", "final_topk_err"]].dropna()
        if table.empty:
            continue
        table.columns = pd.Index(["dataset", "arch", "k", "top1_err", "topk_err"])
        correlation = spearman(table["top1_err"], table["topk_err"])
        rows.append(table)
        rhos.append({"dataset": key, "k": int(k), **correlation_columns(correlation)})
        findings.append(Finding.of(f"{sweep.title}: top-1 against top-{k}", correlation))
    if not rows:
        reason = "No finished run of the population is on a data set with more classes than k."
        return Experiment("topk", title, question, reason=_population_reason(evidence, reason))
    tables = {"topk": pd.concat(rows, ignore_index=True), "topk_rho": pd.DataFrame(rhos)}
    return Experiment("topk", title, question, tables, tuple(findings))


def training_errors(evidence: Evidence) -> Experiment:
    """Compare training errors with cumulative depth, per data set (paper, Fig. A4 B).

    Returns:
        Tables "training" (dataset, arch, cum_depth, train_error, test_error, in the data
        set's metric; full: whether the training error is of the whole training side after
        training, else it is the mean over the last epoch while training) and
        "training_rho" (dataset; rho, n, ci_low, ci_high, p of the training error with
        cumulative depth, and with _test those of the test error).
    """
    title = "Training error and depth"
    question = (
        "Is it overfitting when deep architectures have higher test errors: are their training "
        "errors low?"
    )
    rows, rhos, findings = [], [], []
    nothing = pd.Series(dtype=float)
    for key, sweep in evidence.looked_at.items():
        full = f"full_train_{sweep.metric}_err"
        measured = bool(sweep.done.get(full, nothing).notna().any())
        column = full if measured else f"final_train_{sweep.metric}_err"
        table = sweep.done[["dataset", "arch", "cum_depth", column, "error"]]
        table = table.dropna().astype({"cum_depth": float}).assign(full=measured)
        if table.empty:
            continue
        table = table.rename(columns={column: "train_error", "error": "test_error"})
        train = spearman(table["cum_depth"], table["train_error"])
        test = spearman(table["cum_depth"], table["test_error"])
        rows.append(table)
        row = {"dataset": key, **correlation_columns(train), **correlation_columns(test, "_test")}
        rhos.append(row)
        note = (
            f"test error and depth: {RHO} = {rho_number(test.rho)} "
            f"{rho_interval(test.ci_low, test.ci_high)}"
        )
        what = f"{sweep.title}: training error and cumulative depth"
        findings.append(Finding.of(what, train, note))
    if not rows:
        reason = "No finished run of the population has a training error."
        return Experiment("training", title, question, reason=_population_reason(evidence, reason))
    tables = {"training": pd.concat(rows, ignore_index=True), "training_rho": pd.DataFrame(rhos)}
    return Experiment("training", title, question, tables, tuple(findings))


def _population_reason(evidence: Evidence, otherwise: str) -> str:
    if any(len(sweep.done) for sweep in evidence.main.values()):
        return otherwise
    return evidence.why_no_base() or "No run of the population has finished."


def _noise_row(evidence: Evidence, sweep: Sweep, arch: str, errors: np.ndarray) -> dict:
    of = evidence.compared_with(sweep)
    population = of.errors.to_numpy() if of else np.empty(0)
    known = len(population) > 0
    quartiles = np.percentile(population, [25, 50, 75]) if known else [np.nan] * 3
    sd = float(np.std(errors, ddof=1)) if len(errors) > 1 else np.nan
    of_population = float(np.std(population, ddof=1)) if len(population) > 1 else np.nan
    below = (population < errors.mean()).sum() + (population == errors.mean()).sum() / 2
    measurable = sd > 0 and of_population > 0
    spreads = (spread(errors) if len(errors) > 1 else np.nan, spread(population))
    return {
        "study": sweep.study.name,
        "sweep": sweep.name,
        "dataset": of.dataset if of else sweep.dataset,
        "arch": arch,
        "n_seeds": len(errors),
        "mean": float(errors.mean()),
        "sd": sd,
        "n_population": len(population),
        **dict(zip(("q25", "q50", "q75"), map(float, quartiles), strict=True)),
        "mean_population": float(population.mean()) if known else np.nan,
        "sd_population": of_population,
        "percentile": 100 * float(below) / len(population) if known else np.nan,
        "ratio": of_population / sd if measurable else np.nan,
        "noise_share": sd**2 / of_population**2 if measurable else np.nan,
        "spread": spreads[0],
        "spread_population": spreads[1],
        "ratio_spread": spreads[1] / spreads[0] if spreads[0] > 0 else np.nan,
    }


def _noise_finding(evidence: Evidence, row: dict) -> Finding:
    what = f"{row['arch']} on {evidence.title(row['dataset'])}, {count(row['n_seeds'], 'seed')}"
    note = f"mean {number(row['mean'], 2)} %, standard deviation {number(row['sd'], 2)} points"
    if np.isfinite(row["sd_population"]):
        quartiles = ", ".join(number(row[name], 2) for name in ("q25", "q50", "q75"))
        note += (
            f"; population: quartiles {quartiles} %, standard deviation "
            f"{number(row['sd_population'], 2)} points"
        )
    return Finding(what, row["n_seeds"], note=note)
