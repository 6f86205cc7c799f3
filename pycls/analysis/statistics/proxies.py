"""The choice of a proxy for a data set, by class count or by measured rho."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    correlation_columns,
    spearman,
)
from pycls.analysis.statistics.dependent import compare_rhos, difference_columns
from pycls.analysis.statistics.selection import regret
from pycls.errors import ConfigError

_CHOSEN = (1, 10)  # how many of a proxy's best are taken, for the regret


def closest_member(num_classes: int, members: Mapping[str, int]) -> str:
    """Return the family member whose number of classes is closest (paper, Table 3).

    Args:
        num_classes: classes of the data set to be predicted.
        members: key -> number of classes of the candidates.

    Returns:
        The key with the smallest absolute difference; of two at the same difference the
        one with more classes (the paper's rule is silent there), of two with the same
        number of classes the first.

    Raises:
        ConfigError: there are no candidates.
    """
    if not members:
        raise ConfigError("no family members to choose the closest from; name some in 'family'")
    return min(members, key=lambda key: (abs(members[key] - num_classes), -members[key]))


def rank_proxies(
    errors: pd.DataFrame, target: str, proxies: Iterable[str], confidence: float = 0.95
) -> pd.DataFrame:
    """Return how well each candidate ranks the architectures of a target, best first.

    Args:
        errors: architectures x data sets, in percent; NaN where there is none.
        target: a column of `errors`.
        proxies: columns to choose from; the target itself is left out.
        confidence: level of the intervals, between 0 and 1.

    Returns:
        A row per proxy, by falling rho, undefined ones last: place (1 is best), proxy, rho,
        n, ci_low, ci_high, p; difference (to the best proxy's rho, on the architectures with
        all three errors), ci_low_difference, ci_high_difference, p_difference
        (:func:`pycls.analysis.statistics.dependent.compare_rhos`; NaN for the best itself);
        regret_1 and regret_10 (points of error lost on the target by taking the proxy's best
        1 or 10).
        The best of several has a rho that is a little too high, the more so the more there
        are and the fewer architectures.

    Raises:
        ConfigError: a name is not among the columns, or the level is impossible.
    """
    keys = [key for key in dict.fromkeys(proxies) if key != target]
    for key in (target, *keys):
        if key not in errors:
            raise ConfigError(
                f"there is no data set '{key}' among the errors (there are "
                f"{', '.join(map(str, errors))})"
            )
    rows = [_proxy_row(errors, target, key, confidence) for key in keys]
    rows.sort(key=lambda row: -math.inf if math.isnan(row["rho"]) else row["rho"], reverse=True)
    for place, row in enumerate(rows, 1):
        row["place"] = place
        if place == 1:
            continue
        compared = compare_rhos(
            errors[rows[0]["proxy"]], errors[row["proxy"]], errors[target], confidence
        )
        row |= difference_columns(compared)
    names = ["place", "proxy", *CORRELATION_COLUMNS]
    names += [f"{name}difference" for name in ("", "ci_low_", "ci_high_", "p_")]
    return pd.DataFrame(rows, columns=[*names, *(f"regret_{k}" for k in _CHOSEN)])


def recommend_proxies(
    num_classes: int,
    members: Mapping[str, int],
    errors: pd.DataFrame,
    targets: Mapping[str, int],
) -> pd.DataFrame:
    """Return which member to use for a data set with this many classes, best guess first.

    Evidence are the targets of similar class count: those whose own closest member is the
    closest to `num_classes` too; all targets where there is none. Each member has its rho
    with each of them; it is judged by their mean.

    Args:
        num_classes: classes of the data set that is to be predicted.
        members: key -> number of classes of the candidates.
        errors: architectures x data sets, in percent.
        targets: key -> number of classes of the data sets whose errors are known.

    Returns:
        A row per member: proxy, num_classes, closest (by class count), mean_rho, lowest_rho,
        n_targets (behind both), targets (their names), similar (whether they are of similar
        class count). By falling mean_rho; without any evidence by closeness in class count.

    Raises:
        ConfigError: there are no candidates, or a name is not among the errors.
    """
    closest = closest_member(num_classes, members)
    alike = [key for key, count in targets.items() if closest_member(count, members) == closest]
    used = alike or list(targets)
    rhos = {member: _defined_rhos(errors, member, used) for member in members}
    rows: list[dict[str, Any]] = [
        {
            "proxy": member,
            "num_classes": members[member],
            "closest": member == closest,
            "mean_rho": float(np.mean(rhos[member])) if rhos[member] else math.nan,
            "lowest_rho": min(rhos[member], default=math.nan),
            "n_targets": len(rhos[member]),
            "targets": ", ".join(used),
            "similar": bool(alike),
        }
        for member in members
    ]
    rows.sort(
        key=lambda row: (
            math.isnan(row["mean_rho"]),
            0.0 if math.isnan(row["mean_rho"]) else -row["mean_rho"],
            abs(row["num_classes"] - num_classes),
            -row["num_classes"],
        )
    )
    return pd.DataFrame(rows)


def _proxy_row(errors: pd.DataFrame, target: str, key: str, confidence: float) -> dict[str, Any]:
    x, y = errors[key], errors[target]
    lost = {f"regret_{k}": regret(x, y, k).regret_best for k in _CHOSEN}
    return {"proxy": key, **correlation_columns(spearman(x, y, confidence)), **lost}


def _defined_rhos(errors: pd.DataFrame, member: str, targets: Sequence[str]) -> list[float]:
    for key in (member, *targets):
        if key not in errors:
            raise ConfigError(f"there is no data set '{key}' among the errors")
    rhos = [spearman(errors[member], errors[key]).rho for key in targets if key != member]
    return [rho for rho in rhos if math.isfinite(rho)]
