"""The search for the prepared set, and the views of it, that a name or a path means."""

import os
import shlex
from pathlib import Path

from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.catalog.views import VIEWS_FILE, ViewSpec, list_views
from pycls.datasets.store.store import is_store
from pycls.errors import ConfigError, DataError
from pycls.yaml_sections import near_miss

DATA_DIR_VARIABLE = "PYCLS_DATA"
DEFAULT_DATA_DIR = "data"


def resolve_data_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the prepared sets: as given, or PYCLS_DATA, or `data`."""
    return Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR)


def list_prepared(data_dir: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of the sets prepared in a folder, sorted."""
    folder = resolve_data_dir(data_dir)
    if not folder.is_dir():
        return []
    return sorted(
        path.name for path in folder.iterdir() if not path.name.startswith(".") and is_store(path)
    )


def find_store(
    name_or_path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> Path:
    """Return the folder of a prepared set, from its name or its path.

    A folder that is no prepared set itself but holds exactly one stands for that one.

    Raises:
        DataError: nothing prepared is there; says what is and how to prepare one.
    """
    text = os.fspath(name_or_path)
    found = _find_prepared(text, resolve_data_dir(data_dir))
    if found is None:
        raise _not_prepared(text, resolve_data_dir(data_dir))
    return found


def locate(
    name_or_path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None
) -> tuple[Path, dict[str, ViewSpec]]:
    """Find what a name means: a prepared set, or a view, or a view of a view.

    A prepared set's name comes first, then a view of the data folder's `views.yaml`, then one
    of the catalogue. `FOLDER/NAME` means NAME in that data folder.

    Returns:
        The prepared set's folder, and the views to make of it, one after another, by name.

    Raises:
        ConfigError: `views.yaml` cannot be used, or a view is a part of itself.
        DataError: the set is not prepared; says what is and how to prepare it.
    """
    text, folder = os.fspath(name_or_path), resolve_data_dir(data_dir)
    path = Path(text)
    if _is_path(text) and not path.exists() and path.name in list_views(path.parent):
        text, folder = path.name, path.parent
    return _locate(text, folder, ())


def _locate(text: str, folder: Path, above: tuple[str, ...]) -> tuple[Path, dict[str, ViewSpec]]:
    found = _find_prepared(text, folder)
    if found is not None:
        return found, {}
    spec = list_views(folder).get(text)
    if spec is None:
        raise _not_prepared(text, folder)
    if text in above:
        way = " of ".join(f"'{name}'" for name in (*above, text))
        raise ConfigError(f"{folder / VIEWS_FILE}: a view is a part of itself: {way}")
    try:
        path, views = _locate(spec.of, folder, (*above, text))
    except DataError as error:
        raise DataError(f"view '{text}' of '{spec.of}': {error}") from None
    return path, {**views, text: spec}


def _find_prepared(text: str, folder: Path) -> Path | None:
    if not text:
        return None
    if _is_path(text):
        found = _sole_set(Path(text))
        if found is None and not Path(text).exists() and is_store(folder / Path(text).name):
            raise DataError(
                f"{text}: there is no such folder, and what has a slash is a path; the prepared "
                f"set in {folder} is called '{Path(text).name}'"
            )
        return found or Path(text)
    for path in (folder / text, Path(text)):
        if is_store(path):
            return path
    if text in list_views(folder):
        return None
    # `prepare digits --out data/digits` makes data/digits/digits.
    return _sole_set(folder / text) or _sole_set(Path(text))


def _sole_set(path: Path) -> Path | None:
    """Return the prepared set at a path or, where it is the only one, in the folder there."""
    if is_store(path):
        return path
    names = list_prepared(path)
    if len(names) > 1:
        raise DataError(
            f"{path} holds several prepared sets: {', '.join(names)}; name one of them, as "
            f"{path / names[0]}"
        )
    return path / names[0] if names else None


def _is_path(text: str) -> bool:
    return os.sep in text or (os.altsep is not None and os.altsep in text)


def _not_prepared(text: str, folder: Path) -> DataError:
    views = list_views(folder)
    if text in views:
        return DataError(f"'{text}' is a view of '{views[text].of}'; name that set")
    present = list_prepared(folder)
    if present:
        found = f"{folder} holds {', '.join(present)}"
    elif folder.is_dir():
        found = f"no prepared set is in {folder}"
    else:
        found = f"there is no folder {folder}"
    raw = "--raw PATH " if text in CATALOG and CATALOG[text].raw else ""
    hint = "" if text in CATALOG else near_miss(text, [*CATALOG, *views, *present])
    place = shlex.quote(str(folder))
    return DataError(
        f"data set '{text}' is not prepared: {hint}{found}. Prepare it with "
        f"'python tools/prepare_data.py prepare {text or 'KEY'} {raw}--out {place}' "
        f"('list' shows the known sets), or name another folder (key DATA.DIR, or the variable "
        f"{DATA_DIR_VARIABLE})"
    )
