"""The best architectures of each data set, and where they stand on the reference."""

import pandas as pd

from pycls.analysis.inputs.study_json import Study

MOST = 15  # as many as the paper averages over (Fig. A7)
SHOWN = 5  # of each data set on the page
STAGED = {"depth": "depth", "width": "width", "bot_mul": "1/b", "group_w": "group width"}


def best_table(errors: pd.DataFrame, parameters: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the architectures with the lowest errors on each data set.

    Args:
        errors: architectures x data sets, in percent.
        parameters: their stages' parameters, such as depth_1; see :func:`stage_texts`.
        study: for names and the reference.

    Returns:
        Up to 15 rows a data set, at most a tenth of its errors and at least one: dataset,
        rank (1 is best; ties share the lower), arch, error (percent), rank_reference and
        n_reference (empty without a reference), then a text a kind of parameter.
    """
    stages = stage_texts(parameters)
    names = ["dataset", "rank", "arch", "error", "rank_reference", "n_reference", *stages]
    rows = []
    reference = errors[study.reference] if study.reference else pd.Series(dtype=float)
    ranks = reference.rank(method="min")
    for key in study.dataset_keys():
        known = errors[key].dropna().sort_values(kind="stable")
        placed = known.rank(method="min")
        for arch in known.index[: min(MOST, max(1, round(len(known) / 10)))]:
            there = ranks.get(arch)
            rows.append(
                {
                    "dataset": key,
                    "rank": int(placed[arch]),
                    "arch": arch,
                    "error": known[arch],
                    "rank_reference": None if pd.isna(there) else int(there),
                    "n_reference": int(reference.notna().sum()) if study.reference else None,
                    **{kind: texts[arch] for kind, texts in stages.items()},
                }
            )
    table = pd.DataFrame(rows, columns=names)
    return table.astype(dict.fromkeys(("rank", "rank_reference", "n_reference"), "Int64"))


def stage_texts(parameters: pd.DataFrame) -> dict[str, pd.Series]:
    """Return each kind of parameter as a text over the stages, such as "6-1-1"."""
    texts = {}
    for kind in STAGED:
        names = [name for name in parameters if str(name).rpartition("_")[0] == kind]
        names.sort(key=lambda name: int(str(name).rpartition("_")[2]))
        if names:
            texts[kind] = parameters[names].apply(
                lambda row: "-".join(f"{v:g}" if pd.notna(v) else "" for v in row).strip("-"),
                axis=1,
            )
    return texts


def describe(parameters: pd.DataFrame) -> list[str]:
    """Return each architecture in one line, in the order of the rows."""
    texts = stage_texts(parameters)
    return [
        "; ".join(f"{STAGED[kind]} {texts[kind].loc[arch]}" for kind in texts)
        for arch in parameters.index
    ]
