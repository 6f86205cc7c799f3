"""The evidence of control experiments: their runs, and the runs that they are compared with.

A study of control experiments stands beside a base study over the same population, or is
one with it. Sweeps and data sets are looked up in the study first, then in its base.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from pycls.analysis.inputs.curves_csv import load_curves
from pycls.analysis.inputs.results_csv import (
    finished_runs,
    load_results,
    require_one_population,
)
from pycls.analysis.inputs.study_json import Study
from pycls.analysis.statistics.correlation import Correlation
from pycls.analysis.statistics.proxies import closest_member
from pycls.errors import DataError
from pycls.schema import RESULTS_CSV


@dataclass(frozen=True)
class Finding:
    """One row of the summary of all control experiments.

    Attributes:
        what: which errors were compared, or what was measured.
        n: architectures (or runs) behind it.
        rho: Spearman's rho with its interval, NaN where none belongs to it.
        note: what else there is to say, in a few words.
    """

    what: str
    n: int
    rho: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    note: str = ""

    @classmethod
    def of(cls, what: str, correlation: Correlation, note: str = "") -> "Finding":
        """Return a finding that is a correlation."""
        return cls(
            what, correlation.n, correlation.rho, correlation.ci_low, correlation.ci_high, note
        )


@dataclass(frozen=True)
class Experiment:
    """One control experiment: its data, and what they show.

    Attributes:
        name: short name, fit for a file name.
        title: name for people.
        question: what it asks.
        tables: name -> table; empty where the runs are missing.
        findings: rows of the summary.
        reason: why there is nothing, in a sentence; empty where there is something.
    """

    name: str
    title: str
    question: str
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Sweep:
    """The runs of one sweep, with what their study says of them.

    Attributes:
        name: its name in its study; a base may have another sweep of the same name.
        study: the study it belongs to.
        runs: its rows of results.csv.
        curves: its rows of curves.csv.
    """

    name: str
    study: Study
    runs: pd.DataFrame
    curves: pd.DataFrame

    @property
    def dataset(self) -> str:
        """Key of its data set."""
        return str(self.study.sweeps[self.name]["dataset"])

    @property
    def role(self) -> str:
        """Its part in its study: "main", "repeats" or "control"."""
        return str(self.study.sweeps[self.name]["role"])

    @property
    def control(self) -> str:
        """Kind of control experiment; empty where it is none."""
        return str(self.study.sweeps[self.name].get("control") or "")

    @property
    def of(self) -> str:
        """Key of the sweep or data set it is compared with; its own data set's without one."""
        return str(self.study.sweeps[self.name].get("of") or self.dataset)

    @property
    def title(self) -> str:
        """Name of its data set for people."""
        return self.study.dataset_title(self.dataset)

    @property
    def metric(self) -> str:
        """Error metric of its data set as columns name it, "top1" or "topk"."""
        return self.study.metric_column(self.dataset)

    @property
    def metric_label(self) -> str:
        """The metric as written in labels, such as "top-1"."""
        return self.study.metric(self.dataset)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The finished runs that have a finite error, in order of architecture and seed."""
        return finished_runs(self.runs).sort_values(["arch", "seed"], kind="stable")

    @cached_property
    def errors(self) -> pd.Series:
        """One error in percent per architecture, index "arch".

        Raises:
            DataError: there are several runs of an architecture.
        """
        twice = self.done["arch"][self.done["arch"].duplicated()]
        if len(twice):
            raise DataError(
                f"sweep {self.name} of {self.study.name}: architecture {twice.iloc[0]} has "
                "several finished runs, so there is no single error to compare; give a sweep of "
                "several seeds the control 'repeats'"
            )
        return self.done.set_index("arch")["error"].astype(float)

    @property
    def epochs(self) -> int | None:
        """Epochs of its runs; None where none has finished."""
        epochs = self.done["epochs"].dropna()
        return int(epochs.iloc[0]) if len(epochs) else None


@dataclass(frozen=True)
class Evidence:
    """A study's sweeps with those of its base, of the base of that, and so on.

    Attributes:
        study: the study of the control experiments.
        sweeps: its own by name.
        bases: those of each base by name, the nearest first; without those not found.
    """

    study: Study
    sweeps: Mapping[str, Sweep]
    bases: tuple[Mapping[str, Sweep], ...] = ()

    @property
    def all_sweeps(self) -> list[Sweep]:
        """All sweeps, the study's own first."""
        return [sweep for sweeps in (self.sweeps, *self.bases) for sweep in sweeps.values()]

    @cached_property
    def main(self) -> dict[str, Sweep]:
        """The population's sweep of each data set, the study's own before a base's."""
        found: dict[str, Sweep] = {}
        for sweep in self.all_sweeps:
            if sweep.role == "main":
                found.setdefault(sweep.dataset, sweep)
        return found

    @cached_property
    def population(self) -> pd.DataFrame:
        """Errors in percent of the population: architectures x data sets, NaN for none."""
        columns = {key: sweep.errors for key, sweep in self.main.items()}
        return pd.DataFrame(columns).rename_axis("arch").sort_index()

    @property
    def looked_at(self) -> dict[str, Sweep]:
        """Those of `main` that the study names in `uses`; all where it names none."""
        uses = self.study.uses
        return {key: sweep for key, sweep in self.main.items() if not uses or sweep.name in uses}

    def controls(self, *kinds: str) -> list[Sweep]:
        """Return the study's control experiments of these kinds; all without any."""
        return [self.sweeps[name] for name in self.study.control_sweeps(*kinds)]

    def repeats(self) -> list[Sweep]:
        """Return all sweeps of retrained architectures, the study's own first."""
        return [sweep for sweep in self.all_sweeps if "repeats" in (sweep.control, sweep.role)]

    def compared_with(self, sweep: Sweep) -> Sweep | None:
        """Return the sweep that one is compared with; None where there is none.

        The population's sweep of that name or data set before any other of that name.
        """
        named = [sweeps.get(sweep.of) for sweeps in (self.sweeps, *self.bases)]
        others = [found for found in named if found is not None and found is not sweep]
        main = [found for found in others if found.role == "main"]
        return next(iter(main), None) or self.main.get(sweep.of) or next(iter(others), None)

    @property
    def reference(self) -> str | None:
        """The reference of the study, or else of its base."""
        return next((study.reference for study in self._studies if study.reference), None)

    @property
    def _studies(self) -> list[Study]:
        return [self.study, *(base.study for base in self.study.bases() if base.study)]

    def member(self, sweep: Sweep) -> str | None:
        """Return the family member closest to a sweep's data set in class count.

        Not the data set itself; None where there is no family.
        """
        for study in self._studies:
            members = dict(study.members())
            members.pop(sweep.dataset, None)
            if members:
                return closest_member(sweep.study.num_classes(sweep.dataset), members)
        return None

    def title(self, dataset: str) -> str:
        """Return the name of a data set for people."""
        if dataset in self.study.datasets:
            return self.study.dataset_title(dataset)
        return self.main[dataset].title if dataset in self.main else dataset

    def sweep_title(self, sweep: Sweep) -> str:
        """Return the name of a sweep for people, such as "Cifar10, 200 epochs"."""
        of = self.compared_with(sweep) if sweep.control else None
        if of is None or sweep.title != of.title:
            return sweep.title
        epochs = sweep.study.sweeps[sweep.name].get("epochs")
        words = {"stem": "other stem", "duration": f"{epochs} epochs" if epochs else "longer"}
        return f"{sweep.title}, {words.get(sweep.control, sweep.control)}"

    def why_none(self, *kinds: str) -> str:
        """Return why there are no finished runs of these kinds, or nothing beside them."""
        sweeps = self.controls(*kinds)
        if not sweeps:
            return f"The study has no sweep for it (control: {' or '.join(kinds)})."
        waiting = [sweep.study.sweeps[sweep.name].get("waiting") for sweep in sweeps]
        if all(waiting):
            return " ".join(f"{s.name} {why}." for s, why in zip(sweeps, waiting, strict=True))
        if all(sweep.done.empty for sweep in sweeps):
            return f"No run of {', '.join(sweep.name for sweep in sweeps)} has finished."
        return self.why_no_base() or "The runs it is compared with are missing."

    def why_no_base(self) -> str:
        """Return that a base's results were not found; empty where they were."""
        for base in self.study.bases():
            if not base.has_results():
                return f"The results of its base, the study '{base.name}', were not found."
        return ""


def load_evidence(folder: str | os.PathLike[str], study: Study) -> Evidence:
    """Read the results and curves of a study and of its bases, where those have results.

    Args:
        folder: the study's folder.
        study: as from :func:`pycls.analysis.inputs.study_json.load_study`.

    Raises:
        ConfigError: a table is missing or damaged.
        DataError: they are of different populations.
    """
    described = [(study, Path(folder))]
    for base in study.bases():
        if base.study is not None and base.folder is not None and base.has_results():
            described.append((base.study, base.folder))
    results = [load_results(place) for _, place in described]
    require_one_population(results, [place / RESULTS_CSV for _, place in described])
    own, *bases = (
        _sweeps(each, rows, load_curves(place))
        for (each, place), rows in zip(described, results, strict=True)
    )
    return Evidence(study, own, tuple(bases))


def _sweeps(study: Study, results: pd.DataFrame, curves: pd.DataFrame) -> dict[str, Sweep]:
    return {
        name: Sweep(name, study, results[results["sweep"] == name], curves[curves["sweep"] == name])
        for name in study.sweeps
    }
