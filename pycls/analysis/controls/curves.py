"""Control experiments on training curves: longer training, and training continued."""

import numpy as np
import pandas as pd

from pycls.analysis.inputs.evidence import Evidence, Experiment, Finding, Sweep
from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    correlation_columns,
    correlation_of,
    spearman,
)
from pycls.analysis.wording import RHO, number

MAX_CURVES = 20
ENDS = 5  # best and worst architectures whose training is continued
_CURVE_COLUMNS = ["sweep", "arch", "seed", "epoch", "test_error"]


def duration_curves(evidence: Evidence) -> Experiment:
    """Return test errors over the epochs of longer training (paper, Fig. A2 A).

    Returns:
        Tables "curves" (sweep, arch, seed, epoch, test_error in percent; up to 20
        architectures of each sweep, drawn with a fixed seed) and "curve_ranks" (sweep,
        epoch, rho, n, ci_low, ci_high, p: of the errors at that epoch with those at the
        last one, over all architectures).
    """
    title = "Errors during longer training"
    question = "Does the ranking still change after the regular number of epochs?"
    curves, ranks, findings = [], [], []
    for sweep in evidence.controls("duration"):
        table = error_curves(sweep)
        if table.empty:
            continue
        by_epoch = rank_table(table)
        ranks.append(by_epoch)
        archs = sorted(table["arch"].unique())
        drawn = np.random.default_rng(0).permutation(archs)[:MAX_CURVES]
        curves.append(table[table["arch"].isin(drawn)])
        findings.append(_rank_finding(evidence, sweep, by_epoch))
    if not curves:
        reason = evidence.why_none("duration")
        if any(len(sweep.done) for sweep in evidence.controls("duration")):
            reason = (
                "There is no curves.csv with errors by epoch of its runs; collect the study again."
            )
        return Experiment("curves", title, question, reason=reason)
    tables = {
        "curves": pd.concat(curves, ignore_index=True),
        "curve_ranks": pd.concat(ranks, ignore_index=True),
    }
    return Experiment("curves", title, question, tables, tuple(findings))


def continued(evidence: Evidence) -> Experiment:
    """Compare the best and worst architectures before and after more training (Fig. A2 B).

    Returns:
        Table "continued" (sweep, of, arch, group ("best", "worst" by the regular error),
        error_regular, error_continued, rank_regular, rank_continued, rank_change: ranks
        among these architectures), and, where there are curves, "continued_curves" (sweep,
        arch, group, phase ("regular", "continued"), epoch, test_error): the epochs of a run
        that continues another one in a log of its own are counted on from that one's last.
    """
    title = "Training continued"
    question = "Do the best and the worst architectures change places when training continues?"
    ranked, curves, findings = [], [], []
    for sweep in evidence.controls("continued"):
        of, table = evidence.compared_with(sweep), _ends(evidence, sweep)
        if of is None or table.empty:
            continue
        ranked.append(table)
        curves.append(_continued_curves(sweep, of, table))
        findings.append(_continued_finding(evidence, sweep, of, table))
    if not ranked:
        reason = evidence.why_none("continued")
        return Experiment("continued", title, question, reason=reason)
    tables = {"continued": pd.concat(ranked, ignore_index=True)}
    with_curves = [table for table in curves if len(table)]
    if with_curves:
        tables["continued_curves"] = pd.concat(with_curves, ignore_index=True)
    return Experiment("continued", title, question, tables, tuple(findings))


def error_curves(sweep: Sweep) -> pd.DataFrame:
    """Return a sweep's test errors by epoch: sweep, arch, seed, epoch, test_error (percent).

    The error is the headline's, top-1 or top-k; of several seeds the lowest counts.
    """
    rows = sweep.curves
    rows = rows[rows["seed"] == rows.groupby("arch")["seed"].transform("min")]
    rows = rows.rename(columns={f"test_{sweep.metric}_err": "test_error"})[_CURVE_COLUMNS].dropna()
    return rows.sort_values(["arch", "epoch"], kind="stable").reset_index(drop=True)


def rank_table(curves: pd.DataFrame) -> pd.DataFrame:
    """Return rho of the errors at each epoch with those at the last one.

    Args:
        curves: of one sweep, as from :func:`error_curves`.

    Returns:
        A row per epoch but the last: sweep, epoch, rho, n, ci_low, ci_high, p.
    """
    by_epoch = curves.pivot(index="arch", columns="epoch", values="test_error")
    last = by_epoch.columns.max()
    rows = [
        {
            "sweep": curves["sweep"].iloc[0],
            "epoch": int(epoch),
            **correlation_columns(spearman(by_epoch[epoch], by_epoch[last])),
        }
        for epoch in by_epoch.columns
        if epoch != last
    ]
    return pd.DataFrame(rows, columns=["sweep", "epoch", *CORRELATION_COLUMNS])


def _rank_finding(evidence: Evidence, sweep: Sweep, ranks: pd.DataFrame) -> Finding:
    of = evidence.compared_with(sweep)
    regular = of.epochs if of else None
    at_regular = ranks[ranks["epoch"] == regular]
    title = evidence.sweep_title(sweep)
    if at_regular.empty:
        return Finding(title, 0, note="no errors at the regular number of epochs")
    what = f"{title}: errors at epoch {regular} and at the last one"
    return Finding.of(what, correlation_of(at_regular.iloc[0]))


def _ends(evidence: Evidence, sweep: Sweep) -> pd.DataFrame:
    """Return the best and worst architectures of a continued sweep, by their regular error."""
    of = evidence.compared_with(sweep)
    regular = of.errors if of else pd.Series(dtype=float)
    errors = pd.DataFrame({"error_regular": regular, "error_continued": sweep.errors})
    errors = errors.dropna().rename_axis("arch").sort_values(["error_regular"], kind="stable")
    each = min(ENDS, len(errors) // 2)
    best, worst = errors.head(each), errors.tail(each)
    table = pd.concat([best.assign(group="best"), worst.assign(group="worst")]).reset_index()
    for when in ("regular", "continued"):
        table[f"rank_{when}"] = table[f"error_{when}"].rank(method="average")
    table["rank_change"] = table["rank_continued"] - table["rank_regular"]
    columns = ["error_regular", "error_continued", "rank_regular", "rank_continued"]
    table = table.assign(sweep=sweep.name, of=of.name if of else "")
    return table[["sweep", "of", "arch", "group", *columns, "rank_change"]]


def _continued_curves(sweep: Sweep, of: Sweep, table: pd.DataFrame) -> pd.DataFrame:
    groups = table.set_index("arch")["group"]
    regular, more = (error_curves(each) for each in (of, sweep))
    regular = regular[regular["arch"].isin(groups.index)].assign(phase="regular")
    more = more[more["arch"].isin(groups.index)].assign(phase="continued")
    # A run resumed from a checkpoint counts on; one started from its weights counts anew.
    starts = more.groupby("arch")["epoch"].transform("min")
    more["epoch"] += np.where(starts == 1, of.epochs or 0, 0)
    both = pd.concat([regular, more], ignore_index=True)
    both["group"] = both["arch"].map(groups)
    both = both.assign(sweep=sweep.name)
    names = ["sweep", "arch", "group", "phase", "epoch", "test_error"]
    return both.sort_values(["arch", "epoch"], kind="stable")[names]


def _continued_finding(evidence: Evidence, sweep: Sweep, of: Sweep, table: pd.DataFrame) -> Finding:
    correlation = spearman(table["error_regular"], table["error_continued"])
    best, worst = (table[table["group"] == group] for group in ("best", "worst"))
    parts = [
        f"{group}: mean error {number(rows['error_regular'].mean(), 2)} % before, "
        f"{number(rows['error_continued'].mean(), 2)} % after"
        for group, rows in (("best", best), ("worst", worst))
    ]
    crossed = int((best["error_continued"] > worst["error_continued"].min()).sum())
    parts.append(f"{crossed} of the best ended above one of the worst")
    what = (
        f"{evidence.sweep_title(sweep)}: before and after, "
        f"the {len(table) // 2} best and {len(table) // 2} worst on {evidence.sweep_title(of)}"
    )
    parts.append(f"{RHO} over chosen extremes is large by itself")
    return Finding.of(what, correlation, "; ".join(parts))
