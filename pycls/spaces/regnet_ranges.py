"""The parameters that define a RegNet: their ranges, distributions and draws."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.distributions import Distribution, make_distribution

# Parameter -> its key in REGNET, and default range, distribution and quantum of pycls's
# regnet_sampler.
REGNET_PARAMETERS: dict[str, tuple[str, tuple[float, float], str, float]] = {
    "depth": ("DEPTH", (12, 28), "uniform", 1),
    "w_0": ("W0", (8, 256), "log_uniform", 8),
    "w_a": ("WA", (8.0, 256.0), "log_uniform", 0.1),
    "w_m": ("WM", (2.0, 3.0), "log_uniform", 0.001),
    "group_w": ("GROUP_W", (8, 128), "power2_or_log_uniform", 8),
    "bot_mul": ("BOT_MUL", (1.0, 1.0), "power2_uniform", 1 / 128),
}


class RegNetRanges:
    """The ranges that the parameters of a RegNet are drawn from.

    Args:
        ranges: (smallest, largest) of each of :data:`REGNET_PARAMETERS`.
        where: what to call the ranges in messages.

    Attributes:
        words: 64-bit words a draw.
        marginals: the distribution of each parameter.

    Raises:
        ConfigError: a range cannot be used.
    """

    words = len(REGNET_PARAMETERS)

    def __init__(self, ranges: Mapping[str, tuple[float, float]], where: str) -> None:
        self.marginals: dict[str, Distribution] = {}
        for name, (key, _, rand_type, quantum) in REGNET_PARAMETERS.items():
            low, high = ranges[name]
            place = f"{where}: {key}"
            self.marginals[name] = make_distribution(rand_type, low, high, quantum, place)
            if name == "w_m" and low <= 1:
                raise ConfigError(f"{place}: bound {low} is not above 1, as the ratio must be")

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Turn n x `words` random words into n values of each parameter."""
        marginals = self.marginals.items()
        return {name: marginal.draw(words[:, i]) for i, (name, marginal) in enumerate(marginals)}
