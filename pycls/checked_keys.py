"""Configuration keys that each have a type, a check and a default, and the merging of values."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycls.errors import ConfigError
from pycls.strict_yaml import parse_yaml
from pycls.yaml_sections import near_miss

Check = Callable[[Any], str]
_NOTHING = object()


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        default: its value where the file does not say.
        check: returns what is wrong with a value and what was expected, or "".
        mixed: whether a word of a command line is YAML although the default is a text.
    """

    default: Any
    check: Check
    mixed: bool = False


def defaults_of(known: Mapping[str, Any]) -> dict[str, Any]:
    """Return all keys with their defaults, nested, free to be changed."""
    return {
        key: copy.deepcopy(inner.default) if isinstance(inner, Key) else defaults_of(inner)
        for key, inner in known.items()
    }


def is_number(value: Any) -> bool:
    """Return whether a value is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, and no truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_text(value: Any) -> str:
    """Check a text."""
    return "" if isinstance(value, str) else "expected a text; put it in quotes"


def check_flag(value: Any) -> str:
    """Check a truth value."""
    return "" if isinstance(value, bool) else "expected True or False"


def count_from(least: int, most: int = 2**63 - 1) -> Check:
    """Return the check of whole numbers of `least` to `most`."""

    def check(value: Any) -> str:
        if is_whole(value) and value > most:
            return f"expected a whole number of {least} to {most}"
        if is_whole(value) and value >= least:
            return ""
        hint = ""
        if isinstance(value, float) and value.is_integer() and value >= least:
            hint = f"; write {int(value)}"
        return f"expected a whole number of {least} or more{hint}"

    return check


def one_of(*choices: str) -> Check:
    """Return the check of a text that is one of several."""
    return lambda value: "" if value in choices else f"allowed: {', '.join(choices)}"


def check_auto_or_count(value: Any) -> str:
    """Check a whole number of 1 or more, or "auto"."""
    problem = count_from(1)(value)
    return f"{problem}, or auto" if problem and value != "auto" else ""


def check_amount(value: Any) -> str:
    """Check a finite number of 0 or more."""
    good = is_number(value) and 0 <= value < math.inf
    return "" if good else "expected a number of 0 or more"


def check_line(value: Any) -> str:
    """Check a text that goes into a batch script or a table: no line breaks or the like."""
    if not isinstance(value, str):
        return check_text(value)
    return "" if value.isprintable() else "expected one line, without control characters"


def check_texts(value: Any) -> str:
    """Check a list of texts."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ""
    return "expected a list of texts, such as [a, b]"


def check_mapping(value: Any) -> str:
    """Check keys with values."""
    return "" if isinstance(value, Mapping) else "expected keys and values"


def merge_given(
    values: dict[str, Any],
    given: Mapping[Any, Any],
    known: Mapping[str, Any],
    where: Callable[..., str],
    way: tuple[str, ...] = (),
    everywhere: Mapping[str, Any] | None = None,
) -> None:
    """Put what a file says over the defaults, checked.

    Args:
        values: the defaults, to be changed.
        given: what the file says at `way`.
        known: the keys that may stand there, {name: :class:`Key`, or the same of a section}.
        where: names a key's place for a message, given the way to it.
        way: the keys that lead to this section.
        everywhere: all keys of the file, of which a message names the section of one that
            stands in another; None: `known`.

    Raises:
        ConfigError: a key is unknown, or a value cannot be used.
    """
    everywhere = known if everywhere is None else everywhere
    for key, value in given.items():
        place = where(*way, str(key))
        if key not in known:
            raise ConfigError(f"{place}: {_unknown(key, value, known, everywhere)}")
        expected = known[key]
        if isinstance(expected, Key):
            values[key] = _checked(value, expected, place)
        elif isinstance(value, Mapping):
            merge_given(values[key], value, expected, where, (*way, key), everywhere)
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


def _unknown(key: Any, value: Any, known: Mapping[str, Any], everywhere: Mapping[str, Any]) -> str:
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:37]}..."
    hint = near_miss(str(key), known) or near_miss(str(key).upper(), known)
    hint = hint or _elsewhere(str(key), everywhere)
    return f"unknown key {key!r} (value {shown}); {hint}allowed here: {', '.join(known)}"


def _elsewhere(key: str, known: Mapping[str, Any], prefix: str = "") -> str:
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
    values: dict[str, Any],
    overrides: Sequence[Any],
    known: Mapping[str, Any],
    free: tuple[str, ...] = (),
) -> frozenset[str]:
    """Put KEY VALUE pairs of a command line over all; return the keys.

    Args:
        values: the complete settings, to be changed.
        overrides: keys and values in turn, or KEY=VALUE; texts are read as YAML where the key is
            no text.
        known: the keys that may be given.
        free: sections, such as "SETUP.BASE_CFG.", of which single keys may be given.

    Raises:
        ConfigError: a key is unknown, or a value cannot be used.
    """
    pairs = key_value_pairs(overrides, "command line")
    for dotted, value in pairs:
        _override(values, dotted, value, known, free)
    return frozenset(dotted for dotted, _ in pairs)


def key_value_pairs(words: Sequence[Any], where: str) -> list[tuple[str, Any]]:
    """Return the words of a command line as keys with their values: KEY VALUE or KEY=VALUE.

    Args:
        words: keys and values in turn, or both in one word.
        where: what the words are of, for a message.

    Raises:
        ConfigError: a key has no value.
    """
    pairs, rest = [], iter(words)
    for word in rest:
        key, equals, text = str(word).partition("=")
        value = text if equals else next(rest, _NOTHING)
        if value is _NOTHING or value == "=":
            raise ConfigError(
                f"{where}: expected KEY VALUE pairs, found {len(words)} words; {key!r} has no value"
            )
        pairs.append((key, value))
    return pairs


def _override(
    values: dict[str, Any],
    dotted: str,
    value: Any,
    known: Mapping[str, Any],
    free: tuple[str, ...],
) -> None:
    place = f"command line: {dotted}"
    node, parts = values, dotted.split(".")
    everywhere = known
    while True:
        name = parts.pop(0)
        if name not in known:
            raise ConfigError(f"{place}: {_unknown(name, value, known, everywhere)}")
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
    elif dotted.startswith(free):
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
