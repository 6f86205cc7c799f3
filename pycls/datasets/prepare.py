"""Preparation: from a data set's name to a complete prepared set, once."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pycls.datasets.catalog import CatalogEntry, find_entry
from pycls.datasets.dataset import resolve_data_dir
from pycls.datasets.store import is_store, open_store
from pycls.datasets.store_writer import SetFacts, remove_stale_partials, write_store
from pycls.errors import ConfigError, DataError
from pycls.files import exclusive_lock

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def prepare(
    key: str,
    out_dir: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    replace: bool = False,
    **options: Any,
) -> Path:
    """Make a prepared set, or leave it as it is where it is complete already.

    Several processes may ask for the same set at the same time: one makes it.

    Args:
        key: a data set of the catalogue.
        out_dir: folder of the prepared sets; by default PYCLS_DATA, or else `data`.
        name: what to call the prepared set; by default `key`.
        replace: make it again where it is damaged or was made with other options.
        **options: options of the set's reader that differ from the catalogue's.

    Returns:
        The prepared set's folder.

    Raises:
        ConfigError: unknown set or option, an option's value of a wrong type, a bad name.
        DataError: something else is in its place, it is damaged, or was prepared with
            other options.
    """
    entry = find_entry(key)
    recipe = {
        "key": key,
        "version": entry.version,
        "options": _complete_options(entry, options),
    }
    name = name or key
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name '{name}' for a prepared set: expected letters, digits, '_' and '-'"
        )
    path = resolve_data_dir(out_dir) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # One writer at a time; the others wait for it and find the set complete.
    lock = path.with_name(f".{path.name}.lock")
    with exclusive_lock(lock, f"preparing {path}", wait_s=math.inf):
        remove_stale_partials(path)
        if path.exists() and not _is_outdated(path, recipe, replace):
            return path
        return _write(path, name, entry, recipe)


def _write(path: Path, name: str, entry: CatalogEntry, recipe: Mapping[str, Any]) -> Path:
    raw = entry.load_reader()(**recipe["options"])
    facts = SetFacts(
        name=name,
        title=entry.title,
        description=entry.description,
        source=entry.source,
        licence=entry.licence,
        split_rule=raw.split_rule,
        error_metric=entry.error_metric,
        seed=recipe["options"].get("seed"),
        mirror=entry.mirror,
        recipe=recipe,
    )
    return write_store(path, raw.images, raw.labels, raw.split, raw.class_names, facts)


def _is_outdated(path: Path, recipe: Mapping[str, Any], replace: bool) -> bool:
    """Say whether what is at `path` has to be made again; refuse to without `replace`."""
    if not is_store(path):
        if path.is_dir() and not any(path.iterdir()):
            return True
        raise DataError(f"{path}: is there and is not a prepared set; choose another --out")
    try:
        found = open_store(path).meta.get("recipe")
    except DataError as error:
        if replace:
            return True
        raise DataError(f"{error}, or use --replace") from None
    if found == recipe:
        return False
    if replace:
        return True
    raise DataError(
        f"{path}: was prepared otherwise: {_describe_difference(found, recipe)}; use --replace to "
        "make it again, or give another --name"
    )


def _describe_difference(found: Any, asked: Mapping[str, Any]) -> str:
    """Say which parts of two recipes differ, for a message."""
    before, now = _flatten(found), _flatten(asked)
    return ", ".join(
        f"{part} was {before.get(part, 'not there')}, now {now.get(part, 'not there')}"
        for part in sorted(before.keys() | now.keys())
        if before.get(part) != now.get(part)
    )


def _flatten(recipe: Any) -> dict[str, Any]:
    if not isinstance(recipe, Mapping):
        return {"recipe": recipe}
    options = recipe.get("options")
    rest = {part: value for part, value in recipe.items() if part != "options"}
    return {**rest, **(options if isinstance(options, Mapping) else {})}


def _complete_options(entry: CatalogEntry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the catalogue's defaults and check names and types."""
    for option, value in given.items():
        if option not in entry.options:
            raise ConfigError(
                f"data set '{entry.key}' has no option '{option}'; its options are "
                f"{', '.join(entry.options)}"
            )
        default = entry.options[option]
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if not fits:
            raise ConfigError(
                f"data set '{entry.key}', option {option}: {value!r} is not "
                f"{_KINDS[type(default)]} like the default {default!r}"
            )
    return {**entry.options, **given}


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
