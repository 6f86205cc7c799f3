"""The report's answer in words: over all targets, and for each."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pycls.analysis import wording
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.report.control_section import ControlSection, control_summary
from pycls.analysis.report.own_section import OwnSection
from pycls.analysis.report.space_section import SpaceSection
from pycls.analysis.statistics.correlation import correlation_of
from pycls.analysis.statistics.dependent import difference_of
from pycls.analysis.statistics.noise import MIN_REPEATED, noise_ceiling, training_agreement
from pycls.analysis.tables.pairs import dataset_noise, trainings_of
from pycls.analysis.tables.study_tables import AVERAGE
from pycls.analysis.wording import RHO, count, rho_estimate, rho_number

_NO_REFERENCE = (
    "The study names no reference, so it does not ask how well one data set predicts the ranking "
    "of architectures on others."
)


def answer(
    study: Study,
    computed: Mapping[str, pd.DataFrame],
    spaces: SpaceSection | None,
    controls: ControlSection | None,
    own: OwnSection | None = None,
) -> dict[str, Any]:
    """Return "lines", sentences (five at most), and "findings", (title, text) of each target.

    Args:
        study: whose answer.
        computed: the report's tables; without "rho" the study ranks nothing.
        spaces: the section on design spaces, if any.
        controls: the section on control experiments, if any.
        own: the section on data sets by themselves, if any.
    """
    if "rho" not in computed:
        return {"lines": [_unranked_summary(study, spaces, controls, own)], "findings": []}
    reference = study.dataset_title(study.require_reference())
    with_members = bool(study.members())
    correlations, differences, findings = [], [], []
    average = ""
    for row in computed["rho"].to_dict("records"):
        if row["target"] == AVERAGE:
            average = wording.average_text(row, reference)
            continue
        correlation = correlation_of(row, "_reference")
        texts = [wording.relation(correlation, reference, row["title"])]
        correlations.append(correlation)
        if with_members:
            member = study.dataset_title(row["closest_member"])
            difference = difference_of(row)
            differences.append(difference)
            texts.append(wording.difference_relation(difference, member, reference))
        findings.append((row["title"], " ".join(texts)))
    titles = [title for title, _ in findings]
    lines = [
        *wording.summary(correlations, differences, reference),
        average,
        wording.ends_text(dict(zip(titles, correlations, strict=True)), reference),
        _lost(computed, reference),
    ]
    return {"lines": [line for line in lines if line], "findings": findings}


def _lost(computed: Mapping[str, pd.DataFrame], reference: str) -> str:
    """Return what choosing one architecture on the reference costs; empty where unknown."""
    if "choice" not in computed:
        return ""
    chosen = computed["choice"].query("role == 'reference' and k == 1")
    return wording.lost_text(list(chosen["lost"]), list(chosen["random_lost"]), reference)


def _unranked_summary(
    study: Study,
    spaces: SpaceSection | None,
    controls: ControlSection | None,
    own: OwnSection | None,
) -> str:
    """Return what a study without a reference answers."""
    texts = [own.summary] if own and own.summary else [_NO_REFERENCE]
    if spaces:
        texts.append(spaces.summary)
    if controls:
        texts.append(control_summary(controls, study))
    return " ".join(texts)


def noise_sentences(errors: pd.DataFrame, repeats: pd.DataFrame, study: Study) -> list[str]:
    """Return, per data set with repeats, the rho that two trainings on it would have.

    Args:
        errors: architectures x data sets, in percent.
        repeats: a row per run, as from :func:`pycls.analysis.tables.pairs.with_own_runs`.
        study: for names.
    """
    sentences = []
    for key, noise in dataset_noise(repeats).items():
        if key not in errors:
            continue
        start = (
            f"By the repeats on {study.dataset_title(key)}, {RHO} between two trainings of "
            "this population there would be "
        )
        found = training_agreement(trainings_of(repeats, key, errors.index), errors[key])
        if found.n >= MIN_REPEATED and math.isfinite(found.rho):
            text = rho_estimate(found.rho, found.ci_low, found.ci_high)
            why = f"; no interval: {found.reason}" if found.reason else ""
            sentences.append(
                f"{start}{text} and not 1 ({count(found.n, 'repeated architecture')}{why})."
            )
            continue
        ceiling = noise_ceiling(errors[key], errors[key], noise, noise).ceiling
        if math.isfinite(ceiling):
            sentences.append(
                f"{start}about {rho_number(ceiling)} and not 1, if the noise of "
                f"{count(found.n, 'architecture')} is that of all. This has no interval: it would "
                f"take {MIN_REPEATED} repeated architectures, drawn at random."
            )
    return sentences
