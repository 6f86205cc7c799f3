"""How far single architectures carry a rho: its range when each is left out."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.intervals import influence
from pycls.analysis.statistics.pairs import can_correlate, complete_pairs
from pycls.analysis.statistics.ranks import ranks_of

_MOST_EXACT = 100  # architectures up to which each is left out in fact


def leave_one_out(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Return the lowest and highest rho of all but one architecture.

    Each is left out in turn; above 100 architectures by :func:`influence`, which differs from
    that by less than the third decimal.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.

    Returns:
        The range; NaN where rho is undefined.
    """
    x_kept, y_kept = complete_pairs(x, y)
    n = len(x_kept)
    if not can_correlate(x_kept, y_kept):
        return math.nan, math.nan
    if n > _MOST_EXACT:
        rho, values = influence(x_kept, y_kept)
        return (
            max(-1.0, rho - float(values.max()) / (n - 1)),
            min(1.0, rho - float(values.min()) / (n - 1)),
        )
    rhos = _without_each(x_kept, y_kept)
    return float(np.nanmin(rhos)), float(np.nanmax(rhos))


def _without_each(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rho without architecture i, for each i; NaN where it is undefined.

    The ranks above one that is left out fall by 1, those that tie with it by a half.
    """
    n = len(x)
    a, b = (ranks_of(side).average - n / 2 for side in (x, y))
    falls = [_falls(side) for side in (x, y)]
    both = np.einsum("ij,ij->i", *falls)
    sums = [
        float(one @ other) - one * other
        - (fall @ other - other / 2) - (other_fall @ one - one / 2)
        + (product - 0.25)
        for one, other, fall, other_fall, product in (
            (a, b, *falls, both),
            (a, a, falls[0], falls[0], np.einsum("ij,ij->i", falls[0], falls[0])),
            (b, b, falls[1], falls[1], np.einsum("ij,ij->i", falls[1], falls[1])),
        )
    ]  # fmt: skip
    squares = sums[1] * sums[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        rhos = np.where(squares > 1e-9, sums[0] / np.sqrt(np.abs(squares)), np.nan)
    return np.asarray(np.clip(rhos, -1, 1))


def _falls(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the rank of architecture j falls without architecture i, (n, n)."""
    one, other = values[:, None], values[None, :]
    return (one < other) + 0.5 * (one == other)
