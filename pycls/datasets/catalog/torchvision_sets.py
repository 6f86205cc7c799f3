"""Entries of torchvision's classification sets, `torchvision:NAME`, read by its own classes."""

from collections.abc import Mapping
from typing import Any

from pycls.datasets.catalog.entry import CatalogEntry, split_pipeline
from pycls.errors import ConfigError
from pycls.yaml_sections import near_miss

PREFIX = "torchvision:"

_TRAIN = ({"train": True}, {"train": False})
_SPLIT = ({"split": "train"}, {"split": "test"})

# Class -> its arguments for the train and the test side; one side alone is divided here.
USABLE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "CIFAR10": _TRAIN,
    "CIFAR100": _TRAIN,
    "CLEVRClassification": ({"split": "train"}, {"split": "val"}),
    "Caltech101": ({},),
    "Caltech256": ({},),
    "Country211": _SPLIT,
    "DTD": _SPLIT,
    "EMNIST": _TRAIN,
    "EuroSAT": ({},),
    "FER2013": _SPLIT,
    "FGVCAircraft": ({"split": "trainval"}, {"split": "test"}),
    "FashionMNIST": _TRAIN,
    "Flowers102": _SPLIT,
    "Food101": _SPLIT,
    "GTSRB": _SPLIT,
    "INaturalist": ({"version": "2021_train"}, {"version": "2021_valid"}),
    "Imagenette": ({"split": "train"}, {"split": "val"}),
    "KMNIST": _TRAIN,
    "MNIST": _TRAIN,
    "OxfordIIITPet": ({"split": "trainval"}, {"split": "test"}),
    "PCAM": _SPLIT,
    "Places365": ({"split": "train-standard"}, {"split": "val"}),
    "QMNIST": _TRAIN,
    "RenderedSST2": _SPLIT,
    "SEMEION": ({},),
    "STL10": _SPLIT,
    "SUN397": ({},),
    "SVHN": _SPLIT,
    "StanfordCars": _SPLIT,
    "USPS": _TRAIN,
}
_FOLDERS = "it reads any folder: prepare that as 'folder'"
_OTHER_CLASSES = "its two sides hold different classes"
# Why others cannot be used.
UNUSABLE: Mapping[str, str] = {
    "CelebA": "its images have several attributes each",
    "DatasetFolder": _FOLDERS,
    "FakeData": "it is random noise",
    "ImageFolder": _FOLDERS,
    "ImageNet": "it writes into its folder; prepare that as 'imagenet'",
    "LFWPeople": _OTHER_CLASSES,
    "LSUN": "it reads databases, which need lmdb",
    "Omniglot": _OTHER_CLASSES,
}


def find_torchvision_entry(key: str) -> CatalogEntry:
    """Return the entry of `torchvision:NAME`.

    Raises:
        ConfigError: torchvision has no such class, or one that gives no class for an image.
    """
    name = key.removeprefix(PREFIX)
    if name not in USABLE:
        reason = UNUSABLE.get(name, "no set of images with one class each is known by that name")
        raise ConfigError(
            f"'{key}': {reason}; {near_miss(name, USABLE)}usable are {', '.join(USABLE)}"
        )
    return CatalogEntry(
        key=key,
        title=f"torchvision's {name}",
        description=f"{name} as torchvision reads it",
        num_classes=0,
        source=f"torchvision.datasets.{name}",
        licence="as its publisher says",
        reader="containers.torchvision_sets:read_torchvision",
        archives=False,
        options=split_pipeline(256, dataset=name, variant=""),
        download=f"the folder that torchvision.datasets.{name} takes as its root; nothing is "
        "downloaded",
    )
