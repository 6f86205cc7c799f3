"""The number of architectures that a study needs."""

import math

from pycls.analysis.statistics.intervals import fisher_interval
from pycls.analysis.statistics.pairs import MIN_PAIRS, check_sampling
from pycls.errors import ConfigError

_MOST = 10_000_000


def interval_width(rho: float, n: int, confidence: float = 0.95) -> float:
    """Return how wide the interval of a rho of n architectures is; see `fisher_interval`."""
    low, high = fisher_interval(rho, n, confidence)
    return high - low


def architectures_for_width(width: float, rho: float = 0.0, confidence: float = 0.95) -> int:
    """Return how many architectures make the interval of rho at most so wide.

    Args:
        width: upper less lower bound, above 0 and below 2.
        rho: the rho expected, between -1 and 1; intervals are widest near 0.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ConfigError: a value out of range, or more than ten million architectures.
    """
    if not 0 < width < 2:
        raise ConfigError(f"the width of an interval of rho lies between 0 and 2, got {width}")
    _check_rho(rho)
    if interval_width(rho, _MOST, confidence) > width:
        raise ConfigError(f"an interval of width {width} takes more than {_MOST:,} architectures")
    low, high = MIN_PAIRS - 1, _MOST  # too few, and enough
    while high - low > 1:
        middle = (low + high) // 2
        if interval_width(rho, middle, confidence) <= width:
            high = middle
        else:
            low = middle
    return high


def architectures_to_tell_apart(
    rho_a: float,
    rho_b: float,
    rho_ab: float | None = None,
    power: float = 0.8,
    level: float = 0.05,
) -> int:
    """Return how many architectures show that two rhos with one target differ.

    For the two-sided test of :func:`pycls.analysis.statistics.dependent.compare_rhos`. The
    difference of the Fisher transforms has about the variance 2 (1 - c) (1 + r^2 / 2) /
    (n - 3): r^2 is the mean of both squared rhos, the factor that of Bonett and Wright (2000), and
    c the correlation of the two estimates by Meng, Rosenthal and Rubin (1992), Psychological
    Bulletin 111, 172-175. An approximation for errors that are monotone transforms of a
    normal.

    Args:
        rho_a: of the first proxy with the target.
        rho_b: of the second.
        rho_ab: of the two proxies with each other; without it, the two rhos come from
            different architectures (n of each), which takes more of them.
        power: chance that the test shows the difference.
        level: of the test.

    Raises:
        ConfigError: equal rhos, a value out of range, three rhos that cannot occur
            together, or more than ten million architectures.
    """
    from scipy.special import ndtri

    for rho in (rho_a, rho_b, rho_ab or 0.0):
        _check_rho(rho)
    check_sampling(power)
    check_sampling(level)
    gap = abs(math.atanh(rho_a) - math.atanh(rho_b))
    if gap == 0:
        raise ConfigError(f"rhos that are equal ({rho_a}) cannot be told apart")
    squares = (rho_a**2 + rho_b**2) / 2
    shared = 0.0 if rho_ab is None else _shared(rho_a, rho_b, rho_ab)
    variance = 2 * (1 - shared) * (1 + squares / 2)
    needed = (float(ndtri(1 - level / 2)) + float(ndtri(power))) / gap
    n = max(MIN_PAIRS, math.ceil(3 + variance * needed**2))
    if n > _MOST:
        raise ConfigError(f"telling these rhos apart takes more than {_MOST:,} architectures")
    return n


def _shared(rho_a: float, rho_b: float, rho_ab: float) -> float:
    """Return the correlation of the estimates of two rhos that share the target."""
    rest = 1 - rho_a**2 - rho_b**2 - rho_ab**2 + 2 * rho_a * rho_b * rho_ab
    if rest < 0:
        raise ConfigError(
            f"rhos of {rho_a} and {rho_b} with the target and {rho_ab} with each other cannot "
            "occur together"
        )
    covariance = rho_ab * (1 - rho_a**2 - rho_b**2)
    covariance -= rho_a * rho_b * (1 - rho_a**2 - rho_b**2 - rho_ab**2) / 2
    return min(1.0, covariance / ((1 - rho_a**2) * (1 - rho_b**2)))


def _check_rho(rho: float) -> None:
    if not -1 < rho < 1:
        raise ConfigError(f"rho must lie between -1 and 1, got {rho}")
