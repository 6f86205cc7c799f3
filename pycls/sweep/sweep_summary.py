"""What was drawn for each run of a sweep, from `cfgs_summary.yaml`, ours or pycls's."""

import ast
import re
from pathlib import Path
from typing import Any

from pycls.strict_yaml import load_yaml

# pycls's form: a text of keys and values in turn, "OPTIM.BASE_LR 0.5 ANYNET.DEPTHS [1, 2]".
_KEY = re.compile(r"(?:^|\s)([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\s")
_SUFFIX = ".yaml"

Drawn = dict[str, dict[str, Any]]


def read_summary(path: Path) -> Drawn:
    """Return {run: {configuration key: value}}, with "complexity" where the file has it.

    An entry that is of neither form is left out; without a file there are none.

    Raises:
        ConfigError: the file is not YAML.
    """
    if not path.is_file():
        return {}
    content = load_yaml(path)
    drawn = {}
    for name, entry in content.items() if isinstance(content, dict) else ():
        values = _read_words(entry) if isinstance(entry, str) else entry
        if isinstance(values, dict):
            # Values that JSON cannot hold (a date) are shown as they are written.
            drawn[str(name).removesuffix(_SUFFIX)] = {str(k): _plain(v) for k, v in values.items()}
    return drawn


def _read_words(text: str) -> dict[str, Any]:
    """Return the keys and values of pycls's form."""
    _, *parts = _KEY.split(text)
    return {
        key: _literal(value.strip()) for key, value in zip(parts[::2], parts[1::2], strict=True)
    }


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)
