"""A study's folder: population, data, and one configuration a run.

Layout::

    FOLDER/study.yaml, study.json, population.csv
    FOLDER/SWEEP/cfgs/000000.yaml ...      one a run
    FOLDER/SWEEP/logs/000000/ ...          what each run writes
    FOLDER/results.csv, timings.csv, status.json, report/
"""

import copy
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from pycls import files
from pycls.core.config import cfg_to_dict, computing_keys, layer_cfg, parse_cfg
from pycls.core.run_record import read_record, record_path
from pycls.datasets import Dataset, open_dataset
from pycls.datasets.catalog import CATALOG
from pycls.datasets.dataset import resolve_data_dir
from pycls.datasets.prepare import prepare
from pycls.datasets.subsets import draw_classes
from pycls.errors import ConfigError, DataError
from pycls.strict_yaml import dump_yaml
from pycls.sweep.design_space import AnyNetX
from pycls.sweep.population import Architecture, Population
from pycls.sweep.study_description import describe_study
from pycls.sweep.study_file import DatasetSpec, StudySpec


@dataclass(frozen=True)
class Run:
    """One training of the study.

    Attributes:
        sweep: the sweep it belongs to.
        index: its number in the sweep.
        dataset: the study's key of its data set.
        regime: its training recipe.
        arch: the architecture.
        seed: RNG_SEED.
        role: "main" (the population) or "repeats" (training noise).
    """

    sweep: str
    index: int
    dataset: str
    regime: str
    arch: Architecture
    seed: int
    role: str

    @property
    def id(self) -> str:
        """Return the run's name in the study, such as "digits/000012"."""
        return f"{self.sweep}/{self.index:06d}"


class Study:
    """A study file and the folder it is carried out in."""

    def __init__(
        self,
        spec: StudySpec,
        folder: str | os.PathLike[str],
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.spec = spec
        self.folder = Path(folder)
        self.data_dir = resolve_data_dir(data_dir)
        self._opened: dict[tuple[str, str], Dataset] = {}

    @cached_property
    def population(self) -> Population:
        """The population, read or drawn."""
        spec = self.spec.population
        if spec.csv is not None:
            return Population.read_csv(spec.csv)
        where = self.spec.where("population")
        try:
            space = AnyNetX(**spec.space)
            return space.sample(spec.size, spec.seed, **dict[str, Any](spec.bounds))
        except TypeError as error:
            known = ", ".join(AnyNetX.__dataclass_fields__)
            raise ConfigError(f"{where}.space: {error}; allowed: {known}") from None
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    @cached_property
    def runs(self) -> list[Run]:
        """All runs, architecture by architecture, so that a part of them makes pairs."""
        spec, runs = self.spec, []
        for i, arch in enumerate(self.population):
            for dataset in spec.datasets.values():
                runs.append(
                    Run(dataset.key, i, dataset.key, dataset.regime, arch, spec.seed, "main")
                )
        for repeat in spec.repeats:
            arch = self._find_arch(repeat.arch)
            regime = spec.datasets[repeat.dataset].regime
            runs.extend(
                Run(repeat.sweep, i, repeat.dataset, regime, arch, seed, "repeats")
                for i, seed in enumerate(repeat.seeds)
            )
        return runs

    def cfg_path(self, run: Run) -> Path:
        """Return a run's configuration file."""
        return self.folder / run.sweep / "cfgs" / f"{run.index:06d}.yaml"

    def out_dir(self, run: Run) -> Path:
        """Return the folder a run writes to."""
        return self.folder / run.sweep / "logs" / f"{run.index:06d}"

    def check(self) -> None:
        """Check all that can be checked before anything is prepared or written.

        Raises:
            ConfigError: the population cannot be drawn, a repeat names no architecture, or a
                configuration key or value is wrong.
        """
        _ = self.runs
        for dataset in self.spec.datasets.values():
            layer_cfg(self._layers(dataset))
            if dataset.options and dataset.key not in CATALOG:
                raise ConfigError(
                    f"{self.spec.where('datasets', dataset.key)}: options are for sets that are "
                    f"prepared on the way ({', '.join(CATALOG)}); this one has to be there as it is"
                )

    def prepare_data(self) -> Iterator[str]:
        """Prepare the embedded sets and open all others; yield a line about each.

        Raises:
            DataError: a set is missing or damaged.
        """
        for dataset in self.spec.datasets.values():
            if not dataset.is_view and dataset.key in CATALOG:
                prepare(dataset.key, self.data_dir, **(dataset.options or {}))
        for dataset in self.spec.datasets.values():
            train, test = self.open(dataset, "train"), self.open(dataset, "test")
            yield (
                f"{dataset.key}: {train.num_classes} classes, {len(train)} training and "
                f"{len(test)} test images of {train.im_size[0]} x {train.im_size[1]} pixels"
            )

    def open(self, dataset: DatasetSpec, split: str) -> Dataset:
        """Open one side of a data set of the study, once."""
        key = (dataset.key, split)
        if key not in self._opened:
            self._opened[key] = self._open(dataset, split)
        return self._opened[key]

    def _open(self, dataset: DatasetSpec, split: str) -> Dataset:
        try:
            return open_dataset(dataset.prepared, split, self.data_dir, self._classes(dataset))
        except (DataError, ConfigError) as error:
            raise type(error)(f"{self.spec.where('datasets', dataset.key)}: {error}") from None

    def write(self) -> None:
        """Write the study's files and one configuration a run.

        Files that are as they should be stay untouched; what has been trained is never
        altered. For the holder of the folder's lock: what killed writers left is removed.

        Raises:
            ConfigError: the folder holds another study, or runs of other configurations.
        """
        self._refuse_other_study()
        texts = dict(self._cfg_texts())
        self._refuse_changes(texts)
        self._refuse_other_data()
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text_if_changed(
            self.folder / "study.yaml", self.spec.path.read_text(encoding="utf-8")
        )
        files.write_text_if_changed(self.folder / "population.csv", self.population.to_csv_text())
        files.remove_partials(self.folder)
        for folder in {path.parent for path in texts}:
            folder.mkdir(parents=True, exist_ok=True)
            files.remove_partials(folder)
        for path, text in texts.items():
            files.write_text_if_changed(path, text)
        files.write_json(self.folder / "study.json", describe_study(self))

    def _find_arch(self, name: str) -> Architecture:
        if name not in self.population.ids:
            raise ConfigError(
                f"{self.spec.where('repeats')}: the population has no architecture '{name}'; it "
                f"has {self.population.ids[0]} to {self.population.ids[-1]}"
            )
        return self.population.row(self.population.ids.index(name))

    def _classes(self, dataset: DatasetSpec) -> tuple[str, ...]:
        if dataset.classes or dataset.num_classes is None:
            return dataset.classes
        whole = open_dataset(dataset.prepared, "train", self.data_dir)
        return tuple(draw_classes(whole.class_names, dataset.num_classes, self.spec.class_seed))

    def _cfg_texts(self) -> Iterator[tuple[Path, str]]:
        """Yield (file, text) of every run's configuration."""
        bases = {key: self.base_cfg(dataset) for key, dataset in self.spec.datasets.items()}
        plain = {key: cfg_to_dict(cfg) for key, cfg in bases.items()}
        for run in self.runs:
            values = copy.copy(plain[run.dataset])
            values.update(
                _nested(run.arch.overrides(), values),
                OUT_DIR=str(self.out_dir(run)),
                RNG_SEED=run.seed,
            )
            yield self.cfg_path(run), dump_yaml(values)

    def base_cfg(self, dataset: DatasetSpec) -> CfgNode:
        """Return the checked configuration of a data set's runs, with the first architecture."""
        train = self.open(dataset, "train")
        size = min(train.im_size)
        overrides = [
            "MODEL.NUM_CLASSES", train.num_classes,
            "TRAIN.DATASET", dataset.prepared, "TRAIN.SPLIT", "train",
            "TEST.DATASET", dataset.prepared, "TEST.SPLIT", "test",
            "DATA.DIR", str(self.data_dir), "DATA.CLASSES", list(self._classes(dataset)),
            "LOG_DEST", "file",
        ]  # fmt: skip
        # The stored size, unless the study says otherwise.
        sizes = ("sizes", {"TRAIN": {"IM_SIZE": size}, "TEST": {"IM_SIZE": size}})
        return layer_cfg(
            [sizes, *self._layers(dataset)], [*self.population.row(0).overrides(), *overrides]
        )

    def _layers(self, dataset: DatasetSpec) -> list[tuple[str, Any]]:
        """Return the configuration keys that the study file gives for a data set's runs."""
        spec = self.spec
        return [
            (spec.where("config"), spec.config),
            (spec.where("regimes", dataset.regime), spec.regimes[dataset.regime]),
            (spec.where("datasets", dataset.key, "config"), dataset.config),
        ]

    def _refuse_other_study(self) -> None:
        path = self.folder / "study.json"
        if path.is_file():
            name = json.loads(path.read_text(encoding="utf-8")).get("name")
            if name != self.spec.name:
                raise ConfigError(
                    f"{self.folder} holds the study '{name}', not '{self.spec.name}' of "
                    f"{self.spec.path}; choose another folder with --out"
                )

    def _refuse_changes(self, texts: Mapping[Path, str]) -> None:
        """Refuse a study file that would alter the configuration of runs that have begun."""
        for run in self.runs:
            path = self.cfg_path(run)
            if not path.is_file() or not record_path(self.out_dir(run)).is_file():
                continue
            old_text, new_text = path.read_text(encoding="utf-8"), texts[path]
            if old_text == new_text:
                continue
            old = computing_keys(parse_cfg(old_text, str(path)))
            new = computing_keys(parse_cfg(new_text, str(self.spec.path)))
            changed = [f"{k} {old[k]!r} -> {new[k]!r}" for k in new if old.get(k) != new[k]]
            if changed:
                raise ConfigError(
                    f"{self.spec.path}: would change the run {run.id} in {self.folder}, which has "
                    f"been trained already: {'; '.join(changed[:3])}. Take the change back, or "
                    "choose another folder with --out"
                )

    def _refuse_other_data(self) -> None:
        """Refuse to go on with other images than those that runs have been trained on."""
        now = {
            dataset.key: {side: self.open(dataset, side).fingerprint for side in ("train", "test")}
            for dataset in self.spec.datasets.values()
        }
        for run in self.runs:
            record = read_record(self.out_dir(run))
            if record is not None and record.get("data", now[run.dataset]) != now[run.dataset]:
                raise ConfigError(
                    f"{self.spec.where('datasets', run.dataset)}: the run {run.id} in "
                    f"{self.folder} was trained on other images or another split than "
                    f"{self.data_dir} holds now; restore them, or choose another folder with --out"
                )


def _nested(overrides: list[Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of `base` that dotted overrides touch, with the new values."""
    sections: dict[str, Any] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        section, leaf = key.split(".")
        sections.setdefault(section, dict(base[section]))[leaf] = value
    return sections
