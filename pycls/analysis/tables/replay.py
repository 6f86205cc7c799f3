"""The table of ways of choosing, replayed on each target and over all."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pycls.analysis.choosing.replay import COLUMNS, replay
from pycls.analysis.inputs.curves_csv import Curves
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.averages import average
from pycls.analysis.tables.scores import score_candidates
from pycls.analysis.tables.study_tables import AVERAGE


def replay_table(
    errors: pd.DataFrame,
    curves: Mapping[str, Curves],
    scores: Mapping[str, pd.DataFrame],
    study: Study,
) -> pd.DataFrame:
    """Return :func:`pycls.analysis.choosing.replay.replay` of each target, and means over them.

    Args:
        errors: architectures x data sets, in percent.
        curves: by data set; of a target without them there is no halving.
        scores: data set -> architectures x zero-cost scores; may be empty.
        study: which sets are reference and targets.

    Returns:
        Its columns behind target; rows "average" hold means over the targets that have the strategy
        and share, and in sets_low and sets_high the interval of the mean regret over data sets, as
        if these were a random sample of them (from 0 on; NaN for one).
    """
    reference, tables = study.require_reference(), []
    for target in study.targets:
        candidates = score_candidates(scores.get(target))
        known = curves.get(target)
        shown = known is not None and len(known.epochs) > 1
        predictors = {reference: errors[reference], **candidates}
        table = replay(
            errors[target].to_numpy(dtype=float),
            {name: values.to_numpy(dtype=float) for name, values in predictors.items()},
            list(candidates),
            known.epochs.tolist() if known is not None and shown else (),
            known.test if known is not None and shown else None,
        )
        table.insert(0, "target", target)
        tables.append(table)
    every = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if every.empty:
        return pd.DataFrame(columns=["target", *COLUMNS, "sets_low", "sets_high"])
    means = []
    for (strategy, share), rows in every.groupby(["strategy", "share"], sort=False):
        found = average(list(rows["lost"]))
        low = float(np.maximum(0.0, found.sets_low))  # no regret is below; NaN stays
        numbers = rows[["trainings", "cost", "beats_random"]].mean().to_dict()
        means.append(
            {"target": AVERAGE, "strategy": strategy, "share": share, **numbers, "n": len(rows)}
            | {
                "lost": found.value,
                "sets_low": low,
                "sets_high": found.sets_high,
            }
        )
    return pd.concat([every, pd.DataFrame(means)], ignore_index=True)
