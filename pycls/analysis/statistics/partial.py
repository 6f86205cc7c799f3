"""Partial rank correlation: rho of two errors with other properties held fixed."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.statistics.intervals import fisher_interval
from pycls.analysis.statistics.pairs import MIN_PAIRS, check_sampling, complete_pairs
from pycls.analysis.statistics.ranks import ranks_of
from pycls.errors import ConfigError


def partial_spearman(
    x: ArrayLike, y: ArrayLike, given: ArrayLike, confidence: float = 0.95
) -> Correlation:
    """Return Spearman's rho of x and y that is left when other properties are held fixed.

    All variables are replaced by their ranks; what a linear function of the ranks of `given`
    explains is taken out of both sides; the rest is correlated. With depth, width and flops
    as `given`, it says whether two data sets agree beyond what these explain. The p-value is
    from the t distribution with n - 2 - k degrees of freedom, the interval is Fisher's with n - k
    pairs, where k counts the columns of `given` that are not sums of others.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.
        given: (n,) or (n, columns).
        confidence: level of the interval, between 0 and 1.

    Returns:
        The partial correlation; n counts the architectures without any NaN. NaN where it is
        undefined: too few architectures, or `given` explains one side wholly.

    Raises:
        ConfigError: lengths that differ, or a level outside (0, 1).
    """
    from scipy.special import stdtr

    check_sampling(confidence)
    fixed = np.asarray(given, dtype=float)
    columns = fixed[:, None] if fixed.ndim == 1 else fixed
    if columns.ndim != 2:
        raise ConfigError(f"'given' has one or two dimensions, not {columns.ndim}")
    x_kept, y_kept, *others = complete_pairs(x, y, *columns.T)
    n = len(x_kept)
    if n < MIN_PAIRS:
        return Correlation(n=n)
    design = np.column_stack([np.ones(n), *(_centred_ranks(column) for column in others)])
    k = int(np.linalg.matrix_rank(design)) - 1
    sides = np.column_stack([_centred_ranks(x_kept), _centred_ranks(y_kept)])
    left = sides - design @ np.linalg.lstsq(design, sides, rcond=None)[0]
    squares = np.sum(left**2, axis=0)
    if n - k < MIN_PAIRS or (squares <= 1e-12 * np.sum(sides**2, axis=0)).any():
        return Correlation(n=n)
    rho = float(np.clip(left[:, 0] @ left[:, 1] / math.sqrt(squares[0] * squares[1]), -1, 1))
    degrees = n - 2 - k
    low, high = fisher_interval(rho, n - k, confidence)
    t = math.inf if abs(rho) == 1 else abs(rho) * math.sqrt(degrees / (1 - rho**2))
    return Correlation(rho, n, low, high, 2 * float(stdtr(degrees, -t)))


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return ranks_of(values).centred
