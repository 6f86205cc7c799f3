"""The configuration that the runs of a study share, layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from yacs.config import CfgNode

from pycls.core.config.load import layer_cfg, nest_keys
from pycls.errors import ConfigError
from pycls.study.data import StudyData
from pycls.study.recipe import KEEP_LAST, assumed_recipe
from pycls.study.runs import HandWrittenNetwork, Network, keys_of
from pycls.study.spec import DatasetSpec, StudySpec

Layer = tuple[str, Mapping[str, Any]]


def assumed_layers(
    spec: StudySpec, data_sets: StudyData, regime: str, above: Sequence[Layer] = ()
) -> list[Layer]:
    """Return what lies below a study's own keys.

    That is one checkpoint a run and, where nothing says how long to train, a recipe by the size
    of the regime's first data set.

    Args:
        spec: the study.
        data_sets: its data sets.
        regime: the training recipe that is looked at.
        above: further layers that may say it.
    """
    layers: list[Layer] = [("defaults of studies", KEEP_LAST)]
    own = [*spec.config, *spec.regimes[regime], *above]
    first = next((each for each in spec.datasets.values() if each.regime == regime), None)
    if first is not None and not any("MAX_EPOCH" in (keys.get("OPTIM") or {}) for _, keys in own):
        recipe = assumed_recipe(data_sets.facts(first).train_images)
        layers.append((f"recipe assumed for {first.key}", recipe))
    return layers


def base_cfg(
    spec: StudySpec, data_sets: StudyData, dataset: DatasetSpec, network: Network
) -> CfgNode:
    """Return the checked configuration of a sweep's runs, with one of its networks.

    Later layers win: what is assumed, the study's `config`, a hand-written network's file, the
    regime, the architecture, the data set's own `config`, and what says which data are read.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    facts = data_sets.facts(dataset)
    # The stored size, unless the study says otherwise.
    sizes = {"TRAIN": {"IM_SIZE": facts.im_size}, "TEST": {"IM_SIZE": facts.im_size}}
    by_hand: list[Layer] = []
    if isinstance(network, HandWrittenNetwork):
        by_hand.append((str(network.path), network.keys))
    layers: list[tuple[str, Any]] = [
        ("sizes", sizes),
        *assumed_layers(spec, data_sets, dataset.regime, [*dataset.config, *by_hand]),
        *spec.config,
        *by_hand,
    ]
    layers += spec.regimes[dataset.regime]
    layers.append(("population", nest_keys(keys_of(network))))
    layers += dataset.config
    # Of a set that is not there yet, a drawn subset's classes are not known.
    classes = data_sets.classes(dataset) if facts.prepared else dataset.classes
    data = [
        "MODEL.NUM_CLASSES", facts.num_classes,
        "TRAIN.DATASET", dataset.prepared, "TRAIN.SPLIT", "train",
        "TEST.DATASET", dataset.prepared, "TEST.SPLIT", data_sets.tested_side,
        "DATA.DIR", str(data_sets.data_dir), "DATA.CLASSES", list(classes),
        "DATA.PER_CLASS", dataset.per_class or 0, "DATA.BALANCE", dataset.balance,
        "LOG_DEST", "file",
    ]  # fmt: skip
    if spec.validation:
        data += ["DATA.VALIDATION_SHARE", spec.validation, "TEST.ANSWERS", True]
    if dataset.per_class or dataset.balance or spec.validation:
        data += ["DATA.VIEW_SEED", spec.class_seed]
    return layer_cfg(layers, data)


def epochs_of(
    spec: StudySpec, data_sets: StudyData, dataset: DatasetSpec, networks: Sequence[Network]
) -> int:
    """Return the epochs of a sweep's runs.

    Raises:
        ConfigError: hand-written networks ask for different numbers.
    """
    if not dataset.networks:
        return int(base_cfg(spec, data_sets, dataset, networks[0]).OPTIM.MAX_EPOCH)
    epochs = {n.arch: base_cfg(spec, data_sets, dataset, n).OPTIM.MAX_EPOCH for n in networks}
    if len(set(epochs.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in epochs.items())
        raise ConfigError(
            f"{spec.where('datasets', dataset.key, 'networks')}: the networks train for "
            f"different numbers of epochs ({told}); give the sweep a regime with OPTIM.MAX_EPOCH"
        )
    return int(next(iter(epochs.values())))
