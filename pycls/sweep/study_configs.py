"""The configuration of each run of a study, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from pycls.core.config import cfg_to_dict, layer_cfg
from pycls.errors import ConfigError
from pycls.sweep.cfg_template import CfgTemplate
from pycls.sweep.study_runs import HandWrittenNetwork, Network, Run
from pycls.sweep.study_spec import DatasetSpec, StudySpec

if TYPE_CHECKING:
    from pycls.sweep.study import Study


def regime_layers(spec: StudySpec, regime: str) -> list[tuple[str, Any]]:
    """Return the keys that all runs of a training recipe have, the later over the earlier."""
    return [*spec.config, *spec.regimes[regime]]


def base_cfg(study: "Study", dataset: DatasetSpec, network: Network) -> CfgNode:
    """Return the checked configuration of a sweep's runs, with one of its networks.

    Later layers win: the study's `config`, a hand-written network's file, the regime, the
    architecture, the data set's own `config`, and what says which data are read.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    spec, facts = study.spec, study.data.facts(dataset)
    # The stored size, unless the study says otherwise.
    sizes = {"TRAIN": {"IM_SIZE": facts.im_size}, "TEST": {"IM_SIZE": facts.im_size}}
    layers: list[tuple[str, Any]] = [("sizes", sizes), *spec.config]
    if isinstance(network, HandWrittenNetwork):
        layers.append((str(network.path), network.keys))
    layers += spec.regimes[dataset.regime]
    layers.append(("population", nest(network.overrides())))
    layers += dataset.config
    # Of a set that is not there yet, a drawn subset's classes are not known.
    classes = study.data.classes(dataset) if facts.prepared else dataset.classes
    data = [
        "MODEL.NUM_CLASSES", facts.num_classes,
        "TRAIN.DATASET", dataset.prepared, "TRAIN.SPLIT", "train",
        "TEST.DATASET", dataset.prepared, "TEST.SPLIT", "test",
        "DATA.DIR", str(study.data.data_dir), "DATA.CLASSES", list(classes),
        "DATA.PER_CLASS", dataset.per_class or 0, "DATA.BALANCE", dataset.balance,
        "LOG_DEST", "file",
    ]  # fmt: skip
    if dataset.per_class or dataset.balance:
        data += ["DATA.VIEW_SEED", spec.class_seed]
    return layer_cfg(layers, data)


class ConfigWriter:
    """Makes the text of each run's configuration.

    One configuration a sweep is built and checked; those of its runs differ from it in the
    architecture, the seed, the weights and the folder.
    """

    def __init__(self, study: "Study") -> None:
        self._study = study
        self._templates: dict[tuple[str, str], CfgTemplate] = {}
        self._pinned = {key: _pinned_keys(d) for key, d in study.spec.datasets.items()}

    def text(self, run: Run) -> str:
        """Return a run's configuration as YAML."""
        base = (run.dataset, run.arch.arch if isinstance(run.arch, HandWrittenNetwork) else "")
        if base not in self._templates:
            dataset = self._study.spec.datasets[run.dataset]
            values = cfg_to_dict(base_cfg(self._study, dataset, run.arch))
            self._templates[base] = CfgTemplate(values)
        keys = iter(run.arch.overrides())
        pinned = self._pinned[run.dataset]
        changes = {key: value for key, value in zip(keys, keys, strict=True) if key not in pinned}
        changes |= {"OUT_DIR": str(self._study.out_dir(run)), "RNG_SEED": run.seed}
        weights = self._study.weights_path(run)
        if weights is not None:
            changes["TRAIN.WEIGHTS"] = str(weights)
        return self._templates[base].text(changes)


def nest(overrides: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return dotted keys and values, alternating, as sections."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        section, leaf = key.split(".")
        sections.setdefault(section, {})[leaf] = value
    return sections


def _pinned_keys(dataset: DatasetSpec) -> frozenset[str]:
    """Return the keys that a data set's own `config` sets over the architecture."""
    return frozenset(
        f"{section}.{key}"
        for _, layer in dataset.config
        for section, content in layer.items()
        if isinstance(content, Mapping)
        for key in content
    )


def epochs_of(study: "Study", dataset: DatasetSpec, networks: Sequence[Network]) -> int:
    """Return the epochs of a sweep's runs.

    Raises:
        ConfigError: hand-written networks ask for different numbers.
    """
    if not dataset.networks:
        return int(base_cfg(study, dataset, networks[0]).OPTIM.MAX_EPOCH)
    epochs = {n.arch: base_cfg(study, dataset, n).OPTIM.MAX_EPOCH for n in networks}
    if len(set(epochs.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in epochs.items())
        raise ConfigError(
            f"{study.spec.where('datasets', dataset.key, 'networks')}: the networks train for "
            f"different numbers of epochs ({told}); give the sweep a regime with OPTIM.MAX_EPOCH"
        )
    return int(next(iter(epochs.values())))
