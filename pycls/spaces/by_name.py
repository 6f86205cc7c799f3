"""The table of all design spaces by name, and a function that makes one."""

from dataclasses import fields
from typing import Any

from pycls.errors import ConfigError
from pycls.registry import import_object
from pycls.spaces.design_space import DesignSpace
from pycls.yaml_sections import near_miss

# Name -> where its class is, which is imported on first use, and the arguments that the name
# stands for.
DESIGN_SPACES: dict[str, tuple[str, dict[str, Any]]] = {
    "AnyNetX": ("pycls.spaces.anynet:AnyNetX", {"space": "A"}),
    "AnyNetXA": ("pycls.spaces.anynet:AnyNetX", {"space": "A"}),
    "AnyNetXB": ("pycls.spaces.anynet:AnyNetX", {"space": "B"}),
    "AnyNetXC": ("pycls.spaces.anynet:AnyNetX", {"space": "C"}),
    "AnyNetXD": ("pycls.spaces.anynet:AnyNetX", {"space": "D"}),
    "AnyNetXE": ("pycls.spaces.anynet:AnyNetX", {"space": "E"}),
    "RegNetX": ("pycls.spaces.regnet:RegNetX", {}),
}
SPACES = tuple(DESIGN_SPACES)


def find_space(name: str) -> tuple[type[DesignSpace], dict[str, Any]]:
    """Return the class of a design space and the arguments that its name stands for.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in DESIGN_SPACES:
        hint = near_miss(str(name), SPACES)
        raise ConfigError(f"design space {name!r}; {hint}expected one of {', '.join(SPACES)}")
    place, fixed = DESIGN_SPACES[name]
    return import_object(place), fixed


def make_space(name: str, **arguments: Any) -> DesignSpace:
    """Return a design space.

    Args:
        name: one of :data:`SPACES`; AnyNetX is AnyNetXA.
        arguments: those of its class, but for those that the name stands for.

    Raises:
        ConfigError: an unknown name or argument, or a value that cannot be used.
    """
    kind, fixed = find_space(name)
    shared = [field.name for field in fields(DesignSpace)]
    known = [field.name for field in fields(kind) if field.name not in fixed]
    known.sort(key=shared.__contains__)  # its own first
    for argument in arguments:
        if argument in fixed:
            raise ConfigError(f"{name}: '{argument}' stands in the name already; leave it out")
        if argument not in known:
            hint = near_miss(argument, known)
            raise ConfigError(f"{name}: no argument '{argument}'; {hint}known: {', '.join(known)}")
    return kind(**arguments, **fixed)
