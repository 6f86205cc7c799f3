"""Simulated choices by learning curves whose true errors are known.

Run with a number of repetitions it prints the figures of docs/statistics.md.

Networks have true errors that fall over the epochs; images have a difficulty, so that networks err
on the same ones, and what a network makes of an image changes as it is trained. A choice sees
errors counted on images only.
"""

import itertools
import os
import sys
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from pycls.analysis.choosing.answer import optimism_of
from pycls.analysis.inputs.choice_folder import ChoiceRecord
from pycls.analysis.statistics.error_interval import wilson_interval
from pycls.halving import plan_halving

# Repetitions a setting; `make soak` asks for more.
TRIALS = int(os.environ.get("PYCLS_SOAK_COVERAGE", "0"))
SETTINGS = [(images, error) for images in (200, 2000) for error in (2.0, 30.0)]
NETWORKS = 24
EPOCHS = (2, 4, 8, 16)
BUDGET = NETWORKS / 4
_SPREAD = 0.12  # of true errors, on a probit scale: 30 % +- 4, 2 % +- 0.6
_ALIKE = 0.6  # correlation of two networks' errors on an image, on that scale
_CARRIED = 0.8  # correlation of what is a network's own of it at an epoch and at the next one


@dataclass
class Choices:
    """What came out, a value a repetition; errors in percent.

    Attributes:
        held: whether the Wilson interval of the test error, for the network that halving on
            validation images chose, held its true error.
        held_on_test: the same where the lowest of all test errors was taken.
        optimism: true error less the test error of the latter, less the mean of that over all
            networks, which is 0 on average and takes hard and easy draws of images out.
        page: what the answer page says of that after a choice by random search.
        halving_optimism: the same as `optimism` of the network that halving on test images chose.
        halving_page: what the page says of that after a choice by halving.
    """

    held: np.ndarray
    held_on_test: np.ndarray
    optimism: np.ndarray
    page: np.ndarray
    halving_optimism: np.ndarray
    halving_page: np.ndarray


def simulate(images, error, repetitions, seed=0):
    """Return the :class:`Choices` of populations with a mean error, each on fresh images."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(repetitions):
        # (networks, epochs): on a probit scale, falling to the network's own level.
        level = ndtri(error / 100) + _SPREAD * rng.standard_normal((NETWORKS, 1))
        fall = np.exp(0.3 * rng.standard_normal((NETWORKS, 1))) * np.array([[1.0, 0.6, 0.3, 0.0]])
        true = level + fall
        validation, wrong = _count(rng, true, images)
        test = _count(rng, true, images)[0]
        order = rng.permutation(NETWORKS)
        stages = _halve(validation, order)
        halved_on_test = _halve(test, order)[-1][0]
        lucky = rng.permutation(np.flatnonzero(test[:, -1] == test[:, -1].min()))[0]
        truth = 100 * ndtr(true[:, -1])
        too_low = truth - test[:, -1]
        too_low -= too_low.mean()
        rows.append(
            (
                *(_holds(test[i, -1], images, truth[i]) for i in (stages[-1][0], lucky)),
                too_low[lucky],
                _page(rng, validation[:, -1:], [order, lucky], wrong[..., -1:], images),
                too_low[halved_on_test],
                _page(rng, validation, stages, wrong, images),
            )
        )
    return Choices(*np.array(rows).T)


def _page(rng, errors, stages, wrong, images):
    """Return the optimism on the test side that a page says after such a choice.

    Args:
        rng: of the page's draws.
        errors: (networks, epochs), of which the last are the stages'.
        stages: the networks of each, and at last what was chosen.
        wrong: (networks, images, epochs).
        images: as many on both sides.
    """
    last = errors.shape[1]
    rungs = list(zip(range(last - len(stages) + 1, last), stages, strict=False))
    decisions = [
        {"stage": "rung", "values": {i: errors[i, place] for i in archs}} for place, archs in rungs
    ]
    answers = [{i: wrong[i, :, place] for i in archs} for place, archs in rungs]
    record = ChoiceRecord({}, decisions, "top1", [], np.empty(0), answers)
    return optimism_of(record, images, images, int(rng.integers(2**32)), draws=100)["test"]


def _count(rng, level, images):
    """Return errors in percent, (networks, epochs), and wrong ones, (networks, images, epochs)."""
    hard = np.sqrt(_ALIKE) * rng.standard_normal(images)
    own = rng.standard_normal((len(level), images, len(EPOCHS)))
    for before, epoch in itertools.pairwise(range(len(EPOCHS))):
        anew = np.sqrt(1 - _CARRIED**2) * own[..., epoch]
        own[..., epoch] = _CARRIED * own[..., before] + anew
    wrong = hard[:, None] + np.sqrt(1 - _ALIKE) * own < level[:, None, :]
    return 100 * wrong.mean(axis=1), wrong


def _halve(errors, order):
    """Return the networks of each stage of successive halving, and at last the one it chooses.

    At a quarter of the whole cost.
    """
    rungs, sizes, _ = plan_halving(EPOCHS, len(errors), BUDGET)
    stages = [order[: sizes[0]]]
    for rung, size in zip(rungs, [*sizes[1:], 1], strict=True):
        archs = stages[-1]
        stages.append(archs[np.argsort(errors[archs, rung], kind="stable")][:size])
    return stages


def _holds(error, images, truth):
    low, high = wilson_interval(error, images)
    return low <= truth <= high


def main():
    """Print a row a setting."""
    repetitions = int(sys.argv[1])
    for images, error in SETTINGS:
        found = simulate(images, error, repetitions)
        shown = (
            f"{name} {values.mean():.3f} +- {values.std() / np.sqrt(repetitions):.3f}"
            for name, values in vars(found).items()
        )
        print(f"{images} images, {error} %:", ", ".join(shown), flush=True)


if __name__ == "__main__":
    main()
