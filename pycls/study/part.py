"""The part of a study that is carried out in one place, where it is carried out in several."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pycls import files
from pycls.errors import ConfigError, PyclsError
from pycls.study.runs import Run
from pycls.study.spec import StudySpec
from pycls.yaml_sections import near_miss

WHOLE = "all"
_PART_JSON = "part.json"
_SHARE = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Part:
    """Some runs of a study: those of every so many architectures, or those on some data sets.

    Runs that start from the weights of others are of the same architecture as they, so the first
    kind keeps them together; a study that grows moves no run from one part to another.

    Attributes:
        number: of a share, which it is, from 1.
        of: of a share, how many there are; 0: it is one of data sets.
        datasets: the study's keys of its data sets, in their order there.
    """

    number: int = 1
    of: int = 0
    datasets: Sequence[str] = ()

    @property
    def text(self) -> str:
        """Return it as it is asked for."""
        return f"{self.number}/{self.of}" if self.of else ",".join(self.datasets)

    def has(self, run: Run, place: int) -> bool:
        """Say whether a run is one of it; `place` is that of its network among all."""
        if not self.of:
            return run.dataset in self.datasets
        # Repeats are of few architectures, and no other run starts from their weights.
        seed = run.index if run.role == "repeats" else 0
        return (place + seed) % self.of == self.number - 1


def parse_part(text: str, spec: StudySpec) -> Part:
    """Return the part of a study that a text names: "1/3", or data sets such as "cifar10,mine".

    Raises:
        ConfigError: it is neither, a data set is unknown, or sweeps that build on each other would
            be carried out apart.
    """
    if share := _SHARE.fullmatch(text.strip()):
        number, of = map(int, share.groups())
        if not 1 <= number <= of:
            raise ConfigError(f"--part {text}: expected I/N with I from 1 to N, such as 1/3")
        return Part(number, of)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in spec.datasets:
            known = list(spec.datasets)
            raise ConfigError(
                f"--part {text}: '{name}' is no data set of {spec.path}; {near_miss(name, known)}"
                f"expected I/N, such as 1/3, or some of {', '.join(known)}, separated by commas"
            )
    if not names:
        raise ConfigError("--part is empty; expected I/N, such as 1/3, or names of data sets")
    part = Part(datasets=tuple(key for key in spec.datasets if key in names))
    _refuse_apart(part, spec)
    return part


def _refuse_apart(part: Part, spec: StudySpec) -> None:
    """Refuse a part without a sweep that one of it builds on, or that builds on one of it."""
    for dataset in spec.datasets.values():
        by = dataset.selection.by if dataset.selection else ""
        for source, what in (
            (dataset.weights_from, "start from the weights"),
            (by, "are chosen by the errors"),
        ):
            apart = (dataset.key in part.datasets) != (source in part.datasets)
            if source in spec.datasets and apart:
                raise ConfigError(
                    f"--part {part.text}: the runs of {dataset.key} {what} of those of {source}, "
                    "so both are carried out in one place; name both, or neither"
                )


def find_part(folder: Path, spec: StudySpec, asked: str = "") -> Part | None:
    """Return the part that a study's folder is for; None: the whole study.

    Args:
        folder: the study's folder, which remembers its part.
        spec: the study.
        asked: the part, "all" for the whole study; "": the one that the folder remembers.

    Raises:
        ConfigError: another part is asked for than the folder holds; see :func:`parse_part`, too.
        PyclsError: what the folder remembers is damaged.
    """
    path = folder / _PART_JSON
    try:
        stored = str(json.loads(path.read_text(encoding="utf-8"))["part"])
    except FileNotFoundError:
        stored = ""
    except (ValueError, TypeError, KeyError):
        raise PyclsError(
            f"{path}: is damaged; remove it, and say with --part which part of the study is "
            "carried out there"
        ) from None
    if asked == WHOLE or not (asked or stored):
        return None
    part = parse_part(asked or stored, spec)
    if stored and part.text != stored:
        raise ConfigError(
            f"{folder}: is for the part {stored} of the study {spec.name}, not {part.text}; choose "
            f"another folder with --out, or remove {path} first (--part {WHOLE}: the whole study)"
        )
    return part


def write_part(folder: Path, part: Part | None) -> None:
    """Let a folder remember its part."""
    path = folder / _PART_JSON
    if part is None:
        path.unlink(missing_ok=True)
    else:
        files.write_text_if_changed(path, json.dumps({"part": part.text}) + "\n")
