"""The ceiling that training noise sets to rho, and rho corrected for it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.intervals import spearman_interval
from pycls.analysis.statistics.pairs import check_sampling, complete_pairs
from pycls.analysis.statistics.resampling import percentile_interval
from pycls.errors import ConfigError


@dataclass(frozen=True)
class NoiseVariance:
    """Variance of the error of one architecture over training seeds.

    Attributes:
        variance: in points squared; NaN where nothing was repeated.
        degrees: of freedom, runs less architectures; infinite where it is known.
    """

    variance: float
    degrees: float


@dataclass(frozen=True)
class Ceiling:
    """The rho of two data sets that training noise allows, and the observed one beside it.

    Attributes:
        n: architectures with both errors.
        rho: observed.
        ceiling: mean rho that would be observed if both sets ranked the architectures alike
            and only noise differed.
        ceiling_low: lower bound of a single observation of it.
        ceiling_high: upper bound.
        reliability_x: share of the variance on x that is not noise; see :func:`reliability`.
        reliability_y: on y.
        corrected: rho over the ceiling, at most 1: an estimate of rho without noise.
        corrected_low: lower bound, from the uncertainty of rho and of the noise.
        corrected_high: upper bound.
    """

    n: int
    rho: float
    ceiling: float = math.nan
    ceiling_low: float = math.nan
    ceiling_high: float = math.nan
    reliability_x: float = math.nan
    reliability_y: float = math.nan
    corrected: float = math.nan
    corrected_low: float = math.nan
    corrected_high: float = math.nan


_DRAWS = 4000  # of rho, for the interval of the corrected one
_CEILINGS = 100  # drawn beside them
_PER_CEILING = 8  # simulated trainings of each
NO_NOISE = NoiseVariance(0.0, math.inf)


def repeat_variance(repeats: Iterable[ArrayLike]) -> NoiseVariance:
    """Return the variance within architectures, pooled over them.

    Args:
        repeats: for each repeated architecture its errors under several seeds; NaN is left
            out, and so are architectures with one error.
    """
    squares, degrees = 0.0, 0
    for errors in repeats:
        (values,) = complete_pairs(errors)
        if len(values) > 1:
            squares += float(np.sum((values - values.mean()) ** 2))
            degrees += len(values) - 1
    return NoiseVariance(squares / degrees if degrees else math.nan, degrees)


def reliability(errors: ArrayLike, noise: NoiseVariance) -> float:
    """Return the share of the variance of errors that is not training noise.

    Args:
        errors: one error per architecture, each of one training; NaN is left out.
        noise: as from :func:`repeat_variance`.

    Returns:
        1 less noise over total variance, at least 0; NaN with fewer than 2 errors, with
        equal ones, or where the noise is unknown.
    """
    (values,) = complete_pairs(errors)
    if len(values) < 2 or np.ptp(values) == 0 or math.isnan(noise.variance):
        return math.nan
    return max(0.0, 1 - noise.variance / float(np.var(values, ddof=1)))


def noise_ceiling(
    x: ArrayLike,
    y: ArrayLike,
    noise_x: NoiseVariance,
    noise_y: NoiseVariance,
    n_sim: int = 400,
    seed: int = 0,
    confidence: float = 0.95,
) -> Ceiling:
    """Return how high rho can be given training noise, and rho corrected for it.

    The errors on each set are shrunk towards their mean until their variance is that of the
    noiseless errors, put into the same order on both sets, and trained again in simulation:
    normal noise of the measured variance is added to both. The mean rho is the ceiling.
    Noise is taken to be alike for all architectures and independent between the sets.

    The interval of the corrected rho comes from drawing rho from its interval
    (:func:`pycls.analysis.statistics.intervals.spearman_interval`), and each noise variance from
    the chi-squared distribution of its degrees of freedom and the ceiling that goes with it.

    Args:
        x: n errors; NaN where there is none.
        y: n errors, paired with `x`.
        noise_x: of x, as from :func:`repeat_variance`.
        noise_y: of y; where the noise of a side is unknown, `NO_NOISE` leaves it out, and the
            ceiling is then too high.
        n_sim: simulated pairs of trainings.
        seed: of the simulation.
        confidence: level of the intervals, between 0 and 1.

    Returns:
        The ceiling; NaN as far as rho or the noise is undefined, and the corrected rho also
        where all variance is noise.

    Raises:
        ConfigError: vectors of different lengths, a level outside (0, 1), no simulations, or
            a negative variance.
    """
    check_sampling(confidence, n_sim)
    if noise_x.variance < 0 or noise_y.variance < 0:
        raise ConfigError("a variance is not negative")
    first, second = complete_pairs(x, y)
    n, rho = len(first), spearman(first, second).rho
    reliable_x, reliable_y = reliability(first, noise_x), reliability(second, noise_y)
    if not (math.isfinite(rho) and math.isfinite(reliable_x * reliable_y)):
        return Ceiling(n, rho, reliability_x=reliable_x, reliability_y=reliable_y)
    rng = np.random.default_rng(seed)
    rhos = _simulated_rhos(first, second, (noise_x, noise_y), n_sim, rng)
    ceiling, bounds = float(rhos.mean()), percentile_interval(rhos, confidence)
    corrected = low = high = math.nan
    if ceiling > 0 and reliable_x * reliable_y > 0:
        corrected = float(np.clip(rho / ceiling, -1, 1))
        ceilings = _drawn_ceilings(first, second, (noise_x, noise_y), rng)
        drawn = _drawn_rhos(first, second, rho, confidence, rng)
        drawn = np.clip(drawn / rng.choice(ceilings, len(drawn)), -1, 1)
        low, high = percentile_interval(drawn, confidence)
    return Ceiling(n, rho, ceiling, *bounds, reliable_x, reliable_y, corrected, low, high)


def _simulated_rhos(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    noises: tuple[NoiseVariance, NoiseVariance],
    n_sim: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return rhos of simulated trainings of architectures that both sets rank alike."""
    from scipy.stats import rankdata

    sides = []
    for errors, noise in zip((x, y), noises, strict=True):
        reliable = reliability(errors, noise)
        shrunk = math.sqrt(reliable) * (np.sort(errors) - errors.mean())
        spread = math.sqrt((1 - reliable) * float(np.var(errors, ddof=1)))
        trained = shrunk + spread * rng.standard_normal((n_sim, len(errors)))
        ranks = rankdata(trained, axis=1) - (len(errors) + 1) / 2
        sides.append(ranks / np.sqrt(np.sum(ranks**2, axis=1, keepdims=True)))
    return np.asarray(np.sum(sides[0] * sides[1], axis=1))


def _drawn_rhos(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    rho: float,
    confidence: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return draws of rho with the spread that its interval has, on Fisher's scale."""
    from scipy.special import ndtri

    bounds = np.clip(spearman_interval(x, y, confidence=confidence), -1 + 1e-9, 1 - 1e-9)
    low, high = np.arctanh(bounds)
    middle = (low + high) / 2 if abs(rho) >= 1 else math.atanh(rho)
    error = (high - low) / 2 / float(ndtri(0.5 + confidence / 2))
    return np.tanh(middle + error * rng.standard_normal(_DRAWS))


def _drawn_ceilings(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    noises: tuple[NoiseVariance, NoiseVariance],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return ceilings for noise variances that the repeats are compatible with."""
    if all(math.isinf(noise.degrees) for noise in noises):
        return _simulated_rhos(x, y, noises, _PER_CEILING, rng).mean(keepdims=True)
    ceilings = np.empty(_CEILINGS)
    for place in range(_CEILINGS):
        drawn_x, drawn_y = (
            noise
            if math.isinf(noise.degrees)
            else NoiseVariance(
                noise.variance * noise.degrees / rng.chisquare(noise.degrees), math.inf
            )
            for noise in noises
        )
        ceilings[place] = _simulated_rhos(x, y, (drawn_x, drawn_y), _PER_CEILING, rng).mean()
    return np.maximum(ceilings, 1e-3)  # where all is noise, nothing is left to correct by
