"""What training noise does to rho: agreement of two trainings, and rho corrected for noise."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pycls.analysis.statistics.averages import paired_influence
from pycls.analysis.statistics.correlation import kendall, spearman
from pycls.analysis.statistics.intervals import degrees_of_freedom, standard_error
from pycls.analysis.statistics.pairs import MIN_PAIRS, check_sampling, complete_pairs
from pycls.errors import ConfigError

MIN_REPEATED = 60  # architectures behind an interval
_MAX_CHOSEN_P = 0.001  # of the test that repeated architectures are a random sample
_DRAWS = 2000
# Where trainings of one architecture differ so many times as much as those of others with about
# its error (fully from the second number on), the noise comes from a few, and the sample may have
# missed some: as many as a gamma distribution of the first shape. Where none shows, as many as one
# of the second, which is the exact limit of a share of which none was seen. Each moves rho by so
# many times its size at least. Set by simulation (docs/statistics.md), as are the other numbers.
_FAR_LOW, _FAR_HIGH, _UNSEEN, _UNSHOWN, _MOVE = 4.0, 5.5, 3.0, 1.0, 2.0
# Of the tail of the upper bound, where none shows and where some do: as the lower bound allows for
# more than is seen, it fails more rarely than its own tail says, and the upper one may more often.
_TAIL_NONE, _TAIL_SOME = 2.0, 1.5
# Of the sample's skewness; the other half of its effect is in the degrees of freedom already.
_SKEWNESS = 0.5
_NEIGHBOURS = 31  # architectures by whose noise that of one is judged
_LEAST = 0.01  # agreement of two trainings that rho is divided by
_MOST = 0.9999  # |rho|, so that its transform is finite


@dataclass(frozen=True)
class NoiseVariance:
    """Variance of the error of one architecture over training seeds.

    Attributes:
        variance: in points squared; NaN where nothing was repeated.
        degrees: of freedom, runs less architectures.
    """

    variance: float
    degrees: float


@dataclass(frozen=True)
class Agreement:
    """Rho between two trainings of the same architectures that differ by their seeds alone.

    Attributes:
        rho: the estimate; NaN where it is undefined.
        n: architectures with two trainings or more.
        ci_low: lower bound; NaN where there is no interval.
        ci_high: upper bound.
        reason: why there is no interval; empty where there is one.
    """

    rho: float = math.nan
    n: int = 0
    ci_low: float = math.nan
    ci_high: float = math.nan
    reason: str = ""


@dataclass(frozen=True)
class Ceiling:
    """The rho of two data sets that training noise allows, and the observed one beside it.

    Attributes:
        n: architectures with both errors.
        rho: observed.
        ceiling: rho that would be observed if both sets ranked the architectures alike and
            only noise differed.
        reliability_x: of x: rho between two trainings, or by :func:`reliability`.
        reliability_y: of y.
        corrected: rho over the ceiling, within -1 to 1: an estimate of rho without noise.
        corrected_low: lower bound, from the uncertainty of rho and of the noise; NaN where
            there is no interval.
        corrected_high: upper bound.
        reason: why there is no interval; empty where there is one.
    """

    n: int
    rho: float
    ceiling: float = math.nan
    reliability_x: float = math.nan
    reliability_y: float = math.nan
    corrected: float = math.nan
    corrected_low: float = math.nan
    corrected_high: float = math.nan
    reason: str = ""


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


def training_agreement(
    trainings: ArrayLike, errors: ArrayLike | None = None, confidence: float = 0.95
) -> Agreement:
    """Return rho between two trainings, from architectures that were trained several times.

    The mean rho over all pairs of trainings. Nothing is assumed about the noise: it may grow with
    the error, be larger for good architectures, or come from a few unstable ones. The
    architectures must be a random sample of those that the statement is about.

    The interval is by each architecture's influence, around the rho less its bias in small
    samples (on average it is too low by 3 (rho - tau) / (n + 1); Moran 1948, Biometrika 35,
    203-206). The upper bound is without the influences' skewness (Hall 1992, Journal of the Royal
    Statistical Society B 54, 221-228): some architectures pull rho down far more than any pulls it
    up. A few that are unstable may carry the noise, and the sample may
    hold too few of them, or none, by chance; the lower bound allows for more, drawn with the
    weights of a Bayesian bootstrap (Rubin 1981, Annals of Statistics 9, 130-134).

    Args:
        trainings: (n, trainings) errors of the same architectures under several seeds; NaN where
            there is none, and all NaN for architectures that were not repeated.
        errors: (n,) errors of all architectures, to see whether those that were repeated are
            a random sample of them; without it they are taken to be.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The agreement. It has no interval with fewer than `MIN_REPEATED` architectures, or where
        the repeated ones are no random sample.

    Raises:
        ConfigError: arrays of other shapes, or a level outside (0, 1).
    """
    from scipy.special import stdtrit

    check_sampling(confidence)
    table = _trainings(trainings)
    repeated = np.sum(~np.isnan(table), axis=1) >= 2
    n = int(repeated.sum())
    rho, values = agreement_influence(table[repeated])
    if math.isnan(rho):
        return Agreement(n=n, reason="too few architectures were trained twice")
    reason = _no_interval(repeated, errors)
    if reason or rho >= 1 or not values.any():
        return Agreement(rho, n, reason=reason or "all trainings rank alike")
    tail = (1 - confidence) / 2
    centre = float(np.clip(_without_bias(rho, table[repeated]), -_MOST, _MOST))
    scaled = 1 / (1 - centre**2)
    error, free = standard_error(values) * scaled, degrees_of_freedom(values)
    few = _carried_by_few(table[repeated])
    share = few * _TAIL_SOME + (1 - few) * _TAIL_NONE
    above = _with_skewness(float(stdtrit(free, share * tail)), values)
    high = math.tanh(math.atanh(centre) - above * error)
    low = math.tanh(math.atanh(centre) + float(stdtrit(free, tail)) * error)
    weights, *unseen = _weights(n)
    moved = np.tanh(math.atanh(centre) + weights @ values * scaled)
    moved -= _unseen_loss(few, -float(values.min()), rho, unseen)
    low = min(low, float(np.quantile(moved, tail)))
    return Agreement(rho, n, max(-1.0, min(rho, low)), max(rho, high))


def _with_skewness(quantile: float, values: NDArray[np.float64]) -> float:
    """Return the quantile of a studentised mean of skewed values: Hall's transform, undone."""
    skew = float(np.mean(values**3)) / float(np.mean(values**2)) ** 1.5
    slope = _SKEWNESS * skew / math.sqrt(len(values))
    if abs(slope) < 1e-6:
        return quantile
    return 3 / slope * (float(np.cbrt(1 + slope * (quantile - slope / 6))) - 1)


def _unseen_loss(
    few: float,
    worst: float,
    rho: float,
    unseen: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return draws of how much unstable architectures that the sample has missed lower rho.

    Args:
        few: how sure it is that a few architectures carry the noise; see :func:`_carried_by_few`.
        worst: the influence of the architecture that lowers rho most, turned round.
        rho: between two trainings.
        unseen: draws of their weights where some show, and where none does.
    """
    some, none = unseen
    usual = _MOVE * max(0.0, rho)
    return few * max(worst, usual) * some + (1 - few) * usual * none


def _without_bias(rho: float, trainings: NDArray[np.float64]) -> float:
    """Return a mean rho of pairs of trainings without its bias in small samples."""
    n = len(trainings)
    found = [kendall(one, other).value for one, other in combinations(trainings.T, 2)]
    tau = float(np.nanmean(found))
    return ((n + 1) * rho - 3 * tau) / (n - 2)


def _carried_by_few(trainings: NDArray[np.float64]) -> float:
    """Return from 0 to 1 how sure it is that a few architectures carry the noise.

    The deviation over an architecture's trainings is compared with the median of those with about
    its error, of which noise that grows or falls with the error leaves nothing conspicuous.
    """
    from scipy.special import chdtri

    counts = np.sum(~np.isnan(trainings), axis=1)
    order = np.argsort(np.nanmedian(trainings, axis=1), kind="stable")
    deviations = np.nanstd(trainings, axis=1, ddof=1)[order]
    if not deviations.any():
        return 0.0
    # The median deviation of trainings with a noise of 1.
    usual = np.sqrt(chdtri(counts - 1, 0.5) / (counts - 1))[order]
    windows = np.lib.stride_tricks.sliding_window_view(deviations / usual, _NEIGHBOURS)
    inner, side = np.median(windows, axis=1), _NEIGHBOURS // 2
    noise = np.concatenate([np.full(side, inner[0]), inner, np.full(side, inner[-1])])
    with np.errstate(divide="ignore", invalid="ignore"):
        farthest = float(np.nanmax(deviations / noise))
    return float(np.clip((farthest - _FAR_LOW) / (_FAR_HIGH - _FAR_LOW), 0, 1))


@lru_cache(maxsize=4)
def _weights(
    n: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return draws of the weights of n architectures, and of those that the sample has missed.

    The first are scaled to the standard error of :func:`standard_error`; the others are for
    samples that show unstable architectures, and that show none.
    """
    rng = np.random.default_rng(0)
    seen = rng.standard_exponential((_DRAWS, n))
    total = seen.sum(axis=1)
    some, none = (
        missed / (total + missed)
        for missed in (rng.standard_gamma(shape, _DRAWS) for shape in (_UNSEEN, _UNSHOWN))
    )
    return seen / total[:, None] * math.sqrt(n / (n - 2)), some, none


def agreement_influence(trainings: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the mean rho over all pairs of columns, and each architecture's influence on it."""
    rhos, influences = [], []
    for one, other in combinations(trainings.T, 2):
        if np.sum(~np.isnan(one + other)) >= MIN_PAIRS:
            rho, values = paired_influence(one, other)
            if math.isfinite(rho):
                rhos.append(rho)
                influences.append(values)
    if not rhos:
        return math.nan, np.zeros(len(trainings))
    return float(np.mean(rhos)), np.asarray(np.mean(influences, axis=0))


def corrected_rho(
    x: ArrayLike,
    y: ArrayLike,
    trainings_x: ArrayLike,
    trainings_y: ArrayLike,
    confidence: float = 0.95,
) -> Ceiling:
    """Return rho corrected for the training noise that repeated trainings show on both sides.

    Spearman's (1904, American Journal of Psychology 15, 72-101) correction: the ceiling is the
    root of the product of rho between two trainings on x and on y. It is exact for ranks as for
    any other scores, whatever the noise, for the correlation of the ranks that each architecture
    has on average over seeds; noise on x and on y must be independent. The interval is by each
    architecture's influence on the three rhos, with the weights of a Bayesian bootstrap and the
    allowance of :func:`training_agreement` for unstable architectures that the sample has missed.

    Args:
        x: n errors; NaN where there is none.
        y: n errors, paired with `x`.
        trainings_x: (n, trainings) on x; see :func:`training_agreement`.
        trainings_y: on y, of the same architectures or others.
        confidence: level of the interval, between 0 and 1.

    Raises:
        ConfigError: lengths that differ, or a level outside (0, 1).
    """
    check_sampling(confidence)
    rho, values = paired_influence(x, y)
    n = len(complete_pairs(x, y)[0])
    sides, reasons, draws = [], [], np.empty((2, _DRAWS))
    weights, *unseen = _weights(len(values))
    draws[:] = rho + weights @ values
    ceiling = 1.0
    for errors, trainings in ((x, trainings_x), (y, trainings_y)):
        table = _trainings(trainings)
        if len(table) != len(values):
            raise ConfigError("trainings must have a row for each of the errors")
        repeated = np.sum(~np.isnan(table), axis=1) >= 2
        agreement, moved = agreement_influence(table)
        sides.append(agreement)
        reasons.append(_no_interval(repeated, errors))
        ceiling *= math.sqrt(max(0.0, agreement)) if math.isfinite(agreement) else math.nan
        if not reasons[-1]:
            share = int(repeated.sum()) / len(values)
            few = _carried_by_few(table[repeated])
            worst = -float(moved.min()) * share
            lost = _unseen_loss(few, worst, agreement, unseen) / share
            drawn = agreement + weights @ moved - np.stack([np.zeros(_DRAWS), lost])
            draws /= np.sqrt(np.maximum(drawn, _LEAST))
    of_x, of_y = sides
    reason = next(filter(None, reasons), "")
    if not (math.isfinite(rho) and ceiling > 0):
        return Ceiling(n, rho, ceiling, of_x, of_y, reason=reason)
    corrected = float(np.clip(rho / ceiling, -1, 1))
    low = high = math.nan
    if not reason:
        tail = (1 - confidence) / 2
        low, high = _outer_quantiles(draws, tail)
        low, high = min(corrected, max(-1.0, low)), max(corrected, min(1.0, high))
    return Ceiling(n, rho, ceiling, of_x, of_y, corrected, low, high, reason)


def _outer_quantiles(draws: NDArray[np.float64], tail: float) -> tuple[float, float]:
    """Return the lowest and highest of the quantiles of several rows of draws."""
    low, high = np.quantile(draws, [tail, 1 - tail], axis=1)
    return float(low.min()), float(high.max())


def noise_ceiling(
    x: ArrayLike,
    y: ArrayLike,
    noise_x: NoiseVariance,
    noise_y: NoiseVariance,
    n_sim: int = 400,
    seed: int = 0,
) -> Ceiling:
    """Return how high rho can be where few architectures were repeated, if noise is even.

    The errors on each set are shrunk towards their mean until their variance is that of the
    noiseless errors, put into the same order on both sets, and trained again in simulation:
    normal noise of the measured variance is added to both. The mean rho is the ceiling. It takes
    the noise to be alike for all architectures, which few repeats cannot show, so there is
    no interval; :func:`corrected_rho` needs more repeats and assumes nothing.

    Args:
        x: n errors; NaN where there is none.
        y: n errors, paired with `x`.
        noise_x: of x, as from :func:`repeat_variance`.
        noise_y: of y; where the noise of a side is unknown, `NO_NOISE` leaves it out, and the
            ceiling is then too high.
        n_sim: simulated pairs of trainings.
        seed: of the simulation.

    Returns:
        The ceiling; NaN as far as rho or the noise is undefined, and the corrected rho also
        where all variance is noise.

    Raises:
        ConfigError: vectors of different lengths, no simulations, or a negative variance.
    """
    if n_sim < 1 or noise_x.variance < 0 or noise_y.variance < 0:
        raise ConfigError("n_sim must be at least 1, and a variance is not negative")
    first, second = complete_pairs(x, y)
    n, rho = len(first), spearman(first, second).rho
    reliable_x, reliable_y = reliability(first, noise_x), reliability(second, noise_y)
    if not (math.isfinite(rho) and math.isfinite(reliable_x * reliable_y)):
        return Ceiling(n, rho, reliability_x=reliable_x, reliability_y=reliable_y)
    rng = np.random.default_rng(seed)
    ceiling = float(_simulated_rhos(first, second, (noise_x, noise_y), n_sim, rng).mean())
    corrected = math.nan
    if ceiling > 0 and reliable_x * reliable_y > 0:
        corrected = float(np.clip(rho / ceiling, -1, 1))
    reason = "the noise of few architectures is taken for that of all"
    return Ceiling(n, rho, ceiling, reliable_x, reliable_y, corrected, reason=reason)


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


def _trainings(trainings: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(trainings, dtype=float)
    if table.ndim != 2:
        raise ConfigError(f"trainings are (architectures, seeds), got {table.ndim} dimensions")
    return table


def _no_interval(repeated: NDArray[np.bool_], errors: ArrayLike | None) -> str:
    """Return why repeats give no interval; empty where they do."""
    n = int(repeated.sum())
    if n < MIN_REPEATED:
        return f"{n} repeated architectures, and an interval needs {MIN_REPEATED}"
    if errors is not None:
        from scipy.stats import ks_2samp

        every = np.asarray(errors, dtype=float)
        of_repeated, others = every[repeated], every[~repeated]
        of_repeated, others = (side[~np.isnan(side)] for side in (of_repeated, others))
        if len(others) >= MIN_PAIRS and len(of_repeated) >= MIN_PAIRS:
            test = ks_2samp(of_repeated, others)
            if test.pvalue < _MAX_CHOSEN_P:
                return "the repeated architectures are no random sample of all"
    return ""
