"""Writes configurations that differ in a few keys without dumping each as a whole."""

import re
from collections.abc import Mapping
from typing import Any

from pycls.strict_yaml import dump_yaml

_KEY_LINE = re.compile(r"(?m)^(?=[^\s])")
# A text that YAML writes as it is: one with a slash is no number, nor any other word of YAML's.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./-]*/[A-Za-z0-9_./-]*")
_MOST_KEPT = 10_000
# Beside sections, a mapping of plain values would be written on one line.
_SENTINEL = "~"


class CfgTemplate:
    """Gives, byte for byte, what dumping a changed configuration would give.

    Args:
        values: the complete configuration that all share: sections of keys, and keys.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._parts = _dump_parts(values)
        self._dumped: dict[tuple[str, str], str] = {}

    def text(self, changes: Mapping[str, Any]) -> str:
        """Return the configuration with some keys ("SECTION.KEY" or "KEY") changed, as YAML."""
        changed: dict[str, Any] = {}
        for dotted, value in changes.items():
            name, _, leaf = dotted.partition(".")
            if leaf:
                changed.setdefault(name, dict(self._values[name]))[leaf] = value
            else:
                changed[name] = value
        return "".join((self._parts | {k: self._dump(k, v) for k, v in changed.items()}).values())

    def _dump(self, name: str, value: Any) -> str:
        """Return the text of a top-level key; networks and seeds come back from run to run."""
        if isinstance(value, str) and _PLAIN_PATH.fullmatch(value):
            return f"{name}: {value}\n"
        known = (name, repr(value))
        if len(self._dumped) > _MOST_KEPT:
            self._dumped.clear()
        if known not in self._dumped:
            self._dumped[known] = _dump_parts({name: value})[name]
        return self._dumped[known]


def _dump_parts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each top-level key, in the order of a dump."""
    text = dump_yaml({**values, _SENTINEL: []})
    parts = _KEY_LINE.split(text)[1:-1]
    return dict(zip(sorted(values), parts, strict=True))
