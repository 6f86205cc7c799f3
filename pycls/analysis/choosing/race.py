"""Which of several candidates ranks a target's architectures best, and how sure that is."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.averages import paired_influence
from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    correlation_columns,
    spearman,
)
from pycls.analysis.statistics.intervals import one_swap
from pycls.analysis.statistics.pairs import MIN_PAIRS, check_sampling, complete_pairs

_DRAWS = 4000
COLUMNS = ("p_best", "rho_corrected", "all_low", "all_high")


def race(
    candidates: Mapping[str, ArrayLike],
    target: ArrayLike,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how well each candidate ranks the architectures of a target, best first.

    All rhos share the architectures, so they err together. Their Fisher transforms are drawn
    from the normal distribution with the covariance that the architectures' influences show,
    around the observed ones.

    Args:
        candidates: name -> n values that are low for architectures it takes for good; NaN
            where there is none.
        target: n errors.
        confidence: level of the intervals, between 0 and 1.
        seed: of the draws.

    Returns:
        A row per candidate with a defined rho: candidate, the columns of a correlation; p_best
        (share of the draws in which it is the best: the chance of it, if nothing was known
        before); rho_corrected (of the first only: less what the best of so many rhos is too high
        on average, so that it is what a new sample would show); all_low and all_high (an interval
        that holds the rhos of all candidates at once, and so of whichever was picked).

    Raises:
        ConfigError: vectors of different lengths, or a level outside (0, 1).
    """
    check_sampling(confidence)
    rows, transforms, influences, extras = [], [], [], []
    for name, values in candidates.items():
        rho, moved = paired_influence(values, target)
        if math.isnan(rho):
            continue
        n = len(complete_pairs(values, target)[0])
        close = min(max(rho, -one_swap(n)), one_swap(n))
        transforms.append(math.atanh(close))
        exact = abs(rho) >= 1
        influences.append(np.zeros(len(moved)) if exact else moved / (1 - rho**2))
        extras.append((1 + close**2 / 2) / max(1, n - 3) if exact else 0.0)
        rows.append({"candidate": name, **correlation_columns(spearman(values, target))})
    names = ["candidate", *CORRELATION_COLUMNS, *COLUMNS]
    if not rows:
        return pd.DataFrame(columns=names)
    middle = np.array(transforms)
    draws = _draw(middle, np.array(influences), np.array(extras), seed)
    table = pd.DataFrame(rows)
    winners = np.argmax(draws, axis=1)
    table["p_best"] = np.bincount(winners, minlength=len(rows)) / len(draws)
    best = int(np.argmax(middle))
    too_high = float(np.mean(draws.max(axis=1) - middle[winners]))
    table["rho_corrected"] = math.nan
    table.loc[best, "rho_corrected"] = math.tanh(middle[best] - too_high)
    errors = draws.std(axis=0)
    scaled = np.abs(draws - middle) / np.where(errors > 0, errors, 1)
    half = float(np.quantile(scaled.max(axis=1), confidence)) * errors
    table["all_low"], table["all_high"] = np.tanh(middle - half), np.tanh(middle + half)
    return table.sort_values("rho", ascending=False, kind="stable", ignore_index=True)[names]


def _draw(
    middle: NDArray[np.float64],
    influences: NDArray[np.float64],
    extras: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float64]:
    """Return draws of all transforms, (draws, candidates)."""
    n = influences.shape[1]
    covariance = influences @ influences.T / (n * max(1, n - MIN_PAIRS + 2)) + np.diag(extras)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, len(middle)))
    return np.asarray(middle + normal @ root.T)
