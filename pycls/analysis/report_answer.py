"""The report's answer in words: over all targets, and for each."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pycls.analysis import tables, wording
from pycls.analysis.control_section import ControlSection, control_summary
from pycls.analysis.space_section import SpaceSection
from pycls.analysis.study import Study


def answer(
    study: Study,
    computed: Mapping[str, pd.DataFrame],
    spaces: SpaceSection | None,
    controls: ControlSection | None,
) -> dict[str, Any]:
    """Return "summary", a few sentences, and "findings", (title, text) of each target.

    Args:
        study: whose answer.
        computed: the report's tables; without "rho" the study ranks nothing.
        spaces: the section on design spaces, if any.
        controls: the section on control experiments, if any.
    """
    if "rho" not in computed:
        return {"summary": _unranked_summary(study, spaces, controls), "findings": []}
    reference = study.dataset_title(study.require_reference())
    with_members = bool(study.members())
    correlations, differences, findings = [], [], []
    average = ""
    for row in computed["rho"].to_dict("records"):
        if row["target"] == tables.AVERAGE:
            average = wording.average_text(
                int(row["num_averaged"]), row["rho_reference"], row["rho_member"], reference
            )
            continue
        correlation = tables.correlation_of(row, "_reference")
        texts = [wording.relation(correlation, reference, row["title"])]
        correlations.append(correlation)
        if with_members:
            member = study.dataset_title(row["closest_member"])
            difference = tables.difference_of(row)
            differences.append(difference)
            texts.append(wording.difference_relation(difference, member, reference))
        findings.append((row["title"], " ".join(texts)))
    return {
        "summary": f"{wording.summary(correlations, differences, reference)} {average}".strip(),
        "findings": findings,
    }


def _unranked_summary(
    study: Study, spaces: SpaceSection | None, controls: ControlSection | None
) -> str:
    """Return what a study without a reference is."""
    texts = [
        "The study names no reference, so it does not ask how well one data set predicts the "
        "ranking of architectures on others."
    ]
    if spaces:
        texts.append(spaces.summary)
    if controls:
        texts.append(control_summary(controls, study))
    return " ".join(texts)
