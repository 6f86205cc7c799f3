"""The description of a study beside its results: what was compared with what."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError

ROLES = ("main", "repeats")
_REQUIRED = ("name", "title", "reference", "family", "targets", "sweeps", "datasets")


@dataclass(frozen=True)
class Study:
    """What `study.json` says, checked.

    Attributes:
        name: short name, fit for a file name.
        title: name for people.
        description: what the study asks, in a paragraph; may be empty.
        reference: key of the data set the targets are compared with.
        family: keys of the class-subset members beside the reference.
        targets: keys of the data sets to be predicted.
        sweeps: sweep -> {"dataset", "regime", "role", "runs"}.
        datasets: key -> {"title", "num_classes", "error_metric", ...}.
        regimes: name -> training recipe.
        population: how the architectures were drawn.
        versions: of Python and of the libraries.
        commit: of the code, or None where it is unknown.
    """

    name: str
    title: str
    description: str
    reference: str
    family: tuple[str, ...]
    targets: tuple[str, ...]
    sweeps: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, Mapping[str, Any]]
    regimes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    population: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None

    def dataset_keys(self) -> list[str]:
        """Keys of all data sets: reference, family, targets, then any others."""
        keys = [self.reference, *self.family, *self.targets, *self.datasets]
        return list(dict.fromkeys(keys))

    def dataset_title(self, key: str) -> str:
        """Return the name of a data set for people."""
        return str(self.datasets[key].get("title") or key)

    def metric(self, key: str) -> str:
        """Return the error metric of a data set as written in labels, such as "top-1"."""
        return str(self.datasets[key]["error_metric"]).replace("top", "top-")

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
        """Return the names of the sweeps of one role ("main" or "repeats")."""
        return [name for name, sweep in self.sweeps.items() if sweep["role"] == role]


def load_study(folder: str | os.PathLike[str]) -> Study:
    """Read `study.json` of a study's folder.

    Raises:
        ConfigError: the file is missing or damaged, lacks an entry, or names a data set
            that it does not describe.
    """
    path = Path(folder) / "study.json"
    record = _read_json_object(path)
    for key in _REQUIRED:
        if key not in record:
            raise ConfigError(f"{path}: entry '{key}' is missing; write the study's files again")
    study = Study(
        name=str(record["name"]),
        title=str(record["title"] or record["name"]),
        description=str(record.get("description") or ""),
        reference=str(record["reference"]),
        family=tuple(record["family"] or ()),
        targets=tuple(record["targets"] or ()),
        sweeps=record["sweeps"],
        datasets=record["datasets"],
        regimes=record.get("regimes") or {},
        population=record.get("population") or {},
        versions=record.get("versions") or {},
        commit=record.get("commit") or None,
    )
    _check_datasets(study, path)
    _check_sweeps(study, path)
    return study


def load_status(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Read why runs failed from `status.json` of a study's folder.

    Returns:
        One {"run", "reason", "log_tail"} per failed run; empty where the file is absent
        (a table from elsewhere has none).

    Raises:
        ConfigError: the file is damaged.
    """
    path = Path(folder) / "status.json"
    if not path.exists():
        return []
    failed = _read_json_object(path).get("failed") or []
    if not isinstance(failed, list) or not all(isinstance(entry, dict) for entry in failed):
        raise ConfigError(f"{path}: entry 'failed' must be a list of objects")
    fields = ("run", "reason", "log_tail")
    return [{name: _as_text(entry.get(name)) for name in fields} for entry in failed]


def load_trained_with(folder: str | os.PathLike[str]) -> list[str]:
    """Read from `status.json` by which code, and on what, the finished runs were trained.

    Returns:
        A text for each code and device; empty where nothing was recorded.
    """
    path = Path(folder) / "status.json"
    entries = _read_json_object(path).get("trained_with") if path.exists() else None
    return [str(entry) for entry in entries] if isinstance(entries, list) else []


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
    for role, keys in (
        ("reference", (study.reference,)),
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
        for name in ("num_classes", "error_metric"):
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
