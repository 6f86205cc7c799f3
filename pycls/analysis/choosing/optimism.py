"""How much too low the error of a choice is on the images that it was chosen on."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DRAWS = 2000
_LEAST_APART = 1e-6  # networks that err on the very same images


def share_apart(wrong: NDArray[np.bool_]) -> float:
    """Return the share of the variance of errors by which networks scatter apart from each other.

    Networks err on the same images, so that other images make all of them better or worse
    together, which changes no choice. What is left is one less the mean correlation of two
    networks' answers.

    Args:
        wrong: (n, images), which answers of which network were wrong.

    Returns:
        0 (all err on the same images) to 1 (each on its own); NaN for fewer than two networks,
        or without a wrong or a right answer.
    """
    n, images = wrong.shape
    if n < 2 or images < 2:
        return math.nan
    own = float(wrong.var(axis=1, ddof=1).sum())
    if own == 0:
        return math.nan
    together = float(wrong.sum(axis=0).var(ddof=1)) - own
    return min(1.0, max(0.0, 1 - together / (n - 1) / own))


def independent_images(images: int, apart: float) -> int:
    """Return how many images of its own each network needs to scatter as much as they do apart."""
    return max(1, round(images / max(apart, _LEAST_APART)))


def expected_optimism(
    errors: ArrayLike,
    images: int,
    apart: float = 1.0,
    chosen_on: int | None = None,
    seed: int = 0,
) -> float:
    """Return by how many points the error of what is chosen is too low, on average.

    Errors of networks scatter by the images they are counted on; whoever takes the lowest takes
    luck along. Observed errors are spread wider than true ones by that chance, so they are drawn
    together until their variance is the true one's (Louis 1984, Journal of the American Statistical
    Association 79, 393-398). Then images are drawn anew, it is chosen by them, and the error of
    what is taken is compared with the one it was drawn from.

    Of several stages, each of which goes on with the lowest errors of the one before, an image that
    is right is taken to stay so while the error falls, so that luck is carried on in part. Networks
    that were not trained any more are taken to keep their place, in proportion.

    Args:
        errors: of n trained networks in percent, all on the same images, (n,) or a row a stage,
            (stages, n), NaN where one was not trained (any more).
        images: how many those are.
        apart: see :func:`share_apart`; with 1, where it is not known, it is an upper bound.
        chosen_on: images that the choice is made on: what it would be with as many; None: `images`.
        seed: of the draws.

    Returns:
        Points, 0 or more on average; 0 for one network; NaN where there is no error or no image.
    """
    observed = np.atleast_2d(np.asarray(errors, dtype=float)) / 100
    observed = observed[:, np.isfinite(observed[0])]
    n = observed.shape[1]
    if n < 1 or images < 1:
        return math.nan
    if n == 1:
        return 0.0
    count = independent_images(chosen_on or images, apart)
    rng = np.random.default_rng(seed)
    alive = rng.permuted(np.tile(np.arange(n), (_DRAWS, 1)), axis=1)  # of equal ones any
    kept = [*np.isfinite(observed[1:]).sum(axis=1), 1]
    before, wrong = np.ones(n), np.full((_DRAWS, n), count)
    for row, size in zip(_filled(observed), kept, strict=True):
        true = _drawn_together(row, apart * float(np.mean(row * (1 - row))) / images)
        wrong = _go_on(rng, wrong, count, before, true)
        best = np.argsort(np.take_along_axis(wrong, alive, 1), axis=1, kind="stable")
        alive, before = np.take_along_axis(alive, best[:, : max(1, size)], 1), true
    taken = alive[:, :1]
    return float(100 * np.mean(before[taken] - np.take_along_axis(wrong, taken, 1) / count))


def _go_on(
    rng: np.random.Generator,
    wrong: NDArray[np.int64],
    count: int,
    before: NDArray[np.float64],
    true: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Draw how many of so many images are wrong at a stage, from how many were at the one before.

    Args:
        rng: of the draws.
        wrong: (draws, n) at the stage before.
        count: images.
        before: (n,) true shares of errors at the stage before.
        true: likewise at this one.
    """
    mended = np.divide(true, before, out=np.ones(len(true)), where=before > 0)
    spoilt = np.divide(true - before, 1 - before, out=np.zeros(len(true)), where=before < 1)
    fewer = rng.binomial(wrong, np.clip(mended, 0.0, 1.0))
    return fewer + rng.binomial(count - wrong, np.clip(spoilt, 0.0, 1.0))


def _filled(observed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the errors of each stage, those of networks that were not trained any more put in."""
    rows = [observed[0]]
    for row in observed[1:]:
        before, known = rows[-1], np.isfinite(row)
        fallen = row[known].mean() / max(before[known].mean(), 1e-12)
        rows.append(np.where(known, row, np.minimum(fallen * before, 1.0)))
    return np.array(rows)


def _drawn_together(shares: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Return the shares drawn to their mean until chance is out of their variance."""
    variance = float(np.var(shares, ddof=1))
    kept = math.sqrt(max(0.0, 1 - noise / variance)) if variance > 0 else 0.0
    return np.clip(shares.mean() + kept * (shares - shares.mean()), 0.0, 1.0)
