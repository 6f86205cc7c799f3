"""Networks and their complexity.

``build_model(cfg)`` returns an initialised network, ``complexity(cfg)`` its flops, parameters
and activations; ``regnetx("400MF")``, ``anynet(depths=..., widths=...)`` and their like build
networks by name or plain arguments (:mod:`pycls.zoo.constructors`). All are imported on first
use: the package itself is light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycls.models.builders import build_model
    from pycls.models.counting import complexity
    from pycls.zoo.catalog import list_models
    from pycls.zoo.constructors import anynet, effnet, regnetx, regnety, resnet, resnext, vit

_HOMES = {
    "build_model": "pycls.models.builders",
    "complexity": "pycls.models.counting",
    "list_models": "pycls.zoo.catalog",
    "anynet": "pycls.zoo.constructors",
    "effnet": "pycls.zoo.constructors",
    "regnetx": "pycls.zoo.constructors",
    "regnety": "pycls.zoo.constructors",
    "resnet": "pycls.zoo.constructors",
    "resnext": "pycls.zoo.constructors",
    "vit": "pycls.zoo.constructors",
}
__all__ = [
    "anynet",
    "build_model",
    "complexity",
    "effnet",
    "list_models",
    "regnetx",
    "regnety",
    "resnet",
    "resnext",
    "vit",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
