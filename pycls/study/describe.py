"""The content of study.json, the description of a study that its analysis needs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from pycls.core.config.load import layer_cfg
from pycls.core.runs.code_version import code_version, package_versions
from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.opening.validation import describe_rule
from pycls.schema import STUDY_JSON
from pycls.spaces.bounds import STAGE_COLUMNS
from pycls.spaces.mixed import MixedPopulation
from pycls.study.configs import assumed_layers
from pycls.study.spec import DatasetSpec
from pycls.study.study import StudyFolder

_FACTS = ("num_classes", "train_images", "test_images", "im_size", "prepared")


def describe_study(study: StudyFolder) -> dict[str, Any]:
    """Return what a report needs to know of the study, as plain values."""
    spec = study.spec
    commit, dirty = code_version()
    described = {
        **{key: getattr(spec, key) for key in ("name", "title", "description", "reference")},
        "family": list(spec.family),
        "targets": list(spec.targets),
        "sweeps": _describe_sweeps(study),
        "datasets": {d.key: _describe_dataset(study, d) for d in spec.datasets.values()},
        "regimes": {key: _describe_regime(study, key) for key in spec.regimes},
        "population": _describe_population(study),
        "selected_on": study.data.tested_side,
        "versions": package_versions(),
        "commit": f"{commit} with uncommitted changes" if commit and dirty else commit,
    }
    if study.base is not None:
        described["base"] = _describe_base(study.base)
        described["uses"] = list(spec.uses)
    return described


def _describe_base(base: StudyFolder) -> dict[str, Any]:
    path = base.folder / STUDY_JSON
    study = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return {"name": base.spec.name, "folder": str(base.folder), "study": study}


def _describe_sweeps(study: StudyFolder) -> dict[str, Any]:
    sweeps: dict[str, Any] = {}
    for sweep, runs in study.planned().items():
        dataset = study.spec.dataset_of(sweep)
        control = dataset.control if sweep == dataset.key else None
        role = "main" if sweep == dataset.key else "repeats"
        sweeps[sweep] = {
            "dataset": dataset.key,
            "regime": dataset.regime,
            "role": "control" if control else role,
            "runs": runs,
            "epochs": study.epochs(dataset),
        }
        if control:
            sweeps[sweep] |= {"control": control, "of": dataset.of}
        if sweep in study.waiting:
            sweeps[sweep]["waiting"] = study.waiting[sweep]
    return sweeps


def _describe_dataset(study: StudyFolder, dataset: DatasetSpec) -> dict[str, Any]:
    facts = study.data.facts(dataset)
    described: dict[str, Any] = {
        "title": dataset.title or facts.title,
        **{key: getattr(facts, key) for key in _FACTS},
        "error_metric": dataset.metric or facts.error_metric,
        "view_of": dataset.prepared if dataset.num_classes or dataset.classes else None,
    }
    if not facts.prepared:
        return described
    train, test = study.data.open(dataset, "train"), study.data.open(dataset, "test")
    meta = train.meta
    validation = ""
    if study.spec.validation:
        validation = describe_rule(train.store, study.spec.validation, study.spec.class_seed)
    return described | {
        **{key: meta.get(key, "") for key in ("description", "source", "licence", "split_rule")},
        **({"validation_rule": validation} if validation else {}),
        "mirror": train.mirror,
        "classes": list(train.class_names),
        "class_counts": {"train": _count_classes(train), "test": _count_classes(test)},
        "fingerprint": train.fingerprint,
        **_describe_origin(meta),
    }


def _describe_origin(meta: Mapping[str, Any]) -> dict[str, str]:
    """Return which set of the catalogue a prepared one is, and of which its images are a part."""
    recipe = meta.get("recipe")
    entry = CATALOG.get(str(recipe.get("key"))) if isinstance(recipe, Mapping) else None
    if entry is None:
        return {}
    origin = {"catalogue_key": entry.key}
    if entry.part_of:
        origin |= {"part_of": entry.part_of, "part_of_title": CATALOG[entry.part_of].title}
    return origin


def _count_classes(side: Dataset) -> dict[str, int]:
    counts = np.bincount(side.labels, minlength=side.num_classes)
    return dict(zip(side.class_names, counts.tolist(), strict=True))


def _describe_regime(study: StudyFolder, name: str) -> dict[str, Any]:
    spec = study.spec
    assumed = assumed_layers(spec, study.data, name)
    cfg = layer_cfg([*assumed, *spec.config, *spec.regimes[name]])
    return {
        "epochs": cfg.OPTIM.MAX_EPOCH,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "optimizer": cfg.OPTIM.OPTIMIZER,
        "base_lr": cfg.OPTIM.BASE_LR,
        "lr_policy": cfg.OPTIM.LR_POLICY,
        "warmup_epochs": cfg.OPTIM.WARMUP_EPOCHS,
        "momentum": cfg.OPTIM.MOMENTUM,
        "weight_decay": cfg.OPTIM.WEIGHT_DECAY,
        "label_smoothing": cfg.TRAIN.LABEL_SMOOTHING,
        "pad": cfg.DATA.PAD,
        "flip": "where it keeps the class" if cfg.DATA.FLIP else "no",
    }


def _describe_population(study: StudyFolder) -> dict[str, Any]:
    population, spec = study.population, study.spec.population
    names = [name for name in spec.spaces if name]
    kind = next(iter(spec.spaces.values()), {}).get("type", "AnyNetX")
    described: dict[str, Any] = {
        "size": len(population),
        "stages": population.num_stages,
        "space": ", ".join(names) or (f"read from {spec.csv.name}" if spec.csv else kind),
        "regime": _describe_bounds(spec.bounds),
    }
    own = population.own if isinstance(population, MixedPopulation) else population
    if own is not None:
        described |= {k: v for k, v in asdict(own.frame).items() if k != "strides"}
        described["strides"] = list(own.frame.strides)
    if isinstance(population, MixedPopulation):
        libraries = [network.library for network in population.foreign.values()]
        counts = {name: libraries.count(name) for name in dict.fromkeys(libraries)}
        described["libraries"] = ", ".join(f"{n} of {name}" for name, n in counts.items())
        return described
    if spec.conditions:
        described["conditions"] = list(spec.conditions)
    if names:
        described["spaces"] = {
            name: [arch for arch in population.ids if arch.startswith(f"{name}-")] for name in names
        }
    if population.provenance is not None:
        origin = population.provenance
        space = asdict(origin.space)
        described.update(
            seed=origin.seed,
            drawn=origin.drawn,
            accepted=origin.accepted,
            **{key: list(space[key]) for key in STAGE_COLUMNS if key in space},
        )
    return described


def _describe_bounds(bounds: Mapping[str, tuple[float, float]]) -> str:
    if not bounds:
        return "no bounds"
    return ", ".join(f"{low:,.0f} to {high:,.0f} {name}" for name, (low, high) in bounds.items())
