"""Networks and their complexity.

``build_model(cfg)`` returns an initialised network, ``complexity(cfg)`` its flops,
parameters and activations. Both are imported on first use: the package itself is light.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycls.models.builders import build_model
    from pycls.models.counting import complexity

__all__ = ["build_model", "complexity"]


def __getattr__(name: str) -> Any:
    if name == "build_model":
        from pycls.models.builders import build_model

        return build_model
    if name == "complexity":
        from pycls.models.counting import complexity

        return complexity
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
