"""Checks that the parts of a study file go together: roles, sweeps, and references."""

from collections.abc import Sequence

from pycls.errors import ConfigError
from pycls.study.spec import DatasetSpec, StudySpec
from pycls.yaml_sections import near_miss


def check_study(spec: StudySpec) -> None:
    """Check that what a study file refers to is there, and that nothing is there twice.

    Raises:
        ConfigError: names file, line, key, value and what was expected.
    """
    if spec.base is not None and spec.base.name == spec.name:
        raise ConfigError(
            f"{spec.where('name')} is '{spec.name}', which its base is called too; both would be "
            "carried out in one folder, so choose another name"
        )
    _check_uses(spec)
    _check_roles(spec)
    _check_sweeps(spec)
    for dataset in spec.datasets.values():
        _check_references(spec, dataset)


def _check_uses(spec: StudySpec) -> None:
    known = list(spec.base.all_datasets()) if spec.base else []
    for name in spec.uses:
        if name not in known:
            raise ConfigError(
                f"{spec.where('uses')} names '{name}'; {near_miss(name, known)}expected sweeps of "
                f"the base: {', '.join(known) or 'there is none, add the key base'}"
            )


def _check_roles(spec: StudySpec) -> None:
    """Check that the comparison names data sets of the study, each in one role."""
    if spec.reference is None:
        for role in ("family", "targets"):
            if getattr(spec, role):
                raise ConfigError(
                    f"{spec.where(role)}: there is no reference to compare with; add 'reference', "
                    f"one of {', '.join(spec.datasets)}"
                )
    elif not spec.targets:
        raise ConfigError(f"{spec.where('targets')} is empty; name at least one data set")
    compared = [*([spec.reference] if spec.reference else []), *spec.family, *spec.targets]
    roles: list[tuple[str, Sequence[str]]] = [
        ("reference", compared[:1] if spec.reference else []),
        ("family", spec.family),
        ("targets", spec.targets),
        ("repeats", [repeat.dataset for repeat in spec.repeats]),
    ]
    known = list(spec.datasets)
    for role, keys in roles:
        for key in keys:
            if key not in known:
                raise ConfigError(
                    f"{spec.where(role)} names '{key}', which is no data set of this study and "
                    f"so has no runs; {near_miss(key, known)}its data sets: {', '.join(known)}"
                )
            if spec.datasets[key].control is not None and role != "repeats":
                raise ConfigError(
                    f"{spec.where(role)} names '{key}', which is a control; the ranking is of "
                    "sweeps of the whole population"
                )
    doubled = sorted({key for key in compared if compared.count(key) > 1})
    if doubled:
        raise ConfigError(
            f"{spec.where('targets')}: {', '.join(doubled)} stands in more than one of reference, "
            "family and targets; give each data set one role"
        )


def _check_sweeps(spec: StudySpec) -> None:
    sweeps = [*spec.datasets, *(repeat.sweep for repeat in spec.repeats)]
    doubled = sorted({name for name in sweeps if sweeps.count(name) > 1})
    if doubled:
        raise ConfigError(
            f"{spec.where('repeats')}: two sweeps would be called {', '.join(doubled)}; rename the "
            "data set, or put all seeds into one entry of repeats"
        )


def _check_references(spec: StudySpec, dataset: DatasetSpec) -> None:
    """Check what a control takes from other sweeps."""
    selection, weights = dataset.selection, dataset.weights_from
    for keys, name in (
        (("archs", "by"), selection.by if selection else ""),
        (("weights_from",), weights or ""),
    ):
        if not name:
            continue
        source = spec.find_dataset(name)
        known = list(spec.all_datasets())
        where = spec.where("datasets", dataset.key, *keys)
        if source is None or source.key == dataset.key:
            raise ConfigError(
                f"{where} is '{name}'; {near_miss(name, known)}expected another sweep of this "
                f"study{' or its base' if spec.base else ''}: {', '.join(known)}"
            )
        if source.selection is not None or source.networks:
            raise ConfigError(
                f"{where} is '{name}', which does not train the whole population; expected a "
                "sweep that does"
            )
    for path in dataset.networks.values():
        if not path.is_file():
            raise ConfigError(
                f"{spec.where('datasets', dataset.key, 'networks')}: there is no file {path}; name "
                "configurations relative to this file"
            )
    if dataset.networks and (selection or weights):
        raise ConfigError(
            f"{spec.where('datasets', dataset.key, 'networks')}: networks of one's own stand in "
            "the place of the population; leave 'archs' and 'weights_from' out"
        )
