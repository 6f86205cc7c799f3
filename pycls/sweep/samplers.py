"""The samplers of sweep files: the table of all types, those of a sweep, and rows drawn by them.

A sampler needs a fixed number of random words a draw, so a row of draws is a function of
the samplers, the seed and the row's number: neither chunks nor processes change it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pycls.core.config.defaults import LIST_ELEMENT_TYPES, default_cfg
from pycls.core.config.load import flatten_cfg
from pycls.errors import ConfigError
from pycls.registry import import_object
from pycls.spaces.marginal import random_words
from pycls.sweep.file import SweepCfg
from pycls.yaml_sections import near_miss

# TYPE -> its class, which is imported on first use.
SAMPLERS = {
    "value_sampler": "pycls.sweep.sampler_types:ValueSampler",
    "float_sampler": "pycls.sweep.sampler_types:FloatSampler",
    "int_sampler": "pycls.sweep.sampler_types:IntSampler",
    "list_sampler": "pycls.sweep.sampler_types:ListSampler",
    "regnet_sampler": "pycls.sweep.sampler_types:RegNetSampler",
    "anynet_sampler": "pycls.sweep.sampler_types:AnyNetSampler",
}
# Sections of the configuration of which one sampler sets several keys.
_SECTIONS = ("REGNET", "ANYNET")
_TRIED = 64  # draws whose kind is looked at before all others


class ParameterSampler(Protocol):
    """Draws the values of one or more configuration keys."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The configuration keys it sets."""

    @property
    def words(self) -> int:
        """64-bit random words a draw."""

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "ParameterSampler":
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Turn n x `words` random words into n values of each key (n x LENGTH for lists)."""


def build_sampler(key: str, spec: Mapping[str, Any], where: str) -> ParameterSampler:
    """Return the sampler that an entry of SETUP.SAMPLERS describes.

    Args:
        key: the entry's key: a configuration key, or REGNET or ANYNET.
        spec: its TYPE and options, as in pycls; options left out have pycls's defaults.
        where: where the entry stands, for messages.

    Raises:
        ConfigError: an unknown or missing TYPE or option, or a range that cannot be used.
    """
    if not isinstance(spec, Mapping):
        raise ConfigError(f"{where}: expected keys and values with a TYPE, found {spec!r}")
    if "TYPE" not in spec:
        raise ConfigError(f"{where}: TYPE is missing; expected one of {', '.join(SAMPLERS)}")
    kind = spec["TYPE"]
    if not isinstance(kind, str) or kind not in SAMPLERS:
        hint = near_miss(str(kind), SAMPLERS)
        raise ConfigError(f"{where}: TYPE is {kind!r}; {hint}expected one of {', '.join(SAMPLERS)}")
    sampler: type[ParameterSampler] = import_object(SAMPLERS[kind])
    return sampler.read(key, spec, where)


def check_options(spec: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse options that a sampler does not have.

    Raises:
        ConfigError: names the option and those known.
    """
    known = ("TYPE", *known)
    for name in spec:
        if name not in known:
            hint = near_miss(str(name), known)
            raise ConfigError(
                f"{where}: {spec['TYPE']} has no option '{name}'; {hint}known: {', '.join(known)}"
            )


def draw_rows(
    samplers: Sequence[ParameterSampler], seed: int, start: int, count: int
) -> dict[str, NDArray]:
    """Draw rows number `start` to `start + count` of a seed's stream.

    Args:
        samplers: at least one; each has its words of a row in the order given.
        seed: a non-negative integer.
        start: number of the first row.
        count: how many rows.

    Returns:
        {configuration key: count values, or count x LENGTH}.

    Raises:
        ConfigError: two samplers set one key.
    """
    columns: dict[str, NDArray] = {}
    words = random_words(seed, start, count, sum(sampler.words for sampler in samplers))
    position = 0
    for sampler in samplers:
        drawn = sampler.draw(words[:, position : position + sampler.words])
        position += sampler.words
        repeated = sorted(columns.keys() & drawn.keys())
        if repeated:
            raise ConfigError(f"two samplers set {repeated[0]}; keep one of them")
        columns.update(drawn)
    return columns


def build_samplers(sweep: SweepCfg) -> dict[str, ParameterSampler]:
    """Return the samplers of a sweep by their keys in SETUP.SAMPLERS.

    Raises:
        ConfigError: an unknown configuration key, or a sampler that cannot be used.
    """
    defaults = flatten_cfg(default_cfg())
    known = [key for key in defaults if key != "OUT_DIR"]
    samplers: dict[str, ParameterSampler] = {}
    owners: dict[str, str] = {}
    for key, spec in sweep.setup["SAMPLERS"].items():
        place = sweep.where("SETUP", "SAMPLERS", key)
        if key not in (*known, *_SECTIONS):
            raise ConfigError(
                f"{place}: unknown configuration key '{key}'; {near_miss(key, known)}a sampler's "
                "key is a configuration key such as OPTIM.BASE_LR, or REGNET or ANYNET"
            )
        try:
            samplers[key] = build_sampler(key, spec, place)
        except ConfigError as error:
            raise ConfigError(_at_option(str(error), sweep, key, spec)) from None
        if key in defaults:
            _check_kind(samplers[key], key, defaults[key], place)
        for name in samplers[key].keys:
            if name in owners:
                raise ConfigError(
                    f"{place}: draws {name}, which the sampler {owners[name]} draws already; keep "
                    "one of them"
                )
            owners[name] = key
    return samplers


def _at_option(message: str, sweep: SweepCfg, key: str, spec: Any) -> str:
    """Return a sampler's message with the line of the option that it names."""
    place = sweep.where("SETUP", "SAMPLERS", key)
    way: list[str] = []
    for word in re.findall(r"\w+", message.removeprefix(place)):
        if isinstance(spec, Mapping) and word in spec:
            way.append(word)
            spec = spec[word]
    line = sweep.where("SETUP", "SAMPLERS", key, *way).removesuffix("".join(f".{w}" for w in way))
    return line + message.removeprefix(place)


def _check_kind(sampler: ParameterSampler, key: str, default: Any, place: str) -> None:
    """Refuse lists for a key of one value, one value for a list, and texts for a number.

    A whole number or not, and its range, is checked for each run kept.
    """
    is_list = isinstance(default, list)
    kind = LIST_ELEMENT_TYPES[key] if is_list else type(default)
    for value in draw_rows([sampler], 0, 0, _TRIED)[key].tolist():
        if isinstance(value, list | tuple) != is_list:
            wanted = "a list; use a list_sampler" if is_list else "one value"
            raise ConfigError(f"{place}: draws {value!r}, but {key} is {wanted}")
        for item in value if is_list else [value]:
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            if (kind in (int, float)) != is_number:
                expected = "numbers" if kind in (int, float) else f"of the type {kind.__name__}"
                raise ConfigError(f"{place}: draws {item!r}; values of {key} are {expected}")
