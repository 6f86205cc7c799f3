"""The number of architectures that a study needs."""

import math

import numpy as np
from numpy.typing import NDArray

from pycls.analysis.statistics.intervals import fisher_interval, one_swap
from pycls.analysis.statistics.pairs import MIN_PAIRS, check_sampling
from pycls.errors import ConfigError

_MOST = 10_000_000
_FEWEST = 6  # architectures from which two rhos are compared
_MOST_SIMULATED, _CELLS = 2000, 500_000
_STEP, _CLOSE = 0.8, 0.01  # of the search: how far a step goes, and how exact its end is


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
    Bulletin 111, 172-175. With high rhos and small n that is wrong, so up to two thousand
    architectures the number is searched for from there, by the power that simulated samples show
    (always the same ones), to about 1 %. For errors that are monotone transforms of a normal.

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
    n = max(_FEWEST, math.ceil(3 + variance * needed**2))
    if n > _MOST:
        raise ConfigError(f"telling these rhos apart takes more than {_MOST:,} architectures")
    if rho_ab is None or n > _MOST_SIMULATED:
        return n

    def enough(count: int) -> bool:
        return _simulated_power(rho_a, rho_b, rho_ab, count, level) >= power

    if enough(n):
        low, high = _FEWEST - 1, n
        while low < (lower := math.floor(high * _STEP)) and enough(lower):
            high = lower
        low = max(low, lower)
    else:
        low, high = n, math.ceil(n / _STEP)
        while not enough(high):
            low, high = high, math.ceil(high / _STEP)
    while high - low > max(1, low * _CLOSE):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _simulated_power(rho_a: float, rho_b: float, rho_ab: float, n: int, level: float) -> float:
    """Return how often the test finds a difference in simulated normal samples of n."""
    from scipy.special import stdtr

    a, b, c = (2 * math.sin(math.pi * rho / 6) for rho in (rho_a, rho_b, rho_ab))  # Pearson's r
    values, vectors = np.linalg.eigh(np.array([[1, c, a], [c, 1, b], [a, b, 1]]))
    root = vectors * np.sqrt(np.maximum(values, 0))
    trials = max(200, min(2000, _CELLS // n))
    drawn = np.random.default_rng(n).standard_normal((trials, 3, n))
    first, second, target = np.moveaxis(np.einsum("ij,tjn->tin", root, drawn), 1, 0)
    sides = [_transforms(side, target) for side in (first, second)]
    change = sides[1][1] - sides[0][1]
    squares = np.maximum(np.sum(change**2, axis=1), 1e-30)
    error = np.sqrt(squares / (n * (n - 1)) + sides[0][2] + sides[1][2])
    excess = n * np.sum(change**4, axis=1) / squares**2 - 1
    free = np.clip(2 * n / excess, 2, n - 2)
    t = np.abs(sides[1][0] - sides[0][0]) / error
    return float(np.mean(2 * stdtr(free, -t) < level))


def _transforms(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return Fisher's transforms of many rhos, the influence on them, and variance beside that.

    A rho of exactly 1 or -1 is treated as in
    :func:`pycls.analysis.statistics.dependent.compare_rhos`.
    """
    n = x.shape[1]
    rhos, values = _influences(x, y)
    close, at_end = one_swap(n), np.abs(rhos) > 1 - 1e-12
    rhos = np.where(at_end, np.sign(rhos) * close, rhos)
    beside = np.where(at_end, (1 + close**2 / 2) / (n - 3), 0.0)
    moved = np.where(at_end[:, None], 0.0, values / (1 - rhos**2)[:, None])
    return np.arctanh(rhos), moved, beside


def _influences(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rho of many samples without ties, and each architecture's influence on it.

    As :func:`pycls.analysis.statistics.intervals.influence`, of (samples, n) at once.
    """
    n = x.shape[1]
    orders = [np.argsort(side, axis=1) for side in (x, y)]
    a, b = ((np.argsort(order, axis=1) - (n - 1) / 2) / n for order in orders)

    def above(order: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
        ordered = np.take_along_axis(values, order, axis=1)
        sums = np.cumsum(ordered, axis=1)
        found = np.empty_like(values)
        np.put_along_axis(found, order, sums[:, -1:] - sums + ordered / 2, axis=1)
        return found / n

    variance = (n**2 - 1) / (12 * n**2)
    rho = np.mean(a * b, axis=1) / variance
    shared = a * b + above(orders[0], b) + above(orders[1], a)
    own = a**2 + 2 * above(orders[0], a) + b**2 + 2 * above(orders[1], b)
    values = shared / variance - rho[:, None] / 2 * own / variance
    return rho, values - values.mean(axis=1, keepdims=True)


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
