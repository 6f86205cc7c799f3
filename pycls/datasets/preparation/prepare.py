"""The preparation of a set by its name: made once, left as it is when complete."""

import functools
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.opening.locate import resolve_data_dir
from pycls.datasets.preparation.given_split import (
    apply_test_files,
    describe_test_files,
    read_test_files,
)
from pycls.datasets.preparation.ingest import Execution, ingest
from pycls.datasets.preparation.plan import (
    RARE_OPTIONS,
    check_pipeline_options,
    compute_listing_digest,
    read_listing,
)
from pycls.datasets.preparation.source_record import describe_changes
from pycls.datasets.preparation.work_folder import WorkFolder
from pycls.datasets.readers.base import Listing
from pycls.datasets.readers.layout import is_validation
from pycls.datasets.sources.decode import MOST_PIXELS
from pycls.datasets.sources.sieve import MOST_UNPACKED
from pycls.datasets.sources.sources import Source, open_source
from pycls.datasets.store.store import SIDES, is_store, open_store
from pycls.datasets.store.writer import SetFacts, remove_stale_partials, write_store
from pycls.errors import ConfigError, DataError
from pycls.files import exclusive_lock, naming
from pycls.progress import Progress

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def prepare(
    key: str,
    out_dir: str | os.PathLike[str] | None = None,
    *,
    raw: str | os.PathLike[str] | None = None,
    name: str | None = None,
    replace: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
    drop_unreadable: bool = False,
    max_pixels: int = MOST_PIXELS,
    exclude: Sequence[str] = (),
    max_unpacked: int = MOST_UNPACKED,
    **options: Any,
) -> Path:
    """Make a prepared set, or leave it as it is where it is complete already.

    Several processes may ask for the same set at the same time: one makes it. One that is
    interrupted goes on where it was when it is asked again.

    Args:
        key: a data set of the catalogue.
        out_dir: folder of the prepared sets; by default PYCLS_DATA, or else `data`.
        raw: the download of a set that needs one: a folder, an archive or a file.
        name: what to call the prepared set; by default `key`.
        replace: make it anew from `raw`, whatever is there; that stays until the new one is
            whole.
        workers: processes that decode images; by default one for each usable core. The result
            does not depend on it.
        progress: receives how far the work is; silent by default.
        drop_unreadable: leave out images that cannot be read and list them in the set's
            report, instead of failing when the others are done.
        max_pixels: images of more pixels count as unreadable.
        exclude: patterns of the names of files and folders in `raw` that are left out.
        max_unpacked: archives that become more than 200 times their size are refused where that
            is more than so many bytes.
        **options: options of the set that differ from the catalogue's.

    Returns:
        The prepared set's folder.

    Raises:
        ConfigError: unknown set or option, an option's value of a wrong type, a bad name, no
            `raw` for a set that needs it.
        DataError: something else is in its place, it is damaged, or was prepared with
            other options; `raw` is not the set's download, damaged or incomplete.
        OSError: it could not be written, for example on a full disk.
    """
    entry = find_entry(key)
    recipe: dict[str, Any] = {
        "key": key,
        "version": entry.version,
        "options": _complete_options(entry, options),
    }
    if exclude:
        recipe["exclude"] = sorted(exclude)
    _check_arguments(entry, raw, name, workers)
    test_files = read_test_files(recipe["options"])
    if test_files:
        recipe["options"]["test_files"] = describe_test_files(
            recipe["options"]["test_files"], test_files
        )
    name = name or key
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"name '{name}' for a prepared set: expected letters, digits, '_' and '-'"
        )
    path = resolve_data_dir(out_dir) / name
    if not (entry.raw or replace) and path.exists() and not _is_outdated(path, recipe, replace):
        return path  # the folder may be read-only
    path.parent.mkdir(parents=True, exist_ok=True)
    # One writer at a time; the others wait for it and find the set complete.
    lock_path = path.with_name(f".{path.name}.lock")
    progress = progress or Progress()
    if Path(path.parent.name) == Path(name) and not path.exists():
        progress.say(
            f"the set will be in {path}: --out is the folder that holds the sets, not the set's own"
        )

    def waiting(holder: str) -> None:
        progress.say(f"waiting for {holder}, which is preparing {path}")

    lock = exclusive_lock(lock_path, f"preparing {path}", math.inf, waiting)
    with lock as descriptor, naming(path):
        remove_stale_partials(path)
        if not entry.raw:
            if not path.exists() or _is_outdated(path, recipe, replace) or replace:
                _write(path, name, entry, recipe)
            return path
        execution = Execution(
            workers, progress, drop_unreadable, descriptor, max_pixels, max_unpacked
        )
        _prepare_raw(path, name, entry, recipe, raw, test_files, replace, execution)
    return path


def _check_arguments(
    entry: CatalogEntry,
    raw: str | os.PathLike[str] | None,
    name: str | None,
    workers: int | None,
) -> None:
    if raw is not None and not entry.raw:
        raise ConfigError(
            f"data set '{entry.key}' comes inside an installed package; leave --raw out"
        )
    if entry.raw and not entry.num_classes and name is None:
        raise ConfigError(f"data set '{entry.key}': give the set of your own a name with --name")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers {workers}: expected at least 1")


def _prepare_raw(
    path: Path,
    name: str,
    entry: CatalogEntry,
    recipe: dict[str, Any],
    raw: str | os.PathLike[str] | None,
    test_files: Sequence[str],
    replace: bool,
    execution: Execution,
) -> None:
    """Prepare a downloaded set, unless it is there."""
    check_pipeline_options(recipe["options"])
    there = path.exists() and not _is_outdated(path, recipe, replace)
    if raw is None:
        if there and not replace:
            _remove_finished_work(path, recipe)
            return
        kind, what = ("a download", "Download") if entry.num_classes else ("your files", "Expected")
        raise ConfigError(
            f"data set '{entry.key}' is made from {kind}; say where with --raw PATH. {what}: "
            f"{entry.download}"
        )
    execution.progress.say(f"listing {raw}")
    source = open_source(raw, recipe.get("exclude", ()), entry.archives, execution.max_unpacked)
    listing = read_listing(entry, source, recipe["options"])
    if test_files:
        listing = apply_test_files(listing, test_files, recipe["options"]["test_files"])
    if not entry.num_classes:
        # Anything may be behind this key, so what it was made of is part of the recipe.
        recipe["source"] = compute_listing_digest(listing)
    if there and not replace:
        listing = _as_it_was(path, listing, execution.progress)
        if "source" in recipe:
            recipe["source"] = compute_listing_digest(listing)
        _check_source(path, recipe, source, listing)
        _remove_finished_work(path, recipe)
        return
    facts = functools.partial(_make_facts, name, entry, recipe)
    ingest(
        path,
        source,
        listing,
        facts,
        recipe,
        {"citation": entry.citation, "page": entry.page},
        execution,
    )


def _as_it_was(path: Path, listing: Listing, progress: Progress) -> Listing:
    """Return what a listing was when the set at `path` was prepared, maybe by an earlier version.

    Versions before 0.4.0 left a download's own validation side out; what they made stays as it is.
    """
    held = sum(map(is_validation, listing.items))
    if not held or len(open_store(path).sides) > len(SIDES):
        return listing
    progress.say(
        f"{path} was prepared without the validation side ({held:,} images) that its files have; "
        "--replace makes it again, with it"
    )
    return changed(listing, items=[item for item in listing.items if not is_validation(item)])


def _check_source(path: Path, recipe: Mapping[str, Any], source: Source, listing: Listing) -> None:
    """Check that a prepared set was made of the files that are given now.

    Raises:
        DataError: it was not; says which are new, gone or changed.
    """
    changes = describe_changes(path, source, listing)
    found = open_store(path).meta["recipe"].get("source")
    if not changes and found is not None and found != recipe["source"]:
        changes = "labels, groups, sides or names of classes" if listing.items else ""
    if changes:
        raise DataError(
            f"{path}: the files in {source.path} are others than when it was prepared: {changes}; "
            "use --replace to make it again, or give another --name"
        )


def _remove_finished_work(path: Path, recipe: Mapping[str, Any]) -> None:
    """Remove what a process killed after it had put the set in its place left."""
    work = WorkFolder(path)
    plan = work.read_plan()
    if isinstance(plan, Mapping) and plan.get("recipe") == recipe:
        work.remove()


def _write(path: Path, name: str, entry: CatalogEntry, recipe: Mapping[str, Any]) -> Path:
    raw = entry.load_reader()(**recipe["options"])
    facts = _make_facts(name, entry, recipe, raw.split_rule)
    return write_store(path, raw.images, raw.labels, raw.split, raw.class_names, facts)


def _make_facts(
    name: str, entry: CatalogEntry, recipe: Mapping[str, Any], split_rule: str
) -> SetFacts:
    return SetFacts(
        name=name,
        title=entry.title if entry.num_classes else name,
        description=entry.description,
        source=entry.source,
        licence=entry.licence,
        split_rule=split_rule,
        error_metric=entry.error_metric,
        seed=recipe["options"].get("seed"),
        mirror=entry.mirror,
        recipe=recipe,
    )


def _is_outdated(path: Path, recipe: Mapping[str, Any], replace: bool) -> bool:
    """Say whether what is at `path` is no set, or another; refuse that without `replace`."""
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
    if isinstance(found, dict):
        # The files are compared one by one.
        found.pop("source", None)
        # Options that were not there yet when it was made were as they are by default.
        defaults = find_entry(str(recipe["key"])).options
        found["options"] = {**defaults, **found.get("options", {})}
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
    rare = RARE_OPTIONS if entry.raw else {}
    known = {**entry.options, **rare}
    for option, value in given.items():
        if option not in known:
            raise ConfigError(
                f"data set '{entry.key}' has no option '{option}'; its options are "
                f"{', '.join(known)}"
            )
        default = known[option]
        fits = type(value) is type(default) or (type(default) is float and type(value) is int)
        if not fits:
            raise ConfigError(
                f"data set '{entry.key}', option {option}: {value!r} is not "
                f"{_KINDS[type(default)]} like the default {default!r}"
            )
    changed = {option: value for option, value in given.items() if value != rare.get(option)}
    return {**entry.options, **changed}


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
