"""Lists the models of the zoo: their names, configurations and published weights."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from pycls.errors import ConfigError
from pycls.shipped import find_shipped

# Where pycls publishes its weights; the variable names a mirror of the same layout.
WEIGHTS_URL = "https://dl.fbaipublicfiles.com/pycls/dds_baselines"
MIRROR_VARIABLE = "PYCLS_ZOO_URL"


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo.

    Attributes:
        name: as in pycls, for example RegNetX-400MF.
        config: its configuration, a path below configs/.
        weights_id: folder of its published weights; empty: none are published.
    """

    name: str
    config: str
    weights_id: str = ""

    @property
    def family(self) -> str:
        """The constructor that builds it: regnetx, regnety, resnet, resnext, effnet or vit."""
        return FAMILIES[self.name.partition("-")[0]]

    @property
    def weights_url(self) -> str:
        """The address of its published weights.

        Raises:
            ConfigError: none are published.
        """
        if not self.weights_id:
            raise ConfigError(
                f"there are no published weights of {self.name}; train it, or name a checkpoint: "
                "pretrained=PATH"
            )
        base = os.environ.get(MIRROR_VARIABLE, WEIGHTS_URL).rstrip("/")
        return f"{base}/{self.weights_id}/{Path(self.config).stem}.pyth"

    @property
    def config_path(self) -> Path:
        """The file of its configuration.

        Raises:
            ConfigError: the installation lacks it.
        """
        path = find_shipped(f"configs/{self.config}")
        if path is None:
            raise ConfigError(f"configs/{self.config} of {self.name} is not installed")
        return path


FAMILIES = {
    "RegNetX": "regnetx",
    "RegNetY": "regnety",
    "ResNet": "resnet",
    "ResNeXt": "resnext",
    "EfficientNet": "effnet",
    "ViT": "vit",
}

# Published ids, see the MODEL_ZOO of pycls.
_REGNETX_IDS = {
    "200MF": "160905981", "400MF": "160905967", "600MF": "160906442", "800MF": "160906036",
    "1.6GF": "160990626", "3.2GF": "160906139", "4.0GF": "160906383", "6.4GF": "161116590",
    "8.0GF": "161107726", "12GF": "160906020", "16GF": "158460855", "32GF": "158188473",
}  # fmt: skip
_REGNETY_IDS = {
    "200MF": "176245422", "400MF": "160906449", "600MF": "160981443", "800MF": "160906567",
    "1.6GF": "160906681", "3.2GF": "160906834", "4.0GF": "160906838", "6.4GF": "160907112",
    "8.0GF": "161160905", "12GF": "160907100", "16GF": "161303400", "32GF": "161277763",
}  # fmt: skip
_RESNET_IDS = {"50": "161235311", "101": "161167170", "152": "161167467"}
_RESNEXT_IDS = {"50": "161167411", "101": "161167590", "152": "162471172"}
_EFFNET_IDS = {
    "B0": "161305613", "B1": "161304979", "B2": "161305015", "B3": "161305060",
    "B4": "161305098", "B5": "161305138",
}  # fmt: skip
_VIT_NAMES = ("Ti16", "S16", "B16", "B32", "L16")


def _list_all() -> dict[str, ZooModel]:
    rows = [
        *(
            (f"RegNet{x}-{size}", f"regnet{x.lower()}/RegNet{x}-{size}", weights_id)
            for x, ids in (("X", _REGNETX_IDS), ("Y", _REGNETY_IDS))
            for size, weights_id in ids.items()
        ),
        *((f"ResNet-{d}", f"resnet/R-{d}-1x64d", i) for d, i in _RESNET_IDS.items()),
        *((f"ResNeXt-{d}", f"resnext/X-{d}-32x4d", i) for d, i in _RESNEXT_IDS.items()),
        *((f"EfficientNet-{b}", f"effnet/EN-{b}", i) for b, i in _EFFNET_IDS.items()),
    ]
    models = [ZooModel(name, f"dds_baselines/{path}_dds_8gpu.yaml", i) for name, path, i in rows]
    models += [ZooModel(f"ViT-{name}", f"vit/ViT-{name}.yaml") for name in _VIT_NAMES]
    return {model.name: model for model in models}


MODELS = _list_all()


def list_models(family: str | None = None, *, pretrained: bool = False) -> list[str]:
    """Return the names of the zoo's models.

    Args:
        family: regnetx, regnety, resnet, resnext, effnet or vit; None: all.
        pretrained: only those with published weights.

    Raises:
        ConfigError: no such family.
    """
    if family is not None and family not in FAMILIES.values():
        raise ConfigError(
            f"no family {family!r} in the zoo; there are: {', '.join(FAMILIES.values())}"
        )
    return [
        model.name
        for model in MODELS.values()
        if (family is None or model.family == family) and (model.weights_id or not pretrained)
    ]


def find_model(name: str, family: str | None = None) -> ZooModel:
    """Return a model of the zoo by its name, with or without the family in front.

    "RegNetX-400MF", and with the family regnetx also "400MF", "400mf"; "4GF" is "4.0GF".

    Raises:
        ConfigError: no such model; the message lists close ones.
    """
    names = list_models(family)
    wanted = {_normal(name), _normal(f"{_prefix(family)}-{name}")} if family else {_normal(name)}
    for candidate in names:
        if _normal(candidate) in wanted:
            return MODELS[candidate]
    close = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    raise ConfigError(
        f"no model {name!r} in the zoo{f' family {family}' if family else ''}; there are: "
        f"{', '.join(names if family else close or names)}"
    )


def _normal(name: str) -> str:
    return name.casefold().replace(".0gf", "gf")


def _prefix(family: str) -> str:
    return next(prefix for prefix, value in FAMILIES.items() if value == family)
