"""Ranges of the parameters that define a RegNet, and draws from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.spaces.distributions import Distribution, make_distribution
from pycls.yaml_sections import near_miss

# pycls's regnet_sampler: parameter -> default range, distribution and quantum.
REGNET_PARAMETERS: dict[str, tuple[tuple[float, float], str, float]] = {
    "DEPTH": ((12, 28), "uniform", 1),
    "W0": ((8, 256), "log_uniform", 8),
    "WA": ((8.0, 256.0), "log_uniform", 0.1),
    "WM": ((2.0, 3.0), "log_uniform", 0.001),
    "GROUP_W": ((8, 128), "power2_or_log_uniform", 8),
    "BOT_MUL": ((1.0, 1.0), "power2_uniform", 1 / 128),
}


class RegNetRanges:
    """Draws the parameters of a RegNet."""

    keys = tuple(f"REGNET.{name}" for name in REGNET_PARAMETERS)
    words = len(REGNET_PARAMETERS)

    def __init__(self, ranges: Mapping[str, tuple[float, float]], where: str = "REGNET") -> None:
        """Build the distributions.

        Args:
            ranges: (smallest, largest) of the parameters that do not have pycls's.
            where: what to call the ranges in messages.

        Raises:
            ConfigError: a range cannot be used.
        """
        self._distributions: list[Distribution] = []
        for name, (default, rand_type, quantum) in REGNET_PARAMETERS.items():
            low, high = ranges.get(name, default)
            place = f"{where}: {name}"
            self._distributions.append(make_distribution(rand_type, low, high, quantum, place))
            if name == "WM" and low <= 1:
                raise ConfigError(f"{place}: bound {low} is not above 1, as the ratio must be")

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Turn n x 6 random words into n values of each key."""
        return {
            key: distribution.draw(words[:, i])
            for i, (key, distribution) in enumerate(
                zip(self.keys, self._distributions, strict=True)
            )
        }

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution of each key's value."""
        return dict(zip(self.keys, self._distributions, strict=True))


def check_options(spec: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse options that a sampler does not have.

    Raises:
        ConfigError: names the option and those known.
    """
    for name in spec:
        if name not in known:
            hint = near_miss(str(name), known)
            raise ConfigError(
                f"{where}: {spec['TYPE']} has no option '{name}'; {hint}known: {', '.join(known)}"
            )


def read_pair(spec: Mapping[str, Any], name: str, default: Any, where: str) -> tuple[Any, Any]:
    """Return an option that holds a smallest and a largest value.

    Raises:
        ConfigError: it is missing without a default, or no pair.
    """
    value = spec.get(name, default)
    if value is None:
        raise ConfigError(f"{where}: {name} is missing; expected [smallest, largest]")
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"{where}: {name} is {value!r}, expected [smallest, largest]")
    return value[0], value[1]
