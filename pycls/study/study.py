"""A study's folder: population, data, and one configuration a run.

Layout::

    FOLDER/study.yaml, study.json, population.csv
    FOLDER/SWEEP/cfgs/000000.yaml ...      one a run
    FOLDER/SWEEP/logs/000000/ ...          what each run writes
    FOLDER/results.csv, timings.csv, curves.csv, status.json, report/
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pycls
from pycls.core.config.load import layer_cfg
from pycls.core.inputs import check_batch, find_missing_weights
from pycls.core.runs.packed import begun_in
from pycls.core.runs.paths import checkpoint_path
from pycls.errors import ConfigError
from pycls.progress import draw_progress
from pycls.schema import STUDY_JSON
from pycls.spaces.by_name import make_space
from pycls.spaces.mixed import AnyPopulation, read_any_population
from pycls.spaces.population import Population
from pycls.study.configs import base_cfg, epochs_of
from pycls.study.data import StudyData
from pycls.study.part import Part, find_part
from pycls.study.runs import (
    Network,
    Run,
    count_runs,
    list_runs,
    read_network,
    read_sweep_errors,
    select_by_error,
    select_by_name,
)
from pycls.study.spec import DatasetSpec, StudySpec

SELECTIONS = "selections.json"


def usual_folder(path: Path, name: str) -> Path:
    """Return where a study is carried out unless somebody says otherwise.

    That is studies/NAME in the checkout that holds its file, else beside the file; of a file that
    came with an installed package, or of a study that was begun there, in the current folder.

    Args:
        path: the study file.
        name: the study's name.
    """
    here = Path("studies") / name
    place = path.absolute().parent
    if place.is_relative_to(Path(pycls.__file__).parent):
        return here
    is_checkout = ("tools/study.py", "pycls/__init__.py")
    checkouts = (p for p in (place, *place.parents) if all((p / f).is_file() for f in is_checkout))
    folder = next(checkouts, place) / "studies" / name
    was_begun = (here / STUDY_JSON).is_file() and not folder.exists()
    return here if was_begun or here.absolute() == folder else folder


class StudyFolder:
    """A study file and the folder it is carried out in.

    Args:
        spec: the study file.
        folder: where it is carried out.
        data_dir: folder of the prepared sets; None: PYCLS_DATA, or else `data`.
        base_folder: folder of its base study; None: beside `folder`, by the base's name.
        part: the part of it that is carried out there, see :func:`pycls.study.part.find_part`.
    """

    def __init__(
        self,
        spec: StudySpec,
        folder: str | os.PathLike[str],
        data_dir: str | os.PathLike[str] | None = None,
        base_folder: str | os.PathLike[str] | None = None,
        part: str = "",
    ) -> None:
        self.spec = spec
        self.folder = Path(folder)
        self.data = StudyData(spec, data_dir)
        self.base: StudyFolder | None = None
        if spec.base is not None:
            where = Path(base_folder) if base_folder else self.folder.parent / spec.base.name
            self.base = StudyFolder(spec.base, where, data_dir)
        self._epochs: dict[str, int] = {}
        self._asked_part = part

    @cached_property
    def part(self) -> Part | None:
        """The part of the study that is carried out here; None: all of it."""
        return find_part(self.folder, self.spec, self._asked_part)

    @property
    def datasets(self) -> list[DatasetSpec]:
        """The data sets that are trained on here."""
        part = self.part
        every = self.spec.datasets.values()
        return [d for d in every if part is None or part.of or d.key in part.datasets]

    @cached_property
    def population(self) -> AnyPopulation:
        """The population, read or drawn."""
        spec = self.spec.population
        if self.base is not None and spec is self.base.spec.population:
            return self.base.population
        stored = read_any_population(spec.csv) if spec.csv is not None else None
        if stored is not None and not spec.spaces:
            return stored
        parts = {name: self._draw(name, space) for name, space in spec.spaces.items()}
        drawn = parts[""] if "" in parts else Population.concatenate(parts)
        if stored is not None and stored.to_csv_text() != drawn.to_csv_text():
            raise ConfigError(
                f"{self.spec.where('population', 'csv')}: {spec.csv} does not hold the population "
                "that the other keys draw; leave them out to take the file as it is, or 'csv' to "
                "draw anew"
            )
        return drawn

    def _draw(self, name: str, arguments: Mapping[str, Any]) -> Population:
        spec = self.spec.population
        where = self.spec.where("population", *(("spaces", name) if name else ("space",)))
        kind = arguments.get("type", "AnyNetX")
        try:
            space = make_space(kind, **{k: v for k, v in arguments.items() if k != "type"})
            return space.sample(
                spec.size, spec.seed, **dict[str, Any](spec.bounds), where=spec.conditions,
                progress=draw_progress(spec.size, "architectures"),
            )  # fmt: skip
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    @cached_property
    def runs(self) -> list[Run]:
        """All runs of this place that are known by name; `waiting` says why others are not yet."""
        runs = list_runs(self.spec, self.population, self.networks)
        part = self.part
        return [run for run in runs if part is None or part.has(run, self._place(run))]

    def _place(self, run: Run) -> int:
        by_hand = self.spec.datasets[run.dataset].networks
        return list(by_hand).index(run.arch.arch) if by_hand else self.places[run.arch.arch]

    @property
    def networks(self) -> dict[str, Sequence[Network]]:
        """{data set: networks to train on it}; those of sweeps in `waiting` are not there."""
        return self._chosen[0]

    @property
    def waiting(self) -> dict[str, str]:
        """{sweep: why its architectures are not known yet}."""
        return self._chosen[1]

    @cached_property
    def _chosen(self) -> tuple[dict[str, Sequence[Network]], dict[str, str]]:
        return self.choose_networks()

    def choose_networks(self) -> tuple[dict[str, Sequence[Network]], dict[str, str]]:
        """Return the networks of each data set, and why those of other sweeps are not known yet.

        Raises:
            ConfigError: a selection names an architecture that is not there, or more than there
                are, or a hand-written network cannot be read.
        """
        chosen: dict[str, Sequence[Network]] = {}
        waiting: dict[str, str] = {}
        stored = self._stored_selections()
        for key, dataset in self.spec.datasets.items():
            if dataset.networks:
                chosen[key] = [read_network(*named) for named in dataset.networks.items()]
                continue
            selection = dataset.selection
            where = self.spec.where("datasets", key, "archs")
            if selection is None or not selection.by:
                names = select_by_name(self.population, selection, where)
            elif stored.get(key, {}).get("selection") == repr(selection):
                names = stored[key]["archs"]
            else:
                owner = self._owner(selection.by)
                errors = read_sweep_errors(owner.folder, selection.by)
                planned = len(owner.population)
                if len(errors) < planned:
                    waiting[key] = (
                        f"is chosen by the errors of {selection.by}, of whose {planned} runs "
                        f"{len(errors)} are finished and collected in {owner.folder}"
                    )
                    continue
                names = select_by_error(selection, errors, where)
            chosen[key] = [self.population.row(self.places[name]) for name in names]
        return chosen, waiting

    def look_again(self) -> bool:
        """Look whether sweeps that were waiting are known now; say whether there are any."""
        before = self.waiting
        if not before:
            return False
        self.__dict__.pop("runs", None)
        self._chosen = self.choose_networks()
        return self.waiting.keys() != before.keys()

    def planned(self) -> dict[str, int]:
        """Return the runs that each sweep has in the end."""
        return count_runs(self.spec, self.population)

    def cfg_path(self, run: Run) -> Path:
        """Return a run's configuration file."""
        return self.cfgs_dir(run.sweep) / f"{run.name}.yaml"

    def cfgs_dir(self, sweep: str) -> Path:
        """Return the folder of a sweep's configurations."""
        return self.folder / sweep / "cfgs"

    def begun_runs(self) -> list[Run]:
        """Return the runs that have written anything; costs a listing a sweep."""
        sweeps = {run.sweep for run in self.runs}
        begun = {sweep: begun_in(self.folder / sweep / "logs") for sweep in sweeps}
        return [run for run in self.runs if run.name in begun[run.sweep]]

    def out_dir(self, run: Run) -> Path:
        """Return the folder a run writes to."""
        return self.sweep_out_dir(run.sweep, run.index)

    def sweep_out_dir(self, sweep: str, index: int) -> Path:
        """Return the folder that a sweep's run of some number writes to."""
        return self.folder / sweep / "logs" / f"{index:06d}"

    def epochs(self, dataset: DatasetSpec) -> int:
        """Return the epochs of a sweep's runs."""
        if dataset.key not in self._epochs:
            networks = self.networks.get(dataset.key) or [self.population.row(0)]
            self._epochs[dataset.key] = epochs_of(self.spec, self.data, dataset, networks)
        return self._epochs[dataset.key]

    def source_dir(self, run: Run) -> Path | None:
        """Return the folder of the run that gives a run its first weights; None for none."""
        source = self.spec.datasets[run.dataset].weights_from
        if source is None or run.role == "repeats":
            return None
        owner = self._owner(source)
        seeds = owner.spec.datasets[source].seeds
        return owner.sweep_out_dir(source, owner.places[run.arch.arch] * max(1, len(seeds)))

    def weights_path(self, run: Run) -> Path | None:
        """Return the file of a run's first weights; None: it starts from chance."""
        folder = self.source_dir(run)
        if folder is None:
            return None
        source = str(self.spec.datasets[run.dataset].weights_from)
        owner = self._owner(source)
        return checkpoint_path(folder, owner.epochs(owner.spec.datasets[source]) - 1)

    @cached_property
    def places(self) -> dict[str, int]:
        """{architecture: its number in the population}."""
        return {name: i for i, name in enumerate(self.population.ids)}

    def _owner(self, sweep: str) -> "StudyFolder":
        """Return the study, this one or its base, that a sweep belongs to."""
        if sweep in self.spec.datasets or self.base is None:
            return self
        return self.base._owner(sweep)

    def check(self) -> None:
        """Check all that can be checked before anything is prepared or written.

        Raises:
            ConfigError: the population cannot be drawn, a data set is unknown, a family member
                has more classes than the reference, a repeat names no architecture, or a
                configuration key or value is wrong.
        """
        _ = self.runs
        for dataset in self.spec.datasets.values():
            layer_cfg([*self.spec.config, *self.spec.regimes[dataset.regime], *dataset.config])
            self.data.check(dataset)
            self._check_batch(dataset)
            self._check_source(dataset)
        self._check_family()

    def find_missing(self) -> list[str]:
        """Return what its user has to provide before anything is trained, a sentence each."""
        missing = []
        for dataset in self.datasets:
            missing += self.data.why_missing(dataset)
            for network in self.networks.get(dataset.key, ())[:1]:
                weights = base_cfg(self.spec, self.data, dataset, network).TRAIN.WEIGHTS
                missing += find_missing_weights(weights)
        return list(dict.fromkeys(missing))

    def _check_batch(self, dataset: DatasetSpec) -> None:
        """Check that a data set of known size holds a batch."""
        facts = self.data.facts(dataset)
        networks = self.networks.get(dataset.key, ())
        if facts.exact and networks:
            cfg = base_cfg(self.spec, self.data, dataset, networks[0])
            try:
                check_batch(cfg, facts.train_images)
            except ConfigError as error:
                raise ConfigError(f"{self.spec.where('datasets', dataset.key)}: {error}") from None

    def _check_family(self) -> None:
        if self.spec.reference is None:
            return
        whole = self.data.facts(self.spec.datasets[self.spec.reference])
        for member in self.spec.family:
            facts = self.data.facts(self.spec.datasets[member])
            if facts.num_classes > whole.num_classes:
                raise ConfigError(
                    f"{self.spec.where('family')}: {member} has {facts.num_classes} classes, more "
                    f"than the reference {self.spec.reference} ({whole.num_classes}); a family "
                    "holds subsets of the reference, so take it out or name another reference"
                )

    def _check_source(self, dataset: DatasetSpec) -> None:
        """Check the runs that a data set builds on: of this population, with weights kept."""
        names = [dataset.weights_from, dataset.selection.by if dataset.selection else ""]
        for name in filter(None, names):
            owner = self._owner(name)
            if owner.population is not self.population:
                raise ConfigError(
                    f"{self.spec.where('population')}: {dataset.key} builds on the runs of {name} "
                    f"in {owner.spec.path}, which are of another population; leave 'population' "
                    "out to take that one"
                )
        if dataset.weights_from is not None:
            owner = self._owner(dataset.weights_from)
            source = owner.spec.datasets[dataset.weights_from]
            keep = base_cfg(owner.spec, owner.data, source, owner.population.row(0)).CHECKPOINT.KEEP
            if keep == "none":
                raise ConfigError(
                    f"{self.spec.where('datasets', dataset.key, 'weights_from')}: the runs of "
                    f"{source.key} keep no checkpoint (CHECKPOINT.KEEP none); set it to 'last' "
                    "there"
                )

    def _stored_selections(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / SELECTIONS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
