"""What a report needs to know of a study: the content of study.json."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pycls.core.code_version import code_version, package_versions
from pycls.core.config import layer_cfg
from pycls.sweep.study_file import DatasetSpec

if TYPE_CHECKING:
    from pycls.sweep.study import Study


def describe_study(study: "Study") -> dict[str, Any]:
    """Return what a report needs to know of the study, as plain values."""
    spec = study.spec
    commit, dirty = code_version()
    return {
        "name": spec.name,
        "title": spec.title,
        "description": spec.description,
        "reference": spec.reference,
        "family": list(spec.family),
        "targets": list(spec.targets),
        "sweeps": _describe_sweeps(study),
        "datasets": {d.key: _describe_dataset(study, d) for d in spec.datasets.values()},
        "regimes": {key: _describe_regime(study, key) for key in spec.regimes},
        "population": _describe_population(study),
        "versions": package_versions(),
        "commit": f"{commit} with uncommitted changes" if commit and dirty else commit,
    }


def _describe_sweeps(study: "Study") -> dict[str, Any]:
    sweeps: dict[str, Any] = {}
    epochs = {
        key: study.base_cfg(dataset).OPTIM.MAX_EPOCH for key, dataset in study.spec.datasets.items()
    }
    for run in study.runs:
        entry = sweeps.setdefault(
            run.sweep,
            {
                "dataset": run.dataset,
                "regime": run.regime,
                "role": run.role,
                "runs": 0,
                "epochs": epochs[run.dataset],
            },
        )
        entry["runs"] += 1
    return sweeps


def _describe_dataset(study: "Study", dataset: DatasetSpec) -> dict[str, Any]:
    train, test = study.open(dataset, "train"), study.open(dataset, "test")
    meta = train.meta
    title = meta.get("title", dataset.prepared)
    return {
        "title": dataset.title or (f"{title}-{train.num_classes}" if dataset.is_view else title),
        "description": meta.get("description", ""),
        "num_classes": train.num_classes,
        "train_images": len(train),
        "test_images": len(test),
        "im_size": min(train.im_size),
        "error_metric": _metric(study, dataset),
        "source": meta.get("source", ""),
        "licence": meta.get("licence", ""),
        "split_rule": meta.get("split_rule", ""),
        "mirror": train.mirror,
        "view_of": dataset.prepared if dataset.is_view else None,
        "classes": list(train.class_names),
        "fingerprint": train.fingerprint,
    }


def _describe_regime(study: "Study", name: str) -> dict[str, Any]:
    layers = [
        (study.spec.where("config"), study.spec.config),
        (study.spec.where("regimes", name), study.spec.regimes[name]),
    ]
    cfg = layer_cfg(layers)
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


def _describe_population(study: "Study") -> dict[str, Any]:
    population, spec = study.population, study.spec.population
    described: dict[str, Any] = {
        "size": len(population),
        "stages": population.num_stages,
        "space": "AnyNetX" if spec.csv is None else f"read from {spec.csv.name}",
        "regime": _describe_bounds(spec.bounds),
        **{key: value for key, value in asdict(population.frame).items() if key != "strides"},
        "strides": list(population.frame.strides),
    }
    if population.provenance is not None:
        origin = population.provenance
        space = asdict(origin.space)
        described.update(
            seed=origin.seed,
            drawn=origin.drawn,
            accepted=origin.accepted,
            **{key: list(space[key]) for key in ("depth", "width", "bot_mul", "group_w")},
        )
    return described


def _metric(study: "Study", dataset: DatasetSpec) -> str:
    """Return the error metric of a data set: "top1" or "top5"."""
    return dataset.metric or study.open(dataset, "test").meta.get("error_metric", "top1")


def _describe_bounds(bounds: Mapping[str, tuple[float, float]]) -> str:
    if not bounds:
        return "no bounds"
    return ", ".join(f"{low:,.0f} to {high:,.0f} {name}" for name, (low, high) in bounds.items())
