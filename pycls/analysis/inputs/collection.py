"""A study with the control experiments beside it, the source of the paper's outputs."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pycls.analysis.inputs.evidence import Evidence, Experiment, load_evidence
from pycls.analysis.inputs.results_csv import (
    architecture_table,
    error_table,
    finished_runs,
    load_results,
    require_one_population,
)
from pycls.analysis.inputs.study_json import Base, Study, load_study
from pycls.analysis.statistics.correlation import spearman
from pycls.analysis.statistics.proxies import closest_member
from pycls.errors import ConfigError, DataError
from pycls.schema import RESULTS_CSV, STUDY_JSON

PUBLISHED_STUDY = "imagenet_as_basis"  # name of the study whose numbers were published


class MissingRuns(DataError):  # noqa: N818 - says what is missing, and nothing is broken
    """An output cannot be made, since runs are missing; the message says which."""


@dataclass(frozen=True)
class Collection:
    """A study, and the studies of control experiments whose base it is.

    Attributes:
        folder: the study's folder.
        study: the study that ranks the population.
        results: its results, as from :func:`pycls.analysis.inputs.results_csv.load_results`.
        evidence: its sweeps, with those of its own bases.
        controls: the same of each study of control experiments.
    """

    folder: Path
    study: Study
    results: pd.DataFrame
    evidence: Evidence
    controls: tuple[Evidence, ...] = ()
    # Control experiments by what was asked: some draw thousands of resamples.
    _asked: dict[Any, list[tuple[Experiment, Evidence]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def errors(self) -> pd.DataFrame:
        """The population's errors: architectures x data sets, in percent."""
        return error_table(self.results, self.study)

    @cached_property
    def architectures(self) -> pd.DataFrame:
        """Cumulative depth and width of each architecture."""
        return architecture_table(self.results, self.study)

    @property
    def is_published(self) -> bool:
        """Say whether published numbers belong beside the measured ones."""
        return self.study.name == PUBLISHED_STUDY

    @property
    def reference(self) -> str:
        """Key of the reference.

        Raises:
            MissingRuns: the study has none, or none of its runs has finished.
        """
        key = self.study.reference
        if key is None:
            raise MissingRuns(f"The study {self.study.name} names no reference.")
        self._require_finished([key], self.study.dataset_title(key))
        return key

    @property
    def sets(self) -> list[str]:
        """The reference and the targets: the data sets in their own right."""
        return list(dict.fromkeys([self.reference, *self.targets]))

    @property
    def targets(self) -> tuple[str, ...]:
        """Keys of the targets.

        Raises:
            MissingRuns: the study has none, or none of their runs has finished.
        """
        keys = self.study.targets
        if not keys:
            raise MissingRuns(f"The study {self.study.name} names no targets.")
        self._require_finished(keys, "a target")
        return keys

    @property
    def members(self) -> dict[str, int]:
        """Keys of the class-subset members and their class counts.

        Raises:
            MissingRuns: the study has none, or none of their runs has finished.
        """
        members = self.study.members()
        if not members:
            raise MissingRuns(f"The study {self.study.name} has no family of class subsets.")
        self._require_finished(members, "a class subset of the reference")
        return members

    def _require_finished(self, keys: Iterable[str], where: str) -> None:
        if not self.errors[list(keys)].notna().any(axis=None):
            raise MissingRuns(f"No run on {where} has finished.")

    def member_of(self, key: str) -> str:
        """Return the member closest to a data set in class count."""
        return closest_member(self.study.num_classes(key), self.members)

    @property
    def size_control(self) -> str:
        """Key of the set with all classes of the reference and fewer images.

        Raises:
            MissingRuns: the study has none.
        """
        reference, study = self.reference, self.study
        apart = {reference, *study.family, *study.targets}
        for key in study.dataset_keys():
            same = study.num_classes(key) == study.num_classes(reference)
            if key not in apart and same and study.datasets[key].get("view_of") == reference:
                return key
        raise MissingRuns(
            "The study has no data set with all classes of the reference and fewer images "
            "(per_class in its file)."
        )

    def rho(self, x: str, y: str) -> float:
        """Return Spearman's rho of the errors on two data sets."""
        return spearman(self.errors[x], self.errors[y]).rho

    def pick(self, paper: Sequence[str], otherwise: Callable[[], Sequence[str]]) -> list[str]:
        """Return the paper's choice of data sets where all are there, else another one."""
        return list(paper) if set(paper) <= set(self.study.dataset_keys()) else list(otherwise())

    def targets_by(self, value: Callable[[str], float], amount: int) -> list[str]:
        """Return the targets with the lowest values, in order; undefined ones come last."""
        numbers = {key: value(key) for key in self.targets}
        order = sorted(numbers, key=lambda key: (bool(np.isnan(numbers[key])), numbers[key]))
        return order[:amount]

    def ask(
        self, experiment: Callable[[Evidence], Experiment], *kinds: str
    ) -> list[tuple[Experiment, Evidence]]:
        """Return a control experiment of each study that has finished runs of these kinds.

        Raises:
            MissingRuns: there are none.
        """
        key = (experiment, kinds)
        if key not in self._asked:
            self._asked[key] = [
                (experiment(evidence), evidence)
                for evidence in (self.evidence, *self.controls)
                if evidence.controls(*kinds)
            ]
        found = [(asked, evidence) for asked, evidence in self._asked[key] if asked.tables]
        if found:
            return found
        raise MissingRuns(
            self._asked[key][-1][0].reason
            if self._asked[key]
            else "Neither the study nor a collected one beside it has a sweep for it "
            f"(control: {' or '.join(kinds)})."
        )


def load_collection(folder: str | os.PathLike[str]) -> Collection:
    """Read a study and the studies beside it that are based on it.

    Those beside it are the folders next to its own whose `study.json` names it as their
    base, or as the base of that. Given a study of control experiments alone, its base is
    the study, where that is found.

    Args:
        folder: a study's folder.

    Raises:
        ConfigError: a file of the study is missing or damaged.
        DataError: a study and its base are of different populations.
    """
    folder = Path(folder)
    study = load_study(folder)
    if study.reference is None:
        known = [base for base in study.bases() if base.study and base.study.reference]
        if known and known[0].has_results() and known[0].folder and known[0].study:
            folder, study = known[0].folder, known[0].study
    results = load_results(folder)
    evidence = load_evidence(folder, study)
    return Collection(folder, study, results, evidence, _load_controls(folder, evidence, results))


def studies_on(folder: Path, study: Study) -> list[tuple[Path, Study]]:
    """Return the folders beside a study's own whose results stand on its, and their studies.

    One whose `study.json` cannot be read is left out, with a warning.
    """
    found = []
    for path in sorted(folder.resolve().parent.iterdir()):
        files = (path / RESULTS_CSV, path / STUDY_JSON)
        if path == folder.resolve() or not all(file.is_file() for file in files):
            continue
        try:
            other = load_study(path)
        except ConfigError as error:
            warnings.warn(f"left out: {error}", stacklevel=4)
            continue
        if any(base.name == study.name for base in other.bases()):
            found.append((path, other))
    return found


def duration_runs(folder: Path, study: Study, results: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs of other durations, of a study and of those beside it on it.

    Of those beside it, what is damaged or of another population is left out.

    Args:
        folder: of the study.
        study: whose population they train.
        results: of the study, as from :func:`pycls.analysis.inputs.results_csv.load_results`.

    Returns:
        Rows of results with the columns control (study and sweep) and of (the data set of the
        population that they belong beside).
    """
    found = [_duration_runs(study, results)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said where the paper's outputs are made
        beside = studies_on(folder, study)
    for path, other in beside:
        if other.control_sweeps("duration"):
            with suppress(ConfigError, DataError):
                runs = _duration_runs(other, load_results(path))
                require_one_population([results, runs], [folder / RESULTS_CSV, path / RESULTS_CSV])
                found.append(runs)
    return pd.concat(found, ignore_index=True)


def _duration_runs(study: Study, results: pd.DataFrame) -> pd.DataFrame:
    of = {name: study.sweeps[name].get("of") for name in study.control_sweeps("duration")}
    runs = finished_runs(results[results["sweep"].isin(list(of))])
    names = runs["sweep"]
    return runs.assign(control=f"{study.name}/" + names.astype(str), of=names.map(of))


def _load_controls(folder: Path, evidence: Evidence, results: pd.DataFrame) -> tuple[Evidence, ...]:
    """Return the studies beside a folder that stand on its study, those nearest to it first."""
    study = evidence.study
    others = [
        (path, replace(other, base=_rebase(other, folder, study)))
        for path, other in studies_on(folder, study)
    ]
    found = {study.name: evidence}
    for path, other in sorted(others, key=lambda pair: len(pair[1].bases())):
        if other.name in found:
            warnings.warn(
                f"left out: {path}: another study {other.name} is beside it", stacklevel=3
            )
            continue
        base = found.get(other.base.name) if other.base else None
        if base is None:  # on a study that stands elsewhere
            found[other.name] = load_evidence(path, other)
            continue
        own = load_evidence(path, replace(other, base=None)).sweeps
        if own:
            places = [folder / RESULTS_CSV, path / RESULTS_CSV]
            require_one_population(
                [results, pd.concat([each.runs for each in own.values()])], places
            )
        sweeps = {name: replace(sweep, study=other) for name, sweep in own.items()}
        # What the bases hold was read once; each has all of its sweeps.
        found[other.name] = Evidence(other, sweeps, (base.sweeps, *base.bases))
    return tuple(each for name, each in found.items() if name != study.name)


def _rebase(other: Study, folder: Path, study: Study) -> Base | None:
    """Return the base of a study with the collection's own study in the place of its name."""
    base = other.base
    if base is None:
        return None
    if base.name == study.name:
        return Base(study.name, folder, study)
    if base.study is None:
        return base
    return replace(base, study=replace(base.study, base=_rebase(base.study, folder, study)))
