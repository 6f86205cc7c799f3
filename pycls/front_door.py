"""Packages that offer the public names of their modules and import those on first use."""

from collections.abc import Callable, Mapping
from typing import Any

from pycls.registry import import_object


def front_door(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], list[str]]:
    """Return what a package names `__getattr__` and `__all__` to offer names of its modules.

    Args:
        package: the package's `__name__`.
        homes: name -> module that defines it.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_object(f"{homes[name]}:{name}")

    return get, sorted(homes)
