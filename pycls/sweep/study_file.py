"""Reading a study file: what to sample, train and compare."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.strict_yaml import load_yaml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_METRICS = ("top1", "top5")


@dataclass(frozen=True)
class PopulationSpec:
    """The population: drawn from a space, or read from a CSV.

    Attributes:
        csv: path of a population file; None: drawn.
        space: arguments of :class:`pycls.sweep.design_space.AnyNetX`.
        size: architectures to draw.
        seed: seed of the draw.
        bounds: {"flops" | "params" | "acts": (low, high)}.
    """

    csv: Path | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    seed: int = 0
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetSpec:
    """A data set of the study: a prepared set or a class subset of one.

    Attributes:
        key: its name in the study, and the name of its sweep.
        prepared: the prepared set it reads.
        options: options for preparing that set; None for a view.
        num_classes: size of a class subset drawn by the study's class seed; None: all.
        classes: an explicit class subset; (): drawn, or all.
        regime: name of the training recipe.
        metric: "top1" or "top5"; None: the prepared set's own.
        config: configuration keys for its runs only.
        title: name in reports; None: the prepared set's own, with the class count of a view.
    """

    key: str
    prepared: str
    options: Mapping[str, Any] | None
    num_classes: int | None
    classes: tuple[str, ...]
    regime: str
    metric: str | None
    config: Mapping[str, Any]
    title: str | None

    @property
    def is_view(self) -> bool:
        """Whether it reads a part of another set of the study."""
        return self.options is None


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
    """All that a study file says."""

    path: Path
    name: str
    title: str
    description: str
    population: PopulationSpec
    config: Mapping[str, Any]
    regimes: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, DatasetSpec]
    reference: str
    family: tuple[str, ...]
    targets: tuple[str, ...]
    class_seed: int
    seed: int
    repeats: tuple[RepeatSpec, ...]
    max_retry: int

    def where(self, *keys: str) -> str:
        """Return the file and a place in it, for messages."""
        return f"{self.path}: {'.'.join(keys)}" if keys else str(self.path)


class _Section:
    """A mapping of the file that checks each key it is asked for."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: expected keys and values, found {values!r}")
        self._values = values
        self._where = where

    def only(self, *known: str) -> None:
        """Refuse keys that are not known."""
        for key in self._values:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, n=1)
                hint = f"did you mean '{close[0]}'? " if close else ""
                raise ConfigError(
                    f"{self._where}: unknown key '{key}' (value {self._values[key]!r}); "
                    f"{hint}allowed: {', '.join(known)}"
                )

    def get(self, key: str, kind: type | tuple[type, ...], what: str, default: Any = ...) -> Any:
        """Return a value of the given kind, or the default where the key is absent."""
        if key not in self._values:
            if default is ...:
                raise ConfigError(f"{self._where}: the key '{key}' is missing; expected {what}")
            return default
        value = self._values[key]
        is_bool = isinstance(value, bool) and kind is not bool
        if is_bool or not isinstance(value, kind):
            raise ConfigError(f"{self._where}.{key} is {value!r}; expected {what}")
        return value

    def text(self, key: str, default: Any = ...) -> Any:
        """Return a text."""
        return self.get(key, str, "a text", default)

    def count(self, key: str, low: int, default: Any = ...) -> Any:
        """Return a whole number of at least `low`."""
        value = self.get(key, int, f"a whole number of {low} or more", default)
        if isinstance(value, int) and value < low:
            raise ConfigError(f"{self._where}.{key} is {value}; expected {low} or more")
        return value

    def names(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """Return a list of distinct texts."""
        values = self.get(key, list, "a list of names", default)
        for value in values:
            if not isinstance(value, str):
                raise ConfigError(
                    f"{self._where}.{key} holds {value!r}; expected names (put it in quotes)"
                )
        if len(set(values)) != len(values):
            raise ConfigError(f"{self._where}.{key} names something twice: {values}")
        return tuple(values)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a section, empty where it is absent."""
        return self.get(key, Mapping, "keys and values", {}) or {}


def load_study_file(path: str | os.PathLike[str]) -> StudySpec:
    """Read and check a study file.

    Raises:
        ConfigError: names file, key, value and what was expected.
    """
    path = Path(path)
    values = load_yaml(path)
    top = _Section(values if values is not None else {}, str(path))
    top.only(
        "name", "title", "description", "population", "config", "regimes", "datasets",
        "reference", "family", "targets", "class_seed", "seed", "repeats", "max_retry",
    )  # fmt: skip
    name = top.text("name")
    _check_name(name, f"{path}: name")
    regimes = top.mapping("regimes") or {"default": {}}
    datasets = _read_datasets(top, regimes, path)
    spec = StudySpec(
        path=path,
        name=name,
        title=top.text("title", name),
        description=top.text("description", ""),
        population=_read_population(top, path),
        config=top.mapping("config"),
        regimes={str(key): value or {} for key, value in regimes.items()},
        datasets=datasets,
        reference=top.text("reference"),
        family=top.names("family", []),
        targets=top.names("targets"),
        class_seed=top.count("class_seed", 0, 1),
        seed=top.count("seed", 0, 1),
        repeats=_read_repeats(top, path),
        max_retry=top.count("max_retry", 0, 1),
    )
    _check_roles(spec)
    return spec


def _read_population(top: _Section, path: Path) -> PopulationSpec:
    where = f"{path}: population"
    section = _Section(top.get("population", Mapping, "keys and values"), where)
    if "csv" in top.get("population", Mapping, ""):
        section.only("csv")
        return PopulationSpec(csv=path.parent / section.text("csv"))
    section.only("space", "size", "seed", "flops", "params", "acts")
    bounds = {}
    for metric in ("flops", "params", "acts"):
        pair = section.get(metric, list, "a pair [low, high]", None)
        if pair is not None:
            if len(pair) != 2 or not all(isinstance(x, int | float) for x in pair):
                raise ConfigError(f"{where}.{metric} is {pair}; expected a pair [low, high]")
            bounds[metric] = (pair[0], pair[1])
    return PopulationSpec(
        space=section.mapping("space"),
        size=section.count("size", 1),
        seed=section.count("seed", 0, 0),
        bounds=bounds,
    )


def _read_datasets(top: _Section, regimes: Mapping[str, Any], path: Path) -> dict[str, DatasetSpec]:
    values = top.get("datasets", Mapping, "one section a data set")
    datasets: dict[str, DatasetSpec] = {}
    for key, content in values.items():
        where = f"{path}: datasets.{key}"
        _check_name(key, where)
        datasets[key] = _read_dataset(key, _Section(content or {}, where), regimes, where)
    for dataset in datasets.values():
        if dataset.is_view:
            base = datasets.get(dataset.prepared)
            if base is None or base.is_view:
                whole = ", ".join(d.key for d in datasets.values() if not d.is_view)
                raise ConfigError(
                    f"{path}: datasets.{dataset.key}.of is '{dataset.prepared}'; expected one of "
                    f"the whole sets of this study: {whole}"
                )
    return datasets


def _read_dataset(
    key: str, section: _Section, regimes: Mapping[str, Any], where: str
) -> DatasetSpec:
    section.only("of", "num_classes", "classes", "options", "regime", "metric", "config", "title")
    base = section.text("of", None)
    num_classes = section.count("num_classes", 2, None)
    classes = section.names("classes", [])
    if base is None and (num_classes or classes):
        raise ConfigError(
            f"{where}: a class subset needs 'of', the set whose classes it takes (for example "
            "of: digits)"
        )
    if base is not None and bool(num_classes) == bool(classes):
        raise ConfigError(
            f"{where}: a class subset needs either 'num_classes' (drawn) or 'classes' (a list)"
        )
    regime = section.text("regime", next(iter(regimes)))
    if regime not in regimes:
        raise ConfigError(
            f"{where}.regime is '{regime}'; expected one of the regimes: {', '.join(regimes)}"
        )
    metric = section.text("metric", None)
    if metric is not None and metric not in _METRICS:
        raise ConfigError(f"{where}.metric is '{metric}'; expected one of {', '.join(_METRICS)}")
    return DatasetSpec(
        key=key,
        prepared=base or key,
        options=section.mapping("options") if base is None else None,
        num_classes=num_classes,
        classes=classes,
        regime=regime,
        metric=metric,
        config=section.mapping("config"),
        title=section.text("title", None),
    )


def _read_repeats(top: _Section, path: Path) -> tuple[RepeatSpec, ...]:
    repeats = []
    for i, content in enumerate(top.get("repeats", list, "a list of sections", [])):
        where = f"{path}: repeats[{i}]"
        section = _Section(content, where)
        section.only("dataset", "arch", "seeds")
        seeds = section.get("seeds", list, "a list of seeds")
        if len(seeds) < 2 or any(type(s) is not int or s < 0 for s in seeds):
            raise ConfigError(f"{where}.seeds is {seeds}; expected two or more whole numbers")
        if len(set(seeds)) != len(seeds):
            raise ConfigError(f"{where}.seeds is {seeds}; each seed may stand there once")
        repeats.append(RepeatSpec(section.text("dataset"), section.text("arch"), tuple(seeds)))
    return tuple(repeats)


def _check_roles(spec: StudySpec) -> None:
    """Check that the comparison names data sets of the study, each in one role."""
    known = ", ".join(spec.datasets)
    roles: list[tuple[str, Sequence[str]]] = [
        ("reference", [spec.reference]),
        ("family", spec.family),
        ("targets", spec.targets),
        ("repeats", [repeat.dataset for repeat in spec.repeats]),
    ]
    for role, keys in roles:
        for key in keys:
            if key not in spec.datasets:
                raise ConfigError(
                    f"{spec.where(role)} names '{key}', which is no data set of this study; its "
                    f"data sets: {known}"
                )
    if not spec.targets:
        raise ConfigError(f"{spec.where('targets')} is empty; name at least one data set")
    compared = [spec.reference, *spec.family, *spec.targets]
    doubled = sorted({key for key in compared if compared.count(key) > 1})
    if doubled:
        raise ConfigError(
            f"{spec.path}: {', '.join(doubled)} stands in more than one of reference, family and "
            "targets; give each data set one role"
        )
    sweeps = [*spec.datasets, *(repeat.sweep for repeat in spec.repeats)]
    doubled = sorted({name for name in sweeps if sweeps.count(name) > 1})
    if doubled:
        raise ConfigError(
            f"{spec.path}: two sweeps would be called {', '.join(doubled)}; rename the data set, "
            "or put all seeds into one entry of repeats"
        )


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} cannot name a folder; expected letters, digits, '_', '-' and '.'"
        )
