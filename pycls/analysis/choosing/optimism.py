"""How much too low the error of a choice is on the images that it was chosen on."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.choosing.alike import draw_errors, share_apart


def expected_optimism(
    errors: ArrayLike,
    images: int,
    alike: float = 0.0,
    carried: float = 1.0,
    chosen_on: int | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> float:
    """Return by how many points the error of what is chosen is too low, on average.

    Errors of networks scatter by the images they are counted on; whoever takes the lowest takes
    luck along. Observed errors are spread wider than true ones by that chance, so they are drawn
    together until their variance is the true one's (Louis 1984, Journal of the American Statistical
    Association 79, 393-398). Then images are drawn anew, it is chosen by them, and the error of
    what is taken is compared with the one it was drawn from.

    Of several stages, each of which goes on with the lowest errors of the one before, luck is
    carried on in part. Networks that were not trained any more are taken to keep their place, in
    proportion.

    Args:
        errors: of n trained networks in percent, all on the same images, (n,) or a row a stage,
            (stages, n), NaN where one was not trained (any more).
        images: how many those are.
        alike: see :func:`pycls.analysis.choosing.alike.alikeness`.
        carried: see :func:`pycls.analysis.choosing.alike.carried_share`. With an `alike` of 0 and
            this of 1, where they are not known, it is an upper bound.
        chosen_on: images that the choice is made on: what it would be with as many; None: `images`.
        seed: of the draws.
        draws: how often images are drawn.

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
    rng = np.random.default_rng(seed)
    true = np.array([_drawn_together(row, images, alike) for row in _filled(observed)])
    counted = draw_errors(rng, true, chosen_on or images, alike, draws, carried)
    alive = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)  # of equal ones any
    kept = [*np.isfinite(observed[1:]).sum(axis=1), 1]
    for errors_of, size in zip(counted, kept, strict=True):
        best = np.argsort(np.take_along_axis(errors_of, alive, 1), axis=1, kind="stable")
        alive = np.take_along_axis(alive, best[:, : max(1, size)], 1)
    too_low = true[-1] - counted[-1]
    # On average all are neither too low nor too high.
    too_low -= too_low.mean(axis=1, keepdims=True)
    return float(100 * np.mean(np.take_along_axis(too_low, alive, 1)))


def _filled(observed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the errors of each stage, those of networks that were not trained any more put in."""
    rows = [observed[0]]
    for row in observed[1:]:
        before, known = rows[-1], np.isfinite(row)
        fallen = row[known].mean() / max(before[known].mean(), 1e-12)
        rows.append(np.where(known, row, np.minimum(fallen * before, 1.0)))
    return np.array(rows)


def _drawn_together(shares: NDArray[np.float64], images: int, alike: float) -> NDArray[np.float64]:
    """Return the shares drawn to their mean until the chance of images is out of their variance."""
    variance = float(np.var(shares, ddof=1))
    noise = (
        share_apart(alike, float(shares.mean())) * float(np.mean(shares * (1 - shares))) / images
    )
    kept = math.sqrt(max(0.0, 1 - noise / variance)) if variance > 0 else 0.0
    return np.clip(shares.mean() + kept * (shares - shares.mean()), 0.0, 1.0)
