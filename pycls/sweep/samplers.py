"""The samplers of sweep files: SETUP.SAMPLERS entries turned into draws of configuration keys.

A sampler needs a fixed number of random words a draw, so a row of draws is a function of
the samplers, the seed and the row's number: neither chunks nor processes change it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pycls.core.config.defaults import LIST_ELEMENT_TYPES, default_cfg
from pycls.core.config.load import flatten_cfg
from pycls.errors import ConfigError
from pycls.spaces.anynet_count import make_compatible
from pycls.spaces.anynet_ranges import AnyNetRanges
from pycls.spaces.distributions import Distribution, make_distribution
from pycls.spaces.marginal import Marginal, random_words
from pycls.spaces.regnet_ranges import REGNET_PARAMETERS, RegNetRanges, check_options, read_pair
from pycls.sweep.file import SweepCfg
from pycls.yaml_sections import near_miss

_ANYNET_OPTIONS = (
    "NUM_STAGES",
    "DEPTH",
    "WIDTH",
    "WIDTH_QUANTUM",
    "BOT_MUL",
    "GROUP_W",
    "SPACE",
)
_SECTIONS = ("REGNET", "ANYNET")
_TRIED = 64  # draws whose kind is looked at before all others


class AnyNetSampler:
    """Draws an AnyNet's stages, with widths and groups made to fit each other."""

    keys = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")

    def __init__(self, ranges: AnyNetRanges) -> None:
        self.words = ranges.words
        self._ranges = ranges

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "AnyNetSampler":
        """Build from an entry of SETUP.SAMPLERS."""
        _check_key(key, "ANYNET", spec, where)
        check_options(spec, ("TYPE", *_ANYNET_OPTIONS), where)
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
        """Turn n x `words` random words into n x S values of each key."""
        depths, widths, bot_muls, group_ws = self._ranges.draw(words)
        widths, group_ws = make_compatible(widths, bot_muls, group_ws)
        arrays = (depths, widths, bot_muls, group_ws)
        return {
            key: np.ascontiguousarray(array.T) for key, array in zip(self.keys, arrays, strict=True)
        }

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution of an item of each list, as drawn.

        Before widths and groups are made to fit, and without the condition of an order.
        """
        return dict(zip(self.keys, self._ranges.marginals.values(), strict=True))


class ParameterSampler(Protocol):
    """Draws the values of one or more configuration keys."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The configuration keys it sets."""

    @property
    def words(self) -> int:
        """64-bit random words a draw."""

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Turn n x `words` random words into n values of each key (n x LENGTH for lists)."""

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution of each key's value (of an item, for lists).

        Of values that are no numbers it is the distribution of their index in VALUES.
        """


def build_sampler(key: str, spec: Mapping[str, Any], where: str) -> ParameterSampler:
    """Return the sampler that an entry of SETUP.SAMPLERS describes.

    Args:
        key: the entry's key: a configuration key, or REGNET or ANYNET.
        spec: its TYPE and options, as in pycls; options left out have pycls's defaults.
        where: where the entry stands, for messages.

    Raises:
        ConfigError: an unknown or missing TYPE or option, or a range that cannot be used.
    """
    if not isinstance(spec, Mapping):
        raise ConfigError(f"{where}: expected keys and values with a TYPE, found {spec!r}")
    builders = _builders()
    if "TYPE" not in spec:
        raise ConfigError(f"{where}: TYPE is missing; expected one of {', '.join(builders)}")
    kind = spec["TYPE"]
    if not isinstance(kind, str) or kind not in builders:
        hint = near_miss(str(kind), list(builders))
        raise ConfigError(f"{where}: TYPE is {kind!r}; {hint}expected one of {', '.join(builders)}")
    return builders[kind](key, spec, where)


def draw_rows(
    samplers: Sequence[ParameterSampler], seed: int, start: int, count: int
) -> dict[str, NDArray]:
    """Draw rows number `start` to `start + count` of a seed's stream.

    Args:
        samplers: at least one; each has its words of a row in the order given.
        seed: a non-negative integer.
        start: number of the first row.
        count: how many rows.

    Returns:
        {configuration key: count values, or count x LENGTH}.

    Raises:
        ConfigError: two samplers set one key.
    """
    columns: dict[str, NDArray] = {}
    words = random_words(seed, start, count, sum(sampler.words for sampler in samplers))
    position = 0
    for sampler in samplers:
        drawn = sampler.draw(words[:, position : position + sampler.words])
        position += sampler.words
        repeated = sorted(columns.keys() & drawn.keys())
        if repeated:
            raise ConfigError(f"two samplers set {repeated[0]}; keep one of them")
        columns.update(drawn)
    return columns


class ValueSampler:
    """Draws from a list of values, each as likely as another."""

    words = 1

    def __init__(self, key: str, values: Sequence[Any]) -> None:
        self.keys = (key,)
        self._values = _to_array(values)
        self._index = Marginal(range(len(values)), [1 / len(values)] * len(values))

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "ValueSampler":
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        check_options(spec, ("TYPE", "VALUES"), where)
        values = spec.get("VALUES")
        if not isinstance(values, (list, tuple)) or not values:
            raise ConfigError(f"{where}: VALUES is {values!r}, expected a list of values")
        return cls(key, values)

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        return {self.keys[0]: self._values[self._index.draw(words[:, 0])]}

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution; see :class:`ParameterSampler`."""
        if self._values.dtype.kind not in "if":
            return {self.keys[0]: self._index}
        values, counts = np.unique(self._values, return_counts=True)
        shares = counts / len(self._values)
        return {self.keys[0]: Marginal(values.tolist(), shares.tolist())}


class NumberSampler:
    """Draws integers or decimal numbers from one of pycls's distributions."""

    words = 1

    def __init__(self, key: str, distribution: Distribution) -> None:
        self.keys = (key,)
        self._distribution = distribution

    @classmethod
    def read_int(cls, key: str, spec: Mapping[str, Any], where: str) -> "NumberSampler":
        """Build an int_sampler; see :func:`build_sampler`."""
        low, high, quantum = cls._read(spec, 1, where)
        for name, value in (("RANGE", low), ("RANGE", high), ("QUANTIZE", quantum)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"{where}: {name} holds {value!r}, expected integers")
        return cls._make(key, spec, (low, high, quantum), where)

    @classmethod
    def read_float(cls, key: str, spec: Mapping[str, Any], where: str) -> "NumberSampler":
        """Build a float_sampler; see :func:`build_sampler`."""
        low, high, quantum = cls._read(spec, 1e-5, where)
        if isinstance(quantum, int) and not isinstance(quantum, bool):
            quantum = float(quantum)
        return cls._make(key, spec, (low, high, quantum), where)

    @staticmethod
    def _read(spec: Mapping[str, Any], quantum: float, where: str) -> tuple[Any, Any, Any]:
        check_options(spec, ("TYPE", "RAND_TYPE", "RANGE", "QUANTIZE"), where)
        return *read_pair(spec, "RANGE", None, where), spec.get("QUANTIZE", quantum)

    @classmethod
    def _make(
        cls, key: str, spec: Mapping[str, Any], numbers: tuple[Any, Any, Any], where: str
    ) -> "NumberSampler":
        rand_type = spec.get("RAND_TYPE", "uniform")
        return cls(key, make_distribution(rand_type, *numbers, f"{where}: RANGE"))

    def draw(self, words: NDArray[np.uint64]) -> dict[str, NDArray]:
        """Draw; see :class:`ParameterSampler`."""
        return {self.keys[0]: self._distribution.draw(words[:, 0])}

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution; see :class:`ParameterSampler`."""
        return {self.keys[0]: self._distribution}


class ListSampler:
    """Draws lists of one length, each item for itself from one sampler."""

    def __init__(self, key: str, item: ParameterSampler, length: int) -> None:
        self.keys = (key,)
        self.words = length * item.words
        self._item, self._length = item, length

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "ListSampler":
        """Build from an entry of SETUP.SAMPLERS; see :func:`build_sampler`."""
        check_options(spec, ("TYPE", "ITEM_SAMPLER", "LENGTH"), where)
        length = spec.get("LENGTH")
        if not isinstance(length, int) or isinstance(length, bool) or length < 1:
            raise ConfigError(f"{where}: LENGTH is {length!r}, expected an integer of at least 1")
        if "ITEM_SAMPLER" not in spec:
            raise ConfigError(f"{where}: ITEM_SAMPLER is missing; expected a sampler's TYPE ...")
        item = build_sampler(key, spec["ITEM_SAMPLER"], f"{where}: ITEM_SAMPLER")
        if not isinstance(item, (ValueSampler, NumberSampler)):
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

    def marginals(self) -> dict[str, Distribution]:
        """Return the distribution of an item; see :class:`ParameterSampler`."""
        return self._item.marginals()


def _to_array(values: Sequence[Any]) -> NDArray:
    """Return truth values and numbers as arrays of their kind, all else as objects."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return np.array(values, dtype=np.bool_)
    if kinds == {int} and all(abs(value) < 2**63 for value in values):
        return np.array(values, dtype=np.int64)
    if float in kinds and kinds <= {int, float}:
        return np.array(values, dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


class RegNetSampler(RegNetRanges):
    """Draws the parameters of a RegNet."""

    @classmethod
    def read(cls, key: str, spec: Mapping[str, Any], where: str) -> "RegNetSampler":
        """Build from an entry of SETUP.SAMPLERS."""
        _check_key(key, "REGNET", spec, where)
        check_options(spec, ("TYPE", *REGNET_PARAMETERS), where)
        ranges = {
            name: read_pair(spec, name, default, where)
            for name, (default, _, _) in REGNET_PARAMETERS.items()
        }
        return cls(ranges, where)


def _builders() -> dict[str, Callable[[str, Mapping[str, Any], str], ParameterSampler]]:
    return {
        "value_sampler": ValueSampler.read,
        "float_sampler": NumberSampler.read_float,
        "int_sampler": NumberSampler.read_int,
        "list_sampler": ListSampler.read,
        "regnet_sampler": RegNetSampler.read,
        "anynet_sampler": AnyNetSampler.read,
    }


def _check_key(key: str, expected: str, spec: Mapping[str, Any], where: str) -> None:
    if key != expected:
        raise ConfigError(
            f"{where}: a {spec['TYPE']} sets several keys of {expected}; its own key must be "
            f"{expected}, not {key}"
        )


def build_samplers(sweep: SweepCfg) -> dict[str, ParameterSampler]:
    """Return the samplers of a sweep by their keys in SETUP.SAMPLERS.

    Raises:
        ConfigError: an unknown configuration key, or a sampler that cannot be used.
    """
    defaults = flatten_cfg(default_cfg())
    known = [key for key in defaults if key != "OUT_DIR"]
    samplers: dict[str, ParameterSampler] = {}
    owners: dict[str, str] = {}
    for key, spec in sweep.setup["SAMPLERS"].items():
        place = sweep.where("SETUP", "SAMPLERS", key)
        if key not in (*known, *_SECTIONS):
            raise ConfigError(
                f"{place}: unknown configuration key '{key}'; {near_miss(key, known)}a sampler's "
                "key is a configuration key such as OPTIM.BASE_LR, or REGNET or ANYNET"
            )
        try:
            samplers[key] = build_sampler(key, spec, place)
        except ConfigError as error:
            raise ConfigError(_at_option(str(error), sweep, key, spec)) from None
        if key in defaults:
            _check_kind(samplers[key], key, defaults[key], place)
        for name in samplers[key].keys:
            if name in owners:
                raise ConfigError(
                    f"{place}: draws {name}, which the sampler {owners[name]} draws already; keep "
                    "one of them"
                )
            owners[name] = key
    return samplers


def _at_option(message: str, sweep: SweepCfg, key: str, spec: Any) -> str:
    """Return a sampler's message with the line of the option that it speaks of."""
    place = sweep.where("SETUP", "SAMPLERS", key)
    way: list[str] = []
    for word in re.findall(r"\w+", message.removeprefix(place)):
        if isinstance(spec, Mapping) and word in spec:
            way.append(word)
            spec = spec[word]
    line = sweep.where("SETUP", "SAMPLERS", key, *way).removesuffix("".join(f".{w}" for w in way))
    return line + message.removeprefix(place)


def _check_kind(sampler: ParameterSampler, key: str, default: Any, place: str) -> None:
    """Refuse lists for a key of one value, one value for a list, and texts for a number.

    A whole number or not, and its range, is checked for each run kept.
    """
    is_list = isinstance(default, list)
    kind = LIST_ELEMENT_TYPES[key] if is_list else type(default)
    for value in draw_rows([sampler], 0, 0, _TRIED)[key].tolist():
        if isinstance(value, list | tuple) != is_list:
            wanted = "a list; use a list_sampler" if is_list else "one value"
            raise ConfigError(f"{place}: draws {value!r}, but {key} is {wanted}")
        for item in value if is_list else [value]:
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            if (kind in (int, float)) != is_number:
                expected = "numbers" if kind in (int, float) else f"of the type {kind.__name__}"
                raise ConfigError(f"{place}: draws {item!r}; values of {key} are {expected}")
