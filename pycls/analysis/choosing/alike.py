"""How far networks err on the same images: how much a comparison of them is luck hangs on that.

A network errs on an image where the image's difficulty passes the network's level. Difficulties of
one image for two networks are taken for normal with one correlation, whatever the levels are (the
tetrachoric correlation: Pearson 1900, Philosophical Transactions of the Royal Society A 195, 1-47).
Shares of errors that differ, as those of stages of training do, then follow from one number.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST = 0.95  # grades of difficulty tell no more apart
# Gauss and Legendre's points, on 0 to 1.
_POINTS, _WEIGHTS = (x / 2 for x in np.polynomial.legendre.leggauss(48))
_POINTS = _POINTS + 0.5
# Grades of an image's difficulty, and how many images are of each: the trapezoidal rule.
_GRADES = np.linspace(-4.8, 4.8, 25)
_SHARES_OF_GRADES = np.exp(-(_GRADES**2) / 2)
_SHARES_OF_GRADES /= _SHARES_OF_GRADES.sum()


def alikeness(wrong: NDArray[np.bool_]) -> float:
    """Return the correlation of an image's difficulties for two networks.

    That with which as many pairs of networks err on one image as do.

    Args:
        wrong: (n, images), which answers of which network were wrong.

    Returns:
        0 (independent, or further apart) to 0.95 (as alike, or more); NaN for fewer than
        two networks that have both wrong and right answers.
    """
    shares = wrong.mean(axis=1) if wrong.size else np.empty(0)
    known = (shares > 0) & (shares < 1)
    if known.sum() < 2:
        return math.nan
    counts = wrong[known].sum(axis=0)
    pairs = float(np.mean(counts * (counts - 1) / 2))
    first, second = np.triu_indices(int(known.sum()), 1)
    p, q = shares[known][first], shares[known][second]
    low, high = 0.0, _MOST
    for _ in range(20):  # to 1e-6
        middle = (low + high) / 2
        if float(_both_wrong(p, q, middle).sum()) < pairs:
            low = middle
        else:
            high = middle
    return (low + high) / 2 if low > 0 else 0.0


def share_apart(alike: float, error: float) -> float:
    """Return the share of the variance of errors by which networks scatter apart from each other.

    Networks err on the same images, so that other images make all of them better or worse
    together, which changes no choice. What is left is one less the correlation of two answers.

    Args:
        alike: see :func:`alikeness`.
        error: the networks' share of errors, 0 to 1.

    Returns:
        0 (all err on the same images) to 1 (each on its own).
    """
    alone = error * (1 - error)
    if alone <= 0:
        return 1.0
    return 1 - _together(alike, error, error) / alone


def carried_share(
    stages: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]], alike: float
) -> float:
    """Return on which share of the images training keeps what a network makes of them.

    If on all, an image that is right stays so while the error falls, and luck at one stage is luck
    at the next one. Where answers come and go, others are lucky then. The share is that with which
    the errors of networks at two stages correlate as they do, apart from what all have in common.

    Args:
        stages: of pairs of stages, which answers of which network were wrong before and after,
            (n, images) both, the same networks in the same order.
        alike: see :func:`alikeness`.

    Returns:
        0 to 1; NaN where at no stage two networks or more went on, or none had wrong answers.
    """
    found = expected = 0.0
    for before, after in stages:
        n, images = before.shape
        if n < 2:
            continue
        centred = (wrong - wrong.mean(axis=1, keepdims=True) for wrong in (before, after))
        apart = [wrong - wrong.mean(axis=0) for wrong in centred]
        found += float(np.sum(apart[0] * apart[1])) / (n - 1) / images
        low, high = sorted((float(before.mean()), float(after.mean())))
        expected += low * (1 - high) - _together(alike, low, high)
    return min(1.0, max(0.0, found / expected)) if expected > 0 else math.nan


def draw_errors(
    rng: np.random.Generator,
    shares: NDArray[np.float64],
    images: int,
    alike: float,
    draws: int,
    carried: float = 1.0,
) -> NDArray[np.float64]:
    """Draw images anew and return the shares of them that networks err on.

    Args:
        rng: of the draws.
        shares: (stages, n), of all images that there are, 0 to 1.
        images: how many are drawn, the same for all networks and stages.
        alike: see :func:`alikeness`.
        draws: how often.
        carried: see :func:`carried_share`.

    Returns:
        (stages, draws, n).
    """
    from scipy.special import ndtr, ndtri

    # Of each grade of difficulty so many images; within a grade networks err on their own.
    images_of = rng.multinomial(images, _SHARES_OF_GRADES, draws)
    chances = ndtr((ndtri(shares)[..., None] - math.sqrt(alike) * _GRADES) / math.sqrt(1 - alike))
    found = np.empty((len(shares), draws, shares.shape[1]))
    for network, own in enumerate(chances.swapaxes(0, 1)):
        wrong, before = rng.binomial(images_of, own[0]), own[0]
        found[0, :, network] = wrong.sum(axis=1)
        for stage, chance in enumerate(own[1:], start=1):
            stay = np.minimum(1.0, _ratio(chance, before))
            spoil = np.maximum(0.0, _ratio(chance - before, 1 - before))
            stay, spoil = (carried * each + (1 - carried) * chance for each in (stay, spoil))
            right = images_of - wrong
            wrong, before = rng.binomial(wrong, stay) + rng.binomial(right, spoil), chance
            found[stage, :, network] = wrong.sum(axis=1)
    return found / images


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)


def _together(alike: float, error: float, other: float) -> float:
    """Return the covariance of two networks' answers."""
    if min(error, other) <= 0 or max(error, other) >= 1:
        return 0.0
    p, q = np.array([error]), np.array([other])
    return float(_both_wrong(p, q, alike)[0]) - error * other


def _both_wrong(
    p: NDArray[np.float64], q: NDArray[np.float64], alike: float
) -> NDArray[np.float64]:
    """Return the chances that both of two networks err on an image.

    By the integral of the bivariate normal density over its correlation (Plackett 1954, Biometrika
    41, 351-360), with the sine of an angle for the correlation, in which it is smooth.

    Args:
        p: (pairs,) chances that the one errs, above 0 and below 1.
        q: likewise of the other.
        alike: correlation, 0 to below 1.
    """
    from scipy.special import ndtri

    h, k = ndtri(p)[:, None], ndtri(q)[:, None]
    angle = math.asin(alike)
    sine = np.sin(angle * _POINTS)
    exponent = (2 * h * k * sine - h * h - k * k) / (2 * (1 - sine * sine))
    both: NDArray[np.float64] = p * q + angle / (2 * math.pi) * (np.exp(exponent) @ _WEIGHTS)
    return both
