"""Simulated choices by learning curves whose true errors are known.

Run with a number of repetitions it prints the figures of docs/statistics.md.

Networks have true errors that fall over the epochs; images have a difficulty, so that networks err
on the same ones. A choice sees errors counted on images only.
"""

import os
import sys
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from pycls.analysis.choosing.optimism import expected_optimism
from pycls.analysis.choosing.replay import plan_halving
from pycls.analysis.statistics.error_interval import wilson_interval

# Repetitions a setting; `make soak` asks for more.
TRIALS = int(os.environ.get("PYCLS_SOAK_COVERAGE", "0"))
SETTINGS = [(images, error) for images in (200, 2000) for error in (2.0, 30.0)]
NETWORKS = 24
EPOCHS = (2, 4, 8, 16)
BUDGET = NETWORKS / 4
_SPREAD = 0.12  # of true errors, on a probit scale: 30 % +- 4, 2 % +- 0.6
_ALIKE = 0.6  # correlation of two networks' errors on an image, on that scale


@dataclass
class Choices:
    """What came out, a value a repetition; errors in percent.

    Attributes:
        held: whether the Wilson interval of the test error, for the network that halving on
            validation images chose, held its true error.
        held_on_test: the same where the lowest of all test errors was taken.
        optimism: true error less the test error of the latter.
        page: what `expected_optimism` says of that, from validation errors of all networks.
    """

    held: np.ndarray
    held_on_test: np.ndarray
    optimism: np.ndarray
    page: np.ndarray


def simulate(images, error, repetitions, seed=0):
    """Return the :class:`Choices` of populations with a mean error, each on fresh images."""
    rng = np.random.default_rng(seed)
    rows = []
    for repetition in range(repetitions):
        # (networks, epochs): on a probit scale, falling to the network's own level.
        level = ndtri(error / 100) + _SPREAD * rng.standard_normal((NETWORKS, 1))
        fall = np.exp(0.3 * rng.standard_normal((NETWORKS, 1))) * np.array([[1.0, 0.6, 0.3, 0.0]])
        true = level + fall
        validation, halves = _count(rng, true, images)
        test, _ = _count(rng, true[:, -1:], images)
        chosen = _halve(validation, rng.permutation(NETWORKS))
        lucky = rng.permutation(np.flatnonzero(test[:, 0] == test.min()))[0]
        truth = 100 * ndtr(true[:, -1])
        rows.append(
            (
                *(_holds(test[i, 0], images, truth[i]) for i in (chosen, lucky)),
                truth[lucky] - test[lucky, 0],
                expected_optimism(validation[:, -1], images, tuple(halves), seed=repetition),
            )
        )
    return Choices(*np.array(rows).T)


def _count(rng, level, images):
    """Return errors in percent, (networks, epochs), and those at the end on each half."""
    hard = np.sqrt(_ALIKE) * rng.standard_normal(images)
    own = np.sqrt(1 - _ALIKE) * rng.standard_normal((len(level), images))
    score = hard + own
    wrong = np.stack([score < column[:, None] for column in level.T], axis=2)
    halves = [100 * wrong[:, start::2, -1].mean(axis=1) for start in (0, 1)]
    return 100 * wrong.mean(axis=1), halves


def _halve(errors, order):
    """Return the network that successive halving at a quarter of the whole cost ends with."""
    rungs, sizes, _ = plan_halving(EPOCHS, len(errors), BUDGET)
    order = order[: sizes[0]]
    for rung, size in zip(rungs, [*sizes[1:], 1], strict=True):
        order = order[np.argsort(errors[order, rung], kind="stable")][:size]
    return order[0]


def _holds(error, images, truth):
    low, high = wilson_interval(error, images)
    return low <= truth <= high


def main():
    """Print a row a setting."""
    repetitions = int(sys.argv[1])
    for images, error in SETTINGS:
        found = simulate(images, error, repetitions)
        difference = found.page.mean() - found.optimism.mean()
        deviation = np.sqrt((found.optimism.var() + found.page.var()) / repetitions)
        print(
            f"{images} images, {error} %: held {100 * found.held.mean():.1f}, on test "
            f"{100 * found.held_on_test.mean():.1f}, optimism {found.optimism.mean():.3f}, "
            f"page {found.page.mean():.3f} (sd {found.page.std():.3f}), difference "
            f"{difference:+.3f} +- {deviation:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
