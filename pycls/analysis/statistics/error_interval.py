"""The interval of an error that was counted on test images."""

import math

from pycls.analysis.statistics.pairs import check_sampling
from pycls.errors import ConfigError


def wilson_interval(error: float, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of an error on test images that could have been others.

    Wilson (1927), Journal of the American Statistical Association 22, 209-212. It holds for a
    network that was chosen without these images; the lowest of several errors on them is too low
    (:func:`pycls.analysis.choosing.optimism.expected_optimism`).

    Args:
        error: in percent, on those images.
        images: how many.
        confidence: level of the interval, between 0 and 1.

    Returns:
        The bounds in percent; NaN where `error` is, or without images.

    Raises:
        ConfigError: an error outside 0 to 100, fewer than no images, or a level outside (0, 1).
    """
    from scipy.special import ndtri

    check_sampling(confidence)
    if images < 0 or not (math.isnan(error) or 0 <= error <= 100):
        raise ConfigError(
            f"an error of {error} % on {images} images: expected 0 to 100 %, and 0 images or more"
        )
    if math.isnan(error) or not images:
        return math.nan, math.nan
    z, share = float(ndtri(0.5 + confidence / 2)), error / 100
    centre = share + z**2 / (2 * images)
    half = z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    low, high = (100 * (centre + sign * half) / (1 + z**2 / images) for sign in (-1, 1))
    return max(0.0, low), min(100.0, high)
