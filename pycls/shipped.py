"""Finds the configurations and study files that come with the package."""

import os
from pathlib import Path

FOLDERS = ("configs", "sweeps")
_PACKAGE = Path(__file__).parent


def find_shipped(name: str | os.PathLike[str]) -> Path | None:
    """Return the file or folder of this name, such as "configs/vit", that came along.

    In a checkout `configs` and `sweeps` lie beside the package, in an installation within it.
    """
    places = (_PACKAGE.parent / name, _PACKAGE / name)
    return next((place for place in places if place.exists()), None)


def or_shipped(path: str | os.PathLike[str]) -> Path:
    """Return a path, or, where nothing is there, that of the same name that came along.

    So `sweeps/embedded.yaml` names the same file in every folder.
    """
    path = Path(path)
    if path.exists() or path.parts[:1] not in [(folder,) for folder in FOLDERS]:
        return path
    return find_shipped(path) or path
