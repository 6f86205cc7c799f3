"""The table of zero-cost scores as predictors of a target, beside the reference."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import correlation_columns, spearman
from pycls.analysis.statistics.dependent import Difference, compare_rhos, difference_columns
from pycls.analysis.statistics.multiple import adjust_p_values
from pycls.analysis.statistics.selection import regret
from pycls.schema import SCORES


def score_candidates(scores: pd.DataFrame | None) -> dict[str, pd.Series]:
    """Return {name for people: a value per architecture, low for those taken for good}."""
    if scores is None:
        return {}
    return {
        f"score: {SCORES[name]}": -scores[name] for name in SCORES if scores[name].notna().any()
    }


def score_table(
    scores: Mapping[str, pd.DataFrame], errors: pd.DataFrame, study: Study
) -> pd.DataFrame:
    """Return how well zero-cost scores rank each target's architectures, beside the reference.

    Args:
        scores: data set -> architectures x scores, as from
            :func:`pycls.analysis.inputs.scores_csv.load_scores`.
        errors: architectures x data sets, in percent.
        study: which sets are reference and targets.

    Returns:
        A row per target that has scores and predictor, the reference first: target, predictor
        (a data set, or a score on the target's own images), the columns of a correlation (of the
        target's error with the predictor's error, or with the score turned round, so that a high
        rho is a good predictor); difference (the score's rho less the reference's, on architectures
        with both), n_difference, ci_low_difference, ci_high_difference, p_difference,
        p_adjusted_difference (Holm, over all rows); lost and random_lost (points on the target, by
        taking its first choice, and by chance).
    """
    reference, rows = study.require_reference(), []
    for target in study.targets:
        candidates = score_candidates(scores.get(target))
        if not candidates:
            continue
        for name, values in {reference: errors[reference], **candidates}.items():
            row: dict[str, Any] = {"target": target, "predictor": name}
            row |= correlation_columns(spearman(values, errors[target]))
            compared = Difference()
            if name != reference:
                compared = compare_rhos(errors[reference], values, errors[target])
            row |= difference_columns(compared)
            found = regret(values, errors[target])
            chance = found.random_best - found.best
            rows.append(row | {"lost": found.regret_best, "random_lost": chance})
    table = pd.DataFrame(rows)
    if len(table):
        place = list(table).index("p_difference") + 1
        adjusted = adjust_p_values(table["p_difference"])
        table.insert(place, "p_adjusted_difference", adjusted)
        table = table.astype({"n_difference": "Int64"})
    return table
