"""Sections of YAML files, read key by key, with messages that name file, line and key."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.files import read_text
from pycls.strict_yaml import line_of, parse_yaml


@dataclass(frozen=True)
class Place:
    """A place in a YAML file; its text names file, line and key.

    Attributes:
        path: the file.
        text: what the file holds.
        keys: the way from the top: keys of mappings and indices of lists.
    """

    path: Path
    text: str
    keys: tuple[str | int, ...] = ()

    def at(self, *keys: str | int) -> "Place":
        """Return a place below this one."""
        return Place(self.path, self.text, self.keys + keys)

    def __str__(self) -> str:
        line = _line(self.text, self.keys) if self.keys else None
        where = f"{self.path}, line {line}" if line else str(self.path)
        return f"{where}: {self.key}" if self.keys else where

    @property
    def key(self) -> str:
        """Return the keys as one dotted text, such as `repeats[0].seeds`."""
        text = ""
        for key in self.keys:
            text += f"[{key}]" if isinstance(key, int) else f".{key}"
        return text.removeprefix(".")


@lru_cache(maxsize=1024)
def _line(text: str, keys: tuple[str | int, ...]) -> int | None:
    """Return the line of the last key of a way that the text holds."""
    for count in range(len(keys), 0, -1):
        line = line_of(text, keys[:count])
        if line is not None:
            return line
    return None


class Section:
    """A mapping of a YAML file that checks each value it is asked for.

    Args:
        values: the mapping.
        place: where it stands.

    Raises:
        ConfigError: `values` is no mapping.
    """

    def __init__(self, values: Any, place: Place) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{place}: expected keys and values, found {values!r}")
        self._values = values
        self.place = place

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def only(self, *known: str) -> None:
        """Refuse keys that are not known."""
        for key in self._values:
            if key not in known:
                hint = near_miss(str(key), known)
                raise ConfigError(
                    f"{self.place.at(key)}: unknown key '{key}' (value {self._values[key]!r}); "
                    f"{hint}allowed: {', '.join(known)}"
                )

    def get(self, key: str, kind: type | tuple[type, ...], what: str, default: Any = ...) -> Any:
        """Return a value of the given kind, or the default where the key is absent."""
        if key not in self._values:
            if default is ...:
                raise ConfigError(f"{self.place}: the key '{key}' is missing; expected {what}")
            return default
        value = self._values[key]
        is_bool = isinstance(value, bool) and kind is not bool
        if is_bool or not isinstance(value, kind):
            hint = "; put it in quotes" if kind is str and isinstance(value, int | float) else ""
            raise ConfigError(f"{self.place.at(key)} is {value!r}; expected {what}{hint}")
        return value

    def text(self, key: str, default: Any = ...) -> Any:
        """Return a text."""
        return self.get(key, str, "a text", default)

    def flag(self, key: str) -> bool:
        """Return a truth value, False where it is absent."""
        return bool(self.get(key, bool, "true or false", False))

    def count(self, key: str, low: int, default: Any = ..., most: int = 2**64 - 1) -> Any:
        """Return a whole number of `low` to `most`."""
        value = self.get(key, int, f"a whole number of {low} or more", default)
        if key in self._values and value < low:
            raise ConfigError(f"{self.place.at(key)} is {value}; expected {low} or more")
        if key in self._values and value > most:
            raise ConfigError(f"{self.place.at(key)} is {value:,}; expected at most {most:,}")
        return value

    def names(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """Return a list of distinct texts."""
        values = self.get(key, list, "a list of names", default)
        for value in values:
            if not isinstance(value, str):
                raise ConfigError(
                    f"{self.place.at(key)} holds {value!r}; expected names (put it in quotes)"
                )
        if len(set(values)) != len(values):
            raise ConfigError(f"{self.place.at(key)} names something twice: {values}")
        return tuple(values)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a section, empty where it is absent."""
        return self.get(key, (Mapping, type(None)), "keys and values", {}) or {}

    def section(self, key: str) -> "Section":
        """Return a section to be read in its turn, empty where it is absent."""
        return Section(self.mapping(key), self.place.at(key))


def open_sections(path: str | os.PathLike[str]) -> Section:
    """Read a YAML file whose top level is a mapping; an empty file is an empty one.

    Raises:
        ConfigError: the file is missing, is not text or not YAML, or holds something else.
    """
    place = Place(Path(path), read_text(path, "YAML"))
    values = parse_yaml(place.text, str(path))
    return Section({} if values is None else values, place)


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'? " for a name that is nearly a known one, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'? " if close else ""
