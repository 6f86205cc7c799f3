"""A reader and writer of YAML as users mean it.

No key twice, `5e-5` is a number, `010` is ten, and `12:00:00` is a text (YAML 1.1 takes these for
8 and for 43200).
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pycls.errors import ConfigError
from pycls.files import read_text

_MERGE = "tag:yaml.org,2002:merge"  # the key << takes over another mapping's keys
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_SIGNS = list("-+0123456789")


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe loader with corrections to YAML 1.1 as PyYAML reads it: numbers are those of 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's name)
        first: [pair for pair in pairs if pair[0] not in (_INT, _FLOAT)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Build a whole number; one that begins with 0 is decimal."""
        text = str(node.value).replace("_", "")
        digits = text.lstrip("+-")
        base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2].lower(), 10)
        return int(text, base)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; a key that occurs twice is an error, not a silent last wins."""
        if isinstance(node, yaml.MappingNode):
            seen: dict[Any, int] = {}
            for key_node, _ in node.value:
                if key_node.tag == _MERGE:
                    continue
                key = self.construct_object(key_node, deep=True)
                try:
                    first = seen.get(key)
                except TypeError:
                    continue
                line = key_node.start_mark.line + 1
                if first is not None:
                    raise ConfigError(
                        f"key '{key}' occurs twice, on lines {first} and {line}; keep one of them"
                    )
                seen[key] = line
        return super().construct_mapping(node, deep)


class _StrictDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Safe dumper that quotes the texts which the loader would take for numbers."""


_StrictLoader.add_constructor(_INT, _StrictLoader.construct_int)
_StrictLoader.add_implicit_resolver(
    _INT,
    re.compile(r"^[-+]?(?:0b[01_]*[01]|0o[0-7_]*[0-7]|0x[0-9a-fA-F_]*[0-9a-fA-F]|[0-9][0-9_]*)$"),
    _SIGNS,
)
_StrictLoader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)|[-+]?\.(?:inf|Inf|INF)|"
        r"\.(?:nan|NaN|NAN))$"
    ),
    [*_SIGNS, "."],
)
# In YAML 1.1 an exponent needs a dot and a sign: 5e-5 would be a text. The dumper quotes what
# either version takes for a number.
for _class in (_StrictLoader, _StrictDumper):
    _class.add_implicit_resolver(
        _FLOAT,
        re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
        [*_SIGNS, "."],
    )


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document.

    Args:
        text: the document.
        where: what to call it in messages (a file name or an override).

    Raises:
        ConfigError: it is not YAML, or a key occurs twice in one mapping.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a safe loader)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML ({problem})") from None
    except ValueError as error:
        # PyYAML turns 2024-13-45 or 0b2 into ValueErrors of its own.
        raise ConfigError(f"{where}: not valid YAML ({error})") from None


def load_yaml(path: str | os.PathLike[str]) -> Any:
    """Read a YAML file.

    Raises:
        ConfigError: the file is missing, is not text or not YAML, or repeats a key.
    """
    return parse_yaml(read_text(path, "YAML"), str(path))


def line_of(source: str | os.PathLike[str], keys: Sequence[str | int]) -> int | None:
    """Return the line on which a key or a list's element stands, for a message about it.

    Reads and composes the document anew, so call it only when there is something to say.

    Args:
        source: a file (a path object), or the text of a document (a `str`).
        keys: the way from the top: a key of a mapping, or an index of a list, at a time.

    Returns:
        The line, counted from 1; None where the document does not have these keys, or
        cannot be read.
    """
    try:
        text = source if isinstance(source, str) else Path(source).read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=_StrictLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    line = None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == str(key)]
            if not found:
                return None
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            if not 0 <= key < len(node.value):
                return None
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            return None
    return line


def dump_yaml(value: Any) -> str:
    """Return `value` as YAML text with sorted keys, that :func:`parse_yaml` reads back."""
    return yaml.dump(
        value, Dumper=_StrictDumper, sort_keys=True, default_flow_style=None, width=100
    )
