"""The reader of study.json, the description of a study beside its results, and its status.json."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError
from pycls.schema import (
    CONTROLS,
    DATASET_ENTRIES,
    FAILURE_ENTRIES,
    RESULTS_CSV,
    ROLES,
    STATUS_JSON,
    STUDY_ENTRIES,
    STUDY_JSON,
)


@dataclass(frozen=True)
class Base:
    """The study that a study of control experiments stands beside.

    Attributes:
        name: its short name.
        folder: its folder, which need not exist; None where it is unknown.
        study: its description, or None where nobody has it. May have a base in its turn.
    """

    name: str
    folder: Path | None = None
    study: "Study | None" = None

    def has_results(self) -> bool:
        """Say whether its results are where they are expected."""
        return self.folder is not None and (self.folder / RESULTS_CSV).is_file()


@dataclass(frozen=True)
class Study:
    """A study as `study.json` describes it, checked.

    Attributes:
        name: short name, fit for a file name.
        title: name for people.
        description: what the study asks, in a paragraph; may be empty.
        reference: key of the data set the targets are compared with; None in a study that
            ranks nothing (control experiments, design spaces).
        family: keys of the class-subset members beside the reference.
        targets: keys of the data sets to be predicted.
        sweeps: sweep -> {"dataset", "regime", "role", "runs"}, and of a control experiment
            "control", one of `CONTROLS`, and "of", the sweep or data set it is compared with.
        datasets: key -> {"title", "num_classes", "error_metric", ...}.
        regimes: name -> training recipe.
        population: how the architectures were drawn; its "spaces" are design space ->
            architectures where several are compared.
        versions: of Python and of the libraries.
        commit: of the code, or None where it is unknown.
        base: the study whose results the control experiments are compared with, or None.
        uses: sweeps of the base that it looks at without runs of its own; empty: all.
    """

    name: str
    title: str
    description: str
    reference: str | None
    family: tuple[str, ...]
    targets: tuple[str, ...]
    sweeps: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    regimes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    population: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    base: Base | None = None
    uses: tuple[str, ...] = ()

    def dataset_keys(self) -> list[str]:
        """Keys of the population's data sets: reference, family, targets, then any others.

        Those that only control experiments and repeats use are not among them.
        """
        named = [*([self.reference] if self.reference else []), *self.family, *self.targets]
        main = self._keys_of("main")
        apart = self._keys_of("control") - main
        others = [key for key in self.datasets if main and key not in apart]
        return list(dict.fromkeys([*named, *others]))

    def require_reference(self) -> str:
        """Return the reference's key.

        Raises:
            ConfigError: the study names none.
        """
        if self.reference is None:
            raise ConfigError(f"the study {self.name} names no reference to compare data sets with")
        return self.reference

    def dataset_title(self, key: str) -> str:
        """Return the name of a data set for people."""
        return str(self.datasets[key].get("title") or key)

    def metric(self, key: str) -> str:
        """Return the error metric of a data set as written in labels, such as "top-1"."""
        return str(self.datasets[key]["error_metric"]).replace("top", "top-")

    def metric_column(self, key: str) -> str:
        """Return the error metric of a data set as columns name it, "top1" or "topk"."""
        return "top1" if self.datasets[key]["error_metric"] == "top1" else "topk"

    def error_label(self, key: str) -> str:
        """Return an axis label with unit, such as "test error on Digits (top-1, %)"."""
        return f"test error on {self.dataset_title(key)} ({self.metric(key)}, %)"

    def num_classes(self, key: str) -> int:
        """Return the number of classes of a data set."""
        return int(self.datasets[key]["num_classes"])

    def members(self) -> dict[str, int]:
        """Return the family members and their class counts, without the reference."""
        return {key: self.num_classes(key) for key in self.family if key != self.reference}

    def sweeps_of_role(self, role: str) -> list[str]:
        """Return the names of the sweeps of one role ("main", "repeats" or "control")."""
        return [name for name, sweep in self.sweeps.items() if sweep["role"] == role]

    def control_sweeps(self, *kinds: str) -> list[str]:
        """Return the names of the control experiments of these kinds; of all without any."""
        names = self.sweeps_of_role("control")
        return [name for name in names if self.sweeps[name]["control"] in (kinds or CONTROLS)]

    def bases(self) -> list[Base]:
        """Return its base, the base of that, and so on."""
        if self.base is None:
            return []
        return [self.base, *(self.base.study.bases() if self.base.study else [])]

    def has_controls(self) -> bool:
        """Say whether control experiments belong to the study, its own or on its base."""
        return self.base is not None or bool(self.control_sweeps())

    def spaces(self) -> dict[str, list[str]]:
        """Return the architectures of each design space; empty where only one was drawn."""
        return dict(self.population.get("spaces") or {})

    def _keys_of(self, role: str) -> set[str]:
        return {self.sweeps[name]["dataset"] for name in self.sweeps_of_role(role)}


def load_study(folder: str | os.PathLike[str]) -> Study:
    """Read `study.json` of a study's folder.

    Raises:
        ConfigError: the file is missing or damaged, lacks an entry, or names a data set
            that it does not describe.
    """
    path = Path(folder) / STUDY_JSON
    return _parse_study(_read_json_object(path), path, ())


def _parse_study(record: Mapping[str, Any], path: Path, above: tuple[Path, ...]) -> Study:
    """Check a description read from `path`; `above` are those it is the base of."""
    for key in STUDY_ENTRIES:
        if key not in record:
            raise ConfigError(f"{path}: entry '{key}' is missing; write the study's files again")
    study = Study(
        name=str(record["name"]),
        title=str(record["title"] or record["name"]),
        description=str(record.get("description") or ""),
        reference=str(record["reference"]) if record["reference"] else None,
        family=tuple(record["family"] or ()),
        targets=tuple(record["targets"] or ()),
        sweeps=record["sweeps"],
        datasets=record["datasets"],
        regimes=record.get("regimes") or {},
        population=record.get("population") or {},
        versions=record.get("versions") or {},
        commit=record.get("commit") or None,
        base=_parse_base(record.get("base"), path, above),
        uses=tuple(record.get("uses") or ()),
    )
    _check_datasets(study, path)
    _check_sweeps(study, path)
    _check_spaces(study, path)
    return study


def _parse_base(record: Any, path: Path, above: tuple[Path, ...]) -> Base | None:
    """Read the base: from its own folder where that exists, else as it was described here."""
    if not record:
        return None
    if not isinstance(record, dict) or "name" not in record:
        raise ConfigError(f"{path}: entry 'base' must be an object with 'name' and 'folder'")
    name, described = str(record["name"]), record.get("study")
    folder, above = _find_base(name, record.get("folder"), path.parent), (*above, path.resolve())
    if folder is not None and (folder / STUDY_JSON).is_file():
        path = folder / STUDY_JSON
        if path.resolve() in above:
            raise ConfigError(f"{path}: the study is its own base; set it up again")
        described = _read_json_object(path)
    study = _parse_study(described, path, above) if isinstance(described, dict) else None
    return Base(name, folder, study)


def _find_base(name: str, folder: Any, beside: Path) -> Path | None:
    """Return a base's folder: where it was said to be, else next to the study's by its name.

    Folders of studies are moved together, and a relative path may be meant from where the
    study was set up.
    """
    said = [beside / str(folder), Path(str(folder))] if folder else []
    places = [*said, beside.parent / name]
    found = (place for place in places if (place / STUDY_JSON).is_file())
    return next(found, said[0] if said else None)


def load_status(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Read why runs failed from `status.json` of a study's folder.

    Returns:
        One {"run", "reason", "log_tail"} per failed run; empty where the file is absent
        (a table from elsewhere has none).

    Raises:
        ConfigError: the file is damaged.
    """
    path = Path(folder) / STATUS_JSON
    if not path.exists():
        return []
    failed = _read_json_object(path).get("failed") or []
    if not isinstance(failed, list) or not all(isinstance(entry, dict) for entry in failed):
        raise ConfigError(f"{path}: entry 'failed' must be a list of objects")
    return [{name: _as_text(entry.get(name)) for name in FAILURE_ENTRIES} for entry in failed]


def load_trained_with(folder: str | os.PathLike[str]) -> list[str]:
    """Read from `status.json` by which code, and on what, the finished runs were trained.

    Returns:
        A text for each code and device; empty where nothing was recorded.
    """
    path = Path(folder) / STATUS_JSON
    entries = _read_json_object(path).get("trained_with") if path.exists() else None
    return [str(entry) for entry in entries] if isinstance(entries, list) else []


def load_devices(folder: str | os.PathLike[str]) -> dict[str, dict[str, int]]:
    """Read from `status.json` {sweep: {device: finished runs}}; empty where it is not recorded."""
    path = Path(folder) / STATUS_JSON
    found = _read_json_object(path).get("devices") if path.exists() else None
    if not isinstance(found, dict):
        return {}
    return {str(s): dict(devices) for s, devices in found.items() if isinstance(devices, dict)}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(str(line) for line in value)
    return "" if value is None else str(value)


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected the folder of a study") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: expected a JSON object, found a {type(record).__name__}")
    return record


def _check_datasets(study: Study, path: Path) -> None:
    if study.targets and study.reference is None:
        raise ConfigError(
            f"{path}: a study with targets ({', '.join(study.targets)}) needs a reference to "
            "compare them with; name one, or no targets"
        )
    for role, keys in (
        ("reference", (study.reference,) if study.reference else ()),
        ("family", study.family),
        ("targets", study.targets),
    ):
        for key in keys:
            if key not in study.datasets:
                known = ", ".join(study.datasets) or "none"
                raise ConfigError(
                    f"{path}: {role} names the data set '{key}', which is not among 'datasets' "
                    f"({known})"
                )
    for key, entry in study.datasets.items():
        for name in DATASET_ENTRIES:
            if not isinstance(entry, dict) or name not in entry:
                raise ConfigError(f"{path}: data set '{key}' has no entry '{name}'")


def _check_sweeps(study: Study, path: Path) -> None:
    for name, sweep in study.sweeps.items():
        if not isinstance(sweep, dict) or sweep.get("role") not in ROLES:
            raise ConfigError(f"{path}: sweep '{name}' needs a role, one of {', '.join(ROLES)}")
        if sweep.get("dataset") not in study.datasets:
            raise ConfigError(
                f"{path}: sweep '{name}' is on the data set '{sweep.get('dataset')}', which is "
                "not among 'datasets'"
            )
        if sweep["role"] == "control" and sweep.get("control") not in CONTROLS:
            raise ConfigError(
                f"{path}: sweep '{name}' of role control needs 'control', one of "
                f"{', '.join(CONTROLS)}, found {sweep.get('control')!r}"
            )


def _check_spaces(study: Study, path: Path) -> None:
    spaces = study.population.get("spaces") or {}
    if not isinstance(spaces, dict) or not all(isinstance(v, list) for v in spaces.values()):
        raise ConfigError(f"{path}: population.spaces must give each space a list of architectures")
    owner: dict[str, str] = {}
    for space, archs in spaces.items():
        for arch in archs:
            if owner.setdefault(arch, space) != space:
                raise ConfigError(
                    f"{path}: architecture {arch} is in two spaces, {owner[arch]} and {space}"
                )
