"""The samplers of a sweep file, each checked against the configuration keys that it sets."""

import re
from collections.abc import Mapping
from typing import Any

from pycls.core.config import flatten_cfg
from pycls.core.defaults import LIST_ELEMENT_TYPES, default_cfg
from pycls.errors import ConfigError
from pycls.sweep.parameter_samplers import ParameterSampler, build_sampler, draw_rows
from pycls.sweep.sweep_cfg import SweepCfg
from pycls.yaml_sections import near_miss

_SECTIONS = ("REGNET", "ANYNET")
_TRIED = 64  # draws whose kind is looked at before all others


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
    """Return a sampler's message with the line of the option that it speaks of."""
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
