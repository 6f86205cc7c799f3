"""The table behind the report's first figure: what predicts each target, and how well it could."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import correlation_of, spearman
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.tables.pairs import ceiling_table, partial_table
from pycls.analysis.tables.scores import score_candidates
from pycls.analysis.tables.study_tables import AVERAGE

GIVEN = ("cum_depth", "cum_width")
MEASURES = ("reference", "member", "score", "partial", "ceiling")
_COLUMNS = ("target", "title", "measure", "with", "rho", "ci_low", "ci_high", "n")


def forest_table(
    errors: pd.DataFrame,
    properties: pd.DataFrame,
    repeats: pd.DataFrame,
    rho: pd.DataFrame,
    study: Study,
    scores: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return the rhos of each target that belong beside each other.

    Args:
        errors: architectures x data sets, in percent.
        properties: cumulative depth and width, as from
            :func:`pycls.analysis.inputs.results_csv.architecture_table`.
        repeats: a row per run, as from :func:`pycls.analysis.tables.pairs.with_own_runs`.
        rho: as from :func:`pycls.analysis.tables.study_tables.rho_table`.
        study: which sets are reference, members and targets.
        scores: data set -> architectures x zero-cost scores.

    Returns:
        A row per target and measure that is known: target, title, measure ("reference", "member"
        and "score": rho with them; "partial": rho with the reference, given depth and width;
        "ceiling": the highest rho with the reference that training noise leaves room for), with
        (the other data set or the score), rho, ci_low, ci_high (NaN where there is no interval), n.
    """
    reference, members = study.require_reference(), study.members()
    pairs = [(reference, key) for key in study.targets]
    partial = _by_target(_partial(errors, properties, pairs))
    ceiling = _by_target(ceiling_table(errors, repeats, pairs))
    rows = []
    for row in rho[rho["target"] != AVERAGE].to_dict("records"):
        key, title = str(row["target"]), row["title"]
        found = [("reference", reference, correlation_of(row, "_reference"))]
        if members:
            member = closest_member(study.num_classes(key), members)
            found.append(("member", member, correlation_of(row, "_member")))
        for name, values in score_candidates((scores or {}).get(key)).items():
            found.append(("score", name, spearman(values, errors[key])))
        if key in partial:
            found.append(("partial", reference, correlation_of(partial[key], "_partial")))
        for measure, other, known in found:
            bounds = (known.rho, known.ci_low, known.ci_high, known.n)
            rows.append((key, title, measure, other, *bounds))
        if key in ceiling:
            top = ceiling[key]
            rows.append(
                (key, title, "ceiling", reference, top["ceiling"], math.nan, math.nan, top["n"])
            )
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype(dict.fromkeys(("rho", "ci_low", "ci_high"), float))


def _partial(
    errors: pd.DataFrame, properties: pd.DataFrame, pairs: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    known = properties.reindex(errors.index)[list(GIVEN)].dropna(how="all")
    return partial_table(errors, properties, pairs if len(known) else [], GIVEN)


def _by_target(table: pd.DataFrame) -> dict[str, dict]:
    if table.empty:
        return {}
    return {str(row["dataset_y"]): row for row in table.to_dict("records")}
