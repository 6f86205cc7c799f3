"""A choice and its folder: which runs there are at each stage, and what was decided by them.

Layout::

    FOLDER/plan.json          what the budget pays for
    FOLDER/decisions.json     what each stage kept, the errors or scores it went by, and answers
    FOLDER/scores/            a study's folder: zero-cost scores of the candidates
    FOLDER/search/            a study's folder: runs that are judged on the validation side
    FOLDER/final/             a study's folder: the chosen beside its baselines, other seeds
    FOLDER/test.json          those of the final ones on the test side
    FOLDER/choice.json, network/, report/

What is decided follows from the runs' records alone, so that a choice that was killed goes on to
the same end.
"""

import csv
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pycls import files
from pycls.choose.baselines import BASELINES, scaled_baseline
from pycls.choose.options import CHOSEN, OF_REFERENCE, ChooseOptions, read_options
from pycls.choose.plan import make_plan, require_same
from pycls.core.runs.record import has_failed_for_good, read_record
from pycls.datasets.randomness import order_names
from pycls.errors import ConfigError, PyclsError
from pycls.schema import ANSWERS, CHOICE_DECISIONS, CHOICE_PLAN, SCORES_CSV
from pycls.spaces.anynet_count import AnyNetFrame
from pycls.spaces.mixed import ForeignArchitecture
from pycls.strict_yaml import dump_yaml
from pycls.study.configs import base_cfg
from pycls.study.recipe import assumed_space
from pycls.study.runs import Run, read_sweep_errors
from pycls.study.spec import VALIDATION_SHARE, DatasetSpec, Selection, StudySpec
from pycls.study.study import StudyFolder
from pycls.study.write import write_study

FILTER = "filter"
_ERRORS = {"top1": "final_top1_err", "top5": "final_topk_err"}


class Choice:
    """A choice, from its file to the runs of its present stage.

    Args:
        spec: the study file, with a section `choose`.
        folder: where it is carried out.
        data_dir: folder of the prepared sets; None: PYCLS_DATA, or else `data`.
        base_folder: folder of the file's base study, where it has one.

    Attributes:
        options: what the section says.
        decisions: what each stage decided, the first first; see :meth:`look_again`.
        waiting: {stage: why its runs are not known yet}.

    Raises:
        ConfigError: the section is not there, or cannot be used.
    """

    def __init__(
        self,
        spec: StudySpec,
        folder: str | os.PathLike[str],
        data_dir: str | os.PathLike[str] | None = None,
        base_folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.options: ChooseOptions = read_options(spec)
        self.spec, self.folder = spec, Path(folder)
        self._places = (data_dir, base_folder or self.folder.parent / (spec.base or spec).name)
        self.decisions: list[dict[str, Any]] = []
        self.waiting: dict[str, str] = {}
        self.whole = self._study("scores", {self.options.data: self._dataset})
        self.search: StudyFolder | None = None
        self.final: StudyFolder | None = None
        self._is_settled = False

    @property
    def _dataset(self) -> DatasetSpec:
        return self.spec.datasets[self.options.data]

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What the budget pays for: as it was set up, or else as it would be."""
        path = self.folder / CHOICE_PLAN
        if path.is_file():
            stored = dict(json.loads(path.read_text(encoding="utf-8")))
            require_same(stored, self.options, self.spec.where("choose"))
            return stored
        return make_plan(self.options, self.whole)

    def check(self) -> None:
        """Check all that can be checked before anything is prepared or written.

        Raises:
            ConfigError: as :meth:`pycls.study.study.StudyFolder.check`, or the budget is too small.
        """
        self.whole.check()
        self._networks().check()
        _ = self.plan
        self.settle()
        reference = self.options.reference
        if reference is not None:
            self._reference_errors()

    def find_missing(self) -> list[str]:
        """Return what its user has to provide before anything is trained, a sentence each."""
        missing = self.whole.find_missing() + self._networks().find_missing()
        if not missing:
            for study in self.studies():
                missing += study.find_missing()
        return list(dict.fromkeys(missing))

    def studies(self) -> list[StudyFolder]:
        """Return the studies whose runs are known."""
        self.settle()
        return [study for study in (self.search, self.final) if study is not None]

    def write(self) -> None:
        """Write what runs need and what was decided; for the holder of the folder's lock."""
        studies = self.studies()
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_json(self.folder / CHOICE_PLAN, self.plan)
        files.write_json(self.folder / CHOICE_DECISIONS, self.decisions)
        if self.final is not None:
            self._write_baselines()
        for study in studies:
            write_study(study)

    def settle(self) -> None:
        """Find the present stage, where that has not been done."""
        if not self._is_settled:
            self.look_again()

    def look_again(self) -> bool:
        """Decide what can be decided by now; say whether the runs are others than before.

        A decision is a mapping with "stage" ("score", "reference", "random", "filter" or "rung"),
        "values" ({architecture: error in percent, or value that is low for good}; empty for a
        random order), "kept", the architectures that go on, best first, of what is trained
        "epochs" and "failed", and of a rung "images", their number on the validation side, and
        "wrong", {architecture: on which of them it errs, see :func:`pycls.bits.pack_bits`}.
        """
        before = (len(self.decisions), self._is_settled)
        stored = self._stored_decisions()
        self._is_settled, self.decisions, self.waiting = True, [], {}
        self.search = self.final = None
        try:
            chosen = self._decide(stored)
        except _NotYetError as reason:
            self.waiting["final"] = str(reason)
        else:
            self.final = self._final_study(chosen)
        return before != (len(self.decisions), True)

    @property
    def needs_scores(self) -> bool:
        """Whether the candidates are to be scored, and are not."""
        options = self.options
        if not (options.score or (options.filter and options.filter.score)):
            return False
        try:
            self._read_scores(options.score or (options.filter.score if options.filter else ""))
        except _NotYetError:
            return not self._stored_decisions()
        return False

    def validation_error(self, run: Run) -> float | None:
        """Return a final run's validation error in percent; NaN: it failed; None: not there."""
        assert self.final is not None
        return self._error(self.final, run)

    @staticmethod
    def metric(study: StudyFolder, run: Run) -> str:
        """Return the error that a run is judged by, "top1" or "top5"."""
        dataset = study.spec.datasets[run.dataset]
        return dataset.metric or study.data.facts(dataset).error_metric

    @property
    def chosen(self) -> str | None:
        """The architecture that was chosen; None: not yet."""
        return None if self.final is None else str(self.decisions[-1]["kept"][0])

    def _decide(self, stored: list[dict[str, Any]]) -> str:
        """Return the architecture that all stages together choose.

        Raises:
            _NotYetError: runs or scores are missing.
        """
        take = _Taken(self.decisions, stored)
        order = take("order", self._order)["kept"]
        sweeps: dict[str, DatasetSpec] = {}
        filtered = self.plan["filter"] or {}
        if "num_classes" in filtered:
            first = order[: filtered["archs"]]
            sweeps[FILTER] = self._sweep(FILTER, first, num_classes=filtered["num_classes"])
            self.search = self._study("search", sweeps)
            count = self.plan["candidates"]
            order = take(FILTER, lambda: self._judge(FILTER, first, count))["kept"]
        rungs = self.plan["rungs"]
        alive = order[: rungs[0]["archs"]] if rungs else order[:1]
        candidates, key = list(alive), self.options.data
        stops: dict[str, int] = {}
        for place, rung in enumerate(rungs):
            epochs, is_last = rung["epochs"], place == len(rungs) - 1
            for arch in alive:
                stops[arch] = epochs
            sweeps[key] = self._sweep(key, candidates, stops=stops)
            self.search = self._study("search", sweeps)
            count = 1 if is_last else rungs[place + 1]["archs"]
            judged = list(alive)
            decision = take(f"rung {place + 1}", lambda: self._judge(key, judged, count))  # noqa: B023
            alive = decision["kept"]
        return str(alive[0])

    # ------------------------------------------------------------ decisions

    def _order(self) -> dict[str, Any]:
        """Return the order in which candidates are taken."""
        ids, options = self.whole.population.ids, self.options
        score = options.score or (options.filter.score if options.filter else "")
        values: dict[str, float]
        if options.strategy == "reference":
            values, stage = self._reference_errors(), "reference"
        elif score:
            # A high score is good.
            values, stage = {arch: -x for arch, x in self._read_scores(score).items()}, "score"
        else:
            order = order_names(ids, "choose", self.spec.seed)
            return {"stage": "random", "values": {}, "kept": order}
        place = {arch: number for number, arch in enumerate(ids)}
        order = sorted((a for a in ids if a in values), key=lambda a: (values[a], place[a]))
        if not order:
            raise PyclsError(f"{self.folder}: no candidate has a value to order them by ({stage})")
        kept = order[: self.plan["candidates"]] if score else order
        return {
            "stage": stage,
            "values": values,
            "kept": kept,
            **({"score": score} if score else {}),
        }

    def _reference_errors(self) -> dict[str, float]:
        reference = self.options.reference
        assert reference is not None
        where = self.spec.where("choose", "reference")
        errors = read_sweep_errors(reference.folder, reference.sweep)
        if not errors:
            raise ConfigError(
                f"{where}: {reference.folder} holds no results of '{reference.sweep}'; expected "
                "the folder of a study with a results.csv, and one of its sweeps"
            )
        ids = set(self.whole.population.ids)
        known = {arch: error for arch, error in errors.items() if arch in ids}
        if not known:
            raise ConfigError(
                f"{where}: none of the architectures of '{reference.sweep}' is of this population; "
                "expected results of the same population"
            )
        return known

    def _read_scores(self, name: str) -> dict[str, float]:
        path = self.folder / "scores" / SCORES_CSV
        if not path.is_file():
            raise _NotYetError("is known once the candidates are scored")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if len(rows) < len(self.whole.population):
            raise _NotYetError("is known once the candidates are scored")
        return {row["arch"]: float(row[name]) for row in rows if row[name]}

    def _judge(self, sweep: str, archs: list[str], keep: int) -> dict[str, Any]:
        """Return what a sweep's runs of some architectures decide."""
        study = self.search
        assert study is not None
        runs = {run.arch.arch: run for run in study.runs if run.sweep == sweep}
        errors, failed, missing = {}, [], 0
        for arch in archs:
            error = self._error(study, runs[arch])
            if error is None:
                missing += 1
            elif error != error:
                failed.append(arch)
            else:
                errors[arch] = error
        epochs = runs[archs[0]].stop or study.epochs(study.spec.datasets[sweep])
        if missing:
            what = f"{missing} of {len(archs)} runs of {sweep}, up to epoch {epochs}"
            raise _NotYetError(f"is known once {what}, are finished")
        if not errors:
            raise PyclsError(
                f"{study.folder}: all runs of {sweep} have failed; the status says why, and "
                "'retry' tries them again"
            )
        ranked = sorted(errors, key=lambda arch: errors[arch])  # what ties stays in order
        stage = FILTER if sweep == FILTER else "rung"
        return {
            "stage": stage, "epochs": epochs, "values": errors, "failed": failed,
            "kept": ranked[:keep], **({} if sweep == FILTER else self._answers(runs, ranked)),
        }  # fmt: skip

    def _answers(self, runs: Mapping[str, Run], archs: list[str]) -> dict[str, Any]:
        """Return on which validation images some networks err, as far as that is on record."""
        assert self.search is not None
        name = {"top1": "top1", "top5": "topk"}[self.metric(self.search, runs[archs[0]])]
        found = {}
        for arch in archs:
            record = read_record(self.search.out_dir(runs[arch])) or {}
            if ANSWERS in record:
                found[arch] = record[ANSWERS]
        images = next((each["images"] for each in found.values()), 0)
        return {"images": images, "wrong": {arch: found[arch][name] for arch in found}}

    def _error(self, study: StudyFolder, run: Run) -> float | None:
        """Return a run's validation error in percent; NaN: it failed for good; None: not there."""
        record = read_record(study.out_dir(run))
        wanted = run.stop or study.epochs(study.spec.datasets[run.dataset])
        status = (record or {}).get("status")
        if record is not None and status == "done":
            reached = record.get("stopped_after", study.epochs(study.spec.datasets[run.dataset]))
            if reached < wanted:
                return None
            return float(record["result"][_ERRORS[self.metric(study, run)]])
        if record is not None and has_failed_for_good(record, self.spec.launch.max_retry):
            return float("nan")
        return None

    def _stored_decisions(self) -> list[dict[str, Any]]:
        try:
            return list(json.loads((self.folder / CHOICE_DECISIONS).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return []

    # ------------------------------------------------------------ studies

    def _sweep(
        self, key: str, archs: list[str], num_classes: int | None = None, **changes: Any
    ) -> DatasetSpec:
        """Return the sweep of some architectures on the set, or a class subset of it."""
        part: dict[str, Any] = (
            {} if num_classes is None else {"num_classes": num_classes, "of": self.options.data}
        )
        selection = Selection(ids=tuple(archs))
        return replace(self._dataset, key=key, selection=selection, **part, **changes)

    def _final_study(self, chosen: str) -> StudyFolder:
        seeds = self.options.seeds
        sweeps = {CHOSEN: self._sweep(CHOSEN, [chosen], seeds=seeds)}
        if self.options.reference is not None:
            errors = self._reference_errors()
            best = min(errors, key=lambda arch: (errors[arch], arch))
            if best != chosen:
                sweeps[OF_REFERENCE] = self._sweep(OF_REFERENCE, [best], seeds=seeds)
        for name in self.options.baselines:
            sweeps[name] = self._by_hand(name, self.folder / "baselines" / f"{name}.yaml")
        for name, path in self.options.networks.items():
            sweeps[name] = self._by_hand(name, path)
        if not all(path.is_file() for each in sweeps.values() for path in each.networks.values()):
            self._write_baselines(chosen)
        return self._study("final", sweeps)

    def _networks(self) -> StudyFolder:
        """Return the user's networks as a study, so that they are checked before anything else."""
        sweeps = {name: self._by_hand(name, path) for name, path in self.options.networks.items()}
        return self._study("final", sweeps)

    def _by_hand(self, name: str, path: Path) -> DatasetSpec:
        return replace(
            self._dataset, key=name, of=self.options.data, control="networks",
            networks={name: path}, seeds=self.options.seeds,
        )  # fmt: skip

    def _write_baselines(self, chosen: str | None = None) -> None:
        """Write the configurations of the baselines, scaled to the multiply-adds of the chosen."""
        name_of_chosen = chosen or str(self.chosen)
        frame, flops = self._frame_and_flops(name_of_chosen)
        for name in self.options.baselines:
            baseline = scaled_baseline(name, frame, flops)
            text = (
                f"# {baseline.title} to {baseline.flops:,} multiply-adds; {name_of_chosen}, which "
                f"was chosen, has {flops:,}.\n{dump_yaml(dict(baseline.keys))}"
            )
            path = self.folder / "baselines" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text_if_changed(path, text)

    def _frame_and_flops(self, name: str) -> tuple[AnyNetFrame, int]:
        """Return what baselines have in common with an architecture: frame and multiply-adds.

        Of a network of another library they are counted at the size of the set's images; where
        that cannot be, they are those of the published study at that size.
        """
        population = self.whole.population
        arch = population.row(population.ids.index(name))
        if not isinstance(arch, ForeignArchitecture):
            return arch.frame, arch.flops
        from pycls.models.counting import complexity

        facts = self.whole.data.facts(self._dataset)
        own = getattr(population, "own", None)
        space, (_, most) = assumed_space(facts.im_size, facts.num_classes)
        frame = AnyNetFrame(
            strides=tuple(space["strides"]), stem_type=space["stem_type"], stem_w=space["stem_w"]
        )
        frame = frame if own is None else own.frame
        frame = replace(frame, resolution=facts.im_size, num_classes=facts.num_classes)
        counted = complexity(base_cfg(self.whole.spec, self.whole.data, self._dataset, arch))
        return frame, int(counted.get("flops") or most)

    def _study(self, folder: str, sweeps: Mapping[str, DatasetSpec]) -> StudyFolder:
        """Return a stage as a study, whose runs are tested on the validation side."""
        spec = replace(
            self.spec, datasets=dict(sweeps), reference=None, family=(), targets=(), repeats=(),
            uses=(), validation=self.spec.validation or VALIDATION_SHARE,
        )  # fmt: skip
        data_dir, base_folder = self._places
        return StudyFolder(spec, self.folder / folder, data_dir, base_folder)

    def contestants(self) -> Iterator[tuple[str, str]]:
        """Yield name and title of what is trained in the end."""
        assert self.final is not None
        titles = {CHOSEN: "the chosen", OF_REFERENCE: "the reference's best"}
        for key in self.final.spec.datasets:
            yield key, titles.get(key) or (BASELINES[key][1] if key in BASELINES else key)


class _NotYetError(Exception):
    """A stage waits for runs or scores."""


class _Taken:
    """Takes decisions in their order: as they are stored, or else made now."""

    def __init__(self, made: list[dict[str, Any]], stored: list[dict[str, Any]]) -> None:
        self._made, self._stored = made, stored

    def __call__(self, name: str, make: Any) -> dict[str, Any]:
        place = len(self._made)
        if place < len(self._stored):
            decision = self._stored[place]
        else:
            decision = {"name": name, **make()}
        self._made.append(decision)
        return decision
