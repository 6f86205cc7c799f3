"""Architectures that stand apart from the order of all others."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.pairs import can_correlate, complete_pairs
from pycls.analysis.statistics.ranks import ranks_of

MIN_OUTLIERS = 20  # architectures below which none can be told from chance
_SHARE = 0.1  # of the architectures that may be outliers; more are a second population
# An outlier's ranks, as normal scores, are this far apart, and this many times (more among few
# architectures) as far as those of the next one. Set by simulation, so that about 5 % of samples
# without outliers have one at most, with heavy tails or noise that grows with the error too.
_DISTANCE, _GAP, _GAP_OF_FEW = 2.8, 2.6, 15.0


def outliers(x: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
    """Return the architectures that stand apart from the order of all others.

    The ranks on both sides are turned into normal scores, whose distance is small where an
    architecture is placed alike (in the opposite order, where rho is negative). Outliers
    are those of the largest distances, a tenth of all at most, behind which there is a gap.
    Where the sides agree weakly, nothing can stand apart.

    Args:
        x: n values; NaN where there is none.
        y: n values, paired with `x`.

    Returns:
        Places in `x` and `y`, the farthest first; none with fewer than `MIN_OUTLIERS` pairs.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    x_kept, y_kept = complete_pairs(first, second)
    n = len(x_kept)
    if n < MIN_OUTLIERS or not can_correlate(x_kept, y_kept):
        return np.array([], dtype=np.intp)
    places = np.flatnonzero(~(np.isnan(first) | np.isnan(second)))
    a, b = (ranks_of(side).normal for side in (x_kept, y_kept))
    distances = np.abs(a - math.copysign(1.0, float(a @ b)) * b)
    most = int(_SHARE * n)
    order = np.argsort(-distances, kind="stable")[: most + 1]
    sorted_distances, gap = distances[order], _GAP + _GAP_OF_FEW / n
    apart = (sorted_distances[:-1] > gap * sorted_distances[1:]) & (
        sorted_distances[:-1] > _DISTANCE
    )
    last = int(np.flatnonzero(apart).max(initial=-1))
    return np.asarray(places[order[: last + 1]], dtype=np.intp)
