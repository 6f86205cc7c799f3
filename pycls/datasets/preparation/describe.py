"""Descriptions in words of the known data sets, of a data folder, and of a prepared set."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pycls.datasets.catalog.catalog import CATALOG
from pycls.datasets.catalog.entry import CatalogEntry
from pycls.datasets.catalog.torchvision_sets import PREFIX, USABLE
from pycls.datasets.catalog.views import VIEWS_FILE, list_views
from pycls.datasets.opening.dataset import Dataset
from pycls.datasets.opening.locate import list_prepared
from pycls.datasets.preparation.work_folder import list_work
from pycls.datasets.readers.layout import printable
from pycls.datasets.store.store import ARRAY_FILES

_MOST_ROWS = 40
_FEW = 5
_LABEL_WIDTH = 46
_COLUMNS = 100
_COUNT_WIDTH = 9


def describe_catalog(folder: Path) -> str:
    """Return the known sets and views, and what a data folder holds of them."""
    prepared = list_prepared(folder)
    views = list_views(folder)
    width = max(map(len, (*CATALOG, *prepared, *views)))
    lines = [f"known data sets ('*': prepared in {folder})"]
    for key, entry in CATALOG.items():
        mark = "*" if key in prepared else " "
        size = _used(folder / key) if key in prepared else _expected_bytes(entry)
        disk = f", {'' if key in prepared else 'about '}{_format_bytes(size)}" if size else ""
        lines.append(
            f"{mark} {key:{width}}  {_classes(entry)}, {entry.im_size} x {entry.im_size} pixels, "
            f"{entry.error_metric}{_images(entry)}{disk}: {entry.description}"
        )
        part = f"; part of {CATALOG[entry.part_of].title}" if entry.part_of else ""
        page = f" ({entry.page})" if entry.page else ""
        lines.append(f"  {'':{width}}  {entry.source}{page}{part}; licence: {entry.licence}")
        if entry.raw:
            lines.append(f"  {'':{width}}  needs --raw: {entry.download}")
    lines.append(
        f"  {PREFIX}NAME  sets of torchvision that lie on disk, through its own classes: "
        f"{', '.join(USABLE)}"
    )
    lines.append(f"views, by name once their set is prepared ({folder / VIEWS_FILE} adds others)")
    for name, spec in views.items():
        lines.append(f"  {name:{width}}  of {spec.of}")
    for name in prepared:
        if name not in CATALOG:
            lines.append(f"also prepared: {name}, {_format_bytes(_used(folder / name))}")
    for name, size in list_work(folder).items():
        lines.append(
            f"not finished: {name}, {_format_bytes(size)} in {folder / f'.{name}.preparing'}; the "
            "same prepare command goes on"
        )
    return "\n".join(_wrap(line, " " * (width + 4)) for line in lines)


def describe_options() -> str:
    """Return which options each known set has, with their defaults."""
    width = max(map(len, CATALOG))
    lines = ["options of the sets, for --set OPTION=VALUE, with their defaults:"]
    for key, entry in CATALOG.items():
        texts = ", ".join(f"{option}={_as_yaml(value)}" for option, value in entry.options.items())
        lines.append(f"  {key:{width}}  {texts or 'none'}")
    return "\n".join(_wrap(line, " " * (width + 4)) for line in lines)


def _as_yaml(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value


def _wrap(line: str, indent: str) -> str:
    """Break a line to _COLUMNS; words and paths stay whole."""
    return textwrap.fill(
        line, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _classes(entry: CatalogEntry) -> str:
    return f"{entry.num_classes} classes" if entry.num_classes else "classes as found"


def _images(entry: CatalogEntry) -> str:
    if entry.images is None:
        return ""
    about = "" if entry.exact else "about "
    return f", {about}{entry.images[0]:,} train and {entry.images[1]:,} test images"


def _expected_bytes(entry: CatalogEntry) -> int:
    return sum(entry.images or ()) * entry.im_size**2 * 3


def _used(path: Path) -> int:
    return sum((path / name).stat().st_size for name in ARRAY_FILES if (path / name).exists())


def _format_bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def describe_set(sides: Sequence[Dataset], every_class: bool = False) -> str:
    """Return what a prepared set, or a view of it, holds, whose sides are train, test and others.

    Of many classes the largest and smallest are listed, with `every_class` all of them.
    """
    train = sides[0]
    meta = train.store.meta
    lines = [f"{train.title} ({train.store.path})"]
    for label, value in (
        ("what", meta.get("description")),
        ("source", meta.get("source")),
        ("page", meta.get("page")),
        ("licence", meta.get("licence")),
        ("citation", meta.get("citation")),
        ("split", meta.get("split_rule")),
        ("error metric", train.error_metric),
        ("fingerprint", train.fingerprint),
        ("options", _format_options(meta.get("recipe"))),
    ):
        if value:
            lines.append(f"  {label}: {value}")
    lines.append(f"  classes: {train.num_classes}")
    lines.append(f"  image size: {train.im_size[0]} x {train.im_size[1]} pixels")
    lines += [f"  {line}" for line in _describe_statistics(meta)]
    if meta.get("groups"):
        lines.append(f"  groups: {meta['groups']:,}, each on one side")
    notes = meta.get("notes") or []
    if notes:
        lines.append("  notes:")
        lines += [f"  - {note}" for note in notes]
    lines += [f"  {line}" for line in describe_classes(sides, every_class)]
    return "\n".join(lines)


def _format_options(recipe: Any) -> str:
    options = recipe.get("options") if isinstance(recipe, Mapping) else None
    return ", ".join(f"{key} {value}" for key, value in (options or {}).items() if value != "")


def _describe_statistics(meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield mean and deviation, beside the known values where the catalogue has them."""
    recipe = meta.get("recipe")
    entry = CATALOG.get(recipe.get("key", "")) if isinstance(recipe, Mapping) else None
    for key in ("mean", "std"):
        text = f"train {key} (0..1): {_format_numbers(meta[key])}"
        known = getattr(entry, key, ())
        if known:
            text += f" (others find {_format_numbers(known)})"
        yield text


def _format_numbers(values: Any) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def describe_classes(sides: Sequence[Dataset], every_class: bool = False) -> Iterator[str]:
    """Yield the lines of a table of the images of each class on each side, of 40 rows at most."""
    train = sides[0]
    counts = np.stack([np.bincount(side.labels, minlength=train.num_classes) for side in sides])
    labels = [_label(name, train.class_titles[name]) for name in train.class_names]
    width = max(map(len, ("middle class", *labels)))
    columns = [max(_COUNT_WIDTH, len(side.split)) for side in sides]

    def row(label: str, values: Any) -> str:
        cells = zip(values, columns, strict=True)
        return f"{label:{width}}" + "".join(f"  {value:>{column}}" for value, column in cells)

    yield row("class", [side.split for side in sides])

    if every_class or len(labels) <= _MOST_ROWS:
        for label, name in enumerate(labels):
            yield row(name, counts[:, label])
    else:
        order = np.argsort(-counts[0], kind="stable")
        for label in order[:_FEW]:
            yield row(labels[label], counts[:, label])
        yield f"... {len(labels) - 2 * _FEW} more classes (--all-classes shows them)"
        for label in order[-_FEW:]:
            yield row(labels[label], counts[:, label])
        yield row("middle class", np.median(counts, axis=1).astype(int))
    yield row("all", counts.sum(axis=1))


def _label(name: str, title: str) -> str:
    text = printable(name if title == name else f"{name} ({title})")
    return text if len(text) <= _LABEL_WIDTH else text[: _LABEL_WIDTH - 3] + "..."
