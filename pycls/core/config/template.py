"""Writes configurations that differ in a few keys without dumping each as a whole."""

import re
from collections.abc import Mapping
from typing import Any

from pycls.strict_yaml import dump_yaml

_KEY_LINE = re.compile(r"(?m)^(?=[^\s])")
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

    def text(self, changes: Mapping[str, Any]) -> str:
        """Return the configuration with some keys ("SECTION.KEY" or "KEY") changed, as YAML."""
        changed: dict[str, Any] = {}
        for dotted, value in changes.items():
            name, _, leaf = dotted.partition(".")
            if leaf:
                changed.setdefault(name, dict(self._values[name]))[leaf] = value
            else:
                changed[name] = value
        return "".join((self._parts | _dump_parts(changed)).values())


def _dump_parts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each top-level key, in the order of a dump."""
    text = dump_yaml({**values, _SENTINEL: []})
    parts = _KEY_LINE.split(text)[1:-1]
    return dict(zip(sorted(values), parts, strict=True))
