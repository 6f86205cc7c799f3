"""Architectures and proxies for several targets at once."""

from collections.abc import Mapping

import pandas as pd

RULES = {"average": "mean", "worst case": "max"}  # rule -> what of its shares is made low


def shares_above(errors: pd.DataFrame) -> pd.DataFrame:
    """Return, for each architecture and target, the share of the others that beat it.

    0 is the best, 1 the worst; ties count half. NaN where an architecture has not the errors of
    all targets: those that are compared have run everywhere.
    """
    complete = errors.dropna()
    ranks = complete.rank(method="average")
    return ((ranks - 1) / max(1, len(complete) - 1)).reindex(errors.index)


def best_for_all(errors: pd.DataFrame) -> pd.DataFrame:
    """Return the architecture that is best for several targets, by average and by worst case.

    Args:
        errors: architectures x targets, in percent.

    Returns:
        A row per rule of `RULES`: rule, arch, n (architectures with all errors), mean_share and
        worst_share (of the others that beat it on a target: the mean and the largest), and
        worst_target. Ties go to the lower mean. Empty without a complete architecture.
    """
    shares = shares_above(errors).dropna()
    rows = []
    for rule, how in RULES.items() if len(shares) else ():
        judged = pd.DataFrame({"by": shares.agg(how, axis=1), "mean": shares.mean(axis=1)})
        arch = judged.sort_values(["by", "mean"], kind="stable").index[0]
        rows.append({"rule": rule, "arch": arch, **_of(shares.loc[arch], len(shares))})
    return pd.DataFrame(rows, columns=["rule", "arch", *_COLUMNS])


def chosen_for_all(candidates: Mapping[str, pd.Series], errors: pd.DataFrame) -> pd.DataFrame:
    """Return how the architecture that is best by each candidate does on several targets.

    Args:
        candidates: name -> a value per architecture, low for those it takes for good.
        errors: architectures x targets, in percent.

    Returns:
        A row per candidate, by rising mean_share: candidate, arch, and the columns of
        :func:`best_for_all`. Of architectures that tie, the first.
    """
    shares = shares_above(errors).dropna()
    rows = []
    for name, values in candidates.items():
        known = values.reindex(shares.index).dropna()
        if len(known):
            arch = known.sort_values(kind="stable").index[0]
            rows.append({"candidate": name, "arch": arch, **_of(shares.loc[arch], len(shares))})
    table = pd.DataFrame(rows, columns=["candidate", "arch", *_COLUMNS])
    return table.sort_values("mean_share", kind="stable", ignore_index=True)


_COLUMNS = ("n", "mean_share", "worst_share", "worst_target")


def _of(shares: pd.Series, n: int) -> dict[str, object]:
    worst = shares.idxmax()
    values = (n, float(shares.mean()), float(shares.max()), worst)
    return dict(zip(_COLUMNS, values, strict=True))
