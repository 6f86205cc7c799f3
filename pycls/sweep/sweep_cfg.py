"""Reading a sweep file: pycls's keys and defaults, every value checked, mistakes with their line.

The keys are those of pycls's sweep configuration (read at 5719de6), so that its files are
used as they are; SETUP.POPULATION, SETUP.CONFIGS and SETUP.CONSTRAINTS.EXPRESSIONS are this
project's own. What LAUNCH, COLLECT and ANALYZE say is for the tools that run a sweep.
"""

import copy
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.strict_yaml import dump_yaml, load_yaml, parse_yaml
from pycls.sweep.sweep_keys import FREE_SECTIONS, KEYS, Key, defaults
from pycls.yaml_sections import Place, near_miss

DEFAULT_ROOT = "studies"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+,-]{0,199}")
_WORD = re.compile(r"[A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*")


@dataclass(frozen=True)
class SweepCfg:
    """A sweep's settings, complete.

    Attributes:
        path: the file they come from.
        text: what the file holds, for the lines in messages.
        values: all keys, nested as in the file.
        overridden: dotted keys that were given beside the file.
        given: those keys and their values in turn, as they were given.
        root_dir: what was given to stand in for ROOT_DIR; None: nothing.
    """

    path: Path
    text: str
    values: Mapping[str, Any]
    overridden: frozenset[str] = frozenset()
    given: tuple[Any, ...] = ()
    root_dir: str | None = None

    @property
    def name(self) -> str:
        """Return the sweep's name, which may hold slashes."""
        return self.values["NAME"]

    @property
    def folder(self) -> Path:
        """Return the sweep's folder, ROOT_DIR/NAME."""
        return Path(self.values["ROOT_DIR"]) / self.name

    @property
    def setup(self) -> Mapping[str, Any]:
        """Return the SETUP section."""
        return self.values["SETUP"]

    def where(self, *keys: str | int) -> str:
        """Name a key's place for a message: the file with the line, or the command line."""
        place = Place(self.path, self.text, keys)
        for count in range(len(keys), 0, -1):
            if ".".join(map(str, keys[:count])) in self.overridden:
                return f"command line: {place.key}"
        return str(place)

    def where_named(self, message: str, values: Any, *keys: str | int) -> str:
        """Name the place of the key below `keys` that a message speaks of.

        Args:
            message: a text that may hold dotted configuration keys.
            values: what stands at `keys`: nested configuration keys.
            keys: the way there.
        """
        for word in _WORD.findall(message):
            node, way = values, word.split(".")
            for part in way:
                node = node.get(part, ...) if isinstance(node, Mapping) else ...
            if node is not ...:
                return self.where(*keys, *way)
        return self.where(*keys)


def load_sweep_cfg(
    path: str | os.PathLike[str],
    overrides: Sequence[Any] = (),
    root_dir: str | os.PathLike[str] | None = None,
) -> SweepCfg:
    """Read a sweep file.

    Args:
        path: a YAML file with pycls's sweep keys.
        overrides: keys and values in turn, as words of a command line or Python values:
            ``["SETUP.NUM_CONFIGS", "8", "SETUP.BASE_CFG.OPTIM.MAX_EPOCH", 1]``.
        root_dir: stands in for ROOT_DIR.

    Raises:
        ConfigError: the file cannot be read, holds an unknown key or a value that cannot be
            used; the message names file, line, key, value and what is expected.
    """
    path = Path(path)
    given = load_yaml(path)
    text = path.read_text(encoding="utf-8")
    values = defaults()
    sweep = SweepCfg(path, text, values)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{path}: expected keys and values such as NAME and SETUP")
    merge_given(values, given, KEYS, sweep.where)
    overridden = merge_overrides(values, overrides)
    root_dir = None if root_dir is None else os.fspath(root_dir)
    if root_dir is not None:
        values["ROOT_DIR"] = root_dir
    values["ROOT_DIR"] = values["ROOT_DIR"] or DEFAULT_ROOT
    sweep = SweepCfg(path, text, values, overridden, tuple(overrides), root_dir)
    _check_name(sweep)
    _check_sources(sweep)
    return sweep


def dump_sweep_cfg(values: Mapping[str, Any]) -> str:
    """Return a sweep's settings as YAML text that :func:`load_sweep_cfg` reads back."""
    return dump_yaml(values)


def merge_given(
    values: dict[str, Any],
    given: Mapping[Any, Any],
    known: Mapping[str, Any],
    where: Callable[..., str],
    way: tuple[str, ...] = (),
) -> None:
    """Put what a file says over the defaults, checked.

    Args:
        values: the defaults, to be changed.
        given: what the file says at `way`.
        known: the keys that may stand there, as in :data:`pycls.sweep.sweep_keys.KEYS`.
        where: names a key's place for a message, given the way to it.
        way: the keys that lead to this section.

    Raises:
        ConfigError: a key is unknown, or a value cannot be used.
    """
    for key, value in given.items():
        place = where(*way, str(key))
        if key not in known:
            raise ConfigError(f"{place}: {_unknown(key, value, known)}")
        expected = known[key]
        if isinstance(expected, Key):
            values[key] = _checked(value, expected, place)
        elif isinstance(value, Mapping):
            merge_given(values[key], value, expected, where, (*way, key))
        elif value is not None:
            raise ConfigError(
                f"{place} is {value!r}; expected a section with the keys {', '.join(expected)}"
            )


def _checked(value: Any, key: Key, place: str) -> Any:
    if value is None and isinstance(key.default, dict | list):
        return copy.copy(key.default)  # `SAMPLERS:` with nothing after it
    problem = key.check(value)
    if problem:
        shown = str(value) if len(str(value)) <= 80 else f"{str(value)[:77]}..."
        shown = repr(value) if isinstance(value, str) else shown
        raise ConfigError(f"{place} is {shown}; {problem}")
    return value


def _unknown(key: Any, value: Any, known: Mapping[str, Any]) -> str:
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
    hint = near_miss(str(key), known) or near_miss(str(key).upper(), known) or _elsewhere(str(key))
    return f"unknown key {key!r} (value {shown}); {hint}allowed here: {', '.join(known)}"


def _elsewhere(key: str, known: Mapping[str, Any] = KEYS, prefix: str = "") -> str:
    """Return a hint where the key belongs, if it is one of another section."""
    for name, inner in known.items():
        if prefix and name == key:
            return f"it belongs into {prefix.rstrip('.')}; "
        if isinstance(inner, Mapping):
            hint = _elsewhere(key, inner, f"{prefix}{name}.")
            if hint:
                return hint
    return ""


def merge_overrides(
    values: dict[str, Any], overrides: Sequence[Any], known: Mapping[str, Any] = KEYS
) -> frozenset[str]:
    """Put KEY VALUE pairs of a command line over all; return the keys.

    Args:
        values: the complete settings, to be changed.
        overrides: keys and values in turn; see :func:`load_sweep_cfg`.
        known: the keys that may be given.

    Raises:
        ConfigError: a key is unknown, or a value cannot be used.
    """
    if len(overrides) % 2:
        raise ConfigError(
            f"command line: expected KEY VALUE pairs, found {len(overrides)} words; the last is "
            f"{overrides[-1]!r}"
        )
    for dotted, value in zip(overrides[::2], overrides[1::2], strict=True):
        _override(values, str(dotted), value, known)
    return frozenset(map(str, overrides[::2]))


def _override(values: dict[str, Any], dotted: str, value: Any, known: Mapping[str, Any]) -> None:
    place = f"command line: {dotted}"
    node, parts = values, dotted.split(".")
    while True:
        name = parts.pop(0)
        if name not in known:
            raise ConfigError(f"{place}: {_unknown(name, value, known)}")
        expected = known[name]
        if isinstance(expected, Key):
            break
        if not parts:
            inner = ", ".join(f"{dotted}.{key}" for key in expected)
            raise ConfigError(f"{place} is a section; name one of its keys: {inner}")
        node, known = node[name], expected
    is_yaml = parts or expected.mixed or not isinstance(expected.default, str)
    if isinstance(value, str) and is_yaml:
        value = parse_yaml(value, place)
    if not parts:
        node[name] = _checked(value, expected, place)
    elif dotted.startswith(FREE_SECTIONS):
        node[name] = _with_leaf(node[name], parts, value, place)
    else:
        raise ConfigError(
            f"{place}: '{'.'.join(parts)}' cannot be given alone; give the whole of "
            f"{dotted.removesuffix('.' + '.'.join(parts))} as one YAML value"
        )


def _with_leaf(section: Any, parts: Sequence[str], value: Any, place: str) -> dict[str, Any]:
    """Return a copy of nested keys in which the one that `parts` leads to is `value`."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{place}: {section!r} is not a section of keys")
    inner = value
    if len(parts) > 1:
        inner = _with_leaf(section.get(parts[0]) or {}, parts[1:], value, place)
    return {**section, parts[0]: inner}


def _check_name(sweep: SweepCfg) -> None:
    """Refuse a name that cannot be a folder below ROOT_DIR."""
    if not sweep.name:
        raise ConfigError(
            f"{sweep.path}: NAME is missing; it names the sweep's folder (NAME: my_sweep)"
        )
    if not all(_PART.fullmatch(part) for part in sweep.name.split("/")):
        raise ConfigError(
            f"{sweep.where('NAME')} is {sweep.name!r}, which cannot name a folder; expected "
            "letters, digits and _ . = + , - (beginning with a letter, a digit or _), with '/' "
            "between folders, for example cifar/my_sweep"
        )


def _check_sources(sweep: SweepCfg) -> None:
    """Refuse settings that do not say what to set up."""
    setup = sweep.setup
    listed = [key for key in ("POPULATION", "CONFIGS") if setup[key]]
    if len(listed) == 2:
        raise ConfigError(
            f"{sweep.where('SETUP', 'CONFIGS')}: SETUP.POPULATION and SETUP.CONFIGS both list "
            "networks; keep one of them, and make a sweep of its own for the other"
        )
    if not listed and not setup["SAMPLERS"]:
        raise ConfigError(
            f"{sweep.where('SETUP')}: nothing to draw; give SETUP.SAMPLERS, SETUP.POPULATION (a "
            "CSV of architectures) or SETUP.CONFIGS (a list of configurations)"
        )
    if not listed and not setup["NUM_CONFIGS"]:
        raise ConfigError(
            f"{sweep.where('SETUP', 'NUM_CONFIGS')}: SETUP.NUM_CONFIGS is missing or 0; say how "
            "many configurations to draw"
        )
