"""The runs of a study: which architecture, on which data set, under which seed."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pycls.errors import ConfigError
from pycls.schema import RESULTS_CSV
from pycls.spaces.mixed import AnyPopulation
from pycls.strict_yaml import load_yaml
from pycls.study.spec import Selection, StudySpec

# What a hand-written network's file may say beside the network and its training: what is not
# taken from it, as the study says it.
_FROM_THE_STUDY = (
    "OUT_DIR", "RNG_SEED", "LOG_DEST", "NUM_GPUS", "DATA_LOADER", "LAUNCH", "DESC", "VERBOSE",
    "LOG_PERIOD", "CUDNN", "_type",
)  # fmt: skip
_OF_THE_DATA = {
    "MODEL": ("NUM_CLASSES",),
    "TRAIN": ("DATASET", "SPLIT", "IM_SIZE"),
    "TEST": ("DATASET", "SPLIT", "IM_SIZE", "BATCH_SIZE"),
}


class Network(Protocol):
    """What a run trains: a member of the population, or a hand-written network."""

    @property
    def arch(self) -> str:
        """Its name."""
        ...

    def overrides(self) -> list[Any]:
        """Return the configuration keys and values, alternating, that build it."""
        ...


def keys_of(network: Network) -> dict[str, Any]:
    """Return {configuration key: value} of what builds a network."""
    words = network.overrides()
    return dict(zip(words[::2], words[1::2], strict=True))


@dataclass(frozen=True)
class HandWrittenNetwork:
    """A network from a configuration file, with the recipe it is published with.

    Attributes:
        arch: its name in the study.
        path: the file.
        keys: configuration keys by section: all of the file's but those of data and machine.
    """

    arch: str
    path: Path
    keys: Mapping[str, Any]

    def overrides(self) -> list[Any]:
        """Return nothing: its keys are a layer of their own."""
        return []


@dataclass(frozen=True)
class Run:
    """One training of the study.

    Attributes:
        sweep: the sweep it belongs to.
        index: its number in the sweep.
        dataset: the study's key of its data set.
        regime: its training recipe.
        arch: the network.
        seed: RNG_SEED.
        role: "main" (the population), "repeats" (training noise) or "control".
        stop: epochs after which it stops, to go on some other time; 0: it goes to the end.
    """

    sweep: str
    index: int
    dataset: str
    regime: str
    arch: Network
    seed: int
    role: str
    stop: int = 0

    @property
    def id(self) -> str:
        """Return the run's name in the study, such as "digits/000012"."""
        return f"{self.sweep}/{self.name}"

    @property
    def name(self) -> str:
        """Return the run's name in its sweep, such as "000012"."""
        return f"{self.index:06d}"


def read_network(name: str, path: Path) -> HandWrittenNetwork:
    """Read a hand-written network.

    Raises:
        ConfigError: the file is missing or no configuration.
    """
    values = load_yaml(path)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: expected configuration keys, found {values!r}")
    keys = {
        section: {k: v for k, v in content.items() if k not in _OF_THE_DATA.get(section, ())}
        if isinstance(content, Mapping)
        else content
        for section, content in values.items()
        if section not in _FROM_THE_STUDY
    }
    return HandWrittenNetwork(name, path, keys)


def select_by_name(population: AnyPopulation, selection: Selection | None, where: str) -> list[str]:
    """Return the ids of a selection that needs no errors.

    Raises:
        ConfigError: it names an architecture that is not there, or more than there are.
    """
    if selection is None:
        return list(population.ids)
    unknown = [name for name in selection.ids if name not in set(population.ids)]
    if unknown:
        raise ConfigError(
            f"{where}: the population has no architecture '{unknown[0]}'; it has "
            f"{population.ids[0]} to {population.ids[-1]}"
        )
    _check_size(selection, len(population), where)
    return list(selection.ids or population.ids[: selection.first])


def select_by_error(selection: Selection, errors: Mapping[str, float], where: str) -> list[str]:
    """Return the ids of a selection by error, the lowest error first; a tie goes by name.

    Raises:
        ConfigError: it asks for more architectures than there are.
    """
    _check_size(selection, len(errors), where)
    ranked = sorted(errors, key=lambda arch: (errors[arch], arch))
    if selection.quantiles:
        places = [round(q * (len(ranked) - 1)) for q in selection.quantiles]
        return [ranked[place] for place in dict.fromkeys(places)]
    return [*ranked[: selection.best], *ranked[len(ranked) - selection.worst :]]


def _check_size(selection: Selection, known: int, where: str) -> None:
    if selection.size > known:
        raise ConfigError(
            f"{where}: asks for {selection.size} of {known} architectures; ask for fewer"
        )


def read_sweep_errors(folder: Path, sweep: str) -> dict[str, float]:
    """Return the errors of a sweep's finished runs from a study's results.csv; empty without."""
    try:
        with (folder / RESULTS_CSV).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["sweep"] == sweep]
    except FileNotFoundError:
        return {}
    return {row["arch"]: float(row["error"]) for row in rows if row["error"]}


def list_runs(
    spec: StudySpec, population: AnyPopulation, chosen: Mapping[str, Sequence[Network]]
) -> Iterator[Run]:
    """Yield all runs, architecture by architecture, so that a part of them makes pairs.

    Args:
        spec: the study.
        population: its population.
        chosen: {data set: networks to train on it}, a data set that is not known yet left out.
    """
    longest = max((len(networks) for networks in chosen.values()), default=0)
    for i in range(longest):
        for key, networks in chosen.items():
            if i >= len(networks):
                continue
            dataset = spec.datasets[key]
            seeds = dataset.seeds or (spec.seed,)
            role = "control" if dataset.control else "main"
            for j, seed in enumerate(seeds):
                index = i * len(seeds) + j
                stop = dataset.stops.get(networks[i].arch, 0)
                yield Run(key, index, key, dataset.regime, networks[i], seed, role, stop)
    for repeat in spec.repeats:
        where = spec.where("repeats")
        if repeat.arch not in population.ids:
            raise ConfigError(
                f"{where}: the population has no architecture '{repeat.arch}'; it has "
                f"{population.ids[0]} to {population.ids[-1]}"
            )
        arch = population.row(population.ids.index(repeat.arch))
        regime = spec.datasets[repeat.dataset].regime
        for i, seed in enumerate(repeat.seeds):
            yield Run(repeat.sweep, i, repeat.dataset, regime, arch, seed, "repeats")


def count_runs(spec: StudySpec, population: AnyPopulation) -> dict[str, int]:
    """Return the runs that each sweep has in the end, those not known by name yet included."""
    counts = {}
    for dataset in spec.datasets.values():
        if dataset.networks:
            size = len(dataset.networks)
        else:
            size = dataset.selection.size if dataset.selection else len(population)
        counts[dataset.key] = size * max(1, len(dataset.seeds))
    return counts | {repeat.sweep: len(repeat.seeds) for repeat in spec.repeats}
