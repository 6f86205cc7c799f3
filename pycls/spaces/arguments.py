"""Checks of the arguments of design spaces: integers, numbers and ranges."""

import math
from typing import Any

import numpy as np

from pycls.errors import ConfigError


def is_int(value: object) -> bool:
    """Return whether a value is an integer, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a number, and no truth value."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number, and no truth value."""
    return is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def check_int(name: str, value: object, least: int) -> int:
    """Return `value` as an int.

    Raises:
        ConfigError: it is no integer, or smaller than `least`.
    """
    if not is_int(value) or value < least:  # type: ignore[operator]
        raise ConfigError(f"{name} is {value!r}, expected an integer of at least {least}")
    return int(value)  # type: ignore[call-overload]


def check_pair(name: str, value: Any, where: str) -> tuple[Any, Any]:
    """Return the smallest and the largest value of a range.

    Args:
        name: the range, for messages.
        value: what was given; None: nothing.
        where: where it was given, for messages.

    Raises:
        ConfigError: nothing was given, or no pair.
    """
    if value is None:
        raise ConfigError(f"{where}: {name} is missing; expected [smallest, largest]")
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"{where}: {name} is {value!r}, expected [smallest, largest]")
    return value[0], value[1]


def check_range(low: float, high: float, where: str, *, positive: bool = True) -> None:
    """Refuse bounds that are no finite numbers, not positive or the wrong way round.

    Raises:
        ConfigError: says which bound, and what was expected.
    """
    for bound in (low, high):
        if not is_finite(bound) or (positive and bound <= 0):
            expected = "a positive number" if positive else "a number"
            raise ConfigError(f"{where}: bound {bound!r} is not {expected}")
    if low > high:
        raise ConfigError(f"{where}: the bounds {low}, {high} are the wrong way round")
