"""The work that a launch carries out: the runs of a study, or of a sweep of pycls's form."""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pycls.command_names import command_name
from pycls.core.runs.record import read_outline, trained_seconds
from pycls.errors import ConfigError, DataError, PyclsError
from pycls.files import exclusive_lock
from pycls.launch.preflight import find_missing_inputs
from pycls.registry import import_object
from pycls.results.collect_study import collect
from pycls.results.collect_sweep import collect_sweep
from pycls.schema import ANALYSIS_HTML
from pycls.slurm.options import LaunchOptions, override, read_options
from pycls.study.file import load_study_file
from pycls.study.plan import run_seconds, speed_finder
from pycls.study.study import StudyFolder, usual_folder
from pycls.study.write import write_study
from pycls.sweep.file import SweepCfg, load_sweep_cfg
from pycls.sweep.folder import SweepFolder, run_name

# Another process writes a study's files for no longer than this, in seconds.
_LONGEST_WRITING_S = 10.0


@dataclass(frozen=True)
class WorkRun:
    """One run of the work.

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

    def planned(self) -> dict[str, str]:
        """Return what the plan of an array holds of it."""
        folders = {"cfg": str(self.cfg.resolve()), "out_dir": str(self.out_dir.resolve())}
        return {"id": self.id, "group": self.group, **folders}


@dataclass(frozen=True)
class Work:
    """A study or a sweep, with the options to launch it with.

    Attributes:
        kind: "study", "sweep" or "choice".
        folder: where it is carried out.
        title: its name.
        options: how it is launched.
        reference: what :func:`load_work` needs to find it again.
        words: its command line, in which "{}" stands for the command.
        here: the command, and keys behind it, that goes on with it on this machine.
        report: the tool that makes the page of its results, and what it is given.
        page: that page.
        check: checks all that can be checked before anything is prepared or written.
        missing: returns what its user has to provide before any of it can be launched (data,
            weights), a sentence each.
        write: writes what runs need, unless it is there; for the process that holds the folder.
        runs: returns the runs that are known, in order.
        expected_seconds: returns a function from a run to the seconds that it will take; None
            where nothing is known of it.
        basis_of_times: returns in words what expected times go by; "": what finished runs took.
        collect: writes the table of results.
        prepare: prepares data sets, where that can be done here, and yields what it does.
        look_again: looks for runs that only now are known; says whether there are any.
        waiting: returns {sweep: why its runs are not known yet}.
        before_it: what to do first where weights of another study are missing.
        files: all files that say what the work is, that of the study or sweep first.
    """

    kind: str
    folder: Path
    title: str
    options: LaunchOptions
    reference: Mapping[str, Any]
    words: Sequence[str]
    here: Sequence[str]
    report: Sequence[str]
    page: Path
    check: Callable[[], None]
    write: Callable[[], object]
    runs: Callable[[], list[WorkRun]]
    expected_seconds: Callable[[], Callable[[WorkRun], float | None]]
    collect: Callable[[], object]
    missing: Callable[[], list[str]] = list
    prepare: Callable[[], Iterable[str]] = tuple
    look_again: Callable[[], bool] = bool
    waiting: Callable[[], Mapping[str, str]] = dict
    before_it: str = ""
    files: Sequence[Path] = ()
    basis_of_times: Callable[[], str] = str

    def hold(self) -> AbstractContextManager[int]:
        """Hold the folder, to write what runs need or to train there.

        Raises:
            PyclsError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        purpose = f"running the {self.kind} in {self.folder}"
        return exclusive_lock(self.folder / ".lock", purpose, _LONGEST_WRITING_S)

    def require_inputs(self) -> None:
        """Refuse to begin where something is missing that its user has to provide.

        Raises:
            DataError: names all of it.
            ConfigError: a run could never begin.
        """
        missing = self.missing()
        if missing:
            raise DataError(f"{self.title}: nothing was begun: {'; '.join(missing)}")

    def command(self, name: str) -> str:
        """Return the command line that does something with this work, for messages."""
        return shlex.join(name if word == "{}" else word for word in self.words)

    @property
    def here_command(self) -> str:
        """The command line that goes on with it on this machine, for messages."""
        name, *keys = self.here
        return shlex.join([*(name if word == "{}" else word for word in self.words), *keys])

    @property
    def report_command(self) -> str:
        """The command line that makes the page of its results, for messages."""
        tool, *words = self.report
        return shlex.join([command_name(tool), *words])


def study_work(
    study: StudyFolder, overrides: Sequence[str] = (), named: Path | None = None
) -> Work:
    """Return the work of a study.

    Args:
        study: the study.
        overrides: LAUNCH keys and values over its file's.
        named: the file that its user knows, where the study's own is a copy of it.
    """
    path, base, part = named or study.spec.path, study.base, study.part
    words = [command_name("study"), "{}", str(path)]
    usual = usual_folder(path, study.spec.name)
    if study.folder.absolute() != usual.absolute():
        words += ["--out", str(study.folder)]
    base_file = f"{path.parent}/{base.spec.path.name}" if base else ""
    return Work(
        kind="study",
        folder=study.folder,
        title=f"{study.spec.name}, part {part.text}" if part else study.spec.name,
        options=override(study.spec.launch, overrides),
        reference={
            "kind": "study",
            "file": str(path.resolve()),
            "folder": str(study.folder.resolve()),
            "data_dir": str(study.data.data_dir.resolve()),
            "base": str(base.folder.resolve()) if base else None,
            "overrides": list(overrides),
            **({"copy": str(study.spec.path)} if named else {}),
        },
        words=words,
        here=["run"],
        report=["study", "report", str(study.spec.path), *words[3:], *_elsewhere(study)],
        page=study.folder / "report" / "index.html",
        check=study.check,
        write=partial(write_study, study),
        runs=partial(_study_runs, study),
        expected_seconds=partial(_study_seconds, study),
        collect=partial(collect, study),
        missing=study.find_missing,
        prepare=partial(study.data.prepare, study.datasets),
        look_again=study.look_again,
        waiting=lambda: study.waiting,
        before_it="finish the base study first ('tools/study.py run "
        f"{shlex.quote(base_file)}'), or say with --base where it is",
        files=study.spec.files,
        basis_of_times=partial(_basis_of_times, study),
    )


def _elsewhere(study: StudyFolder) -> list[str]:
    """Return the options that say where a study's data and base are, if not at the usual place."""
    data_dir, base = study.data.data_dir, study.base
    words = ["--data-dir", str(data_dir)] if data_dir != study.data.usual_dir else []
    if base is not None and base.folder != study.folder.parent / base.spec.name:
        words += ["--base", str(base.folder)]
    return words


def _study_runs(study: StudyFolder) -> list[WorkRun]:
    sweeps = {run.sweep for run in study.runs}
    cfgs = {sweep: study.cfgs_dir(sweep) for sweep in sweeps}
    logs = {sweep: study.sweep_out_dir(sweep, 0).parent for sweep in sweeps}
    return [
        WorkRun(
            run.id, run.sweep, cfgs[run.sweep] / f"{run.name}.yaml", logs[run.sweep] / run.name,
            study.weights_path(run), study.source_dir(run),
        )
        for run in study.runs
    ]  # fmt: skip


def _study_seconds(study: StudyFolder) -> Callable[[WorkRun], float | None]:
    """Return the expected seconds by images and by the speed that is measured or given."""
    speed_of = speed_finder(study)
    datasets = {run.sweep: study.spec.datasets[run.dataset] for run in study.runs}
    seconds = {
        sweep: run_seconds(study, dataset, speed_of(dataset)) for sweep, dataset in datasets.items()
    }
    return lambda run: seconds[run.group]


def sweep_work(sweep: SweepCfg, named: Path | None = None) -> Work:
    """Return the work of a sweep of pycls's form, set up with tools/sweep_setup.py.

    `named` is the file that its user knows, where the sweep's own is a copy of it.
    """
    files = SweepFolder(sweep.folder)
    path = named or sweep.path

    def check() -> None:
        # Drawing thousands of networks is a step of its own.
        if not files.runs():
            raise ConfigError(
                f"{sweep.folder}: this sweep is not set up; do that first: "
                f"'tools/sweep_setup.py --sweep-cfg {shlex.quote(str(path))}'"
            )

    options = read_options(sweep.values["LAUNCH"], sweep.where)

    def missing() -> list[str]:
        return find_missing_inputs(map(files.cfg, files.runs()), options.run_overrides)

    words = [command_name("sweep_launch"), "{}", "--sweep-cfg", str(path)]
    if sweep.root_dir is not None:
        words += ["--root-dir", sweep.root_dir]
    return Work(
        kind="sweep",
        folder=sweep.folder,
        title=sweep.name,
        options=options,
        reference={
            "kind": "sweep",
            "file": str(path.resolve()),
            "root_dir": str(Path(sweep.values["ROOT_DIR"]).resolve()),
            "overrides": list(sweep.given),
            **({"copy": str(sweep.path)} if named else {}),
        },
        words=words,
        here=["launch", "LAUNCH.MODE", "local"],
        report=[
            "sweep_analyze",
            "--sweep-cfg",
            str(sweep.path),
            *words[4:],
            *_keys_of("ANALYZE.", sweep.given),
        ],
        page=sweep.folder / ANALYSIS_HTML,
        check=check,
        write=lambda: None,  # the configurations are there
        runs=lambda: [
            WorkRun(run_name(i), sweep.name, files.cfg(i), files.out_dir(i)) for i in files.runs()
        ],
        expected_seconds=partial(_sweep_seconds, files),
        collect=partial(collect_sweep, sweep.folder),
        missing=missing,
        files=[sweep.path],
    )


def _keys_of(section: str, given: Sequence[Any]) -> list[str]:
    """Return those KEY VALUE words of a command line that are of a section."""
    pairs = zip(given[::2], given[1::2], strict=True)
    return [str(word) for pair in pairs if str(pair[0]).startswith(section) for word in pair]


def _sweep_seconds(files: SweepFolder) -> Callable[[WorkRun], float | None]:
    """Return the expected seconds by what the sweep's finished runs took."""
    records = [read_outline(files.out_dir(i)) or {} for i in files.runs()]
    # Those of all starts; "seconds" is what the last one took.
    took = [
        trained_seconds(record) or float(record.get("seconds", 0.0))
        for record in records
        if record.get("status") == "done"
    ]
    known = [seconds for seconds in took if seconds]
    mean = sum(known) / len(known) if known else None
    return lambda run: mean


def _basis_of_times(study: StudyFolder) -> str:
    speed_of = speed_finder(study)
    bases = dict.fromkeys(speed_of(dataset) for dataset in study.spec.datasets.values())
    return "; ".join(
        basis.source
        if basis.source.endswith("finished runs")
        else f"a guess, not of this device: {basis.images_per_second:,.0f} images/s, {basis.source}"
        for basis in bases
    )


def load_work(path: str | os.PathLike[str], words: Sequence[str] = ()) -> Work:
    """Return the work that a file with a :attr:`Work.reference` names, as it was launched.

    Args:
        path: the file.
        words: LAUNCH keys and values over those that it was launched with.

    Raises:
        PyclsError: the file, or the study or sweep file that it names, cannot be used.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PyclsError(f"{path}: nothing was launched here") from None
    except ValueError:
        raise PyclsError(f"{path}: is damaged; 'launch' writes it anew") from None
    if "loader" in found:  # a kind of work that is built upon launching
        loaded: Work = import_object(found["loader"])(found, words)
        return loaded
    named = Path(found["file"]) if "copy" in found else None
    file, overrides = found.get("copy", found["file"]), [*found["overrides"], *words]
    if found["kind"] == "study":
        spec = load_study_file(file)
        study = StudyFolder(spec, found["folder"], found["data_dir"], found["base"])
        return study_work(study, overrides, named)
    return sweep_work(load_sweep_cfg(file, overrides, found["root_dir"]), named)
