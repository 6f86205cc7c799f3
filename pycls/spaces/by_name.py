"""Design spaces by name."""

from dataclasses import fields
from typing import Any

from pycls.errors import ConfigError
from pycls.spaces.anynet import AnyNetX
from pycls.spaces.anynet_ranges import SPACES as RESTRICTIONS
from pycls.spaces.regnet import RegNetX
from pycls.yaml_sections import near_miss

DesignSpace = AnyNetX | RegNetX
SPACES = ("AnyNetX", *(f"AnyNetX{letter}" for letter in RESTRICTIONS), "RegNetX")


def make_space(name: str, **arguments: Any) -> DesignSpace:
    """Return a design space.

    Args:
        name: one of :data:`SPACES`; AnyNetX is AnyNetXA.
        arguments: those of :class:`AnyNetX` or :class:`RegNetX`.

    Raises:
        ConfigError: an unknown name or argument, or a value that cannot be used.
    """
    if name not in SPACES:
        hint = near_miss(str(name), SPACES)
        raise ConfigError(f"design space {name!r}; {hint}expected one of {', '.join(SPACES)}")
    kind: type[DesignSpace] = RegNetX if name == "RegNetX" else AnyNetX
    known = [field.name for field in fields(kind) if field.name != "space"]
    for argument in arguments:
        if argument == "space" and kind is AnyNetX:
            raise ConfigError(f"{name}: 'space' stands in the name already; leave it out")
        if argument not in known:
            hint = near_miss(argument, known)
            raise ConfigError(f"{name}: no argument '{argument}'; {hint}known: {', '.join(known)}")
    if kind is RegNetX:
        return RegNetX(**arguments)
    return AnyNetX(**arguments, space=name.removeprefix("AnyNetX") or "A")
