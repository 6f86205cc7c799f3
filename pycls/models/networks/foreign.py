"""Networks of timm and torchvision, by their names there."""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from pycls.errors import ConfigError, PyclsError
from pycls.models.network_types import foreign_arguments
from pycls.models.networks.staged import Parts
from pycls.torchvision_import import import_torchvision

# Of torchvision's constructors that give several outputs in training, unless told otherwise.
_WITHOUT_EXTRA_OUTPUTS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


@dataclass(frozen=True)
class ForeignSpec:
    """A network of another library.

    Attributes:
        library: "timm" or "torchvision".
        name: the network's name there.
        arguments: of its constructor.
        num_classes: outputs.
        im_size: height and width of the images; given to networks that are built for one size.
    """

    library: str
    name: str
    arguments: Mapping[str, Any]
    num_classes: int
    im_size: int

    def build(self) -> nn.Module:
        """Return the network without weights, on the meta device."""
        return self.build_initialised(0).to("meta")

    def parts(self) -> Parts:
        """Return nothing: what its parts are made of is not known."""
        return {}

    def build_initialised(self, seed: int) -> nn.Module:
        """Return the network with the first weights that its library draws.

        Constructors compute buffers that belong to their weights, so it is built with memory. What
        the library draws from the global random state depends on the seed alone.

        Raises:
            ConfigError: no such network or argument, or one that cannot be built for these images.
            PyclsError: the library is not installed.
        """
        make = _timm_network if self.library == "timm" else _torchvision_network
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.manual_seed(seed)
            try:
                model = make(self)
            except PyclsError:
                raise
            except Exception as error:  # constructors refuse with errors of any kind
                raise ConfigError(
                    f"{self.library} cannot build {self.name!r} with {self._said}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        model.__dict__["classifier_parameters"] = _classifier_parameters(model, self.num_classes)
        return model

    @cached_property
    def _said(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.num_classes} classes, {self.im_size} pixels, {given or 'no arguments'}"


def timm_spec(cfg: CfgNode) -> ForeignSpec:
    """Return the network that the TIMM section names."""
    return _spec(cfg, "timm", cfg.TIMM)


def torchvision_spec(cfg: CfgNode) -> ForeignSpec:
    """Return the network that the TORCHVISION section names."""
    return _spec(cfg, "torchvision", cfg.TORCHVISION)


def _spec(cfg: CfgNode, library: str, net: CfgNode) -> ForeignSpec:
    arguments = foreign_arguments(net.ARGS, library.upper())
    return ForeignSpec(library, net.NAME, arguments, cfg.MODEL.NUM_CLASSES, cfg.TRAIN.IM_SIZE)


def _timm_network(spec: ForeignSpec) -> nn.Module:
    import_torchvision()
    try:
        import timm
    except ImportError as error:
        if error.name != "timm":
            raise
        raise PyclsError(
            "timm is not installed, which MODEL.TYPE timm needs: pip install --no-deps timm "
            "huggingface_hub safetensors (without --no-deps pip may bring another PyTorch)"
        ) from None
    _require_name(spec, timm.list_models())
    arguments = dict(spec.arguments)
    published = timm.models.get_pretrained_cfg(spec.name)
    if published is not None and getattr(published, "fixed_input_size", False):
        arguments.setdefault("img_size", spec.im_size)
    model = timm.create_model(
        spec.name, pretrained=False, num_classes=spec.num_classes, **arguments
    )
    return _checked(model)


def _torchvision_network(spec: ForeignSpec) -> nn.Module:
    models = import_torchvision().models
    _require_name(spec, models.list_models(module=models))
    arguments = _WITHOUT_EXTRA_OUTPUTS.get(spec.name, {}) | dict(spec.arguments)
    if spec.name.startswith("vit_"):
        arguments.setdefault("image_size", spec.im_size)
    model = models.get_model(spec.name, weights=None, num_classes=spec.num_classes, **arguments)
    return _checked(model)


def _checked(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise ConfigError(f"it gives a {type(model).__name__}, not a network")
    return model


def _require_name(spec: ForeignSpec, known: Sequence[str]) -> None:
    if spec.name not in known:
        near = difflib.get_close_matches(spec.name, known, 4, 0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(
            f"{spec.library.upper()}.NAME is {spec.name!r}; {spec.library} has no such network "
            f"among its {len(known)}{hint}"
        )


def _classifier_parameters(model: nn.Module, num_classes: int) -> tuple[str, ...]:
    """Return the names of the parameters of the last layers, which have an output a class."""
    get = getattr(model, "get_classifier", None)  # timm's networks know their own
    if inspect.ismethod(get):
        found = get()
        heads = list(found) if isinstance(found, tuple | list) else [found]
    else:
        layers = [
            module
            for module in model.modules()
            if num_classes
            in (getattr(module, "out_features", None), getattr(module, "out_channels", None))
        ]
        heads = layers[-1:]
    kept = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
    return tuple(name for name, p in model.named_parameters() if id(p) in kept)
