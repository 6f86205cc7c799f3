"""The samplers that sweep files name by their TYPE: values, numbers, lists, and whole networks."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pycls.checked_keys import is_whole
from pycls.errors import ConfigError
from pycls.spaces.anynet_count import make_compatible
from pycls.spaces.anynet_ranges import AnyNetRanges
from pycls.spaces.arguments import check_pair
from pycls.spaces.distributions import Distribution, make_distribution
from pycls.spaces.marginal import Marginal
from pycls.spaces.regnet_ranges import REGNET_PARAMETERS, RegNetRanges
from pycls.sweep.rows import ANYNET_LISTS
from pycls.sweep.samplers import ParameterSampler, build_sampler, check_options

_ANYNET_OPTIONS = (
    "NUM_STAGES",
    "DEPTH",
    "WIDTH",
    "WIDTH_QUANTUM",
    "BOT_MUL",
    "GROUP_W",
    "SPACE",
)


class ValueSampler:
    """Draws from a list of values, each as likely as another."""

    words = 1

    def __init__(self, key: str, values: Sequence[Any]) -> None:
        self.keys = (key,)
        self._values = _to_array(values)
        self._index = Marginal(range(len(values)), [1 / len(values)] * len(values))

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> Self:
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        check_options(spec, ("VALUES",), where)
        values = spec.get("VALUES")
        if not isinstance(values, (list, tuple)) or not values:
            raise ConfigError(f"{where}: VALUES is {values!r}, expected a list of values")
        return cls(key, values)

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        return {self.keys[0]: self._values[self._index.draw(words[:, 0])]}


class FloatSampler:
    """Draws decimal numbers from one of pycls's distributions."""

    words = 1
    default_quantum: float = 1e-5

    def __init__(self, key: str, distribution: Distribution) -> None:
        self.keys = (key,)
        self._distribution = distribution

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> Self:
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        check_options(spec, ("RAND_TYPE", "RANGE", "QUANTIZE"), where)
        low, high = check_pair("RANGE", spec.get("RANGE"), where)
        quantum = cls._read_quantum(low, high, spec.get("QUANTIZE", cls.default_quantum), where)
        rand_type = spec.get("RAND_TYPE", "uniform")
        return cls(key, make_distribution(rand_type, low, high, quantum, f"{where}: RANGE"))

    @staticmethod
    def _read_quantum(low: Any, high: Any, quantum: Any, where: str) -> Any:
        """Return the quantum, by whose type a distribution tells decimal numbers from integers."""
        return float(quantum) if is_whole(quantum) else quantum

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        return {self.keys[0]: self._distribution.draw(words[:, 0])}


class IntSampler(FloatSampler):
    """Draws integers from one of pycls's distributions."""

    default_quantum = 1

    @staticmethod
    def _read_quantum(low: Any, high: Any, quantum: Any, where: str) -> Any:
        for name, value in (("RANGE", low), ("RANGE", high), ("QUANTIZE", quantum)):
            if not is_whole(value):
                raise ConfigError(f"{where}: {name} holds {value!r}, expected integers")
        return quantum


class ListSampler:
    """Draws lists of one length, each item for itself from one sampler."""

    def __init__(self, key: str, item: ParameterSampler, length: int) -> None:
        self.keys = (key,)
        self.words = length * item.words
        self._item, self._length = item, length

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> Self:
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        check_options(spec, ("ITEM_SAMPLER", "LENGTH"), where)
        length: Any = spec.get("LENGTH")
        if not is_whole(length) or length < 1:
            raise ConfigError(f"{where}: LENGTH is {length!r}, expected an integer of at least 1")
        if "ITEM_SAMPLER" not in spec:
            raise ConfigError(f"{where}: ITEM_SAMPLER is missing; expected a sampler's TYPE ...")
        item = build_sampler(key, spec["ITEM_SAMPLER"], f"{where}: ITEM_SAMPLER")
        if isinstance(item, ListSampler) or item.keys != (key,):
            raise ConfigError(
                f"{where}: ITEM_SAMPLER is a {spec['ITEM_SAMPLER']['TYPE']}; expected a "
                "value_sampler, float_sampler or int_sampler"
            )
        return cls(key, item, length)

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        one_by_one = np.ascontiguousarray(words).reshape(-1, self._item.words)
        items = self._item.draw(one_by_one)[self.keys[0]]
        return {self.keys[0]: items.reshape(len(words), self._length)}


class RegNetSampler:
    """Draws the parameters of a RegNet."""

    keys = tuple(f"REGNET.{key}" for key, *_ in REGNET_PARAMETERS.values())

    def __init__(self, ranges: RegNetRanges) -> None:
        self.words = ranges.words
        self._ranges = ranges

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> Self:
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        _check_key(key, "REGNET", spec, where)
        check_options(spec, [key for key, *_ in REGNET_PARAMETERS.values()], where)
        ranges = {
            name: check_pair(key, spec.get(key, default), where)
            for name, (key, default, _, _) in REGNET_PARAMETERS.items()
        }
        return cls(RegNetRanges(ranges, where))

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        return dict(zip(self.keys, self._ranges.draw(words).values(), strict=True))


class AnyNetSampler:
    """Draws an AnyNet's stages, with widths and groups made to fit each other."""

    keys = ANYNET_LISTS

    def __init__(self, ranges: AnyNetRanges) -> None:
        self.words = ranges.words
        self._ranges = ranges

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> Self:
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        _check_key(key, "ANYNET", spec, where)
        check_options(spec, _ANYNET_OPTIONS, where)
        options = {name.lower(): value for name, value in spec.items() if name != "TYPE"}
        try:
            ranges = AnyNetRanges(**options)
            _ = ranges.marginals  # refuses the ranges that it cannot use
        except ConfigError as error:
            # The messages begin with the option's name, in the spelling of Python.
            name = next((n for n in _ANYNET_OPTIONS if str(error).startswith(n.lower())), "")
            raise ConfigError(f"{where}: {name}{str(error)[len(name) :]}") from None
        return cls(ranges)

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        depths, widths, bot_muls, group_ws = self._ranges.draw(words)
        widths, group_ws = make_compatible(widths, bot_muls, group_ws)
        arrays = (depths, widths, bot_muls, group_ws)
        return {
            key: np.ascontiguousarray(array.T) for key, array in zip(self.keys, arrays, strict=True)
        }


def _check_key(key: str, expected: str, spec: Mapping[str, Any], where: str) -> None:
    """Refuse a sampler of a section under another key."""
    if key != expected:
        raise ConfigError(
            f"{where}: a {spec['TYPE']} sets several keys of {expected}; its own key must be "
            f"{expected}, not {key}"
        )


def _to_array(values: Sequence[Any]) -> NDArray:
    """Return truth values and numbers as arrays of their kind, all else as objects."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return np.array(values, dtype=np.bool_)
    if kinds == {int} and all(abs(value) < 2**63 for value in values):
        return np.array(values, dtype=np.int64)
    if float in kinds and kinds <= {int, float}:
        return np.array(values, dtype=np.float64)
    return np.fromiter(values, dtype=object)
