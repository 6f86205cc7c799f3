"""How early in training the ranking of architectures is that of the end."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.correlation import (
    CORRELATION_COLUMNS,
    correlation_columns,
    spearman,
)
from pycls.analysis.statistics.selection import regret

COLUMNS = (
    *("epoch", *CORRELATION_COLUMNS),
    *("lost", "better", "ci_low_better", "ci_high_better", "share_of_cost"),
)
MOST_ROWS = 6  # epochs of a set, spread evenly on a logarithmic scale


def early_table(epochs: ArrayLike, errors: NDArray[np.float64]) -> pd.DataFrame:
    """Return how well the errors after some epochs rank architectures as those at the end do.

    Under a schedule that ends with the training, such as a cosine, errors at epoch e are not those
    of a training of e epochs: the learning rate is still high. A shorter training ranks better than
    this as a rule, and costs the same.

    Args:
        epochs: (e,) rising; the last one is the end.
        errors: (architectures, e) after each, NaN where there is none.

    Returns:
        A row per epoch, at most `MOST_ROWS`, without the last: epoch, the columns of a
        correlation with the end; lost (points at the end, by taking the architecture that is best
        at this epoch), better with its limits (share of the design space that beats it at the
        end); share_of_cost (epochs of the whole).
    """
    numbers = np.asarray(epochs, dtype=float)
    rows = []
    for place in _spread(numbers):
        found = regret(errors[:, place], errors[:, -1])
        rows.append(
            {
                "epoch": int(numbers[place]),
                **correlation_columns(spearman(errors[:, place], errors[:, -1])),
                "lost": found.regret_best,
                "better": found.better,
                "ci_low_better": found.better_low,
                "ci_high_better": found.better_high,
                "share_of_cost": numbers[place] / numbers[-1],
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spread(epochs: NDArray[np.float64]) -> list[int]:
    """Return places of some epochs but the last, about evenly spread in their logarithm."""
    last = len(epochs) - 1
    if last <= MOST_ROWS:
        return list(range(max(0, last)))
    wanted = np.geomspace(max(1.0, epochs[0]), epochs[last - 1], MOST_ROWS)
    return sorted({int(np.argmin(np.abs(epochs[:last] - each))) for each in wanted})
