"""Builds networks and counts their complexity.

``build_model(cfg)`` returns an initialised network, ``complexity(cfg)`` its flops, parameters
and activations; ``regnetx("400MF")``, ``anynet(depths=..., widths=...)`` and their like build
networks by name or plain arguments (:mod:`pycls.zoo.constructors`).
"""

from pycls.front_door import front_door

__getattr__, __all__ = front_door(
    __name__,
    {
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
    },
)
