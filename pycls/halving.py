"""The plan of successive halving: how many architectures are trained up to which epoch.

Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization,
AISTATS 2016. Carrying it out and replaying it go by the same plan.
"""

from collections.abc import Sequence

import numpy as np

_RUNGS = 4


def plan_halving(
    epochs: Sequence[int], available: int, budget: float
) -> tuple[list[int], list[int], float]:
    """Return the rungs of successive halving that a budget pays for, with most to begin with.

    Args:
        epochs: rising; the last one is the end.
        available: architectures that there are.
        budget: in trainings to the end.

    Returns:
        Places in `epochs`, at about an eighth, a quarter, a half and the whole of the end; the
        architectures that are trained up to each; the cost in trainings to the end. No sizes where
        not one training can be paid.
    """
    numbers = np.asarray(epochs, dtype=float)
    wanted = numbers[-1] / 2.0 ** np.arange(_RUNGS - 1, -1, -1)
    rungs = sorted({int(np.argmin(np.abs(numbers - each))) for each in wanted})
    steps = np.diff(numbers[rungs], prepend=0.0) / numbers[-1]
    for start in range(available, 0, -1):
        sizes = [max(1, start >> place) for place in range(len(rungs))]
        cost = float(np.dot(sizes, steps))
        if cost <= budget + 1e-9:
            return rungs, sizes, cost
    return rungs, [], 0.0
