"""What can be launched: a study, or a sweep of pycls's form."""

import json
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycls.core.runs.record import read_record
from pycls.errors import ConfigError, PyclsError
from pycls.files import exclusive_lock
from pycls.results.collect_sweep import collect_sweep
from pycls.results.run_progress import seconds_of_epochs
from pycls.slurm.options import LaunchOptions, override, read_options
from pycls.study.file import load_study_file
from pycls.study.plan import run_seconds, speed_finder
from pycls.study.runs import Run
from pycls.study.study import Study
from pycls.study.write import write_study
from pycls.sweep.file import SweepCfg, load_sweep_cfg
from pycls.sweep.folder import SweepFolder, cfg_name, run_name

# Another process writes a study's files for no longer than this, in seconds.
_LONGEST_WRITING_S = 10.0


@dataclass(frozen=True)
class TargetRun:
    """One run of what is launched.

    Attributes:
        id: its name.
        group: runs of one group take about the same time.
        cfg: its configuration.
        out_dir: the folder it writes to.
        weights: the file it takes its first weights from, which must be there; None: none.
        source: the folder of the run that makes them.
    """

    id: str
    group: str
    cfg: Path
    out_dir: Path
    weights: Path | None = None
    source: Path | None = None


class Target(ABC):
    """A study or a sweep, with the options to launch it with.

    Attributes:
        kind: "study" or "sweep".
        folder: where it is carried out.
        title: its name.
        options: how it is launched.
    """

    kind: str
    folder: Path
    title: str
    options: LaunchOptions

    @abstractmethod
    def check(self) -> None:
        """Check all that can be checked before anything is prepared or written."""

    def prepare(self) -> Iterator[str]:
        """Prepare data sets that are not, where that can be done here; yield what is done."""
        return iter(())

    def hold(self) -> AbstractContextManager[int]:
        """Hold the folder, to write what runs need or to train there.

        Raises:
            PyclsError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        purpose = f"running the {self.kind} in {self.folder}"
        return exclusive_lock(self.folder / ".lock", purpose, _LONGEST_WRITING_S)

    @abstractmethod
    def write(self) -> None:
        """Write what runs need, unless it is there; for who holds the folder."""

    @abstractmethod
    def runs(self) -> list[TargetRun]:
        """Return the runs that are known, in order."""

    @abstractmethod
    def expected_seconds(self) -> Callable[[TargetRun], float | None]:
        """Return a function from a run to the seconds it will take; None: nobody knows."""

    @abstractmethod
    def look_again(self) -> bool:
        """Look for runs that only now are known; say whether there are any."""

    @abstractmethod
    def collect(self) -> None:
        """Write the table of results."""

    @abstractmethod
    def reference(self) -> dict[str, Any]:
        """Return what :func:`load_target` needs."""

    def waiting(self) -> Mapping[str, str]:
        """Return {sweep: why its runs are not known yet}."""
        return {}

    def before_it(self) -> str:
        """Return what to do first where weights of another study are lacking."""
        return ""

    @abstractmethod
    def command(self, name: str) -> str:
        """Return the command line that does something with this target, for messages."""


class StudyTarget(Target):
    """A study.

    Args:
        study: the study.
        overrides: LAUNCH keys and values that differ from the study file's.
    """

    kind = "study"

    def __init__(self, study: Study, overrides: tuple[str, ...] = ()) -> None:
        self.study = study
        self.folder = study.folder
        self.title = study.spec.name
        self._overrides = overrides
        self.options = override(study.spec.launch, overrides)

    def check(self) -> None:
        """Check population, data sets and configuration keys."""
        self.study.check()

    def prepare(self) -> Iterator[str]:
        """Prepare the study's data sets."""
        return self.study.data.prepare()

    def write(self) -> None:
        """Write population, configurations and the study's own files."""
        write_study(self.study)

    def runs(self) -> list[TargetRun]:
        """Return the runs whose sweeps are known."""
        return [self._describe(run) for run in self.study.runs]

    def _describe(self, run: Run) -> TargetRun:
        study = self.study
        return TargetRun(
            run.id, run.sweep, study.cfg_path(run), study.out_dir(run),
            study.weights_path(run), study.source_dir(run),
        )  # fmt: skip

    def expected_seconds(self) -> Callable[[TargetRun], float | None]:
        """Return a function by images and by the speed that is measured or given."""
        study = self.study
        speed_of = speed_finder(study)
        datasets = {run.sweep: study.spec.datasets[run.dataset] for run in study.runs}
        seconds = {
            sweep: run_seconds(study, dataset, speed_of(dataset))
            for sweep, dataset in datasets.items()
        }
        return lambda run: seconds[run.group]

    def look_again(self) -> bool:
        """Look whether sweeps chosen by errors are known now."""
        return self.study.look_again()

    def waiting(self) -> Mapping[str, str]:
        """Return why sweeps that are chosen by errors are not known yet."""
        return self.study.waiting

    def collect(self) -> None:
        """Write results.csv and what goes with it."""
        from pycls.results.collect_study import collect

        collect(self.study)

    def reference(self) -> dict[str, Any]:
        """Return the study file and the folders."""
        base = self.study.base
        return {
            "kind": self.kind,
            "file": str(self.study.spec.path.resolve()),
            "folder": str(self.folder.resolve()),
            "data_dir": str(self.study.data.data_dir.resolve()),
            "base": str(base.folder.resolve()) if base else None,
            "overrides": list(self._overrides),
        }

    def before_it(self) -> str:
        """Return that the base study comes first."""
        base = self.study.base
        file = f"{self.study.spec.path.parent}/{base.spec.path.name}" if base else ""
        return (
            f"finish the base study first ('tools/study.py run {file}'), or say with --base where "
            "it is"
        )

    def command(self, name: str) -> str:
        """Return the command line for this study."""
        words = ["tools/study.py", name, str(self.study.spec.path)]
        if self.folder != Path("studies") / self.study.spec.name:
            words += ["--out", str(self.folder)]
        return shlex.join(words)


class SweepTarget(Target):
    """A sweep of pycls's form, set up with tools/sweep_setup.py.

    Args:
        sweep: its settings.
    """

    kind = "sweep"

    def __init__(self, sweep: SweepCfg) -> None:
        self.sweep = sweep
        self.folder = sweep.folder
        self.title = sweep.name
        self.options = read_options(sweep.values["LAUNCH"], sweep.where)
        self._files = SweepFolder(self.folder)

    def check(self) -> None:
        """Refuse a sweep that is not set up: drawing thousands of networks is another step.

        Raises:
            ConfigError: there are no configurations.
        """
        if not self._files.runs():
            raise ConfigError(
                f"{self.folder}: this sweep is not set up; do that first: "
                f"'tools/sweep_setup.py --sweep-cfg {self.sweep.path}'"
            )

    def write(self) -> None:
        """Do nothing: the configurations are there."""

    def runs(self) -> list[TargetRun]:
        """Return one run a configuration."""
        return [
            TargetRun(run_name(i), self.title, self.folder / cfg_name(i), self._files.out_dir(i))
            for i in self._files.runs()
        ]

    def expected_seconds(self) -> Callable[[TargetRun], float | None]:
        """Return a function by what the sweep's finished runs took."""
        records = [read_record(self._files.out_dir(i)) or {} for i in self._files.runs()]
        took = [_seconds_of(record) for record in records if record.get("status") == "done"]
        known = [seconds for seconds in took if seconds]
        mean = sum(known) / len(known) if known else None
        return lambda run: mean

    def look_again(self) -> bool:
        """Return False: all runs of a sweep are known from the start."""
        return False

    def collect(self) -> None:
        """Write sweep.json, results.csv and curves.csv."""
        collect_sweep(self.folder)

    def reference(self) -> dict[str, Any]:
        """Return the sweep file and what was given beside it."""
        return {
            "kind": self.kind,
            "file": str(self.sweep.path.resolve()),
            "root_dir": str(Path(self.sweep.values["ROOT_DIR"]).resolve()),
            "overrides": list(self.sweep.given),
        }

    def command(self, name: str) -> str:
        """Return the command line for this sweep."""
        words = ["tools/sweep_launch.py", name, "--sweep-cfg", str(self.sweep.path)]
        if self.sweep.root_dir is not None:
            words += ["--root-dir", self.sweep.root_dir]
        return shlex.join(words)


def _seconds_of(record: Mapping[str, Any]) -> float:
    """Return what a run took in all of its starts; "seconds" is what the last one took."""
    return sum(seconds_of_epochs(record)) or float(record.get("seconds", 0.0))


def load_target(path: str | os.PathLike[str]) -> Target:
    """Return what a file of :meth:`Target.reference` speaks of.

    Raises:
        PyclsError: the file, or the study or sweep file that it names, cannot be used.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PyclsError(f"{path}: nothing was launched here") from None
    if found["kind"] == "study":
        spec = load_study_file(found["file"])
        study = Study(spec, found["folder"], found["data_dir"], found["base"])
        return StudyTarget(study, tuple(found["overrides"]))
    return SweepTarget(load_sweep_cfg(found["file"], found["overrides"], found["root_dir"]))
