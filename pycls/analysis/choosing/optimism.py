"""How much too low the error of a choice is on the images that it was chosen on."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.errors import ConfigError

_DRAWS = 2000
MIN_CANDIDATES = 3


def expected_optimism(
    errors: ArrayLike,
    images: int,
    halves: tuple[ArrayLike, ArrayLike] | None = None,
    chosen_on: int | None = None,
    seed: int = 0,
) -> float:
    """Return by how many points the lowest of several errors is too low, on average.

    Errors of networks scatter by the images they are counted on; whoever takes the lowest takes
    luck along. Observed errors are spread wider than true ones by that chance, so they are drawn
    together until their variance is the true one's (Louis 1984, Journal of the American Statistical
    Association 79, 393-398); then images are drawn anew, the network with the lowest error is
    taken, and its error is compared with the one it was drawn from.

    Networks that err on the same images scatter together, which changes no choice. What they
    scatter by apart from each other shows between the halves of the images; without halves it is
    taken to be all of the binomial variance, and the optimism is an upper bound.

    Args:
        errors: of n trained networks in percent, all on the same images; NaN is left out.
        images: how many those are.
        halves: the networks' errors on each half of those images, in percent.
        chosen_on: images that the choice is made on: what it would be with as many; None: `images`.
        seed: of the draws.

    Returns:
        Points, 0 or more on average; 0 for one network; NaN where there is no error or no image.

    Raises:
        ConfigError: halves of other lengths.
    """
    observed = np.asarray(errors, dtype=float)
    pair = None if halves is None else np.array([np.asarray(h, dtype=float) for h in halves])
    if pair is not None and pair.shape != (2, len(observed)):
        raise ConfigError(
            f"errors on halves of the images for {pair.shape[-1]} networks; expected "
            f"{len(observed)}"
        )
    known = np.isfinite(observed)
    if not known.any() or images < 1:
        return math.nan
    shares = observed[known] / 100
    if len(shares) == 1:
        return 0.0
    noise = float(np.mean(shares * (1 - shares))) / images
    apart = 1.0 if pair is None else _share_apart(pair[:, known] / 100, noise)
    true = _drawn_together(shares, apart * noise)
    count = max(1, round((chosen_on or images) / apart)) if apart > 0 else 0
    if not count:
        return 0.0
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(count, true, (_DRAWS, len(true))) / count
    lowest = drawn.min(axis=1)
    taken = drawn == lowest[:, None]  # of equal ones any
    ended = (taken * true).sum(axis=1) / taken.sum(axis=1)
    return float(100 * np.mean(ended - lowest))


def _share_apart(halves: NDArray[np.float64], noise: float) -> float:
    """Return the share of the binomial variance by which networks scatter apart from each other.

    Args:
        halves: (2, n) shares of errors.
        noise: the mean binomial variance of the errors on all images.
    """
    between = halves[0] - halves[1]
    between = between[np.isfinite(between)]
    if len(between) < MIN_CANDIDATES:
        return 1.0
    # Each half has twice the variance, and the difference that of two halves.
    return float(np.var(between, ddof=1)) / 4 / noise


def _drawn_together(shares: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Return the shares drawn to their mean until chance is out of their variance."""
    variance = float(np.var(shares, ddof=1))
    kept = math.sqrt(max(0.0, 1 - noise / variance)) if variance > 0 else 0.0
    return np.clip(shares.mean() + kept * (shares - shares.mean()), 0.0, 1.0)
