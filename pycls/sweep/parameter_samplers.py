"""The samplers of sweep files: SETUP.SAMPLERS entries turned into draws of configuration keys.

A sampler needs a fixed number of random words a draw, so a row of draws is a function of
the samplers, the seed and the row's number: neither chunks nor processes change it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.sweep.distributions import Distribution, make_distribution
from pycls.sweep.marginal import Marginal, random_words
from pycls.yaml_sections import near_miss


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


def check_options(spec: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Refuse options that a sampler does not have.

    Raises:
        ConfigError: names the option and those known.
    """
    for name in spec:
        if name not in known:
            hint = near_miss(str(name), known)
            raise ConfigError(
                f"{where}: {spec['TYPE']} has no option '{name}'; {hint}known: {', '.join(known)}"
            )


def read_pair(spec: Mapping[str, Any], name: str, default: Any, where: str) -> tuple[Any, Any]:
    """Return an option that holds a smallest and a largest value.

    Raises:
        ConfigError: it is missing without a default, or no pair.
    """
    value = spec.get(name, default)
    if value is None:
        raise ConfigError(f"{where}: {name} is missing; expected [smallest, largest]")
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"{where}: {name} is {value!r}, expected [smallest, largest]")
    return value[0], value[1]


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


def _builders() -> dict[str, Callable[[str, Mapping[str, Any], str], ParameterSampler]]:
    # Here, since architectures are drawn by what stands in this module.
    from pycls.sweep.architecture_samplers import AnyNetSampler, RegNetSampler

    return {
        "value_sampler": ValueSampler.read,
        "float_sampler": NumberSampler.read_float,
        "int_sampler": NumberSampler.read_int,
        "list_sampler": ListSampler.read,
        "regnet_sampler": RegNetSampler.read,
        "anynet_sampler": AnyNetSampler.read,
    }
