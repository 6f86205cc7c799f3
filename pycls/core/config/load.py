"""Loads configurations: defaults, then a YAML file, then overrides; checked, frozen.

There is no global configuration. :func:`load_cfg` returns a frozen yacs node that is
handed to what needs it.
"""

import ast
import difflib
import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from pycls.checked_keys import key_value_pairs
from pycls.core.config.defaults import DEPRECATED_KEYS, LIST_ELEMENT_TYPES, WORDS, default_cfg
from pycls.core.config.rules import check_cfg, get_value
from pycls.errors import ConfigError
from pycls.files import expand_home
from pycls.shipped import or_shipped
from pycls.strict_yaml import dump_yaml, load_yaml, parse_yaml
from pycls.yaml_kinds import NETWORK, refuse_other_kind

_TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}

# Keys whose values are paths or may be: ~ at the beginning is the home folder.
_PATHS = (
    "OUT_DIR", "DATA.DIR", "DOWNLOAD_CACHE", "TRAIN.DATASET", "TRAIN.WEIGHTS", "TEST.DATASET",
    "TEST.WEIGHTS",
)  # fmt: skip

# PyTorch takes seeds of 64 bits.
_SEEDS = ("RNG_SEED", "DATA.VIEW_SEED")

# What says where and how a run is watched, not what it computes.
_NOT_IN_HASH = (
    "OUT_DIR", "CFG_DEST", "LOG_DEST", "LOG_PERIOD", "VERBOSE", "DESC", "DOWNLOAD_CACHE", "DEVICE",
    "NUM_THREADS", "DATA.DIR", "LAUNCH", "DATA_LOADER", "PREC_TIME", "HOST", "PORT_RANGE",
    "MAX_GPUS_PER_NODE", "DIST_BACKEND", "CHECKPOINT", "TRAIN.AUTO_RESUME",
    "CUDNN", "TEST.WEIGHTS", "TEST.CLASSES_BY_POSITION", "TEST.ANSWERS", "TENSORBOARD", "LOG_HOOK",
    "LAYER_FORMS", "OPTIM.STOP_EPOCH",
)  # fmt: skip

# Keys of this version: where they are not used, a run's hash is that of earlier versions.
_LATER_KEYS: dict[str, Any] = {"TRAIN.CLASS_WEIGHTS": [], "TEST.BALANCED_ERROR": False}


def load_cfg(path: str | os.PathLike[str] | None = None, overrides: Sequence[Any] = ()) -> CfgNode:
    """Return the configuration of a file with overrides, complete, checked and frozen.

    Args:
        path: a YAML file with pycls's keys (any part of them); None for the defaults.
        overrides: keys and values in turn, as on a command line or as Python values:
            ``["OPTIM.BASE_LR", "0.1", "ANYNET.DEPTHS", [1, 2]]``.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range or an impossible
            combination; the message names key, value, file and what is allowed.
    """
    where = "configuration" if path is None else str(path)
    layers = [] if path is None else [(where, load_yaml(or_shipped(path)))]
    if overrides:
        where = "overrides" if path is None else f"{where} with overrides"
    return _complete(layers, overrides, where)


def names_key(key: str, path: str | os.PathLike[str], overrides: Sequence[Any]) -> bool:
    """Say whether a file or the overrides, as :func:`load_cfg` takes them, set a top-level key."""
    given = load_yaml(or_shipped(path)) or {}
    return key in given or key in dict(key_value_pairs(overrides, "overrides"))


def layer_cfg(layers: Sequence[tuple[str, Any]], overrides: Sequence[Any] = ()) -> CfgNode:
    """Return the configuration that layers of keys make, the later over the earlier.

    Args:
        layers: (where, nested dict of keys) pairs; `where` names the layer in messages.
        overrides: keys and values in turn, over all layers.

    Raises:
        ConfigError: as :func:`load_cfg`.
    """
    return _complete(layers, overrides, layers[-1][0] if layers else "overrides")


def parse_cfg(text: str, where: str) -> CfgNode:
    """Return the configuration that a YAML text holds (as stored in a checkpoint)."""
    return _complete([(where, parse_yaml(text, where))], (), where)


def cfg_to_dict(cfg: CfgNode) -> dict[str, Any]:
    """Return a configuration as nested plain dicts and lists."""
    return {
        key: cfg_to_dict(value) if isinstance(value, CfgNode) else value
        for key, value in cfg.items()
    }


def dump_cfg(cfg: CfgNode) -> str:
    """Return a configuration as YAML text that :func:`load_cfg` reads back."""
    return dump_yaml(cfg_to_dict(cfg))


def flatten_cfg(cfg: CfgNode) -> dict[str, Any]:
    """Return a configuration as a flat dict of dotted keys."""
    return dict(_leaves(cfg, ""))


def nest_keys(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as sections of keys, the inverse of :func:`flatten_cfg`."""
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *sections, leaf = dotted.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
        node[leaf] = value
    return nested


def computing_keys(cfg: CfgNode) -> dict[str, Any]:
    """Return the flat part of a configuration that a run's result depends on."""
    return {
        key: value
        for key, value in flatten_cfg(cfg).items()
        if key not in _NOT_IN_HASH and key.split(".")[0] not in _NOT_IN_HASH
    }


def cfg_hash(cfg: CfgNode) -> str:
    """Return a SHA-256 over what a run's result depends on (not its folder or logs)."""
    keys = computing_keys(cfg)
    for key, default in _LATER_KEYS.items():
        if keys[key] == default:
            del keys[key]
    text = json.dumps(keys, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _complete(layers: Sequence[tuple[str, Any]], overrides: Sequence[Any], where: str) -> CfgNode:
    """Return the defaults under layers and overrides, checked (as `where`) and frozen."""
    cfg = default_cfg()
    for place, values in layers:
        _merge(cfg, values, place)
    _merge_overrides(cfg, overrides)
    for key in _PATHS:
        section, _, leaf = key.rpartition(".")
        node = cfg[section] if section else cfg
        node[leaf] = expand_home(node[leaf])
    check_cfg(cfg, where)
    cfg.freeze()
    return cfg


def _leaves(node: CfgNode, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _merge(cfg: CfgNode, values: Any, where: str) -> None:
    """Merge what a YAML document holds into `cfg`."""
    if values is None:
        return
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected keys and values, found {_describe(values)}")
    # pycls's checkpoints carry a stray log tag in their configuration.
    values = {key: value for key, value in values.items() if key != "_type"}
    refuse_other_kind(values, where, NETWORK)
    _merge_node(cfg, values, "", where)


def _merge_node(node: CfgNode, values: dict[str, Any], prefix: str, where: str) -> None:
    for key, value in values.items():
        full_key = f"{prefix}{key}"
        if full_key in DEPRECATED_KEYS and key not in node:
            warnings.warn(f"{where}: {full_key} has no effect any more, ignored", stacklevel=2)
        elif key not in node:
            raise ConfigError(f"{where}: {_unknown_key(full_key, value)}")
        elif isinstance(node[key], CfgNode):
            if not isinstance(value, dict):
                raise ConfigError(
                    f"{where}: {full_key} is a section of keys, found {_describe(value)}"
                )
            _merge_node(node[key], value, f"{full_key}.", where)
        else:
            node[key] = _typed(full_key, value, node[key], where)


def _merge_overrides(cfg: CfgNode, overrides: Sequence[Any]) -> None:
    for key, value in key_value_pairs(overrides, "overrides"):
        node, leaf = cfg, key
        if leaf in DEPRECATED_KEYS:
            warnings.warn(f"overrides: {key} has no effect any more, ignored", stacklevel=4)
            continue
        while isinstance(node, CfgNode) and "." in leaf:
            section, leaf = leaf.split(".", 1)
            node = node.get(section)
        if not isinstance(node, CfgNode) or leaf not in node:
            raise ConfigError(f"overrides: {_unknown_key(key, value)}")
        if isinstance(node[leaf], CfgNode):
            raise ConfigError(
                f"overrides: {key} is a section; name one of its keys: "
                + ", ".join(f"{key}.{name}" for name in node[leaf])
            )
        if isinstance(value, str) and (key in WORDS or not isinstance(node[leaf], str)):
            value = _parse_word(key, value)
        node[leaf] = _typed(key, value, node[leaf], "overrides")


def _parse_word(key: str, word: str) -> Any:
    """Return the value that a word of the command line stands for."""
    if word.strip().startswith("("):
        try:
            return ast.literal_eval(word)
        except (ValueError, SyntaxError):
            return word
    return parse_yaml(word, f"overrides: {key}")


def _typed(key: str, value: Any, default: Any, where: str) -> Any:
    """Return `value` in the type of the key's default, or refuse it."""
    if value == WORDS.get(key, ...):
        return value
    if isinstance(default, str) and key in WORDS:
        default = get_value(default_cfg(), key)  # it has been set to its word before
    if isinstance(default, list):
        if not isinstance(value, list | tuple):
            expected = f"a list{_or_word(key)}"
            if isinstance(value, str) and "," in value:
                expected += f"; write {key} '[{value}]'"
            raise ConfigError(f"{where}: {key} is {_describe(value)}; expected {expected}")
        kind = LIST_ELEMENT_TYPES[key]
        return [_typed_scalar(key, item, kind, where, value) for item in value]
    return _typed_scalar(key, value, type(default), where, value)


def _typed_scalar(key: str, value: Any, kind: type, where: str, whole: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ConfigError(f"{where}: {key} is {_shortened(value)}; expected at most {2**64 - 1}")
    if kind is int and is_number and value >= 2**63 and key not in _SEEDS:
        raise ConfigError(f"{where}: {key} is {value}; expected at most {2**63 - 1}")
    if kind is float and is_number and math.isfinite(value):
        # A list keeps 2 as 2: the epochs of OPTIM.STEPS read as they were written.
        return value if isinstance(whole, list | tuple) else float(value)
    if kind is int and is_number and isinstance(value, int):
        return value
    if kind is str and isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where}: {key} is {value!r}; a text may not hold the character 0")
    if kind in (bool, str) and isinstance(value, kind):
        return value
    expected = _TYPE_NAMES[kind] + _or_word(key)
    if isinstance(whole, list | tuple):
        hint = _how_to_write(value) if kind is str else ""
        raise ConfigError(
            f"{where}: {key} is {list(whole)!r}; expected a list, each element {expected}, but "
            f"{value!r} is {_describe(value)}{hint}"
        )
    hint = _how_to_write(value) if kind is str and value is not None else ""
    raise ConfigError(f"{where}: {key} is {_describe(value)}; expected {expected}{hint}")


def _or_word(key: str) -> str:
    return f", or {WORDS[key]}" if key in WORDS else ""


def _how_to_write(value: Any) -> str:
    if isinstance(value, bool):
        return "; YAML takes yes, no, on and off for truth values: put the word in quotes"
    return "; put it in quotes"


def _shortened(value: int) -> str:
    # Python refuses to write out numbers of more than 4,300 digits.
    return str(value) if value.bit_length() < 400 else f"a number of {value.bit_length()} bits"


def _describe(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return f"a section ({', '.join(map(str, value))})"
    if isinstance(value, list | tuple):
        return f"the list {list(value)!r}"
    if isinstance(value, str):
        return f"the text {value!r}"
    return repr(value)


def _unknown_key(key: str, value: Any) -> str:
    known = [*flatten_cfg(default_cfg()), *default_cfg()]
    # All keys are written in capitals.
    close = difflib.get_close_matches(key.upper(), known, n=3, cutoff=0.6)
    if key.upper() in known:
        close = [key.upper()]
    if not close:
        section = key.split(".")[0]
        close = [name for name in known if name.startswith(f"{section}.")]
    allowed = ", ".join(close or default_cfg())
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
    question = f"did you mean {close[0]}?" if len(close) == 1 else f"did you mean one of: {allowed}"
    return f"unknown key {key!r} (value {shown}); {question}"
