"""The merge of a study that was carried out in several places: its finished runs, in one folder."""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pycls import files
from pycls.core.config.load import computing_keys, parse_cfg
from pycls.core.runs.anew import SUFFIX_BEFORE
from pycls.core.runs.packed import unpack
from pycls.core.runs.record import read_record
from pycls.errors import ConfigError, PyclsError
from pycls.progress import count
from pycls.results.collect_study import collect, describe_code
from pycls.results.run_states import RunState, find_state
from pycls.schema import SCORE_KEYS, SCORE_REASONS, SCORES, SCORES_CSV, STUDY_JSON
from pycls.strict_yaml import load_yaml
from pycls.study.part import find_part
from pycls.study.runs import Run
from pycls.study.study import StudyFolder
from pycls.study.write import ConfigWriter, data_fingerprints, write_study

# What of a study file may differ from place to place. Populations are compared by themselves.
_OF_THE_PLACE = (
    "launch", "max_retry", "images_per_second", "title", "description", "base", "population",
)  # fmt: skip
# Where the first weights lie differs; which they are, the study file says.
_WEIGHTS = "TRAIN.WEIGHTS"
_PATHS = {"OUT_DIR", "DIR", "WEIGHTS"}
# Of a run's record; the rest of many would fill the memory.
_READ = ("status", "reason", "started", "data", "environment", "log_bytes")
# Runs that are copied, flushed to disk and then seen, together.
_AT_ONCE = 50


def require_parts(study: StudyFolder, places: Sequence[Path]) -> None:
    """Refuse folders that cannot be merged into a study's, by all but their runs.

    Raises:
        ConfigError: one holds another study or population, or the study's own is that of a part.
        PyclsError: one holds no study, or cannot be read.
    """
    into = study.folder
    part = find_part(into, study.spec)
    if part is not None or into.resolve() in [place.resolve() for place in places]:
        raise ConfigError(
            f"{into}: holds {f'the part {part.text}' if part else 'one of the parts'}; name "
            "another folder with --out, in which all are joined"
        )
    own = load_yaml(study.spec.path)
    population = study.population.to_csv_text()
    for place in places:
        name = _described(place).get("name")
        if name != study.spec.name:
            raise ConfigError(
                f"{place}: holds the study '{name}', not '{study.spec.name}' of {study.spec.path}"
            )
        theirs = load_yaml(place / "study.yaml")
        keys = [key for key in {**own, **theirs} if own.get(key) != theirs.get(key)]
        keys = [key for key in keys if key not in _OF_THE_PLACE]
        if keys:
            raise ConfigError(
                f"{place}: was carried out by another study file: {', '.join(keys)} differ from "
                f"{study.spec.path}; merge with the file that all parts were carried out by"
            )
        drawn = files.read_text(place / "population.csv", "CSV")
        if drawn != population:
            pairs = zip(population.splitlines(), drawn.splitlines(), strict=False)
            line = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), "the last")
            raise ConfigError(
                f"{place / 'population.csv'}: is another population than that of "
                f"{study.spec.path}, from line {line} on, so its runs are of other networks"
            )


def merge_study(study: StudyFolder, places: Sequence[Path]) -> list[str]:
    """Copy the finished runs of a study's parts into its folder, and collect the results.

    All is checked before anything is written, and runs appear whole: what was stopped goes on with
    the same call, which also brings what parts have finished since. The parts stay as they are.
    For the holder of the folder's lock.

    Args:
        study: the whole study; its folder may hold runs already.
        places: folders of its parts, of which :func:`require_parts` has nothing to say. A run that
            several have finished is taken from the first.

    Returns:
        What was merged, what differs, and what is missing, a line each.

    Raises:
        ConfigError: runs were trained by other configurations or on other images.
        PyclsError: a run that a part has finished is being trained in the study's folder.
    """
    copied: Counter[Path] = Counter()
    while True:
        merge = _Merge(study, places)
        merge.check()
        write_study(study)
        _describe_data(study, places)
        _merge_scores(study, places)
        copied.update(merge.copy())
        collect(study)
        # Runs that are chosen by the errors of others are known only now.
        if not study.look_again():
            return [*_copied_lines(places, copied), *merge.describe()]


class _Merge:
    """One pass over the runs that are known.

    Args:
        study: the whole study.
        places: see :func:`merge_study`.
    """

    def __init__(self, study: StudyFolder, places: Sequence[Path]) -> None:
        self._study, self._places = study, places
        self._finished: dict[str, dict[Path, RunState]] = {}
        self._missing: list[tuple[Run, str]] = []
        for run in study.runs:
            found = {place: self._state(run, place) for place in (study.folder, *places)}
            done = {place: state for place, state in found.items() if state.state == "done"}
            self._finished[run.id] = done
            if not done:
                begun = [f"{s.state} in {p}" for p, s in found.items() if s.state != "missing"]
                self._missing.append((run, ", ".join(begun)))
            elif found[study.folder].state == "running":
                raise PyclsError(
                    f"{study.folder}: {run.id}, which {next(iter(done))} has finished, is being "
                    "trained there; stop that first"
                )
        self._by_folder = {study.out_dir(run): run for run in study.runs}
        self._chosen: dict[str, Path] = {}

    def _out_dir(self, run: Run, place: Path) -> Path:
        return place / self._study.out_dir(run).relative_to(self._study.folder)

    def _state(self, run: Run, place: Path) -> RunState:
        out_dir = self._out_dir(run, place)
        record = read_record(out_dir)
        return find_state(out_dir, record and {key: record.get(key) for key in _READ})

    def _to_copy(self) -> Iterator[tuple[Run, Path]]:
        for run in self._study.runs:
            place = self._choose(run)
            if place is not None and self._study.folder not in self._finished[run.id]:
                yield run, place

    def _choose(self, run: Run) -> Path | None:
        """Return where a run is taken from: the first place that has it, with its first weights.

        Raises:
            ConfigError: nowhere did it start from the weights of the run that is taken.
        """
        done = self._finished[run.id]
        if run.id in self._chosen or not done:
            return self._chosen.get(run.id)
        folder = self._study.source_dir(run)
        source = self._by_folder.get(folder) if folder else None
        taken = self._choose(source) if source else None
        if source is None or taken is None:
            fits = list(done)
        else:
            known = self._finished[source.id]
            began = known[taken].record.get("started")
            # A copy has the moment at which its original was started.
            fits = [p for p in done if p not in known or known[p].record.get("started") == began]
            if not fits:
                raise ConfigError(
                    f"{run.id}: in {next(iter(done))} it started from the weights of {source.id} "
                    f"as trained there, but that run is taken from {taken}, where it was trained "
                    "anew; name first the part that has both, or merge into an empty folder"
                )
        self._chosen[run.id] = fits[0]
        return fits[0]

    def check(self) -> None:
        """Refuse runs of other configurations, or on other images."""
        seen = {
            key: (self._study.data.data_dir, v) for key, v in data_fingerprints(self._study).items()
        }
        for run in self._study.runs:
            for place, state in self._finished[run.id].items():
                data = state.record.get("data")
                if not data:
                    continue
                first, expected = seen.setdefault(run.dataset, (place, data))
                if data != expected:
                    raise ConfigError(
                        f"{run.dataset}: the run {run.id} in {place} was trained on other images "
                        f"or another split than are in {first} (fingerprints {data} and "
                        f"{expected}); prepare the set alike in all places, and train anew there"
                    )
        writer = ConfigWriter(self._study)
        for run, place in self._to_copy():
            path = place / self._study.cfg_path(run).relative_to(self._study.folder)
            texts = files.read_text(path, "YAML"), writer.text(run)
            lines = set(texts[0].splitlines()) ^ set(texts[1].splitlines())
            if {line.partition(":")[0].strip() for line in lines} <= _PATHS:
                continue  # many runs are not parsed
            theirs = computing_keys(parse_cfg(texts[0], str(path)))
            own = computing_keys(parse_cfg(texts[1], str(self._study.spec.path)))
            changed = [
                f"{key} {own[key]!r} here, {theirs.get(key)!r} there"
                for key in own
                if key != _WEIGHTS and own[key] != theirs.get(key)
            ]
            if changed:
                raise ConfigError(
                    f"{path}: is not what {self._study.spec.path} means here: "
                    f"{'; '.join(changed[:3])}. Prepare the data sets here as there, and merge "
                    "with the file and the version that all parts were carried out by"
                )

    def copy(self) -> Counter[Path]:
        """Copy what the study's folder has not; return {part: number of runs}."""
        todo = list(self._to_copy())
        for folder in {self._study.out_dir(run).parent for run, _ in todo}:
            folder.mkdir(parents=True, exist_ok=True)
            files.remove_partials(folder)
        for start in range(0, len(todo), _AT_ONCE):
            some = todo[start : start + _AT_ONCE]
            pairs = [(self._out_dir(run, place), self._study.out_dir(run)) for run, place in some]
            _copy_folders(pairs)
        return Counter(place for _, place in todo)

    def describe(self) -> list[str]:
        """Return what differs and what is missing, a line each."""
        lines: list[str] = []
        trained: dict[str, Path] = {}
        for done in self._finished.values():
            # A copy is the original's; the study's own folder has both.
            for place, state in sorted(done.items(), key=lambda d: d[0] == self._study.folder):
                if state.record:
                    trained.setdefault(describe_code(state.record), place)
        if len(trained) > 1:
            lines.append("versions and devices differ:")
            lines += [f"  {code}, as in {place}" for code, place in sorted(trained.items())]
        # A copy has the moment at which its original was started.
        twice = [
            name
            for name, done in self._finished.items()
            if len({state.record.get("started") for state in done.values()}) > 1
        ]
        if twice:
            lines.append(
                f"{count(len(twice), 'run')} trained more than once, {twice[0]} for one; what this "
                "folder had counts, then the part that was named first"
            )
        total = len(self._study.runs)
        by_sweep: dict[str, list[tuple[Run, str]]] = {}
        for run, begun in self._missing:
            by_sweep.setdefault(run.sweep, []).append((run, begun))
        lines.append(
            f"still missing: {len(self._missing):,} of {count(total, 'run')}"
            if self._missing
            else f"complete: all {count(total, 'run')}"
        )
        for sweep, runs in by_sweep.items():
            told = next((pair for pair in runs if pair[1]), runs[0])
            how = f"{told[0].id} is {told[1]}" if told[1] else f"{told[0].id} was not begun"
            lines.append(f"  {sweep}: {len(runs):,}; {how}")
        lines += [f"not yet: {sweep} {why}" for sweep, why in self._study.waiting.items()]
        return lines


def _copied_lines(places: Sequence[Path], copied: Mapping[Path, int]) -> list[str]:
    return [f"{count(copied.get(place, 0), 'run')} copied from {place}" for place in places]


def _copy_folders(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Copy folders of runs, so that each is there whole or not; what was there before is kept."""
    made: list[tuple[Path, Path]] = []
    try:
        for source, target in pairs:
            temporary = files.temporary_path(target)
            made.append((temporary, target))
            unpack(source, temporary)
            leave_out = shutil.ignore_patterns(".lease.*", f"*{files.PARTIAL_SUFFIX}")
            if source.is_dir():  # of a packed run it may be gone; what is there stands above
                shutil.copytree(source, temporary, ignore=leave_out, dirs_exist_ok=True)
        os.sync()
        for temporary, target in made:
            if target.exists():
                before = target.with_name(target.name + SUFFIX_BEFORE)
                shutil.rmtree(before, ignore_errors=True)
                target.rename(before)
            temporary.rename(target)
    except BaseException:
        for temporary, _ in made:
            shutil.rmtree(temporary, ignore_errors=True)
        raise


def _describe_data(study: StudyFolder, places: Sequence[Path]) -> None:
    """Describe data sets that are not prepared here as a part does where they are."""
    described = _described(study.folder)
    for key, known in described["datasets"].items():
        others = (_described(place)["datasets"].get(key, {}) for place in places)
        if not known["prepared"]:
            described["datasets"][key] = next((d for d in others if d.get("prepared")), known)
    files.write_json(study.folder / STUDY_JSON, described)


def _merge_scores(study: StudyFolder, places: Sequence[Path]) -> None:
    """Join the tables of scores; of a row that several have, what it was made from is the same."""
    header = (*SCORE_KEYS, *SCORES, SCORE_REASONS)
    rows: dict[tuple[str, ...], list[str]] = {}
    for place in (study.folder, *places):
        path = place / SCORES_CSV
        if not path.is_file():
            continue
        found = list(csv.reader(files.read_text(path, "CSV").splitlines()))
        if not found or tuple(found[0]) != header:
            raise PyclsError(
                f"{path}: is not a table of scores of this version; remove it, and score again "
                "in the folder in which all are joined"
            )
        for row in found[1:]:
            rows.setdefault(tuple(row[: len(SCORE_KEYS)]), row)
    if rows:
        first: dict[tuple[str, ...], int] = {
            (run.dataset, run.arch.arch): run.index for run in reversed(study.runs)
        }
        # As scoring orders them.
        ordered = sorted(rows, key=lambda key: (key[0], first.get(key[:2], 0)))
        with files.csv_if_changed(study.folder / SCORES_CSV) as write:
            write(header)
            for key in ordered:
                write(rows[key])


def _described(place: Path) -> dict[str, Any]:
    path = place / STUDY_JSON
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise PyclsError(
            f"{place}: no study was carried out there (it has no {STUDY_JSON}); name the folder "
            "that 'tools/study.py run' or 'launch' of a part worked in, or a copy of it"
        ) from None
    except ValueError:
        raise PyclsError(f"{path}: is damaged; copy the part again, or set it up again") from None
