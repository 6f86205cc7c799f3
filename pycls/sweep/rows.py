"""Rows and columns of configuration keys, and the networks that a sweep lists.

Such networks, a population's rows or hand-written configurations, are trained as they are instead
of being drawn.
"""

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycls.errors import ConfigError
from pycls.files import path_beside
from pycls.spaces.bounds import STAGE_ARRAYS
from pycls.spaces.population import Population
from pycls.spaces.population_csv import read_population
from pycls.strict_yaml import load_yaml
from pycls.sweep.base_cfg import BaseCfg
from pycls.sweep.file import SweepCfg

# The keys that hold a value for each stage of an AnyNet.
ANYNET_LISTS = ("ANYNET.DEPTHS", "ANYNET.WIDTHS", "ANYNET.BOT_MULS", "ANYNET.GROUP_WS")
# Keys that a hand-written configuration may hold and that the sweep says.
_OF_THE_SWEEP = ("OUT_DIR",)


@dataclass(frozen=True)
class ListedRows:
    """The rows of a list, as columns.

    Attributes:
        columns: for each configuration key a value a row (n, or n x S of lists; objects
            where lists differ in length).
        labels: what each row is called.
        label_key: what the labels are, for the summary: "arch" or "config".
        place: where the list stands, for messages.
    """

    columns: Mapping[str, NDArray]
    labels: Sequence[str]
    label_key: str
    place: str

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, start: int, count: int) -> dict[str, NDArray]:
        """Return the columns of draws `start` to `start + count`, beginning again at the end."""
        index = np.arange(start, start + count) % len(self)
        return {key: column[index] for key, column in self.columns.items()}


def load_population(sweep: SweepCfg) -> Population:
    """Read SETUP.POPULATION, a path relative to the sweep file.

    Raises:
        ConfigError: names file, line and column.
    """
    try:
        return read_population(sweep.path.parent / sweep.setup["POPULATION"])
    except ConfigError as error:
        raise ConfigError(f"{sweep.where('SETUP', 'POPULATION')}: {error}") from None


def population_frame(population: Population) -> dict[str, Any]:
    """Return the configuration keys that a population's members share."""
    words = population.row(0).overrides()
    settings = dict(zip(words[::2], words[1::2], strict=True))
    return {key: v for key, v in settings.items() if key not in _population_columns(population)}


def list_population(population: Population, place: str) -> ListedRows:
    """Return a population's members as rows."""
    return ListedRows(_population_columns(population), population.ids, "arch", place)


def _population_columns(population: Population) -> dict[str, NDArray]:
    keys = ANYNET_LISTS if population.frame.has_groups else ANYNET_LISTS[:2]
    return {key: getattr(population, name) for key, name in zip(keys, STAGE_ARRAYS, strict=False)}


def read_configs(sweep: SweepCfg) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, keys) of every configuration in SETUP.CONFIGS.

    Files and patterns are relative to the sweep file; a pattern's files come in the order
    of their names.

    Raises:
        ConfigError: a file is missing or no YAML, or a pattern matches nothing.
    """
    configs: list[tuple[str, dict[str, Any]]] = []
    for i, entry in enumerate(sweep.setup["CONFIGS"]):
        if isinstance(entry, Mapping):
            configs.append((f"CONFIGS[{i}]", dict(entry)))
            continue
        place = sweep.where("SETUP", "CONFIGS", i)
        for path in _find(sweep.path.parent, entry, place):
            values = load_yaml(path)
            if not isinstance(values, Mapping):
                raise ConfigError(f"{place}: {path}: expected configuration keys")
            kept = {key: value for key, value in values.items() if key not in _OF_THE_SWEEP}
            inside = path.is_relative_to(sweep.path.parent)
            name = path.relative_to(sweep.path.parent) if inside else path
            configs.append((str(name), kept))
    return configs


def _find(folder: Path, entry: str, place: str) -> list[Path]:
    if not glob.has_magic(entry):
        path = path_beside(folder, entry)
        if not path.is_file():
            raise ConfigError(f"{place}: {path}: no such file")
        return [path]
    pattern = str(path_beside(folder, entry))
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))
    if not found:
        raise ConfigError(f"{place}: no file matches {pattern}")
    return found


def list_configs(
    configs: Sequence[tuple[str, Mapping[str, Any]]], base: BaseCfg, sweep: SweepCfg
) -> ListedRows:
    """Return hand-written configurations as rows of the keys in which they differ from the base.

    Raises:
        ConfigError: a configuration holds a key or a value that cannot be used.
    """
    rows = []
    for i, (name, values) in enumerate(configs):
        where = sweep.where("SETUP", "CONFIGS", i) if name.startswith("CONFIGS[") else name
        rows.append(base.layered(values, where))
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in _OF_THE_SWEEP))
    columns = {key: as_column([row.get(key, base.flat[key]) for row in rows]) for key in keys}
    labels = [name for name, _ in configs]
    return ListedRows(columns, labels, "config", sweep.where("SETUP", "CONFIGS"))


def as_column(values: Sequence[Any]) -> NDArray:
    """Return values as numbers (n, or n x S of lists of one length), else as objects."""
    flat = [item for v in values for item in (v if isinstance(v, list | tuple) else [v])]
    lengths = {len(v) if isinstance(v, list | tuple) else -1 for v in values}
    numbers = {type(item) for item in flat}
    if len(lengths) == 1 and len(numbers) == 1 and numbers <= {int, float} and 0 not in lengths:
        return np.array(values)
    return np.fromiter(values, dtype=object)


def to_rows(columns: Mapping[str, NDArray], numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Return some rows of columns as plain Python values."""
    index = np.fromiter(numbers, dtype=np.intp)
    values = [column[index].tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
