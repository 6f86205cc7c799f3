"""The table of what choosing an architecture on another data set costs."""

from collections.abc import Mapping

import pandas as pd

from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.proxies import closest_member
from pycls.analysis.statistics.selection import regret
from pycls.analysis.tables.scores import score_candidates

TAKEN = (1, 10)  # architectures that are taken and trained on the target


def choice_table(
    errors: pd.DataFrame, study: Study, scores: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Return what is lost on each target by taking the best architectures of a proxy.

    Args:
        errors: architectures x data sets, in percent.
        study: which sets are reference, members and targets.
        scores: data set -> architectures x zero-cost scores.

    Returns:
        A row per target, proxy (the reference, the closest member, then the scores on the target)
        and k of 1 and 10: target, proxy, role ("reference", "member" or "score"), k, n, best
        (lowest error), chosen (lowest error of the proxy's best k), lost (chosen less best, in
        points), random_lost (by k drawn at random), and better (share of the design space with a
        lower error than the chosen) with the limits ci_low_better and ci_high_better; see
        :class:`pycls.analysis.statistics.selection.Regret`.
    """
    members, reference = study.members(), study.require_reference()
    names = ["target", "proxy", "role", "k", "n", "best", "chosen", "lost"]
    names += ["random_lost", "better", "ci_low_better", "ci_high_better"]
    rows = []
    for key in study.targets:
        proxies = [(reference, "reference", errors[reference])]
        if members:
            member = closest_member(study.num_classes(key), members)
            proxies.append((member, "member", errors[member]))
        candidates = score_candidates((scores or {}).get(key))
        proxies += [(name, "score", values) for name, values in candidates.items()]
        for proxy, role, values in proxies:
            for k in TAKEN:
                found = regret(values, errors[key], k=k)
                rows.append(
                    (
                        *(key, proxy, role, k, found.n, found.best, found.chosen_best),
                        *(found.regret_best, found.random_best - found.best),
                        *(found.better, found.better_low, found.better_high),
                    )
                )
    return pd.DataFrame(rows, columns=names)
