"""Agreement among the best architectures, where it matters and rho says little."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from pycls.analysis.statistics.correlation import Correlation, spearman
from pycls.analysis.statistics.pairs import can_correlate, check_sampling, complete_pairs
from pycls.analysis.statistics.selection import binomial_limits

SHARE = 0.1  # of the architectures that are the top
_BLOCKS = 20  # of architectures, for the jackknife of weighted tau


@dataclass(frozen=True)
class Top:
    """How well a proxy finds the architectures that are best on a target.

    Attributes:
        n: architectures with both errors.
        k: size of the top: a tenth of them, at least one.
        precision: share of the proxy's best k that are among the target's best k; k / n by
            chance. Ties at the k-th place count in part.
        precision_low: exact binomial lower limit, on k draws.
        precision_high: upper limit.
        weighted_tau: Kendall's tau in which exchanges among the best weigh most (Vigna 2015,
            *A Weighted Correlation Index for Rankings with Ties*, WWW 2015).
        weighted_tau_low: lower bound, by a jackknife over blocks of architectures.
        weighted_tau_high: upper bound.
        by_proxy: Spearman's rho among the proxy's best tenth: what is left to decide once the
            proxy has chosen.
        by_target: rho among the target's best tenth. Hindsight: it takes the answer to choose
            them, and tends to be lower than `by_proxy` for that alone.
    """

    n: int = 0
    k: int = 0
    precision: float = math.nan
    precision_low: float = math.nan
    precision_high: float = math.nan
    weighted_tau: float = math.nan
    weighted_tau_low: float = math.nan
    weighted_tau_high: float = math.nan
    by_proxy: Correlation = field(default_factory=Correlation)
    by_target: Correlation = field(default_factory=Correlation)


def top_agreement(
    proxy: ArrayLike, target: ArrayLike, share: float = SHARE, confidence: float = 0.95
) -> Top:
    """Return how well the best architectures of a proxy and of a target agree.

    Args:
        proxy: n errors on the proxy, lower is better; NaN where there is none.
        target: n errors on the target.
        share: of the architectures that are the top, between 0 and 1.
        confidence: level of the intervals, between 0 and 1.

    Raises:
        ConfigError: vectors of different lengths, or a share or level outside (0, 1).
    """
    check_sampling(confidence)
    check_sampling(share)
    x, y = complete_pairs(proxy, target)
    n = len(x)
    if not n:
        return Top()
    k = max(1, round(share * n))
    in_x, in_y = _membership(x, k), _membership(y, k)
    both = float(in_x @ in_y)
    # Counts that ties split are rounded outwards, so that the limits hold for either way.
    low = binomial_limits(min(k, math.floor(both + 1e-9)), k, confidence)[0]
    high = binomial_limits(min(k, math.ceil(both - 1e-9)), k, confidence)[1]
    tau, tau_low, tau_high = _weighted_tau(x, y, confidence)
    of_x, of_y = (side <= np.partition(side, k - 1)[k - 1] for side in (x, y))
    return Top(
        *(n, k, both / k, low, high, tau, tau_low, tau_high),
        by_proxy=spearman(x[of_x], y[of_x], confidence),
        by_target=spearman(x[of_y], y[of_y], confidence),
    )


def _membership(values: np.ndarray, k: int) -> np.ndarray:
    """Return how much each is among the k lowest: 1, 0, or a part where ties share places."""
    last = np.partition(values, k - 1)[k - 1]
    below, tied = values < last, values == last
    return np.where(below, 1.0, np.where(tied, (k - below.sum()) / tied.sum(), 0.0))


def _weighted_tau(x: np.ndarray, y: np.ndarray, confidence: float) -> tuple[float, float, float]:
    from scipy.special import stdtrit
    from scipy.stats import weightedtau

    if not can_correlate(x, y):
        return math.nan, math.nan, math.nan
    tau = float(weightedtau(-x, -y).statistic)
    n = len(x)
    if n < 2 * _BLOCKS:
        return tau, math.nan, math.nan
    # Blocks that each have a part of all ranks.
    order = np.argsort(x + y, kind="stable")
    left_out = np.array(
        [
            weightedtau(-np.delete(x, part), -np.delete(y, part)).statistic
            for part in (order[start::_BLOCKS] for start in range(_BLOCKS))
        ]
    )
    error = math.sqrt((_BLOCKS - 1) / _BLOCKS * float(np.sum((left_out - left_out.mean()) ** 2)))
    half = float(stdtrit(_BLOCKS - 1, 0.5 + confidence / 2)) * error
    return tau, max(-1.0, tau - half), min(1.0, tau + half)
