"""Reader of Insects: a folder a species, named by its GBIF key (Zenodo 3549369)."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping
from importlib import resources

from pycls.datasets.catalog.catalog import find_entry
from pycls.datasets.readers import layout
from pycls.datasets.readers.base import Item, Listing
from pycls.datasets.sources.byte_stores import Member
from pycls.datasets.sources.sources import Source
from pycls.errors import DataError

_EXPECTED = "folders named by species keys of GBIF ('database/1035167/d001s0001.jpg')"
_KEY = re.compile(r"\d{5,10}")
_SPECIMEN = re.compile(r"(d\d+)s\d+", re.IGNORECASE)
_PUBLISHED_IMAGES = 63_364


def read_insects(source: Source) -> Listing:
    """List the British carabids of the Natural History Museum, in the archive or unpacked.

    Raises:
        DataError: a species is missing, or more are there than were published.
    """
    classes: dict[str, list[tuple[Member, str]]] = defaultdict(list)
    others = []
    for member in layout.find_images(source, _EXPECTED):
        *folders, file = layout.path_parts(member.name)
        if folders and _KEY.fullmatch(folders[-1]):
            classes[folders[-1]].append((member, file))
        else:
            others.append(member)
    if not classes:
        raise layout.not_found(source, _EXPECTED)
    names = sorted(classes)
    titles = _load_species()
    notes = _check_species(names, titles, source)

    items, doubled = layout.finish_items(
        (
            Item(member, f"{name}/{file}", label)
            for label, name in enumerate(names)
            for member, file in classes[name]
        ),
        source,
    )
    differing = layout.compare_counts({"images": len(items)}, {"images": _PUBLISHED_IMAGES})
    return Listing(
        items=items,
        class_names=tuple(names),
        notes=(*doubled, *layout.note_strays(others), *notes, *differing, _note_drawers(items)),
        class_titles={name: titles.get(name, f"GBIF species {name}") for name in names},
    )


def _load_species() -> Mapping[str, str]:
    """Return the names of 290 of the 291 species by their GBIF key."""
    table = resources.files(__package__).joinpath("insects_species.csv")
    with table.open(encoding="utf-8") as file:
        return {row["gbif_key"]: row["species"] for row in csv.DictReader(file)}


def _check_species(found: list[str], known: Mapping[str, str], source: Source) -> list[str]:
    """Check that every known species is there, and note one whose name is not known."""
    expected = find_entry("insects").num_classes
    missing = [f"{key} ({name})" for key, name in known.items() if key not in found]
    unknown = [key for key in found if key not in known]
    if missing:
        raise DataError(
            f"{source.path}: no image of species {layout.name_some(missing)}; expected {expected} "
            "species; prepare a part of them as 'folder'"
        )
    # The name of one published species is not known; what goes beyond that is something else.
    if len(unknown) > expected - len(known):
        raise DataError(
            f"{source.path}: unknown species {layout.name_some(unknown)}; expected the "
            f"{len(known)} known ones and {expected - len(known)} more"
        )
    notes = layout.compare_counts({"species": len(found)}, {"species": expected})
    if unknown:
        notes.append(f"the name of species {layout.name_some(unknown)} is not known")
    return notes


def _note_drawers(items: list[Item]) -> str:
    """Say how many species fill one drawer, by the `d###` of the file names."""
    drawers: dict[int, set[str]] = defaultdict(set)
    for item in items:
        if match := _SPECIMEN.match(item.name.rpartition("/")[2]):
            drawers[item.label].add(match[1].lower())
    single = sum(len(found) == 1 for found in drawers.values())
    return (
        "file names ('d001s0001') seem to tell the drawer a specimen stood in: "
        f"{single} of {len(drawers)} species fill one drawer, so the background may give the "
        "species away, and no split can keep the drawers of the two sides apart"
    )
