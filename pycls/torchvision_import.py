"""The import of torchvision where its binary operators are missing.

The published wheel of torchvision is built against CUDA libraries. Beside a CPU build of
PyTorch its operators stay undefined, and the import fails although models, transforms and
data sets need none of them.
"""

import importlib
import sys
from importlib.metadata import version
from types import ModuleType
from typing import Any

from pycls.errors import PyclsError

# What the import of torchvision looks up; the image decoders and nms itself stay unavailable.
_MISSING = "operator torchvision::nms does not exist"
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")

# The schemas live as long as the library object that defined them.
_library: Any = None


def import_torchvision() -> ModuleType:
    """Return the module torchvision, imported.

    A plain import where that works; where the operators are missing their schemas are
    defined first. Anything that imports torchvision itself (timm for example) can be
    imported after this call.

    Raises:
        PyclsError: torchvision is not installed, or does not fit the installed PyTorch.
    """
    try:
        return importlib.import_module("torchvision")
    except ImportError as error:
        if error.name != "torchvision":
            raise _unusable(error) from error
        raise PyclsError(
            "torchvision is not installed; install the version that belongs to the installed "
            "PyTorch: pip install torchvision"
        ) from None
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise _unusable(error) from error
    _define_operators()
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    try:
        return importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise _unusable(error) from error


def _define_operators() -> None:
    global _library
    import torch

    if _library is None:
        _library = torch.library.Library("torchvision", "DEF")
        for operator in _OPERATORS:
            _library.define(f"{operator}{_SCHEMA}")


def _unusable(error: Exception) -> PyclsError:
    return PyclsError(
        f"torchvision is installed but cannot be imported beside PyTorch {version('torch')} "
        f"({error}); install the version that belongs to this PyTorch"
    )
