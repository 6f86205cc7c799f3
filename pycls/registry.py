"""Tables of names whose objects are imported when they are first asked for.

Each kind of thing that can be added to pycls has one :class:`Registry`, in the module where it is
chosen by its name. An entry names its module as text, so that a table costs no imports.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pycls.errors import ConfigError


def import_object(place: str) -> Any:
    """Return the object at a place, written "module:attribute"."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class Registry(dict[str, str]):
    """The places, "module:attribute", of all things of a kind, by name.

    Args:
        kind: what the things are, for messages: "optimizer".
        places: name -> place.
    """

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        super().__init__(places)
        self.kind = kind

    def load(self, name: str) -> Any:
        """Return the object that a name stands for.

        Raises:
            ConfigError: no such name; the message lists those there are.
        """
        if name not in self:
            raise ConfigError(f"no {self.kind} {name!r}; there are: {', '.join(self)}")
        return import_object(self[name])
