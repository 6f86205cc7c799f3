"""The writer of a study's files: its description, its population, one configuration a run."""

import json
from collections.abc import Mapping

from pycls import files
from pycls.core.config.load import cfg_to_dict, computing_keys, parse_cfg
from pycls.core.config.template import CfgTemplate
from pycls.core.runs.record import go_on, read_record
from pycls.errors import ConfigError
from pycls.schema import STUDY_JSON
from pycls.spaces.mixed import ForeignArchitecture
from pycls.study.configs import base_cfg
from pycls.study.describe import describe_study
from pycls.study.part import write_part
from pycls.study.runs import HandWrittenNetwork, Run, keys_of
from pycls.study.spec import DatasetSpec
from pycls.study.study import SELECTIONS, StudyFolder


def write_study(study: StudyFolder) -> None:
    """Write the study's files and one configuration a run.

    Files that are as they should be stay untouched; what has been trained is never
    altered. For the holder of the folder's lock: what killed writers left is removed.

    Raises:
        ConfigError: the folder holds another study, or runs of other configurations.
        DataError: classes are to be drawn from a set that is not prepared.
    """
    _refuse_other_study(study)
    for dataset in study.datasets:
        study.data.require_classes(dataset)
    writer = ConfigWriter(study)
    texts = {run.id: writer.text(run) for run in study.runs}
    _refuse_changes(study, texts)
    _refuse_other_data(study)
    _check_foreign(study, texts)
    study.folder.mkdir(parents=True, exist_ok=True)
    files.write_text_if_changed(study.folder / "study.yaml", study.spec.place.text)
    files.write_text_if_changed(study.folder / "population.csv", study.population.to_csv_text())
    files.remove_partials(study.folder)
    _store_selections(study)
    write_part(study.folder, study.part)
    by_sweep: dict[str, dict[str, str]] = {}
    for run in study.runs:
        by_sweep.setdefault(run.sweep, {})[f"{run.name}.yaml"] = texts[run.id]
    for sweep, content in by_sweep.items():
        folder = study.cfgs_dir(sweep)
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_partials(folder)
        files.write_texts(folder, content)
    files.write_json(study.folder / STUDY_JSON, describe_study(study))
    for run in study.runs:
        if study.spec.datasets[run.dataset].stops:
            go_on(study.out_dir(run), run.stop or study.epochs(study.spec.datasets[run.dataset]))


def _check_foreign(study: StudyFolder, texts: Mapping[str, str]) -> None:
    """Build each network of another library that is new: only that shows whether it exists.

    Once for each size of images, without memory.
    """
    seen = set()
    for run in study.runs:
        if not isinstance(run.arch, ForeignArchitecture) or study.cfg_path(run).is_file():
            continue
        cfg = parse_cfg(texts[run.id], run.id)
        if (run.arch, cfg.TRAIN.IM_SIZE) in seen:
            continue
        seen.add((run.arch, cfg.TRAIN.IM_SIZE))
        from pycls.models.counting import complexity

        try:
            complexity(cfg)
        except ConfigError as error:
            raise ConfigError(
                f"the population's {run.arch.arch} ({run.arch.text}): {error}"
            ) from None


def _store_selections(study: StudyFolder) -> None:
    """Store what was chosen by error, so that later results do not change what is trained."""
    chosen = {}
    for key, dataset in study.spec.datasets.items():
        if dataset.selection is not None and dataset.selection.by and key in study.networks:
            archs = [network.arch for network in study.networks[key]]
            chosen[key] = {"archs": archs, "selection": repr(dataset.selection)}
    if chosen:
        files.write_json(study.folder / SELECTIONS, chosen)


def _refuse_other_study(study: StudyFolder) -> None:
    path = study.folder / STUDY_JSON
    if path.is_file():
        name = json.loads(path.read_text(encoding="utf-8")).get("name")
        if name != study.spec.name:
            raise ConfigError(
                f"{study.folder} holds the study '{name}', not '{study.spec.name}' of "
                f"{study.spec.path}; choose another folder with --out"
            )


def _refuse_changes(study: StudyFolder, texts: Mapping[str, str]) -> None:
    """Refuse a study file that would alter the configuration of runs that have begun."""
    for run in study.begun_runs():
        path = study.cfg_path(run)
        if read_record(study.out_dir(run)) is None or not path.is_file():
            continue
        old_text, new_text = path.read_text(encoding="utf-8"), texts[run.id]
        if old_text == new_text:
            continue
        old = computing_keys(parse_cfg(old_text, str(path)))
        new = computing_keys(parse_cfg(new_text, str(study.spec.path)))
        changed = [f"{k} {old[k]!r} -> {new[k]!r}" for k in new if old.get(k) != new[k]]
        if changed:
            raise ConfigError(
                f"{study.spec.path}: would change the run {run.id} in {study.folder}, which has "
                f"been trained already: {'; '.join(changed[:3])}. Take the change back, or "
                "choose another folder with --out"
            )


def data_fingerprints(study: StudyFolder) -> dict[str, dict[str, str]]:
    """Return {data set: {side: fingerprint}} of those prepared here, as runs' records hold it."""
    return {
        dataset.key: {
            side: study.data.open(dataset, side).fingerprint for side in ("train", "test")
        }
        for dataset in study.spec.datasets.values()
        if study.data.facts(dataset).prepared
    }


def _refuse_other_data(study: StudyFolder) -> None:
    """Refuse to go on with other images than those that runs have been trained on."""
    now = data_fingerprints(study)
    for run in study.begun_runs() if now else ():
        record = read_record(study.out_dir(run)) if run.dataset in now else None
        if record is not None and record.get("data", now[run.dataset]) != now[run.dataset]:
            raise ConfigError(
                f"{study.spec.where('datasets', run.dataset)}: the run {run.id} in "
                f"{study.folder} was trained on other images or another split than "
                f"{study.data.data_dir} holds now; restore them, or choose another folder with "
                "--out"
            )


class ConfigWriter:
    """Makes the text of each run's configuration.

    One configuration a sweep and kind of network is built and checked; those of its runs differ
    from it in the architecture, the seed, the weights and the folder.
    """

    def __init__(self, study: StudyFolder) -> None:
        self._study = study
        self._templates: dict[tuple[str, str], CfgTemplate] = {}
        self._pinned = {key: _pinned_keys(d) for key, d in study.spec.datasets.items()}

    def text(self, run: Run) -> str:
        """Return a run's configuration as YAML."""
        by_hand = isinstance(run.arch, HandWrittenNetwork)
        kind = run.arch.arch if by_hand else keys_of(run.arch)["MODEL.TYPE"]
        base = (run.dataset, kind)
        if base not in self._templates:
            dataset = self._study.spec.datasets[run.dataset]
            values = cfg_to_dict(base_cfg(self._study.spec, self._study.data, dataset, run.arch))
            self._templates[base] = CfgTemplate(values)
        pinned = self._pinned[run.dataset]
        changes = {key: value for key, value in keys_of(run.arch).items() if key not in pinned}
        changes |= {"OUT_DIR": str(self._study.out_dir(run)), "RNG_SEED": run.seed}
        if run.stop:
            changes["OPTIM.STOP_EPOCH"] = run.stop
        weights = self._study.weights_path(run)
        if weights is not None:
            changes["TRAIN.WEIGHTS"] = str(weights)
        return self._templates[base].text(changes)


def _pinned_keys(dataset: DatasetSpec) -> frozenset[str]:
    """Return the keys that a data set's own `config` sets over the architecture."""
    return frozenset(
        f"{section}.{key}"
        for _, layer in dataset.config
        for section, content in layer.items()
        if isinstance(content, Mapping)
        for key in content
    )
