"""Samplers that draw a whole architecture: regnet_sampler and anynet_sampler."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.sweep.anynet_count import make_compatible
from pycls.sweep.anynet_ranges import AnyNetRanges
from pycls.sweep.distributions import Distribution, make_distribution
from pycls.sweep.parameter_samplers import check_options, read_pair

# pycls's regnet_sampler: parameter -> default range, distribution and quantum.
REGNET_PARAMETERS: dict[str, tuple[tuple[float, float], str, float]] = {
    "DEPTH": ((12, 28), "uniform", 1),
    "W0": ((8, 256), "log_uniform", 8),
    "WA": ((8.0, 256.0), "log_uniform", 0.1),
    "WM": ((2.0, 3.0), "log_uniform", 0.001),
    "GROUP_W": ((8, 128), "power2_or_log_uniform", 8),
    "BOT_MUL": ((1.0, 1.0), "power2_uniform", 1 / 128),
}
_ANYNET_OPTIONS = (
    "NUM_STAGES",
    "DEPTH",
    "WIDTH",
    "WIDTH_QUANTUM",
    "BOT_MUL",
    "GROUP_W",
    "SPACE",
)


class RegNetSampler:
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

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "RegNetSampler":
        """Build from an entry of SETUP.SAMPLERS."""
        _check_key(key, "REGNET", spec, where)
        check_options(spec, ("TYPE", *REGNET_PARAMETERS), where)
        ranges = {
            name: read_pair(spec, name, default, where)
            for name, (default, _, _) in REGNET_PARAMETERS.items()
        }
        return cls(ranges, where)

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


class AnyNetSampler:
    """Draws an AnyNet's stages, with widths and groups made to fit each other."""

    keys = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")

    def __init__(self, ranges: AnyNetRanges) -> None:
        self.words = ranges.words
        self._ranges = ranges

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "AnyNetSampler":
        """Build from an entry of SETUP.SAMPLERS."""
        _check_key(key, "ANYNET", spec, where)
        check_options(spec, ("TYPE", *_ANYNET_OPTIONS), where)
        options = {name.lower(): value for name, value in spec.items() if name != "TYPE"}
        try:
            ranges = AnyNetRanges(**options)
            _ = ranges.marginals  # refuses the ranges that it cannot use
        except ConfigError as error:
            # The messages begin with the option's name, in the spelling of Python.
            name = next((n for n in _ANYNET_OPTIONS if str(error).startswith(n.lower())), "")
            raise ConfigError(f"{where}: {name}{str(error)[len(name) :]}") from None
        return cls(ranges)

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Turn n x `words` random words into n x S values of each key."""
        depths, widths, bot_muls, group_ws = self._ranges.draw(words)
        widths, group_ws = make_compatible(widths, bot_muls, group_ws)
        arrays = (depths, widths, bot_muls, group_ws)
        return {
            key: np.ascontiguousarray(array.T) for key, array in zip(self.keys, arrays, strict=True)
        }

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution of an item of each list, as drawn.

        Before widths and groups are made to fit, and without the condition of an order.
        """
        return dict(zip(self.keys, self._ranges.marginals.values(), strict=True))


def _check_key(key: str, expected: str, spec: Mapping[str, Any], where: str) -> None:
    if key != expected:
        raise ConfigError(
            f"{where}: a {spec['TYPE']} sets several keys of {expected}; its own key must be "
            f"{expected}, not {key}"
        )
