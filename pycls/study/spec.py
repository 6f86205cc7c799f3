"""The contents of a study file as plain values; :mod:`pycls.study.file` reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.slurm.options import LaunchOptions
from pycls.yaml_sections import Place, Section

METRICS = ("top1", "top5")
# Share of the training side that choosing holds out where nothing says otherwise.
VALIDATION_SHARE = 0.15
# Keys that cut a part out of a prepared set.
PARTS = ("num_classes", "classes", "per_class", "balance")


@dataclass(frozen=True)
class PopulationSpec:
    """The population: drawn from one or more design spaces, or read from a CSV.

    Attributes:
        csv: path of a population file; None: drawn. Where both are given, the file must hold
            what is drawn.
        spaces: {name: arguments of :func:`pycls.spaces.by_name.make_space`}; the one space
            of a study that does not compare spaces is called "".
        size: architectures to draw from each space.
        seed: seed of the draws.
        bounds: {"flops" | "params" | "acts": (low, high)}.
        conditions: expressions that a row must fulfil, such as "depth.sum() <= 20".
    """

    csv: Path | None = None
    spaces: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    size: int = 0
    seed: int = 0
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """Some architectures of the population.

    Attributes:
        ids: by name.
        first: the first so many; 0: by name or by error.
        best: so many of the lowest error.
        worst: so many of the highest error.
        quantiles: those whose errors lie at these quantiles of the population, 0 to 1.
        by: the sweep whose errors decide.
    """

    ids: tuple[str, ...] = ()
    first: int = 0
    best: int = 0
    worst: int = 0
    quantiles: tuple[float, ...] = ()
    by: str = ""

    @property
    def size(self) -> int:
        """Number of architectures, known before any error is."""
        return len(self.ids) + self.first + self.best + self.worst + len(self.quantiles)


@dataclass(frozen=True)
class DatasetSpec:
    """A sweep of the study: architectures on a data set or a view of it, under a regime.

    Attributes:
        key: its name in the study, and the name of its sweep.
        prepared: the prepared set, or the view of the catalogue, that it reads.
        options: options for preparing that set.
        of: the data set of this study, or of its base, that it is a variant of; None for none.
        num_classes: size of a class subset drawn by the study's class seed; None: all.
        classes: an explicit class subset; (): drawn, or all.
        per_class: largest number of training images of a class; None: all.
        balance: whether the most common class is cut to the size of the second.
        regime: name of the training recipe.
        metric: "top1" or "top5"; None: the prepared set's own.
        config: configuration keys for its runs only, the nearest to it last.
        title: name in reports; None: the prepared set's own, with the class count of a subset.
        control: what it asks beside the ranking of the population, one of CONTROLS; None for a
            sweep of the population itself.
        selection: the architectures to train; None: all.
        networks: {name: file} of hand-written networks, in the place of the population.
        seeds: RNG_SEED of each architecture's runs; (): the study's.
        weights_from: the sweep whose runs, of the same architecture, give the first weights.
        stops: {architecture: epochs after which its runs stop, to go on some other time}.
    """

    key: str
    prepared: str
    options: Mapping[str, Any]
    of: str | None
    num_classes: int | None
    classes: tuple[str, ...]
    per_class: int | None
    balance: bool
    regime: str
    metric: str | None
    config: tuple[tuple[str, Mapping[str, Any]], ...]
    title: str | None
    control: str | None = None
    selection: Selection | None = None
    networks: Mapping[str, Path] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    weights_from: str | None = None
    stops: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_view(self) -> bool:
        """Whether it reads a part of its prepared set."""
        return any(getattr(self, key) for key in PARTS)


@dataclass(frozen=True)
class RepeatSpec:
    """One architecture trained under several seeds, to measure training noise."""

    dataset: str
    arch: str
    seeds: tuple[int, ...]

    @property
    def sweep(self) -> str:
        """Name of its sweep."""
        return f"{self.dataset}_seeds"


@dataclass(frozen=True)
class StudySpec:
    """All that a study file says, with what it takes from its base.

    `uses` names sweeps of the base whose results it looks at without runs of its own. `launch`
    has `max_retry` as its MAX_RETRY; whether its keys go together is for `override` to check.
    `validation` is the share of the training side that runs are tested on in place of the test
    side; 0: the test side. `choose` is the section that :mod:`pycls.choose` reads.
    """

    place: Place
    name: str
    title: str
    description: str
    base: "StudySpec | None"
    population: PopulationSpec
    config: tuple[tuple[str, Mapping[str, Any]], ...]
    regimes: Mapping[str, tuple[tuple[str, Mapping[str, Any]], ...]]
    datasets: Mapping[str, DatasetSpec]
    reference: str | None
    family: tuple[str, ...]
    targets: tuple[str, ...]
    class_seed: int
    seed: int
    repeats: tuple[RepeatSpec, ...]
    uses: tuple[str, ...]
    launch: LaunchOptions
    images_per_second: float | None
    validation: float = 0.0
    choose: Section | None = None

    @property
    def path(self) -> Path:
        """The study file."""
        return self.place.path

    @property
    def files(self) -> list[Path]:
        """All files that say what the study is, its own first."""
        found = [self.path, self.population.csv, *(self.base.files if self.base else ())]
        found += [path for dataset in self.datasets.values() for path in dataset.networks.values()]
        return list(dict.fromkeys(path for path in found if path is not None))

    def where(self, *keys: str | int) -> str:
        """Return file, line and key, for messages."""
        return str(self.place.at(*keys))

    def dataset_of(self, sweep: str) -> DatasetSpec:
        """Return the data set that a sweep of this study is on."""
        repeats = {repeat.sweep: repeat.dataset for repeat in self.repeats}
        return self.datasets[repeats.get(sweep, sweep)]

    def find_dataset(self, key: str) -> DatasetSpec | None:
        """Return a data set of this study, or else of its base."""
        return self.all_datasets().get(key)

    def all_datasets(self) -> dict[str, DatasetSpec]:
        """Return the data sets of this study and of those it builds on, its own first."""
        inherited = self.base.all_datasets() if self.base else {}
        return {**self.datasets, **{k: d for k, d in inherited.items() if k not in self.datasets}}
