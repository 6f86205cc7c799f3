"""The correlations of a table from elsewhere, and warnings for its reader."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pycls.analysis.any_table.read import AnyTable
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.distribution import tied_share
from pycls.analysis.statistics.families import MIN_FAMILIES, families_by_name, family_codes
from pycls.analysis.statistics.multiple import adjust_p_values
from pycls.analysis.statistics.pair_statistics import pair_columns
from pycls.analysis.statistics.pairs import MIN_PAIRS
from pycls.analysis.statistics.selection import regret
from pycls.analysis.tables.study_tables import pairs_of
from pycls.analysis.wording import (
    MAX_TIED,
    MINUS,
    RHO,
    count,
    interval_text,
    listing,
    number,
    rho_number,
    ties_text,
)

CHOSEN = (1, 10)  # how many of the reference's best are taken, for the regret
FEW = 30
_MOST_FAMILIES = 8  # that a warning lists
MAX_SHIFT = 0.3  # of rho within groups against rho of all
_OPPOSITE = -0.5
_MIN_SHARE = 0.5  # of the smaller side that both sides have


def correlation_table(table: AnyTable, chosen: Sequence[int] = CHOSEN) -> pd.DataFrame:
    """Return how well the reference predicts each target.

    Args:
        table: as from :func:`pycls.analysis.any_table.read.read_table`.
        chosen: for how many of the reference's best the regret is given.

    Returns:
        A row per target: reference, target, rho, n, ci_low, ci_high (95 %), p, p_adjusted (Holm,
        over the targets), a column for each of
        :data:`pycls.analysis.statistics.pair_statistics.PAIR_STATISTICS`, only_reference and
        only_target (architectures without the other error), and for each k of `chosen` regret_k
        (points of error on the target), regret_k_random (of k drawn at random), better_k with its
        limits (share of the design space that beats the chosen; see
        :class:`pycls.analysis.statistics.selection.Regret`) and best (the lowest error). best and
        regret are NaN where the target is a score or a cost.
    """
    x = table.errors[table.reference]
    rows = []
    for key in table.targets:
        y = table.errors[key]
        row: dict[str, object] = {
            "reference": table.reference,
            "target": key,
            **pair_columns(x, y, table.families),
            "only_reference": int((x.notna() & y.isna()).sum()),
            "only_target": int((x.isna() & y.notna()).sum()),
        }
        for k in chosen:
            lost = regret(x, y, k)
            row |= {
                "best": lost.best,
                f"regret_{k}": lost.regret_best,
                f"regret_{k}_random": lost.random_best - lost.best,
                f"better_{k}": lost.better,
                f"better_{k}_low": lost.better_low,
                f"better_{k}_high": lost.better_high,
            }
        if table.families is not None:  # limits are of a random sample
            row |= {name: math.nan for name in row if re.fullmatch(r"better_\d+_(low|high)", name)}
        if key not in table.percent:  # a score or a cost has no error to lose
            row |= {name: math.nan for name in row if name.startswith(("best", "regret_"))}
        rows.append(row)
    return _adjusted(pd.DataFrame(rows), "holm")


def matrix_table(table: AnyTable) -> pd.DataFrame:
    """Return :func:`pycls.analysis.tables.study_tables.pairs_of` all data sets of a table.

    With p_adjusted after p: Benjamini and Hochberg's, over the pairs.
    """
    return _adjusted(pairs_of(table.errors, map(str, table.errors), table.families), "bh")


def _adjusted(table: pd.DataFrame, method: str) -> pd.DataFrame:
    p_adjusted = adjust_p_values(table["p"].to_numpy(dtype=float), method)
    table.insert(list(table).index("p") + 1, "p_adjusted", p_adjusted)
    return table


def table_warnings(table: AnyTable, correlations: pd.DataFrame) -> list[str]:
    """Return what a reader must know before trusting the numbers, in sentences.

    Args:
        table: as from :func:`pycls.analysis.any_table.read.read_table`.
        correlations: as from :func:`correlation_table`.
    """
    return [
        *table.warnings,
        *_size(table, correlations),
        *_missing(table, correlations),
        *_families(table),
        *_flat(table),
        *_opposite(table, correlations),
        *_populations(table, correlations),
    ]


def _size(table: AnyTable, correlations: pd.DataFrame) -> list[str]:
    if len(table.errors) == 1:
        return ["There is one architecture only, so there is no ranking to compare."]
    few = int(correlations["n"].min())
    if few >= FEW:
        return []
    row = correlations.sort_values("n", kind="stable").iloc[0]
    start = f"Few architectures: {few} {'has' if few == 1 else 'have'} both {table.reference} and "
    if few < MIN_PAIRS:
        return [f"{start}{row['target']}; {RHO} needs at least {MIN_PAIRS}."]
    interval = interval_text(row["ci_low"], row["ci_high"])
    known = f", with an interval of {interval}" if math.isfinite(row["ci_low"]) else ""
    return [f"{start}{row['target']}{known}."]


def _missing(table: AnyTable, correlations: pd.DataFrame) -> list[str]:
    sentences = []
    absent: dict[tuple[str, ...], list[str]] = {}  # sets that miss the same ones, together
    for key in table.errors:
        without = tuple(map(str, table.errors.index[table.errors[key].isna()]))
        if without:
            absent.setdefault(without, []).append(str(key))
    for without, keys in absent.items():
        more = f" and {len(without) - 5} more" if len(without) > 5 else ""
        names = listing(without) if not more else f"{', '.join(without[:5])}{more}"
        sentences.append(
            f"{listing(keys)}: no value of {count(len(without), 'architecture')} ({names})."
        )
    for row in correlations.to_dict("records"):
        smaller = min(row["n"] + row["only_reference"], row["n"] + row["only_target"])
        if row["n"] < _MIN_SHARE * smaller:
            sentences.append(
                f"{row['reference']} and {row['target']} are largely of different architectures: "
                f"{row['n']} have both, {row['only_reference']} only the first and "
                f"{row['only_target']} only the second. Two populations may be mixed up."
            )
    return sentences


def _families(table: AnyTable) -> list[str]:
    """Name the families that architectures' names show: those are no random sample."""
    if table.families is not None:
        counted = len(np.unique(family_codes(table.families)))
        if counted >= MIN_FAMILIES:
            return []
        return [
            f"{count(counted, 'family', 'families')} of architectures: fewer than {MIN_FAMILIES} "
            "show no interval and no p-value."
        ]
    families = families_by_name(list(table.errors.index))
    sizes = families[families != ""].value_counts()
    if sizes.empty:
        return []
    shown = [f"{name} ({size})" for name, size in sizes.head(_MOST_FAMILIES).items()]
    more = f" and {len(sizes) - _MOST_FAMILIES} more" if len(sizes) > _MOST_FAMILIES else ""
    return [
        f"Names show families of architectures: {', '.join(shown)}{more}. Members of a family err "
        "together, so the intervals are too narrow, by far where families are large. Name a column "
        "of families with --family (the one of the names, for the families that they show)."
    ]


def _flat(table: AnyTable) -> list[str]:
    sentences, ties = [], []
    for key in table.errors:
        values = table.errors[key].dropna()
        tied = tied_share(values)
        if len(values) > 1 and values.nunique() == 1:
            sentences.append(
                f"{key} is constant: all {len(values)} errors are {number(values.iloc[0])} %, so "
                f"its {RHO} is undefined."
            )
        elif tied > MAX_TIED:
            ties.append(f"{number(100 * tied, 0)} % on {key}")
    return sentences + ([ties_text(ties)] if ties else [])


def _opposite(table: AnyTable, correlations: pd.DataFrame) -> list[str]:
    """Name targets that are ranked the other way round, where others are not."""
    rho = correlations["rho"]
    below = correlations[(rho < _OPPOSITE) & correlations["target"].isin(table.percent)]
    if below.empty or table.reference not in table.percent:
        return []
    names = listing([f"{r['target']} ({rho_number(r['rho'])})" for r in below.to_dict("records")])
    return [
        f"{RHO} below {number(_OPPOSITE, 1)}: {names}. Check that both columns hold errors: "
        "accuracies among errors look like this."
    ]


def _populations(table: AnyTable, correlations: pd.DataFrame) -> list[str]:
    """Name text columns within whose groups rho is another one than over all."""
    sentences = []
    for row in correlations.to_dict("records"):
        if not math.isfinite(row["rho"]):
            continue
        pair = table.errors[[table.reference, row["target"]]]
        for name in table.groups:
            inside = []
            for _, group in pair.groupby(table.groups[name]):
                found = spearman(group[table.reference], group[row["target"]])
                if math.isfinite(found.rho):
                    inside.append((found.n, found.rho))
            if len(inside) < 2:
                continue
            sizes, rhos = np.array(inside).T
            within = float(np.average(rhos, weights=sizes))
            if abs(within - row["rho"]) > MAX_SHIFT:
                sentences.append(
                    f"{row['target']}: over all architectures {RHO} is "
                    f"{rho_number(row['rho'])}, within the groups of '{name}' it is "
                    f"{rho_number(within)} on average. Are two populations mixed up?"
                )
    return sentences


def scale_note() -> str:
    """Return how a rho is to be read, in a sentence."""
    return (
        f"{RHO} = 1: the data sets rank the architectures alike; 0: one says nothing about the "
        f"other; {MINUS}1: they rank them in opposite order."
    )
