"""Control experiments that train the population again: stem, duration, balance, pretraining.

Each compares the errors of a sweep with those of the sweep it varies, and both with the
reference and with the family member closest in class count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.inputs.evidence import Evidence, Experiment, Finding, Sweep
from pycls.analysis.statistics.correlation import correlation_columns, correlation_of, spearman
from pycls.analysis.statistics.dependent import compare_rhos, difference_columns
from pycls.analysis.wording import RHO, interval_text, number, rho_number

ROLES = ("of", "reference", "member")


def compare_sweeps(
    evidence: Evidence,
    kinds: tuple[str, ...],
    name: str,
    title: str,
    question: str,
    roles: Sequence[str] = ROLES,
) -> Experiment:
    """Compare the errors of control sweeps with those of the sweeps that they vary.

    Args:
        evidence: sweeps of the study and its base.
        kinds: the controls that are looked at, of :data:`pycls.schema.CONTROLS`.
        name: short name, fit for a file name.
        title: name for people.
        question: what is asked.
        roles: what they are compared with, of :data:`ROLES`.

    Returns:
        Tables NAME (see :func:`error_pairs`) and NAME_rho (see :func:`comparison_table`).
    """
    pairs, rhos, findings = [], [], []
    for sweep in evidence.controls(*kinds):
        table = error_pairs(evidence, sweep, roles)
        if table["error_of"].isna().all():
            continue
        rho = comparison_table(evidence, sweep, table)
        pairs.append(table)
        rhos.append(rho)
        findings += [_finding(evidence, sweep, row) for row in rho.to_dict("records")]
    if not pairs:
        return Experiment(name, title, question, reason=evidence.why_none(*kinds))
    tables = {
        name: pd.concat(pairs, ignore_index=True),
        f"{name}_rho": pd.concat(rhos, ignore_index=True),
    }
    return Experiment(name, title, question, tables, tuple(findings))


def variants(evidence: Evidence) -> Experiment:
    """Compare another stem and longer training with the regular runs (paper, Fig. A1).

    Returns:
        Tables "variants" (sweep, control, of, arch, error, error_of, error_reference,
        error_member) and "variants_rho" (see :func:`comparison_table`).
    """
    return compare_sweeps(
        evidence,
        ("stem", "duration"),
        "variants",
        "Stem and training duration",
        "Do another stem or longer training change how the errors relate to those on the "
        "reference and on the closest family member?",
    )


def pretrained(evidence: Evidence) -> Experiment:
    """Compare training from pretrained weights with training from scratch (paper, Fig. A6).

    Returns:
        Tables "pretrained" and "pretrained_rho", as of :func:`variants`; `error_of` is the
        error from scratch.
    """
    return compare_sweeps(
        evidence,
        ("pretrained",),
        "pretrained",
        "Pretraining",
        "Does pretraining on the reference change how the errors relate to those on it?",
        ("of", "reference"),
    )


def balanced(evidence: Evidence) -> Experiment:
    """Compare balanced data sets with the sets they are cut from (paper, Fig. A5).

    Returns:
        Tables "balanced" and "balanced_rho", as of :func:`variants`, and, where the class
        counts are known, "classes" (dataset, side, class, images, share).
    """
    experiment = compare_sweeps(
        evidence,
        ("balanced",),
        "balanced",
        "Class balance",
        "Does an over-represented class decide the ranking of the architectures?",
        ("of",),
    )
    if experiment.reason:
        return experiment
    classes = class_table(evidence, evidence.controls("balanced"))
    found = {"classes": classes} if len(classes) else {}
    return replace(experiment, tables={**experiment.tables, **found})


def error_pairs(evidence: Evidence, sweep: Sweep, roles: Sequence[str] = ROLES) -> pd.DataFrame:
    """Return a sweep's errors beside those it is compared with, per architecture.

    Returns:
        sweep, control, of, arch, error, and error_of, error_reference, error_member as far
        as `roles` names them, in percent; NaN for none.
    """
    of = evidence.compared_with(sweep)
    table = pd.DataFrame({"error": sweep.errors})
    for role in roles:
        key = _compared_key(evidence, sweep, role)
        errors = of.errors if role == "of" and of else evidence.population.get(key)
        table[f"error_{role}"] = np.nan if errors is None else errors.reindex(table.index)
    table = table.rename_axis("arch").reset_index()
    table = table.assign(sweep=sweep.name, control=sweep.control, of=of.name if of else "")
    return table[["sweep", "control", "of", "arch", "error", *(f"error_{role}" for role in roles)]]


def comparison_table(evidence: Evidence, sweep: Sweep, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return how a sweep ranks architectures, beside the sweep it varies.

    Args:
        evidence: sweeps of the study and its base.
        sweep: the control experiment.
        pairs: as from :func:`error_pairs`.

    Returns:
        A row per role ("of": the sweep varied, "reference", "member"): sweep, control, of,
        role, compared_with (its data set), rho, n, ci_low, ci_high, p; for reference and
        member also rho_of ... p_of, the same of the sweep varied, on the architectures
        both have, and difference (rho less rho_of), n_difference and its interval; for
        "of" also mean_error, mean_error_of and mean_gain (error_of less error, in points).
    """
    of = evidence.compared_with(sweep)
    rows = []
    for role in ROLES:
        other = pairs.get(f"error_{role}")
        if other is None or other.isna().all():
            continue
        row = {
            "sweep": sweep.name,
            "control": sweep.control,
            "of": of.name if of else "",
            "role": role,
            "compared_with": _compared_key(evidence, sweep, role) or "",
            **correlation_columns(spearman(pairs["error"], other)),
        }
        if role == "of":
            both = pairs[["error", "error_of"]].dropna()
            row |= {"mean_error": both["error"].mean(), "mean_error_of": both["error_of"].mean()}
            row["mean_gain"] = row["mean_error_of"] - row["mean_error"]
        elif pairs["error_of"].notna().any():
            complete = pairs[["error", "error_of", f"error_{role}"]].dropna()
            varied, regular, third = (complete[name].to_numpy() for name in complete)
            row |= correlation_columns(spearman(regular, third), "_of")
            row |= difference_columns(compare_rhos(regular, varied, third))
        rows.append(row)
    table = pd.DataFrame(rows)
    counts = [name for name in table if str(name) == "n" or str(name).startswith("n_")]
    return table.astype(dict.fromkeys(counts, "Int64"))


def class_table(evidence: Evidence, sweeps: Sequence[Sweep]) -> pd.DataFrame:
    """Return the class distributions of balanced sets and of the sets they are cut from.

    Returns:
        A row per data set, side ("train", "test") and class: dataset, title, side, class,
        images, share (of its side); the sets in the order of the sweeps, each behind the
        one it is cut from.
    """
    ordered: dict[str, Sweep] = {}
    for sweep in sweeps:
        of = evidence.compared_with(sweep)
        ordered |= {of.dataset: of} if of else {}
        ordered[sweep.dataset] = sweep
    rows = []
    for key, sweep in ordered.items():
        for side, counts in (sweep.study.datasets[key].get("class_counts") or {}).items():
            total = max(1, sum(counts.values()))
            rows += [
                (key, sweep.title, side, label, int(images), images / total)
                for label, images in counts.items()
            ]
    return pd.DataFrame(rows, columns=["dataset", "title", "side", "class", "images", "share"])


def _compared_key(evidence: Evidence, sweep: Sweep, role: str) -> str | None:
    """Return the data set a sweep is compared with in a role; None where there is none."""
    of = evidence.compared_with(sweep)
    if of is None or role == "of":
        return of.dataset if of else None
    other = evidence.reference if role == "reference" else evidence.member(of)
    # Where the sweep varied is the reference's own, there is no other set to compare with.
    return other if other != of.dataset else None


def _finding(evidence: Evidence, sweep: Sweep, row: Mapping[Any, Any]) -> Finding:
    what = f"{evidence.sweep_title(sweep)} against {evidence.title(row['compared_with'])}"
    if row["role"] == "of":
        note = (
            f"mean error {number(row['mean_error'], 2)} % instead of "
            f"{number(row['mean_error_of'], 2)} %"
        )
        return Finding.of(what, correlation_of(row), note)
    of = evidence.compared_with(sweep)
    if of is None or np.isnan(row["rho_of"]):
        return Finding.of(what, correlation_of(row))
    interval = interval_text(row["ci_low_difference"], row["ci_high_difference"])
    return Finding.of(
        what,
        correlation_of(row),
        f"with {evidence.sweep_title(of)} {RHO} = {rho_number(row['rho_of'])}; difference "
        f"{number(row['difference'], 2)} {interval}",
    )
